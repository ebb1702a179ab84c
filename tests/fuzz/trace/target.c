/* SPDX-License-Identifier: Apache-2.0 */
/* Trace headers of clients and answers of collectors. What is taken in survives being written and
 * read again; baggage is either valid or complained about. */
#include <assert.h>

#include "base/arena.h"
#include "export/attempt.h"
#include "telemetry/baggage.h"
#include "telemetry/otlp.h"
#include "telemetry/trace_context.h"
#include "telemetry/zipkin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_same(const struct trace_context *context)
{
    char text[TRACEPARENT_BYTES], bytes[TRACE_BINARY_BYTES];
    struct trace_context from_text, from_bytes;
    trace_context_print(context, text);
    trace_context_pack(context, bytes);
    assert(trace_context_parse(slice_of(text, sizeof text), &from_text));
    assert(trace_context_unpack(slice_of(bytes, sizeof bytes), &from_bytes));
    assert(memcmp(context, &from_text, sizeof from_text) == 0);
    assert(memcmp(context, &from_bytes, sizeof from_bytes) == 0);
}

static void
check_baggage(struct slice text)
{
    struct buf complaints;
    buf_init(&complaints, 256);
    assert(baggage_check(text, &complaints) == (complaints.len == 0));
    for (size_t i = 0; i < complaints.len; i++)
        assert(buf_slice(&complaints).data[i] == '\n' ||
               (buf_slice(&complaints).data[i] >= ' ' && buf_slice(&complaints).data[i] < 0x7f));
    buf_fini(&complaints);
}

/* The client's bytes in every text of a span. */
static void
check_span(struct slice text)
{
    const struct trace_resource resource = { .service_name = SLICE("s") };
    struct span span = { .kind = SPAN_SERVER, .name = text, .failure = text, .has_failed = true };
    struct arena arena;
    struct buf out;
    arena_init(&arena);
    buf_init(&out, 1024 * 1024);
    span_set(&span, text, text);
    span_clean(&span, &arena);
    assert(slice_is_utf8(span.name) && span.name.len <= (text.len + 1) * 3);
    assert(otlp_span(&out, &span));
    buf_clear(&out);
    assert(zipkin_span(&out, &span, &resource));
    buf_fini(&out);
    arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trace_context context;
    uint64_t number;
    struct slice words;
    if (size == 0)
        return 0;
    struct slice text = slice_of(data + 1, size - 1);
    switch (data[0] % 5) {
    case 0:
        if (trace_context_parse(text, &context))
            check_same(&context);
        break;
    case 1:
        if (trace_context_unpack(text, &context))
            check_same(&context);
        break;
    case 2:
        assert(!tracestate_is_valid(text) || text.len <= TRACESTATE_BYTES_MAX);
        check_baggage(text);
        break;
    case 3:
        assert(!otlp_refused(text, &number, &words) || words.len <= text.len);
        assert(!retry_info_ms(text, &number) || number <= (uint64_t)UINT32_MAX * 1000 + 999);
        assert(retry_after_ms(text) <= UINT32_MAX * UINT64_C(1000));
        break;
    default:
        check_span(text);
    }
    return 0;
}
