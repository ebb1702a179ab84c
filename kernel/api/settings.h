/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a Configuration and the resources beside components (Resiliency, HTTPEndpoint) decide and
 * may decide anew while the sidecar works: one generation of it. Immutable once published and
 * counted, so that nobody needs a lock: each worker has a reference of
 * its own, which it exchanges for the next generation when a message tells it to.
 */
#ifndef API_SETTINGS_H
#define API_SETTINGS_H

#include <stdatomic.h>

#include "base/arena.h"
#include "config/api_rules.h"
#include "config/observing.h"
#include "config/pipeline.h"
#include "config/secret_scope.h"
#include "config/text_list.h"
#include "telemetry/metrics.h"
#include "telemetry/path_label.h"
#include "telemetry/tracer.h"

struct access_policy;
struct collectors;
struct endpoints;
struct kernel_worker;
struct resiliency;

struct settings {
    atomic_uint refs;
    struct settings
        *base; /* counted; in whose arena it is what the Configuration says; NULL: ours */
    struct arena arena;

    /* What settings_derive() copies begins here. */
    struct secret_scopes secret_scopes; /* what the application may read */
    struct api_rules api_rules;         /* which APIs it may use */
    struct pipeline http_pipeline;      /* middleware before the API */
    struct pipeline app_http_pipeline;  /* and before the application */
    const struct access_policy *access; /* of calls to the application; NULL: all are allowed */
    struct text_list enabled_features;
    struct slice trust_domain; /* of this application, as the Configuration has it */
    struct api_log_settings api_log;

    const struct tracer *tracer;   /* NULL: trace contexts are handed on, there are no spans */
    struct collectors *collectors; /* counted; NULL: nobody is sent any */
    struct slice sampler_words;    /* for the log */

    struct metrics *metrics; /* counted; NULL: nothing is counted */
    size_t bucket_count;     /* those of the metrics; 0: the default ones */
    const uint64_t *buckets;
    struct path_rules path_rules;
    bool records_error_codes;

    /* Of resources: counted objects of their own, so that settings_derive() can share them. */
    struct resiliency *resiliency; /* NULL: there are no policies */
    struct endpoints *endpoints;   /* api/endpoint.h; NULL: there are none */
};

/* One reference; to be filled in. */
struct settings *settings_new(void);
/* The next generation, which says the same and shares everything: for exchanging one of the members
 * that resources decide before it is published. One reference. */
struct settings *settings_derive(struct settings *old);
/* A new Configuration goes with the same resources: takes over what they decide. */
void settings_carry(struct settings *settings, const struct settings *old);
/* Any thread; returns settings. */
struct settings *settings_ref(struct settings *settings);
/* Any thread; NULL is nothing. */
void settings_unref(struct settings *settings);

/* Any thread: the worker works with them from its next turn on. */
void settings_publish(struct settings *settings, struct kernel_worker *worker);

#endif
