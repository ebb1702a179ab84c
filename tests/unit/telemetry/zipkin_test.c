/* SPDX-License-Identifier: Apache-2.0 */
/* Zipkin's JSON. */
#include "telemetry/zipkin.h"

#include "base/json.h"
#include "base/macros.h"
#include "test.h"

static const struct trace_resource resource = { .service_name = { "shop", 4 } };

static struct span
example(void)
{
    struct span span = { .kind = SPAN_CLIENT,
                         .name = SLICE("/v1.0/state/Mem/K"),
                         .start_unix_ns = 1234567890123456789,
                         .took_ns = 1999 };
    memset(span.context.trace_id, 0x1a, TRACE_ID_BYTES);
    memset(span.context.span_id, 0x2b, SPAN_ID_BYTES);
    span_set(&span, SLICE("url.full"), SLICE("/a?b=\"&\""));
    span_set(&span, SLICE("server.address"), SLICE("127.0.0.1"));
    span_set(&span, SLICE("dapr.api"), SLICE("GET /a"));
    return span;
}

TEST(a_span_has_the_members_of_the_recordings_in_their_order)
{
    struct buf out;
    buf_init(&out, 4096);
    struct span span = example();
    REQUIRE(zipkin_span(&out, &span, &resource));
    CHECK_SLICE_IS(buf_slice(&out),
                   "{\"timestamp\":1234567890123456,\"duration\":1,"
                   "\"traceId\":\"1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a\",\"id\":\"2b2b2b2b2b2b2b2b\","
                   "\"name\":\"/v1.0/state/mem/k\",\"kind\":\"CLIENT\","
                   "\"localEndpoint\":{\"serviceName\":\"shop\"},"
                   "\"remoteEndpoint\":{\"serviceName\":\"127.0.0.1\"},"
                   "\"tags\":{\"dapr.api\":\"GET /a\",\"otel.scope.name\":\"dapr-diagnostics\","
                   "\"server.address\":\"127.0.0.1\",\"service.name\":\"shop\","
                   "\"url.full\":\"/a?b=\\\"\\u0026\\\"\"}}");
    CHECK(json_is_valid(buf_slice(&out)));
    buf_fini(&out);
}

TEST(a_failure_is_two_tags_and_a_parent_a_member)
{
    struct buf out;
    buf_init(&out, 4096);
    struct span span = example();
    span.kind = SPAN_SERVER;
    span.has_parent = true;
    memset(span.parent_id, 0x3c, SPAN_ID_BYTES);
    span.has_failed = true;
    span.failure = SLICE("Code(503): Service Unavailable");
    span.took_ns = 0;
    REQUIRE(zipkin_span(&out, &span, &resource));
    struct slice text = buf_slice(&out);
    CHECK(slice_find(text,
                     SLICE("\"id\":\"2b2b2b2b2b2b2b2b\",\"parentId\":\"3c3c3c3c3c3c3c3c\",")) > 0);
    CHECK(slice_find(text, SLICE("\"error\":\"Code(503): Service Unavailable\"")) > 0);
    CHECK(slice_find(text, SLICE("\"otel.status_code\":\"ERROR\"")) > 0);
    CHECK(slice_find(text, SLICE("remoteEndpoint")) < 0);
    CHECK(slice_find(text, SLICE("\"duration\":1,")) > 0);
    CHECK(json_is_valid(text));
    buf_fini(&out);
}

TEST(what_a_span_says_of_itself_counts_before_the_resource)
{
    static const struct span_attribute attributes[] = { { { "dapr.api", 8 }, { "x", 1 } },
                                                        { { "zone", 4 }, { "z", 1 } } };
    const struct trace_resource rich = { .service_name = SLICE("shop"),
                                         .attributes = attributes,
                                         .attribute_count = 2 };
    struct buf out;
    buf_init(&out, 4096);
    struct span span = example();
    REQUIRE(zipkin_span(&out, &span, &rich));
    CHECK(slice_find(buf_slice(&out), SLICE("\"dapr.api\":\"GET /a\"")) > 0);
    CHECK(slice_find(buf_slice(&out), SLICE("\"zone\":\"z\"")) > 0);
    buf_fini(&out);
}
