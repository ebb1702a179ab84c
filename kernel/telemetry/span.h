/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spans: what is recorded of one piece of work, and the decision whether anything is. A span stands
 * on a task's stack or in its arena, texts are borrowed; once it has ended it is written in the
 * form of each exporter (otlp.h, zipkin.h) into the worker's queues (span_queue.h) and is gone.
 *
 * Names are the field's: OpenTelemetry's. Any thread; a span belongs to one.
 */
#ifndef TELEMETRY_SPAN_H
#define TELEMETRY_SPAN_H

#include "base/arena.h"
#include "telemetry/trace_context.h"

enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER, SPAN_CLIENT, SPAN_PRODUCER, SPAN_CONSUMER };

enum { SPAN_ATTRIBUTES_MAX = 32 };

struct span_attribute {
    struct slice name;
    struct slice value;
};

struct span {
    struct trace_context context;
    bool has_parent;
    uint8_t parent_id[SPAN_ID_BYTES];
    struct slice tracestate;
    enum span_kind kind;
    struct slice name;
    int64_t start_unix_ns;
    uint64_t took_ns;
    bool has_failed;
    struct slice failure; /* words for people */
    struct span_attribute attributes[SPAN_ATTRIBUTES_MAX];
    size_t attribute_count;
    size_t dropped_count; /* attributes beyond */
};

/* Makes every text of it what exporters may take for granted: UTF-8 (other bytes become U+FFFD) of
 * at most LIMIT_trace_text_bytes. */
void span_clean(struct span *span, struct arena *arena);

/* Adds an attribute, or replaces the one of that name; an empty value is left out. */
void span_set(struct span *span, struct slice name, struct slice value);

/* --- sampling ----------------------------------------------------------------------------------*/

enum sampler_root { SAMPLER_OFF, SAMPLER_ON, SAMPLER_RATIO };

/* What is decided for a span without a parent, and whether a parent's decision is followed. */
struct sampler {
    bool follows_parent;
    enum sampler_root root;
    uint64_t bound; /* of SAMPLER_RATIO: trace ids below it are sampled */
};

/* A ratio of 1 and more is always, of 0 and less (or none at all) never. */
struct sampler sampler_ratio(double ratio, bool follows_parent);

/* The context of a new span: new ids (of its trace too, without a parent) and the decision, which
 * is the sampled flag. */
struct trace_context
trace_context_new(const struct sampler *sampler, const struct trace_context *parent);

static inline bool
trace_context_is_sampled(const struct trace_context *context)
{
    return (context->flags & TRACE_FLAG_SAMPLED) != 0;
}

#endif
