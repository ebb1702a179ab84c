/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where spans go and how many: `spec.tracing` of a Configuration and the OTEL_* variables. A
 * Configuration with an OTLP endpoint beats all of OTEL_EXPORTER_OTLP_*, one with a sampling rate
 * beats OTEL_TRACES_SAMPLER; the variables for traces beat the general ones.
 */
#ifndef CONFIG_TRACING_H
#define CONFIG_TRACING_H

#include "base/arena.h"
#include "base/err.h"
#include "config/env.h"
#include "config/node.h"
#include "config/text_list.h"

enum otlp_protocol { OTLP_GRPC, OTLP_HTTP };

struct tracing_pair {
    struct slice name;
    struct slice value;
};

struct tracing_pairs {
    struct tracing_pair *items;
    size_t count;
};

/* A collector's address, taken apart. */
struct tracing_endpoint {
    bool is_set;
    bool is_secure;
    struct slice host; /* without brackets */
    uint16_t port;
    struct slice path; /* and query; "/" at least */
};

struct tracing_settings {
    struct slice sampling_rate; /* as given; empty: not set */
    bool logs_spans;            /* `stdout` */
    struct tracing_endpoint zipkin;

    /* As written; tracing_settings_finish() makes the rest of it. */
    struct slice otel_address;         /* empty: no OTLP */
    struct slice otel_protocol;        /* "grpc" or "http" */
    bool otel_is_insecure;             /* `isSecure: false` */
    struct tracing_pairs otel_headers; /* values are secret */
    uint64_t otel_timeout_ms;          /* 0: the default */

    struct slice otel_authorities; /* PEM, of the environment: who vouches for the collector, … */
    struct slice otel_certificate; /* … what we prove ourselves with, … */
    struct slice otel_key;         /* … and its key, which is secret */

    struct tracing_endpoint otel;
    enum otlp_protocol protocol;

    bool follows_parent; /* of the sampler */
    double ratio;
    struct slice sampler_words; /* as the log shows the root */

    struct slice service_name; /* OTEL_SERVICE_NAME; empty: the app id */
    struct tracing_pairs resource;
    uint64_t delay_ms; /* OTEL_BSP_SCHEDULE_DELAY; 0: the default */
};

/* ERR_CONFIG with "line 5: spec.tracing.otel.isSecure must be a bool" and the like. */
err_t tracing_settings_read(struct arena *arena, const struct node *node,
                            struct tracing_settings *settings, struct diag *diag) WARN_UNUSED;

/* Once, after all Configurations: what the environment adds, and checks of the whole. Adds names of
 * variables that cannot be used to ret_ignored. */
err_t
tracing_settings_finish(struct arena *arena, struct env env, struct tracing_settings *settings,
                        struct text_list *ret_ignored, struct diag *diag) WARN_UNUSED;

/* Whether requests get spans; without, contexts are only handed on. */
static inline bool
tracing_is_on(const struct tracing_settings *settings)
{
    return settings->sampling_rate.len > 0 || settings->logs_spans || settings->zipkin.is_set ||
           settings->otel.is_set;
}

/* "name=value,name=value" with percent escapes in the values. False: malformed. */
bool tracing_pairs_parse(struct arena *arena, struct slice text,
                         struct tracing_pairs *ret_pairs) WARN_UNUSED;
/* "http://host:1234/path", "host:1234" … `port` and `path` stand for what is not given. A scheme
 * says whether it is secure. False: malformed. */
bool tracing_endpoint_parse(struct arena *arena, struct slice text, uint16_t port, const char *path,
                            struct tracing_endpoint *endpoint) WARN_UNUSED;

#endif
