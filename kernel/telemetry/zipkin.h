/* SPDX-License-Identifier: Apache-2.0 */
/* Spans as Zipkin's API v2 has them: JSON objects, of which a request to a collector is an array.
 */
#ifndef TELEMETRY_ZIPKIN_H
#define TELEMETRY_ZIPKIN_H

#include "base/buf.h"
#include "telemetry/tracer.h"

/* Appends one object. False if there is no room; what is there then is to be taken back. */
bool zipkin_span(struct buf *out, const struct span *span,
                 const struct trace_resource *resource) WARN_UNUSED;

#endif
