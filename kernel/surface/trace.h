/* SPDX-License-Identifier: Apache-2.0 */
/* Trace context and baggage as clients send them, whichever surface they came through; what is made
 * of them is api/trace.h's. */
#ifndef SURFACE_TRACE_H
#define SURFACE_TRACE_H

#include "api/trace.h"

/* Begins the request's context, and its span, with what the exchange's headers say: grpc-trace-bin
 * counts only if `has_binary`. What is malformed is as good as none. */
void
trace_take(struct request *rq, const struct http_exchange *x, struct slice name, bool has_binary);

/* Takes in all baggage headers as one list. False: it is malformed, and *ret_words are what the
 * client is told. */
bool trace_take_baggage(struct request *rq, const struct http_exchange *x,
                        struct slice *ret_words) WARN_UNUSED;

/* Headers that clients mean for the span: dapr-… except the token. */
void trace_take_attributes(struct request *rq, const struct http_exchange *x);

#endif
