/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of an application over HTTP: with a place, with the application's token, counted. A call is
 * written and read with the functions of client.h on `call`, then:
 *
 *     err = app_http_start(t, channel, &head, &http);
 *     …client_write(t, &http.call, …), client_head(t, &http.call)…
 *     app_http_finish(&http);
 */
#ifndef APP_APP_HTTP_H
#define APP_APP_HTTP_H

#include "app/app.h"

struct app_http_call {
    struct client_call call;
    struct app_channel *channel; /* NULL: nothing to finish */
    struct slice method;         /* in the arena, like the path */
    struct slice path;
    uint64_t started_ns;
    /* The caller counts here what passes. */
    uint64_t sent_bytes;
    uint64_t received_bytes;
};

/* Suspends. Errors of app_enter() and client_start(), with words in the task's diag. */
err_t app_http_start(struct task *t, struct app_channel *channel, const struct client_head *head,
                     struct app_http_call *ret_http) WARN_UNUSED;
/* Whatever happened; twice is once. */
void app_http_finish(struct app_http_call *http);

/* A whole exchange, with an answer of at most bytes_max, in the arena. */
err_t app_http_ask(struct task *t, struct app_channel *channel, const struct client_head *head,
                   struct slice body, size_t bytes_max, int *ret_status,
                   struct slice *ret_body) WARN_UNUSED;

#endif
