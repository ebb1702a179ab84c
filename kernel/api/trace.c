/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of calls made for a request; see trace.h. */
#include "api/trace.h"

#include "base/base64.h"
#include "telemetry/trace_context.h"

#define GRPC_TRACE SLICE("grpc-trace-bin")
#define TRACEPARENT SLICE("traceparent")
#define TRACESTATE SLICE("tracestate")
#define BAGGAGE SLICE("baggage")

static size_t
put(struct http_header *headers, size_t count, struct slice name, struct slice value)
{
    if (value.len == 0)
        return count;
    headers[count] = (struct http_header){ .name = name, .value = value };
    return count + 1;
}

static size_t
put_common(const struct request *rq, struct http_header *headers, size_t count)
{
    if (rq->traceparent.len > 0)
        count = put(headers, count, TRACESTATE, rq->tracestate);
    return put(headers, count, BAGGAGE, rq->baggage);
}

size_t
trace_http_headers(const struct request *rq, struct http_header ret_headers[TRACE_HEADERS_MAX])
{
    struct slice parent = rq->traceparent;
    if (parent.len == 0) /* the reference hands on what it cannot read */
        parent = rq->traceparent_odd.len > 0 ? rq->traceparent_odd : TRACEPARENT_NONE;
    size_t count = put(ret_headers, 0, TRACEPARENT, parent);
    return put_common(rq, ret_headers, count);
}

/* Without padding, as gRPC wants it. */
static struct slice
binary(const struct request *rq)
{
    struct trace_context context;
    char bytes[TRACE_BINARY_BYTES];
    if (!trace_context_parse(rq->traceparent, &context))
        return SLICE_EMPTY;
    trace_context_pack(&context, bytes);
    char *text = arena_alloc(rq->arena, base64_encoded_len(sizeof bytes));
    base64_encode(slice_of(bytes, sizeof bytes), text);
    return slice_of(text, (sizeof bytes * 4 + 2) / 3);
}

size_t
trace_grpc_metadata(const struct request *rq, struct http_header ret_headers[TRACE_HEADERS_MAX])
{
    size_t count = put(ret_headers, 0, GRPC_TRACE, binary(rq));
    count = put(ret_headers, count, TRACEPARENT, rq->traceparent);
    return put_common(rq, ret_headers, count);
}

bool
trace_is_header(struct slice name)
{
    return slice_eq_nocase(name, TRACEPARENT) || slice_eq_nocase(name, TRACESTATE) ||
           slice_eq_nocase(name, GRPC_TRACE) || slice_eq_nocase(name, BAGGAGE);
}
