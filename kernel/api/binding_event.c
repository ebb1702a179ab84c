/* SPDX-License-Identifier: Apache-2.0 */
/* Events of input bindings; see binding_event.h. */
#include "api/binding_event.h"

#include "api/binding_answer.h"
#include "api/binding_reading.h"
#include "api/deliver_headers.h"
#include "api/trace.h"
#include "app/app_http.h"
#include "app/grpc_app.h"
#include "async/offload.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/pb.h"
#include "dapr/proto/runtime/v1/appcallback.pb-c.h"
#include "remora/plugin/v1/plugin.pb-c.h"
#include "resiliency/run.h"
#include "telemetry/metrics.h"

#define SCOPE "dapr.runtime.processor.binding"

enum { MESSAGE_BUDGET_BYTES = 1024 * 1024, TOLD_BYTES_MAX = 1024 };

typedef Dapr__Proto__Runtime__V1__BindingEventRequest event_t;
typedef Dapr__Proto__Runtime__V1__BindingEventRequest__MetadataEntry entry_t;

/* One event being delivered. */
struct event {
    struct request *rq;
    struct binding_reading *reading; /* borrowed from the call */
    struct pubsub_message message;   /* its metadata and data, as deliveries have them */
    struct slice packed;             /* for a gRPC application; empty before its first attempt */
    /* Of the last attempt. */
    bool is_handled;
    struct slice answer;
    struct slice words; /* why it was not, where the application has said so */
};

/* --- trace -------------------------------------------------------------------------------------*/

static struct slice
metadata_of(const struct event *e, struct slice name)
{
    for (size_t i = 0; i < e->message.metadata_count; i++)
        if (slice_eq_nocase(e->message.metadata[i].name, name))
            return e->message.metadata[i].value;
    return SLICE_EMPTY;
}

/* What the event brought along goes on, else the context of the plugin's call. */
static void
begin_trace(struct event *e)
{
    struct request *rq = e->rq;
    struct trace_context context;
    struct trace_start start = { .kind = SPAN_CLIENT,
                                 .name = arena_printf(rq->arena, "bindings/" SLICE_FMT,
                                                      SLICE_ARG(e->reading->name)),
                                 .tracestate = rq->tracestate };
    struct slice parent = metadata_of(e, SLICE("traceparent"));
    if (trace_context_parse(parent, &context)) {
        struct slice state = metadata_of(e, SLICE("tracestate"));
        start.tracestate = tracestate_is_valid(state) ? state : SLICE_EMPTY;
        start.parent = &context;
    } else if (trace_context_parse(rq->traceparent, &context)) {
        start.parent = &context;
    }
    trace_begin(rq, &start);
}

static void
describe(struct event *e, bool is_grpc, bool has_failed, struct slice words)
{
    struct request *rq = e->rq;
    if (rq->span == NULL)
        return;
    span_set(rq->span, SLICE("db.system"), SLICE("bindings"));
    span_set(rq->span, SLICE("db.name"), e->reading->name);
    span_set(rq->span, SLICE("rpc.service"), SLICE("Dapr"));
    span_set(rq->span, SLICE("db.connection_string"),
             is_grpc ? SLICE("/dapr.proto.runtime.v1.AppCallback/OnBindingEvent")
                     : arena_printf(rq->arena, "POST /" SLICE_FMT, SLICE_ARG(e->reading->name)));
    rq->span->has_failed = has_failed;
    rq->span->failure = words;
}

/* --- HTTP --------------------------------------------------------------------------------------*/

static err_t
ask_http(struct event *e, int *ret_status)
{
    struct request *rq = e->rq;
    struct http_header headers[1 + TRACE_HEADERS_MAX + DELIVER_METADATA_MAX];
    headers[0] = (struct http_header){ SLICE("Content-Type"), SLICE("application/json") };
    size_t count = 1 + trace_http_headers(rq, headers + 1);
    count += deliver_metadata(rq->arena, &e->message, headers + count);
    const struct client_head head = { .method = SLICE("POST"),
                                      .target = e->reading->path,
                                      .headers = headers,
                                      .header_count = count,
                                      .body_length = (int64_t)e->message.data.len };
    return app_http_ask(rq->task, &kernel_worker_of(rq->task)->app, &head, e->message.data,
                        rq->kernel->body_bytes_max, ret_status, &e->answer); /* suspends */
}

