/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of requests to collectors and what their answers ask for. The exporter at work is tested
 * in tests/integration/tracing_test.py. */
#include "base/json.h"
#include "export/attempt.h"
#include "telemetry/otlp.h"
#include "test.h"

static const struct trace_resource resource = { .service_name = { "shop", 4 } };

static struct span_batch *
batch_of(enum span_form form, unsigned count)
{
    struct span_queue queue;
    struct span span = { .kind = SPAN_CLIENT, .name = SLICE("n") };
    span_queue_init(&queue, form, &resource);
    for (unsigned i = 0; i < count; i++)
        REQUIRE(span_queue_put(&queue, &span));
    struct span_batch *batch = span_queue_take(&queue);
    span_queue_fini(&queue);
    return batch;
}

TEST(a_body_for_zipkin_is_an_array)
{
    const struct exporter_config config = { .kind = EXPORTER_ZIPKIN, .resource = &resource };
    struct arena arena;
    arena_init(&arena);
    struct span_batch *batch = batch_of(SPAN_ZIPKIN, 3);
    struct slice body = exporter_body(&config, &arena, batch);
    CHECK(json_is_valid(body));
    CHECK(slice_has_prefix(body, SLICE("[{")) && slice_has_suffix(body, SLICE("}]")));
    span_batch_free(batch);
    arena_fini(&arena);
}

TEST(a_body_for_otlp_is_head_spans_and_tail)
{
    const struct exporter_config config = { .kind = EXPORTER_OTLP_GRPC, .resource = &resource };
    struct arena arena;
    arena_init(&arena);
    struct span_batch *batch = batch_of(SPAN_OTLP, 2);
    struct slice body = exporter_body(&config, &arena, batch);
    CHECK(slice_find(body, buf_slice(&batch->bytes)) > 0);
    CHECK(slice_has_suffix(body, otlp_tail()));
    span_batch_free(batch);
    arena_fini(&arena);
}

TEST(a_pause_is_seconds_or_nothing)
{
    CHECK_EQ_U64(retry_after_ms(SLICE("3")), 3000);
    CHECK_EQ_U64(retry_after_ms(SLICE(" 3 ")), 3000);
    CHECK_EQ_U64(retry_after_ms(SLICE("-3")), 0);
    CHECK_EQ_U64(retry_after_ms(SLICE("Wed, 25 Nov 2026 12:00:00 GMT")), 0);
    CHECK_EQ_U64(retry_after_ms(SLICE("18446744073709551615")), UINT32_MAX);
    CHECK_EQ_U64(retry_after_ms((struct slice){ .data = NULL }), 0);
}

#define TYPE "\x0a\x28type.googleapis.com/google.rpc.RetryInfo"

TEST(a_delay_among_grpcs_details_is_found)
{
    uint64_t ms = 0;
    /* Any { type_url, value: RetryInfo { Duration { seconds = 3, nanos = 500,000,000 } } } */
    CHECK(retry_info_ms(
        SLICE("\x08\x08\x1a\x36" TYPE "\x12\x0a\x0a\x08\x08\x03\x10\x80\xca\xb5\xee\x01"), &ms));
    CHECK_EQ_U64(ms, 3500);
    CHECK(!retry_info_ms(SLICE("\x08\x08"), &ms));
    CHECK(!retry_info_ms(SLICE_EMPTY, &ms));
    CHECK(!retry_info_ms(SLICE("\x1a\x30" TYPE "\x12\x04\x0a\x09\x08\x03"), &ms));
    CHECK(!retry_info_ms(SLICE("\x1a\x32" TYPE "\x12\x06\x0a\x04\x08\xff\xff\xff"), &ms));
}
