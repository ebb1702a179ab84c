/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to a Consul agent: libcurl on the plugin's loop. Plugin thread only. Neither token nor
 * password ever stands in an error.
 */
#ifndef CONSUL_PLUGIN_AGENT_H
#define CONSUL_PLUGIN_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bounds.h"

/* Where it is and who we are. Strings are owned; NULL: not given. */
struct agent_settings {
    char *url;        /* scheme, host and port, without a slash behind */
    char *unix_path;  /* instead of the host of the URL */
    char *connect_to; /* host and port to connect to, when the URL has the name to be verified */
    char *token;      /* X-Consul-Token */
    char *token_file; /* read for each request: it may be rotated */
    char *user, *password;
    char *ca_file, *ca_path, *cert_file, *key_file;
    bool skip_verify;
};

void agent_settings_fini(struct agent_settings *settings);

struct agent_answer {
    bool is_ok;        /* the agent answered, with 200 */
    long status;       /* 0: there was no answer */
    const char *error; /* why it is not ok; for logs and callers */
    const char *body;
    size_t len;
    uint64_t index; /* X-Consul-Index, for blocking questions; 0: none */
};

/* The answer is valid during the callback. */
typedef void agent_done(const struct agent_answer *answer, void *arg);

struct agent_request;

struct agent_question {
    const char *method;        /* GET or PUT */
    const char *path;          /* with its query */
    const char *body;          /* NULL: none; copied */
    const char *cache_control; /* or NULL */
    const char *token;         /* instead of the agent's, or NULL */
    long timeout_ms;
};

/* False if the library cannot be set up. */
bool agent_setup(void);

/* `done` follows once, later, unless cancelled. `settings` must outlive the request. */
struct agent_request *agent_ask(const struct agent_settings *settings,
                                const struct agent_question *question, agent_done *done, void *arg);
void agent_cancel(struct agent_request *request); /* NULL is nothing */

/* Percent-encodes whatever is not plain; malloc(). */
char *agent_escape(const char *text, size_t len);

#endif
