/* SPDX-License-Identifier: Apache-2.0 */
/*
 * W3C Trace Context and the binary form that gRPC carries it in: which span a call belongs to.
 * Pure. What is malformed is as good as none.
 */
#ifndef TELEMETRY_TRACE_CONTEXT_H
#define TELEMETRY_TRACE_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/slice.h"

enum {
    TRACE_ID_BYTES = 16,
    SPAN_ID_BYTES = 8,
    TRACE_FLAG_SAMPLED = 1,
    TRACEPARENT_BYTES = 55,      /* of version 00, the only one we write */
    TRACE_BINARY_BYTES = 29,     /* grpc-trace-bin before base64 */
    TRACESTATE_BYTES_MAX = 512,  /* what is longer is not handed on */
    TRACESTATE_MEMBERS_MAX = 32, /* likewise */
};

/* Of a call without any context. */
#define TRACEPARENT_NONE SLICE("00-00000000000000000000000000000000-0000000000000000-00")

struct trace_context {
    uint8_t trace_id[TRACE_ID_BYTES];
    uint8_t span_id[SPAN_ID_BYTES];
    uint8_t flags;
};

/* `traceparent`, of any version that may be read as version 00. Digits of either case are taken, as
 * the reference runtime does. Data NULL is malformed. */
bool trace_context_parse(struct slice text, struct trace_context *ret_context) WARN_UNUSED;
void trace_context_print(const struct trace_context *context, char ret_text[TRACEPARENT_BYTES]);

/* The bytes of `grpc-trace-bin`. */
bool trace_context_unpack(struct slice bytes, struct trace_context *ret_context) WARN_UNUSED;
void trace_context_pack(const struct trace_context *context, char ret_bytes[TRACE_BINARY_BYTES]);

/* Whether a `tracestate` may be handed on. */
bool tracestate_is_valid(struct slice text);

#endif
