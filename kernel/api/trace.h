/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trace context and baggage of a request: taken in from either surface, and given to the calls that
 * are made for it. A surface takes in; whoever calls an application, a peer or a binding asks for
 * the headers to send and leaves out what trace_is_header() names of what it copies from the
 * client.
 */
#ifndef API_TRACE_H
#define API_TRACE_H

#include "api/request.h"
#include "http/http.h"

enum { TRACE_HEADERS_MAX = 4 };

/* Headers for an HTTP call: traceparent (always there; without a context what the
 * client sent instead, or all zero), tracestate and
 * baggage. Returns how many; they live as long as the request. */
size_t
trace_http_headers(const struct request *rq, struct http_header ret_headers[TRACE_HEADERS_MAX]);
/* Metadata for a gRPC call, values as they go on the wire: grpc-trace-bin, traceparent (both only
 * with a context), tracestate and baggage. */
size_t
trace_grpc_metadata(const struct request *rq, struct http_header ret_headers[TRACE_HEADERS_MAX]);
/* Whether a header is one of those: theirs is sent instead of what a client said. */
bool trace_is_header(struct slice name);

#endif
