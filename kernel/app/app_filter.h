/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands between this sidecar and an application that speaks HTTP: the middleware of
 * appHttpPipeline, which is of a layer above and registered by main in struct app_channel. It sees
 * each call of app_http.h and changes it or answers in the application's stead.
 */
#ifndef APP_APP_FILTER_H
#define APP_APP_FILTER_H

#include "app/app.h"

/* A request on its way. Slices are in the arena of the task that makes the call, or constant. */
struct app_passage {
    struct client_head head; /* as far as it has come */
    bool has_body;           /* `body` is the request's whole body, or the answer's */
    struct slice body;
    int status; /* 0: it goes on to the application; else it has been answered */
    const struct http_header *headers; /* for the answer, whoever gives it */
    size_t header_count;
};

struct app_filter {
    /* Whether there is anything now, and whether it must see the body. */
    bool (*is_there)(struct task *t);
    bool (*reads_body)(struct task *t);
    /* Suspends. Trouble of its own is an answer, an error only what ends the task's waits. */
    err_t (*pass)(struct task *t, struct app_passage *passage);
};

/* A call through channel->filter, for app_http_start(), which adds the token. */
err_t app_filter_start(struct task *t, struct app_channel *channel, const struct client_head *head,
                       struct client_call *ret_call) WARN_UNUSED;

#endif
