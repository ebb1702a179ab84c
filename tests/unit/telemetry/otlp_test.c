/* SPDX-License-Identifier: Apache-2.0 */
/* OTLP byte by byte; that other programs understand it is tested with a real decoder in
 * tests/integration/tracing_test.py. */
#include "telemetry/otlp.h"

#include "base/macros.h"
#include "base/wire.h"
#include "test.h"

static struct span
example(void)
{
    struct span span = { .kind = SPAN_CLIENT,
                         .name = SLICE("n"),
                         .tracestate = SLICE_EMPTY,
                         .failure = SLICE_EMPTY,
                         .start_unix_ns = 0x0102030405060708,
                         .took_ns = 1 };
    memset(span.context.trace_id, 0x11, TRACE_ID_BYTES);
    memset(span.context.span_id, 0x22, SPAN_ID_BYTES);
    span.context.flags = 1;
    span_set(&span, SLICE("k"), SLICE("v"));
    return span;
}

TEST(a_span_is_what_the_protocol_says)
{
    static const char wanted[] = "\x12\x45"                                 /* spans, 69 */
                                 "\x0a\x10\x11\x11\x11\x11\x11\x11\x11\x11" /* trace id */
                                 "\x11\x11\x11\x11\x11\x11\x11\x11"         /* … */
                                 "\x12\x08\x22\x22\x22\x22\x22\x22\x22\x22" /* span id */
                                 "\x2a\x01n"                                /* name */
                                 "\x30\x03"                                 /* client */
                                 "\x39\x08\x07\x06\x05\x04\x03\x02\x01"     /* start */
                                 "\x41\x09\x07\x06\x05\x04\x03\x02\x01"     /* end */
                                 "\x4a\x08\x0a\x01k\x12\x03\x0a\x01v"       /* k=v */
                                 "\x7a\x00"                                 /* status */
                                 "\x85\x01\x01\x03\x00\x00";                /* flags */
    struct buf out;
    buf_init(&out, 1024);
    struct span span = example();
    REQUIRE(otlp_span(&out, &span));
    CHECK_EQ_MEM(buf_slice(&out).data, out.len, wanted, sizeof wanted - 1);
    buf_fini(&out);
}

/* The content of the only field of that number in a message. */
static struct slice
inside(struct slice message, unsigned field)
{
    struct wire_reader r = wire_reader(message);
    struct wire_field f;
    struct slice found = SLICE_EMPTY;
    while (wire_next(&r, &f))
        if (f.field == field)
            found = f.bytes;
    CHECK(!r.is_bad);
    return found;
}

TEST(head_spans_and_tail_make_one_request)
{
    const struct span_attribute attributes[] = { { SLICE("region"), SLICE("north") } };
    const struct trace_resource resource = { .service_name = SLICE("shop"),
                                             .attributes = attributes,
                                             .attribute_count = 1 };
    struct buf spans, all;
    buf_init(&spans, 65536);
    buf_init(&all, 65536);
    struct span span = example();
    span.has_failed = true;
    span.failure = SLICE("Code(400): Bad Request");
    span.has_parent = true;
    memset(span.parent_id, 0x33, SPAN_ID_BYTES);
    span.tracestate = SLICE("a=1");
    span.dropped_count = 3;
    for (int i = 0; i < 100; i++)
        REQUIRE(otlp_span(&spans, &span));
    REQUIRE(otlp_head(&all, &resource, spans.len));
    REQUIRE(buf_append(&all, buf_slice(&spans)) && buf_append(&all, otlp_tail()));
    struct slice resource_spans = inside(buf_slice(&all), 1);
    CHECK_SLICE_IS(inside(resource_spans, 3), "https://opentelemetry.io/schemas/1.25.0");
    CHECK_EQ_INT(wire_count(inside(resource_spans, 1), 1), 2);
    struct slice scope_spans = inside(resource_spans, 2);
    CHECK_SLICE_IS(inside(inside(scope_spans, 1), 1), "dapr-diagnostics");
    CHECK_EQ_INT(wire_count(scope_spans, 2), 100);
    struct slice last = inside(scope_spans, 2);
    CHECK_SLICE_IS(inside(last, 3), "a=1");
    CHECK_SLICE_IS(inside(last, 4), "33333333");
    CHECK_SLICE_IS(inside(inside(last, 15), 2), "Code(400): Bad Request");
    buf_fini(&spans);
    buf_fini(&all);
}

TEST(what_does_not_fit_is_left_out_whole)
{
    struct buf out;
    buf_init(&out, 80);
    struct span span = example();
    CHECK(otlp_span(&out, &span));
    size_t before = out.len;
    CHECK(!otlp_span(&out, &span));
    CHECK_EQ_INT(out.len, before);
    buf_fini(&out);
}

TEST(a_collectors_answer_tells_what_it_refused)
{
    uint64_t count = 9;
    struct slice words;
    CHECK(otlp_refused(SLICE_EMPTY, &count, &words) && count == 0 && words.len == 0);
    CHECK(otlp_refused(SLICE("\x0a\x06\x08\x05\x12\x02no"), &count, &words) && count == 5);
    CHECK_SLICE_IS(words, "no");
    CHECK(!otlp_refused(SLICE("\x0a\x09\x08\x05"), &count, &words));
    CHECK(!otlp_refused(SLICE("\x0a\x02\x0a\x05"), &count, &words));
}
