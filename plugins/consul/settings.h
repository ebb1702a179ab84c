/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of a resolver, checked, and what follows from it: where the agent is, what is
 * registered there and how it is asked. Names of members are compared without case, as the
 * reference does.
 */
#ifndef CONSUL_PLUGIN_SETTINGS_H
#define CONSUL_PLUGIN_SETTINGS_H

#include <remora_plugin.h>

#include "agent.h"

struct settings {
    struct agent_settings agent;
    /* Owned strings, all below. */
    char *port_key;      /* the meta entry with the sidecar's internal port */
    char *query;         /* "&dc=…&cached": what goes behind ?passing=1 */
    char *watch_query;   /* the same for blocking questions, without index */
    char *cache_control; /* or NULL */
    char *query_token;   /* or NULL */
    char *registration;  /* JSON to register; NULL: the service is somebody else's business */
    char *service_id, *service_name; /* of the registration, else NULL */
    char *generation; /* the meta entry that tells our registration from a later one */
    long watch_wait_s;
    bool deregisters;
    bool uses_cache;
};

#define GENERATION_KEY "remora-generation"

/* On failure nothing is kept and `error`, of ERROR_BYTES, says why. */
bool settings_init(struct settings *settings, const struct remora_config *config, char *error);
void settings_fini(struct settings *settings);

#endif
