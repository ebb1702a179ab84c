/* SPDX-License-Identifier: Apache-2.0 */
/* What host.c (the life of components) and host_describe.c (what is shown of it) share. */
#ifndef COMPONENT_HOST_INTERNAL_H
#define COMPONENT_HOST_INTERNAL_H

#include "component/host.h"
#include "component/route.h"

struct dock;
struct ward;

enum standing {
    STANDING_WAITING, /* for its plugin, or for the answer to Init */
    STANDING_READY,
    STANDING_FAILED, /* Init failed; tried again while the plugin lives */
};

/* A configured component. */
struct member {
    struct host *host;
    size_t index; /* in host->members */
    struct component_spec *spec;
    struct ward *ward;   /* NULL: no plugin hosts it */
    uint32_t generation; /* counts its Init calls */
    enum component_kind kind;
    enum standing standing;
    bool is_settled; /* has been ready, or has failed, once */
    uint32_t capabilities;
    struct latch *writes; /* counted; of the published generation */
    uint32_t retry_ms;
    char *error; /* owned; of the last failure, NULL without */
    ev_timer retry;
};

/* A plugin in our care. */
struct ward {
    struct host *host;
    struct plugin *plugin;
    struct worker *worker; /* holds its links */
    struct dock *dock;     /* of the running process, NULL if none */
    bool has_link;
    struct link *published; /* what its components were last published with; never followed */
};

struct host {
    struct host_config config;
    struct supervisor *supervisor;
    struct routes routes;
    struct arena arena;
    struct member *members;
    size_t member_count;
    struct ward **wards; /* owned */
    size_t ward_count;
    size_t unsettled; /* members */
    bool is_starting; /* failures are fatal */
    bool is_stopping;
};

/* "waiting", "ready", "failed" */
const char *standing_name(enum standing standing);
struct host_component member_describe(const struct member *member);

#endif
