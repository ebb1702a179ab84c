/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spans of one worker on their way to one exporter, written in the exporter's form and collected in
 * batches. Bounded in number and bytes: when the exporter does not keep up, new spans are dropped
 * and counted. Worker thread only.
 */
#ifndef TELEMETRY_SPAN_QUEUE_H
#define TELEMETRY_SPAN_QUEUE_H

#include "base/buf.h"
#include "telemetry/tracer.h"

enum span_form { SPAN_OTLP, SPAN_ZIPKIN, SPAN_FORMS };

/* "otlp", "zipkin": a label of metrics. */
struct slice span_form_name(enum span_form form);

/* Encoded spans: for OTLP one field behind the other, for Zipkin objects with commas between. */
struct span_batch {
    struct span_batch *next; /* younger */
    struct buf bytes;
    size_t count;
};

struct span_queue {
    enum span_form form;
    const struct trace_resource *resource; /* borrowed */
    size_t batch_max;                      /* spans of a batch */
    size_t spans_max;                      /* of all */
    struct span_batch *oldest;
    struct span_batch *youngest; /* is being filled; NULL with the other one */
    size_t span_count;
    size_t byte_count;
    /* Told after a span was added: `is_full` when a batch is ready, so that it need not wait. NULL:
     * nobody. Must not suspend. */
    void (*on_span)(struct span_queue *queue, bool is_full);
};

void span_queue_init(struct span_queue *queue, enum span_form form,
                     const struct trace_resource *resource);
void span_queue_fini(struct span_queue *queue);

/* Adds a clean span. False: dropped. */
bool span_queue_put(struct span_queue *queue, const struct span *span);
/* Takes the oldest batch off; NULL if there is none. The caller's. */
struct span_batch *span_queue_take(struct span_queue *queue);
/* NULL is nothing. */
void span_batch_free(struct span_batch *batch);

#endif
