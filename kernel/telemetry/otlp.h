/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spans as OTLP has them (opentelemetry.proto.collector.trace.v1), written by hand: a request to a
 * collector is a head, any number of spans one behind the other, and a tail.
 *
 *     otlp_span(&batch, &span) …
 *     otlp_head(&head, &resource, batch.len);   // → head, batch, tail: one
 * ExportTraceServiceRequest
 */
#ifndef TELEMETRY_OTLP_H
#define TELEMETRY_OTLP_H

#include "base/buf.h"
#include "telemetry/tracer.h"

/* Appends one span. False if there is no room; nothing is appended then. */
bool otlp_span(struct buf *out, const struct span *span) WARN_UNUSED;
/* Appends what stands before `spans_bytes` of spans. */
bool
otlp_head(struct buf *out, const struct trace_resource *resource, size_t spans_bytes) WARN_UNUSED;
/* And behind them. */
struct slice otlp_tail(void);

/* How many spans a collector's answer (ExportTraceServiceResponse) says it has refused, and its
 * words. False: it is malformed. */
bool otlp_refused(struct slice answer, uint64_t *ret_count, struct slice *ret_words) WARN_UNUSED;

#endif
