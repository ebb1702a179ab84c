/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collectors that a Configuration names, and each worker's exporters to them. A set of
 * collectors is counted and immutable once it is in use, so that no worker needs a lock; a worker
 * goes over to another set between two requests, and what waits for the old ones is still sent, as
 * long as LIMIT_trace_retired and LIMIT_trace_retired_ms allow.
 */
#ifndef EXPORT_COLLECTORS_H
#define EXPORT_COLLECTORS_H

#include <stdatomic.h>

#include "export/exporter.h"

struct collectors {
    atomic_uint refs;
    struct arena arena; /* of all texts */
    struct trace_resource resource;
    struct exporter_config items[SPAN_FORMS]; /* their TLS contexts are ours */
    size_t count;
};

/* One reference; to be filled in. */
struct collectors *collectors_new(void);
/* Any thread; returns collectors. */
struct collectors *collectors_ref(struct collectors *collectors);
/* Any thread; NULL is nothing. */
void collectors_unref(struct collectors *collectors);

/* A worker's exporters, one a collector. Worker thread, or before it starts. */
struct exporter_set {
    struct worker *worker;
    struct collectors *collectors; /* counted; NULL: none */
    struct exporter *items[SPAN_FORMS];
    size_t count;
    struct list retired; /* those that still send, oldest first */
};

/* The set stays where it is from now on. */
void exporter_set_init(struct exporter_set *set, struct worker *worker);
/* Goes over to these collectors, NULL for none; the same are nothing new. */
void exporter_set_use(struct exporter_set *set, struct collectors *collectors);
/* Goes over to none, and lets all that are left send for LIMIT_trace_flush_ms at most. */
void exporter_set_close(struct exporter_set *set);
/* Hands a clean span to all of them. */
void exporter_set_put(struct exporter_set *set, const struct span *span);

#endif
