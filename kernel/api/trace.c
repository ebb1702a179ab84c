/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts and spans of requests; see trace.h. */
#include "api/trace.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/log.h"

#define GRPC_TRACE SLICE("grpc-trace-bin")
#define TRACEPARENT SLICE("traceparent")
#define TRACESTATE SLICE("tracestate")
#define BAGGAGE SLICE("baggage")

/* --- the span ----------------------------------------------------------------------------------*/

static void
set_context(struct request *rq, const struct trace_context *context)
{
    char *text = arena_alloc(rq->arena, TRACEPARENT_BYTES);
    trace_context_print(context, text);
    rq->traceparent = slice_of(text, TRACEPARENT_BYTES);
}

static void
begin_span(struct request *rq, const struct trace_start *start, const struct trace_context *context)
{
    struct span *span = arena_alloc(rq->arena, sizeof *span);
    /* Member by member: the attributes are much, and are not looked at beyond their count. */
    span->context = *context;
    span->has_parent = start->parent != NULL;
    if (start->parent != NULL)
        memcpy(span->parent_id, start->parent->span_id, SPAN_ID_BYTES);
    span->tracestate = rq->tracestate;
    span->kind = start->kind;
    span->name = start->name;
    span->start_unix_ns = clock_unix_ns();
    span->took_ns = 0;
    span->has_failed = false;
    span->failure = SLICE_EMPTY;
    span->attribute_count = span->dropped_count = 0;
    rq->span = span;
}

void
trace_begin(struct request *rq, const struct trace_start *start)
{
    const struct tracer *tracer = settings_of(rq->task)->tracer;
    if (start->parent != NULL)
        rq->tracestate = start->tracestate;
    if (tracer == NULL) {
        if (start->parent != NULL)
            set_context(rq, start->parent);
        return;
    }
    struct trace_context context = trace_context_new(&tracer->sampler, start->parent);
    set_context(rq, &context);
    if (tracer->is_recording && trace_context_is_sampled(&context))
        begin_span(rq, start, &context);
}

static void
log_span(const struct span *span)
{
    char parent[TRACEPARENT_BYTES];
    trace_context_print(&span->context, parent);
    log_info("dapr.runtime.trace",
             "Trace: %.32s Span: %.16s Name: " SLICE_FMT " Duration: %lluus Error: " SLICE_FMT,
             parent + 3, parent + 36, SLICE_ARG(span->name),
             (unsigned long long)(span->took_ns / 1000u), SLICE_ARG(span->failure));
}

void
trace_end(struct request *rq, uint64_t took_ns)
{
    struct kernel_worker *here = kernel_worker_of(rq->task);
    struct span *span = TAKE(rq->span);
    if (span == NULL)
        return;
    span->took_ns = took_ns;
    span_clean(span, rq->arena);
    const struct tracer *tracer = settings_of(rq->task)->tracer; /* another one than at the begin */
    if (tracer != NULL && tracer->logs_spans)
        log_span(span);
    exporter_set_put(&here->exporters, span);
}

void
trace_invocation(struct request *rq, struct slice app_id, struct slice method)
{
    struct span *span = rq->span;
    if (span == NULL)
        return;
    if (slice_has_prefix(method, SLICE("/")))
        method = slice_from(method, 1);
    span->name = arena_printf(rq->arena, "CallLocal/" SLICE_FMT "/" SLICE_FMT, SLICE_ARG(app_id),
                              SLICE_ARG(method));
    span_set(span, SLICE("rpc.service"), SLICE("ServiceInvocation"));
    span_set(span, SLICE("net.peer.name"), app_id);
}

/* --- headers of calls made for a request -------------------------------------------------------*/

static size_t
put(struct http_header *headers, size_t count, struct slice name, struct slice value)
{
    if (value.len == 0)
        return count;
    headers[count] = (struct http_header){ .name = name, .value = value };
    return count + 1;
}

size_t
trace_http_headers(const struct request *rq, struct http_header ret_headers[TRACE_HEADERS_MAX])
{
    struct slice parent = rq->traceparent;
    if (parent.len == 0) /* the reference hands on what it cannot read */
        parent = rq->traceparent_odd.len > 0 ? rq->traceparent_odd : TRACEPARENT_NONE;
    size_t count = put(ret_headers, 0, TRACEPARENT, parent);
    if (rq->traceparent.len > 0)
        count = put(ret_headers, count, TRACESTATE, rq->tracestate);
    return put(ret_headers, count, BAGGAGE, rq->baggage);
}

/* Without padding, as gRPC wants it. */
struct slice
trace_binary(const struct request *rq)
{
    struct trace_context context;
    char bytes[TRACE_BINARY_BYTES];
    if (rq->traceparent.len == 0 || !trace_context_parse(rq->traceparent, &context))
        return SLICE_EMPTY;
    trace_context_pack(&context, bytes);
    char *text = arena_alloc(rq->arena, base64_encoded_len(sizeof bytes));
    base64_encode(slice_of(bytes, sizeof bytes), text);
    return slice_of(text, (sizeof bytes * 4 + 2) / 3);
}

size_t
trace_grpc_metadata(const struct request *rq, struct http_header ret_headers[TRACE_HEADERS_MAX])
{
    size_t count = trace_http_headers(rq, ret_headers);
    return put(ret_headers, count, GRPC_TRACE, trace_binary(rq));
}

bool
trace_is_header(struct slice name)
{
    return slice_eq_nocase(name, TRACEPARENT) || slice_eq_nocase(name, TRACESTATE) ||
           slice_eq_nocase(name, GRPC_TRACE) || slice_eq_nocase(name, BAGGAGE);
}
