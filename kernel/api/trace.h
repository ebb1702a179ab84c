/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trace context, baggage and span of a request. A surface takes the client's in with trace_begin()
 * and ends with trace_end(); whoever calls an application, a peer or a binding for the request asks
 * for the headers to send, and leaves out what trace_is_header() names of what it copies from the
 * client:
 *
 *     count = trace_http_headers(rq, headers);
 *
 * Without tracing in the Configuration a context is handed on as it came. With it the request has a
 * context of its own, and a span (rq->span) if it is sampled and somebody wants spans.
 */
#ifndef API_TRACE_H
#define API_TRACE_H

#include "api/request.h"
#include "http/http.h"
#include "telemetry/span.h"

enum { TRACE_HEADERS_MAX = 4 };

struct trace_start {
    enum span_kind kind;
    struct slice name;                  /* borrowed as long as the request */
    const struct trace_context *parent; /* NULL: none, or malformed */
    struct slice tracestate;            /* of the parent; likewise */
};

void trace_begin(struct request *rq, const struct trace_start *start);
/* Hands the span, if there is one, to the exporters. */
void trace_end(struct request *rq, uint64_t took_ns);

/* For spans: that the request is an invocation of an application's method. */
void trace_invocation(struct request *rq, struct slice app_id, struct slice method);

/* Headers for an HTTP call: traceparent (always there; without a context what the client sent
 * instead, or all zero), tracestate and baggage. An answer of InvokeService has them too. Returns
 * how many; they live as long as the request. */
size_t
trace_http_headers(const struct request *rq, struct http_header ret_headers[TRACE_HEADERS_MAX]);
/* Metadata for a gRPC call, values as they go on the wire: the same, and grpc-trace-bin with a
 * context. */
size_t
trace_grpc_metadata(const struct request *rq, struct http_header ret_headers[TRACE_HEADERS_MAX]);
/* Whether a header is one of those: theirs is sent instead of what a client said. */
bool trace_is_header(struct slice name);

/* The context as grpc-trace-bin has it on the wire; empty without one. */
struct slice trace_binary(const struct request *rq);

#endif
