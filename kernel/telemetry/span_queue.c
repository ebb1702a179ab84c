/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of spans; see span_queue.h. */
#include "telemetry/span_queue.h"

#include <stdlib.h>

#include "base/limits.h"
#include "telemetry/otlp.h"
#include "telemetry/zipkin.h"

struct slice
span_form_name(enum span_form form)
{
    return form == SPAN_OTLP ? SLICE("otlp") : SLICE("zipkin");
}

void
span_queue_init(struct span_queue *queue, enum span_form form,
                const struct trace_resource *resource)
{
    *queue = (struct span_queue){ .form = form,
                                  .resource = resource,
                                  .batch_max = LIMIT_trace_batch_spans,
                                  .spans_max = LIMIT_trace_queue_spans };
}

void
span_queue_fini(struct span_queue *queue)
{
    struct span_batch *batch;
    while ((batch = span_queue_take(queue)) != NULL)
        span_batch_free(batch);
}

void
span_batch_free(struct span_batch *batch)
{
    if (batch == NULL)
        return;
    buf_fini(&batch->bytes);
    free(batch);
}

struct span_batch *
span_queue_take(struct span_queue *queue)
{
    struct span_batch *batch = queue->oldest;
    if (batch == NULL)
        return NULL;
    queue->oldest = batch->next;
    if (queue->oldest == NULL)
        queue->youngest = NULL;
    queue->span_count -= batch->count;
    queue->byte_count -= batch->bytes.len;
    return batch;
}

static struct span_batch *
add_batch(struct span_queue *queue)
{
    struct span_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL)
        abort();
    buf_init(&batch->bytes, LIMIT_trace_batch_bytes);
    if (queue->youngest == NULL)
        queue->oldest = batch;
    else
        queue->youngest->next = batch;
    queue->youngest = batch;
    return batch;
}

/* All of the span or nothing. */
static bool
append(const struct span_queue *queue, struct span_batch *batch, const struct span *span)
{
    size_t before = batch->bytes.len;
    bool fits = queue->form == SPAN_OTLP ? otlp_span(&batch->bytes, span)
                                         : (before == 0 || buf_append_byte(&batch->bytes, ',')) &&
                                               zipkin_span(&batch->bytes, span, queue->resource);
    if (fits)
        batch->count++;
    else
        batch->bytes.len = before;
    return fits;
}

bool
span_queue_put(struct span_queue *queue, const struct span *span)
{
    struct span_batch *last = queue->youngest;
    bool is_full = false;
    if (queue->span_count >= queue->spans_max || queue->byte_count >= LIMIT_trace_queue_bytes)
        return false;
    if (last == NULL || last->count >= queue->batch_max)
        last = add_batch(queue);
    size_t before = last->bytes.len;
    if (!append(queue, last, span)) {
        if (before == 0)
            return false; /* larger than a batch; the empty one stays for the next span */
        last = add_batch(queue);
        before = 0;
        is_full = true;
        if (!append(queue, last, span))
            return false;
    }
    queue->span_count++;
    queue->byte_count += last->bytes.len - before;
    if (queue->on_span != NULL)
        queue->on_span(queue, is_full || last->count >= queue->batch_max);
    return true;
}