/* A redirect is no answer, and its code is none of an error. */
static err_t
to_http(struct event *e, struct attempt *attempt)
{
    int status = 0;
    err_t err = ask_http(e, &status); /* suspends */
    if (err != OK)
        return err;
    e->is_handled = status >= 200 && status < 300;
    if (e->is_handled)
        return OK;
    e->words = arena_printf(e->rq->arena,
                            "fails to send binding event to http app channel, status code: %d "
                            "body: " SLICE_FMT,
                            status, SLICE_ARG(slice_first(e->answer, TOLD_BYTES_MAX)));
    if (status < 400)
        return ERR_PEER_FAILED;
    attempt->answer = ANSWER_HTTP;
    attempt->code = status;
    return OK;
}

/* --- gRPC --------------------------------------------------------------------------------------*/

static struct slice
pack(const struct event *e)
{
    struct arena *arena = e->rq->arena;
    size_t count = e->message.metadata_count;
    event_t out = DAPR__PROTO__RUNTIME__V1__BINDING_EVENT_REQUEST__INIT;
    entry_t *entries = ARENA_ARRAY(arena, entry_t, count + 1);
    out.name = pb_string(arena, e->reading->name);
    out.data = pb_bytes(e->message.data);
    out.metadata = ARENA_ARRAY(arena, entry_t *, count + 1);
    for (size_t i = 0; i < count; i++) {
        dapr__proto__runtime__v1__binding_event_request__metadata_entry__init(&entries[i]);
        entries[i].key = pb_string(arena, e->message.metadata[i].name);
        entries[i].value = pb_string(arena, e->message.metadata[i].value);
        out.metadata[out.n_metadata++] = &entries[i];
    }
    return pb_pack(arena, &out.base);
}

static err_t
to_grpc(struct event *e, struct attempt *attempt)
{
    struct task *t = e->rq->task;
    struct app_channel *channel = &kernel_worker_of(t)->app;
    struct http_header metadata[TRACE_HEADERS_MAX];
    struct grpc_answer answer = { 0 };
    size_t count = e->rq->traceparent.len > 0 ? trace_grpc_metadata(e->rq, metadata) : 0;
    if (e->packed.len == 0)
        e->packed = pack(e);
    err_t err = app_enter(t, channel); /* suspends */
    if (err != OK)
        return err;
    err = app_grpc_binding_event(t, channel, e->packed, metadata, count, &answer); /* suspends */
    app_leave(channel);
    if (err != OK)
        return err;
    attempt->answer = ANSWER_GRPC;
    attempt->code = (int)answer.code;
    e->is_handled = answer.code == GRPC_OK;
    e->answer = answer.message;
    if (!e->is_handled)
        e->words = arena_printf(e->rq->arena,
                                "error invoking app: rpc error: code = %s desc = " SLICE_FMT,
                                grpc_code_name(answer.code), SLICE_ARG(answer.text));
    return OK;
}

/* --- on its way --------------------------------------------------------------------------------*/

static err_t
try_once(struct task *t, void *arg, struct attempt *attempt)
{
    struct event *e = arg;
    const struct app *app = kernel_worker_of(t)->app.app;
    e->is_handled = false;
    e->answer = e->words = SLICE_EMPTY;
    if (app == NULL || app_settings(app)->port == 0)
        return DIAG_FAIL(task_diag(t), ERR_PEER_UNREACHABLE, "app channel not initialized");
    return app_is_grpc(app_settings(app)->protocol) ? to_grpc(e, attempt)  /* suspends */
                                                    : to_http(e, attempt); /* suspends */
}

static err_t
run(struct event *e)
{
    struct request *rq = e->rq;
    struct resiliency_target target;
    resiliency_for_component(settings_of(rq->task)->resiliency, e->reading->name, "Binding",
                             RESILIENCY_INBOUND, &target);
    const struct run run = { .target = &target,
                             .is_replayable = true,
                             .is_ending = &rq->kernel->is_ending };
    return resiliency_run(rq->task, &run, try_once, e); /* suspends */
}

static void
count(const struct event *e, uint64_t took_ns)
{
    const struct slice labels[] = { e->reading->name, e->rq->kernel->namespace_,
                                    e->is_handled ? SLICE("true") : SLICE("false") };
    if (metrics_is_on())
        metrics_record(metrics_series(METRICS_component_input_binding, labels), took_ns);
}

struct read_job {
    struct arena *arena;
    struct slice answer;
    struct binding_directive *directive;
    bool asks;
};

/* On another thread if it is long. */
static err_t
read_directive(void *arg)
{
    struct read_job *job = arg;
    job->asks = binding_directive_read(job->arena, job->answer, job->directive);
    return OK;
}

static void
obey_http(struct event *e)
{
    struct binding_directive directive;
    struct read_job job = { e->rq->arena, e->answer, &directive, false };
    if (e->answer.len <= LIMIT_parse_here_bytes ||
        offload_run(e->rq->task, read_directive, &job) != OK) /* suspends */
        (void)read_directive(&job);                           /* cannot fail */
    if (job.asks)
        binding_answer_obey(e->rq, &directive); /* suspends */
}

