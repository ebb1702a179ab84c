/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The short list of what threads share. Everything in struct kernel is set before the workers start
 * and constant afterwards, except the members that say otherwise.
 */
#ifndef API_KERNEL_H
#define API_KERNEL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "api/endpoint.h"
#include "api/name_cache.h"
#include "api/prompt_cache.h"
#include "api/settings.h"
#include "app/app.h"
#include "async/worker.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/slice.h"
#include "component/component.h"
#include "export/collectors.h"
#include "peer/peers.h"
#include "telemetry/exposition.h"

struct binding_reader;
struct control;
struct identity;
struct request;
struct state_item;
struct subscriber;

/* The application behind this sidecar, as metadata shows it. */
struct app_properties {
    uint16_t port; /* 0: there is none */
    struct slice protocol;
    struct slice channel_address;
};

struct kernel {
    struct slice app_id;
    struct slice namespace_; /* empty if none */
    struct slice version;
    struct slice host_address; /* under which others reach this machine */
    struct slice host_name;
    struct slice api_token; /* empty: none is asked for; secret */
    size_t body_bytes_max;
    const struct slice *allowed_origins; /* NULL: no CORS at all */
    size_t allowed_origin_count;
    struct app_properties app;
    uint16_t internal_port;  /* for other sidecars; 0: it is not served */
    struct control *control; /* control/control.h; Dapr's scheduler and placement */

    /* Written by the main thread, read by all: relaxed, each is a fact of its own. */
    atomic_bool is_ready;          /* healthz */
    atomic_bool is_outbound_ready; /* healthz/outbound */
    atomic_bool is_ending;         /* requests are drained: who only watches should leave */

    /* Attributes set through the metadata API, and their lock. */
    pthread_mutex_t extended_lock;
    struct map extended; /* name → struct extended_value * of api/metadata.c */

    struct subscriber *subscriber;         /* subscriptions of all kinds; see api/subscriber.h */
    struct binding_reader *binding_reader; /* input bindings; see api/binding_reader.h */
    struct prompt_cache prompts;           /* answers of language models; has its own lock */

    /* Upward calls, registered by main at start. */
    void (*shutdown)(struct kernel *kernel, bool force); /* any thread */
    /* Appends the members behind `"components":` and `"remora":` as JSON. Suspends. */
    err_t (*describe)(struct request *rq, struct buf *components, struct buf *details);
    /* Items of state as the HTTP API takes them, in the request's arena; records an error. */
    err_t (*read_state_items)(struct request *rq, struct slice json, struct state_item **ret_items,
                              size_t *ret_count);
    /* Takes samples of all workers. Suspends. */
    void (*sample)(struct request *rq, struct metric_samples *samples);
};

/* One worker's part; worker->user points to it. */
struct kernel_worker {
    struct kernel *kernel;
    struct worker worker;
    struct component_table components;
    struct app_channel app;        /* of no use without app.app */
    struct peers *peers;           /* other sidecars */
    struct endpoint_desk outside;  /* endpoints without a sidecar */
    struct settings *settings;     /* counted; exchanged by settings_publish() */
    struct exporter_set exporters; /* to the collectors of the settings */
    struct name_cache names;       /* where other applications are */
    struct identity *identity;     /* peer/identity.h; counted; NULL: mTLS is off */
};

static inline struct kernel_worker *
kernel_worker_of(const struct task *t)
{
    return task_worker(t)->user;
}

/* What the Configuration says now; valid until the next suspension. */
static inline const struct settings *
settings_of(const struct task *t)
{
    return kernel_worker_of(t)->settings;
}

#endif
