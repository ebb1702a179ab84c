/* SPDX-License-Identifier: Apache-2.0 */
/* Batches: how they fill, what is dropped. */
#include "telemetry/span_queue.h"

#include "base/limits.h"
#include "base/macros.h"
#include "test.h"

static const struct trace_resource resource = { .service_name = { "shop", 4 } };
static unsigned told, told_full;

static void
on_span(struct span_queue *queue, bool is_full)
{
    (void)queue;
    told++;
    told_full += is_full;
}

static struct span
named(struct slice name)
{
    struct span span = { .kind = SPAN_CLIENT, .name = name };
    span.context.trace_id[0] = span.context.span_id[0] = 1;
    return span;
}

static void
open_queue(struct span_queue *queue, enum span_form form)
{
    span_queue_init(queue, form, &resource);
    queue->on_span = on_span;
    told = told_full = 0;
}

TEST(spans_come_out_in_batches_in_their_order)
{
    struct span_queue queue;
    open_queue(&queue, SPAN_ZIPKIN);
    queue.batch_max = 3;
    static const char *const names[] = { "a", "b", "c", "d", "e" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct span span = named(slice_str(names[i]));
        CHECK(span_queue_put(&queue, &span));
    }
    CHECK_EQ_INT(told, 5);
    CHECK_EQ_INT(told_full, 1);
    CHECK_EQ_INT(queue.span_count, 5);
    struct span_batch *first = span_queue_take(&queue), *second = span_queue_take(&queue);
    REQUIRE(first != NULL && second != NULL);
    CHECK_EQ_INT(first->count, 3);
    CHECK_EQ_INT(second->count, 2);
    CHECK_EQ_INT(queue.span_count, 0);
    CHECK_EQ_INT(queue.byte_count, 0);
    CHECK(slice_find(buf_slice(&first->bytes), SLICE("\"name\":\"c\"")) > 0);
    CHECK(slice_find(buf_slice(&second->bytes), SLICE("},{")) > 0);
    CHECK(span_queue_take(&queue) == NULL);
    span_batch_free(first);
    span_batch_free(second);
    span_queue_fini(&queue);
}

TEST(what_is_too_many_is_dropped_and_room_comes_back)
{
    struct span_queue queue;
    open_queue(&queue, SPAN_OTLP);
    struct span span = named(SLICE("n"));
    unsigned taken = 0;
    for (unsigned i = 0; i < LIMIT_trace_queue_spans + 100; i++)
        taken += span_queue_put(&queue, &span);
    CHECK_EQ_INT(taken, LIMIT_trace_queue_spans);
    CHECK_EQ_INT(told, LIMIT_trace_queue_spans);
    span_batch_free(span_queue_take(&queue));
    CHECK(span_queue_put(&queue, &span));
    span_queue_fini(&queue); /* frees what is left: the sanitizer watches */
}

TEST(large_spans_fill_batches_by_their_bytes)
{
    static char text[LIMIT_trace_text_bytes];
    struct span_queue queue;
    open_queue(&queue, SPAN_OTLP);
    memset(text, 'x', sizeof text);
    struct span span = named(slice_of(text, sizeof text));
    for (size_t i = 1; i <= SPAN_ATTRIBUTES_MAX; i++)
        span_set(&span, slice_of(text, i), slice_of(text, sizeof text));
    unsigned taken = 0;
    while (span_queue_put(&queue, &span) && taken < 1000)
        taken++;
    CHECK(taken >= 24 && taken < 1000);
    CHECK(told_full > 0);
    CHECK(queue.byte_count <= LIMIT_trace_queue_bytes + LIMIT_trace_batch_bytes);
    size_t spans = 0;
    for (struct span_batch *batch; (batch = span_queue_take(&queue)) != NULL;) {
        CHECK(batch->bytes.len <= LIMIT_trace_batch_bytes);
        spans += batch->count;
        span_batch_free(batch);
    }
    CHECK_EQ_INT(spans, taken);
    CHECK_EQ_INT(queue.byte_count, 0);
    span_queue_fini(&queue);
}