/* The data of the answer, which the plugin gets; what else the answer asks for is done. */
static struct slice
take_answer(struct event *e, bool is_grpc)
{
    struct binding_directive directive;
    struct arena *arena = e->rq->arena;
    if (!is_grpc) {
        obey_http(e); /* suspends */
        return e->answer;
    }
    if (!binding_directive_unpack(arena, e->answer, &directive)) {
        log_error(SCOPE, "error reading the answer of the app to an event of binding " SLICE_FMT,
                  SLICE_ARG(e->reading->name));
        return SLICE_EMPTY;
    }
    struct slice data = directive.data;
    if (!binding_directive_is_empty(&directive))
        binding_answer_obey(e->rq, &directive); /* suspends */
    return data;
}

/* False: it was not handled, and *ret_data says why. */
static bool
deliver(struct event *e, struct slice *ret_data)
{
    struct request *rq = e->rq;
    const struct app *app = kernel_worker_of(rq->task)->app.app;
    bool is_grpc = app != NULL && app_is_grpc(app_settings(app)->protocol);
    uint64_t started_ns = clock_now_ns();
    begin_trace(e);
    err_t err = run(e); /* suspends */
    e->is_handled = e->is_handled && err == OK;
    if (!e->is_handled && e->words.len == 0)
        e->words = arena_printf(rq->arena, "error invoking app: " SLICE_FMT,
                                SLICE_ARG(task_diag(rq->task)->message));
    describe(e, is_grpc, !e->is_handled, e->words);
    trace_end(rq, clock_now_ns() - started_ns);
    if (!e->is_handled)
        log_debug(SCOPE, "error from app consumer for binding [" SLICE_FMT "]: " SLICE_FMT,
                  SLICE_ARG(e->reading->name), SLICE_ARG(e->words));
    *ret_data = e->is_handled ? take_answer(e, is_grpc) : e->words; /* suspends */
    count(e, clock_now_ns() - started_ns);
    return e->is_handled;
}

/* --- the plugin's call -------------------------------------------------------------------------*/

static void
refuse(struct request *rq, struct host_call *call, enum grpc_code code, struct slice words)
{
    const struct frame_status status = { .code = (uint32_t)code,
                                         .message = words,
                                         .reason = SLICE_EMPTY };
    host_call_reply(rq->task, call, &status, SLICE_EMPTY, SLICE_EMPTY);
}

static void
deliver_one(struct request *rq, struct host_call *call, struct binding_reading *reading,
            const Remora__Plugin__V1__HostBindingEvent *in)
{
    struct pair *pairs = ARENA_ARRAY(rq->arena, struct pair, in->n_metadata + 1);
    for (size_t i = 0; i < in->n_metadata; i++)
        pairs[i] = (struct pair){ slice_str(in->metadata[i]->name),
                                  slice_str(in->metadata[i]->value) };
    struct event e = { .rq = rq,
                       .reading = reading,
                       .message = { .id = SLICE_EMPTY,
                                    .topic = SLICE_EMPTY,
                                    .content_type = SLICE_EMPTY,
                                    .metadata = pairs,
                                    .metadata_count = in->n_metadata,
                                    .data = host_call_body(call) },
                       .packed = SLICE_EMPTY };
    struct slice data;
    bool is_handled = deliver(&e, &data); /* suspends */
    binding_reading_leave(reading);       /* before the plugin knows that there is room again */
    if (is_handled)
        host_call_reply(rq->task, call, NULL, SLICE_EMPTY, data); /* suspends */
    else
        refuse(rq, call, GRPC_ABORTED, data);
}

void
binding_event(struct request *rq, struct host_call *call)
{
    const Remora__Plugin__V1__HostBindingEvent *in = pb_unpack(
        rq->arena, &remora__plugin__v1__host_binding_event__descriptor, host_call_message(call),
        LIMIT_frame_depth_max, MESSAGE_BUDGET_BYTES);
    struct binding_reading *reading = in == NULL ? NULL : binding_reading_find(in->reading);
    if (in == NULL)
        refuse(rq, call, GRPC_INVALID_ARGUMENT, SLICE("malformed HostBindingEvent"));
    else if (reading == NULL || reading->link != call->link)
        refuse(rq, call, GRPC_FAILED_PRECONDITION, SLICE("input binding is closed"));
    else if (!binding_reading_enter(reading))
        refuse(rq, call, GRPC_RESOURCE_EXHAUSTED,
               SLICE("more events are on their way than the binding's window"));
    else
        deliver_one(rq, call, reading, in); /* suspends */
    binding_reading_unref(reading);
}
