/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The application beside this sidecar: how it is reached, how many calls it may have at a time, and
 * whether it is well. One struct app for the process, one struct app_channel for each worker.
 *
 * Who calls it takes a place first and gives it back, whichever protocol it speaks:
 *
 *     err = app_enter(t, channel);                  // suspends; --app-max-concurrency
 *     if (err == OK) {
 *         err = client_start(t, app_client(channel), …);
 *         …
 *         app_leave(channel);
 *     }
 *
 * app_http.h has calls over HTTP, grpc_app.h over gRPC, app_health.c the probes.
 */
#ifndef APP_APP_H
#define APP_APP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "async/worker.h"
#include "base/err.h"
#include "base/slice.h"
#include "http/client.h"

struct path_rules;

enum app_protocol { APP_HTTP, APP_HTTPS, APP_H2C, APP_GRPC, APP_GRPCS };

/* Slices live as long as the app. */
struct app_settings {
    enum app_protocol protocol;
    struct slice host; /* --app-channel-address */
    uint16_t port;     /* 0: there is no application */
    struct slice app_id;
    struct slice namespace_;
    struct slice api_token;  /* APP_API_TOKEN, empty: none; secret */
    int64_t concurrency_max; /* calls at a time, of all workers; <= 0: no bound */
    size_t body_bytes_max;
    size_t head_bytes_max;
    const struct path_rules *(*path_rules)(void); /* of metrics, on this worker now */

    uint64_t binding_options_ms; /* to say whether it wants an input binding */

    bool checks_health;
    struct slice health_path;
    uint64_t health_interval_ms;
    uint64_t health_timeout_ms;
    unsigned health_threshold;
};

struct app;

/* One worker's way to the application; worker thread only. */
struct app_channel {
    struct app *app;
    struct worker *worker;
    struct client *client;      /* made when first needed: app_client() */
    struct client *grpc_client; /* likewise, if `client` does not speak HTTP/2: app_grpc_client() */
    const struct app_filter
        *filter; /* app_filter.h, registered by main; NULL: nothing stands before */
};

/* Main thread, before the workers run; freed after they have ended. */
struct app *app_new(const struct app_settings *settings);
void app_free(struct app *app);
/* Any thread. */
const struct app_settings *app_settings(const struct app *app);
static inline bool
app_is_grpc(enum app_protocol protocol)
{
    return protocol == APP_GRPC || protocol == APP_GRPCS;
}
static inline bool
app_is_tls(enum app_protocol protocol)
{
    return protocol == APP_HTTPS || protocol == APP_GRPCS;
}

void app_channel_init(struct app_channel *channel, struct app *app, struct worker *worker);
/* Worker thread (or after it has ended): no call can be started any more. */
void app_channel_fini(struct app_channel *channel);
/* HTTP/1.1 for http and https, HTTP/2 for h2c, grpc and grpcs. NULL without an application. */
struct client *app_client(struct app_channel *channel);
/* HTTP/2 whatever the protocol: applications that were not declared as gRPC may speak it
 * nevertheless. NULL without an application. */
struct client *app_grpc_client(struct app_channel *channel);

/* --- places ------------------------------------------------------------------------------------*/

/* Takes one of concurrency_max places, waiting in order of arrival; whoever is cancelled or out of
 * time leaves the queue. ERR_OVERLOADED if LIMIT_app_waiters_max wait already. */
err_t app_enter(struct task *t, struct app_channel *channel) WARN_UNUSED;
void app_leave(struct app_channel *channel);

/* --- health ------------------------------------------------------------------------------------*/

/* Any thread. True where health is not checked; else false until the first good probe. */
bool app_is_healthy(const struct app *app);

/* Told on worker 0, outside tasks, at each change. */
struct app_health_listener {
    struct app_health_listener *next;
    void (*on_change)(struct app_health_listener *listener, bool is_healthy);
};
/* Main thread, before probing starts. */
void app_health_listen(struct app *app, struct app_health_listener *listener);
/* Worker 0, once the application listens: probes until app_health_stop(). */
void app_health_start(struct app_channel *channel);
/* Any thread, before that worker ends; twice is once. */
void app_health_stop(struct app *app, struct worker *first);

#endif
