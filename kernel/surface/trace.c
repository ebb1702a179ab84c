/* SPDX-License-Identifier: Apache-2.0 */
/* Reading trace headers; see trace.h. */
#include "surface/trace.h"

#include "base/base64.h"
#include "telemetry/baggage.h"

/* Without padding it is one character shorter than whole groups of four. */
enum { BINARY_CHARS = (TRACE_BINARY_BYTES + 2) / 3 * 4 };

static bool
read_binary(struct slice text, struct trace_context *ret_context)
{
    char chars[BINARY_CHARS], bytes[BINARY_CHARS / 4 * 3];
    size_t len;
    if (text.data == NULL)
        return false;
    while (text.len > 0 && text.data[text.len - 1] == '=')
        text.len--;
    if (text.len != BINARY_CHARS - 1)
        return false; /* no later version has been seen, and none could be handed on */
    memcpy(chars, text.data, text.len);
    chars[text.len] = '=';
    return base64_decode(slice_of(chars, sizeof chars), bytes, &len) &&
           trace_context_unpack(slice_of(bytes, len), ret_context);
}

void
trace_take(struct request *rq, const struct http_exchange *x, struct slice name, bool has_binary)
{
    struct trace_context parent;
    struct slice text = http_header_get(x, SLICE("traceparent"));
    struct slice state = http_header_get(x, SLICE("tracestate"));
    struct trace_start start = { .kind = SPAN_CLIENT, .name = name, .tracestate = SLICE_EMPTY };
    if ((has_binary && read_binary(http_header_get(x, SLICE("grpc-trace-bin")), &parent)) ||
        trace_context_parse(text, &parent))
        start.parent = &parent;
    else if (text.data != NULL)
        rq->traceparent_odd = text;
    if (start.parent != NULL && tracestate_is_valid(state))
        start.tracestate = state;
    trace_begin(rq, &start);
}

/* All of them as one list; empty if there are none. */
static struct slice
joined_baggage(struct request *rq, const struct http_exchange *x)
{
    struct slice all = SLICE_EMPTY;
    for (size_t i = 0; i < x->header_count; i++) {
        const struct http_header *header = &x->headers[i];
        if (!slice_eq_nocase(header->name, SLICE("baggage")))
            continue;
        if (all.len == 0) {
            all = header->value;
            continue;
        }
        /* Not printf: it would cut what is long. */
        char *text = arena_alloc(rq->arena, all.len + 1 + header->value.len);
        memcpy(text, all.data, all.len);
        text[all.len] = ',';
        memcpy(text + all.len + 1, header->value.data, header->value.len);
        all = slice_of(text, all.len + 1 + header->value.len);
    }
    return all;
}

bool
trace_take_baggage(struct request *rq, const struct http_exchange *x, struct slice *ret_words)
{
    struct slice baggage = joined_baggage(rq, x);
    if (baggage.len == 0)
        return true;
    struct buf complaints;
    buf_init(&complaints, 4096);
    bool is_valid = baggage_check(baggage, &complaints);
    if (is_valid)
        rq->baggage = baggage;
    else
        *ret_words = arena_printf(rq->arena, "invalid baggage header: " SLICE_FMT,
                                  SLICE_ARG(buf_slice(&complaints)));
    buf_fini(&complaints);
    return is_valid;
}

static struct slice
lower(struct arena *arena, struct slice text)
{
    char *out = arena_alloc(arena, text.len);
    for (size_t i = 0; i < text.len; i++)
        out[i] = text.data[i] >= 'A' && text.data[i] <= 'Z' ? (char)(text.data[i] - 'A' + 'a')
                                                            : text.data[i];
    return slice_of(out, text.len);
}

void
trace_take_attributes(struct request *rq, const struct http_exchange *x)
{
    if (rq->span == NULL)
        return;
    for (size_t i = 0; i < x->header_count; i++) {
        const struct http_header *header = &x->headers[i];
        if (slice_has_prefix_nocase(header->name, SLICE("dapr-")) &&
            !slice_eq_nocase(header->name, SLICE("dapr-api-token")) &&
            !slice_has_suffix(header->name, SLICE("-bin")))
            span_set(rq->span, lower(rq->arena, header->name), header->value);
    }
}
