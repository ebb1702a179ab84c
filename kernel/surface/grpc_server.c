/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entry of every gRPC call: head, token, method, handler. A service that is not ours may be an
 * application's, called by proxy.
 */
#include "async/offload.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "surface/api_list.h"
#include "surface/grpc_surface.h"
#include "surface/observe.h"
#include "surface/token.h"
#include "surface/trace.h"

static void answer_dapr(struct rpc *rpc);

/* Row by row, ours. */
const char *const grpc_service_names[] = { "dapr.proto.runtime.v1.Dapr", "grpc.health.v1.Health",
                                           "grpc.reflection.v1.ServerReflection",
                                           "grpc.reflection.v1alpha.ServerReflection", NULL };
static grpc_method_fn *const service_answers[] = { answer_dapr, grpc_health, grpc_reflection,
                                                   grpc_reflection };

static const struct row {
    const char *rpc;
    grpc_method_fn *handler; /* NULL: not served */
} rows[] = {
#define GRPC_METHOD(rpc, handler) { #rpc, (handler) },
#define UNSERVED(rpc) { #rpc, NULL },
#include "api/methods.def"
};

/* --- for handlers ------------------------------------------------------------------------------*/

bool
rpc_read_one(struct rpc *rpc, struct slice *ret_bytes)
{
    bool has_message;
    uint64_t outer = task_deadline_push(rpc->rq.task, LIMIT_http_body_total_ms);
    bool is_read = grpc_read(&rpc->call, ret_bytes, &has_message); /* suspends */
    task_deadline_pop(rpc->rq.task, outer);
    if (!is_read)
        rpc_end(rpc, rpc->call.code, rpc->call.message);
    else if (!has_message)
        rpc_end(rpc, GRPC_INTERNAL, SLICE("the request has no message"));
    return is_read && has_message;
}

/* For another thread; the task waits meanwhile, so its arena is nobody else's. */
struct unpack_job {
    struct arena *arena;
    const ProtobufCMessageDescriptor *descriptor;
    struct slice bytes;
    struct slice words;
    const ProtobufCMessage *message;
};

static err_t
unpack(void *arg)
{
    struct unpack_job *job = arg;
    job->message = grpc_unpack(job->arena, job->descriptor, job->bytes, &job->words);
    return OK;
}

const void *
rpc_request(struct rpc *rpc, const ProtobufCMessageDescriptor *descriptor)
{
    struct unpack_job job = { .arena = rpc->rq.arena, .descriptor = descriptor };
    if (!rpc_read_one(rpc, &job.bytes)) /* suspends */
        return NULL;
    err_t err = ERR_OVERLOADED;
    if (job.bytes.len > LIMIT_parse_here_bytes)
        err = offload_run(rpc->rq.task, unpack, &job); /* suspends */
    if (err ==
        ERR_OVERLOADED)     /* small, or no thread is to be had: slower for others, never wrong */
        (void)unpack(&job); /* which says itself how it went */
    if (job.message == NULL)
        rpc_end(rpc, GRPC_INTERNAL, job.words);
    else
        grpc_trace_request(rpc, job.message);
    return job.message;
}

bool
rpc_admit(struct rpc *rpc)
{
    err_t err = http_admit(rpc->call.x); /* suspends */
    if (err != OK)
        rpc_end(rpc, err == ERR_DEADLINE ? GRPC_DEADLINE_EXCEEDED : GRPC_CANCELLED,
                SLICE("earlier answers have not been taken"));
    return err == OK;
}

void
rpc_reply(struct rpc *rpc, const ProtobufCMessage *message)
{
    if (grpc_send(&rpc->call, pb_pack(rpc->rq.arena, message)) == OK)
        rpc_end(rpc, GRPC_OK, SLICE_EMPTY);
}

void
rpc_empty(struct rpc *rpc)
{
    if (grpc_send(&rpc->call, SLICE_EMPTY) == OK)
        rpc_end(rpc, GRPC_OK, SLICE_EMPTY);
}

void
rpc_end(struct rpc *rpc, enum grpc_code code, struct slice text)
{
    if (rpc->rq.span != NULL)
        rpc->rq.span->failure = text;
    grpc_end(&rpc->call, code, text, SLICE_EMPTY);
}

void
rpc_fail(struct rpc *rpc)
{
    struct api_error *error = &rpc->rq.error;
    observe_error(&rpc->rq);
    /* What the HTTP API shows around this text and about these two errors, this API does not. */
    const struct slice wrap = SLICE("api error: code = InvalidArgument desc = ");
    if (error->err == ERR_STATE_ILLEGAL_KEY && slice_has_prefix(error->message, wrap))
        error->message = slice_from(error->message, wrap.len);
    if (error->err == ERR_STATE_STORE_NOT_FOUND || error->err == ERR_STATE_STORE_NOT_CONFIGURED)
        error->info_count = 0;
    if (rpc->rq.span != NULL)
        rpc->rq.span->failure = error->message;
    grpc_end(&rpc->call, error->grpc, error->message, grpc_error_details(&rpc->rq));
}

/* --- the call ----------------------------------------------------------------------------------*/

static bool
check_token(struct rpc *rpc)
{
    struct request *rq = &rpc->rq;
    struct slice given = grpc_metadata(&rpc->call, SLICE("dapr-api-token"));
    if (rq->kernel->api_token.len == 0 || token_matches(rq->kernel->api_token, given))
        return true;
    (void)fail(rq, ERR_UNAUTHENTICATED, "Unauthorized");
    error_add_info(rq, "http.code", SLICE("401"));
    error_add_info(rq, "http.error_message",
                   given.data == NULL ? SLICE("missing api token in request metadata")
                                      : SLICE("authentication error: api token mismatch"));
    rpc_fail(rpc);
    return false;
}

/* In the reference's words, which are about HTTP. */
static bool
check_list(struct rpc *rpc)
{
    struct request *rq = &rpc->rq;
    if (api_list_allows_rpc(rq, rpc->call.service, rpc->call.method))
        return true;
    (void)fail(rq, ERR_API_UNIMPLEMENTED, "Not Implemented");
    rq->error.reason = rq->error.message;
    error_add_info(rq, "http.code", SLICE("501"));
    error_add_info(rq, "http.error_message", SLICE("requested endpoint is not available"));
    rpc_fail(rpc);
    return false;
}

static const struct row *
find_row(struct slice method)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (slice_eq(method, slice_str(rows[i].rpc)))
            return &rows[i];
    return NULL;
}

static void
answer_dapr(struct rpc *rpc)
{
    const struct row *row = find_row(rpc->call.method);
    if (row != NULL && row->handler != NULL)
        row->handler(rpc); /* suspends */
    else if (row != NULL)
        rpc_end(rpc, GRPC_UNIMPLEMENTED,
                arena_printf(rpc->rq.arena, "the API method %s is not implemented", row->rpc));
    else
        grpc_proxy(rpc); /* no service of ours */
}

/* Whether the call is for the application behind us, or behind another sidecar. */
static bool
names_app(const struct rpc *rpc)
{
    return grpc_metadata(&rpc->call, SLICE("dapr-app-id")).data != NULL ||
           grpc_metadata(&rpc->call, SLICE("dapr-callee-app-id")).data != NULL;
}

/* Who answers. Applications have a health service too, which is meant when one is named. */
static grpc_method_fn *
service_of(const struct rpc *rpc)
{
    for (size_t i = 0; grpc_service_names[i] != NULL; i++)
        if (slice_eq(rpc->call.service, slice_str(grpc_service_names[i])))
            return service_answers[i] == grpc_health && names_app(rpc) ? grpc_proxy
                                                                       : service_answers[i];
    return grpc_proxy;
}

void
rpc_observe(struct rpc *rpc, uint64_t started_ns, bool is_logged)
{
    const struct grpc_call *call = &rpc->call;
    if (!metrics_is_on() && !is_logged && rpc->rq.span == NULL)
        return;
    uint64_t took_ns = clock_now_ns() - started_ns;
    /* "/package.Service/Method" is the path. */
    const struct slice labels[] = { call->x->path, slice_str(grpc_code_name(call->ended_code)) };
    metrics_record(metrics_series(METRICS_grpc_server, labels), took_ns);
    metrics_record(metrics_series(METRICS_grpc_request_bytes, labels), call->received_bytes);
    metrics_record(metrics_series(METRICS_grpc_response_bytes, labels), call->sent_bytes);
    if (is_logged)
        observe_log(call->x, &(struct observed_call){ .scope = "dapr.runtime.grpc.api-info",
                                                      .words = SLICE("gRPC API Called"),
                                                      .method = call->x->path,
                                                      .code = call->ended_code,
                                                      .took_ns = took_ns });
    grpc_trace_end(rpc, took_ns);
}

bool
rpc_begin_trace(struct rpc *rpc, bool is_ours)
{
    struct slice words;
    grpc_trace_begin(rpc, is_ours);
    if (trace_take_baggage(&rpc->rq, rpc->call.x, &words))
        return true;
    rpc_end(rpc, GRPC_INVALID_ARGUMENT, words);
    return false;
}

void
grpc_api_handle(struct http_exchange *x)
{
    struct rpc rpc;
    const struct kernel *kernel = x->server_arg;
    uint64_t started_ns = task_worker(x->task)->now_ns;
    if (!grpc_begin(x, kernel->body_bytes_max, &rpc.call))
        return;
    bool is_logged = false;
    rpc.call.ended_code = GRPC_UNKNOWN;
    request_init(&rpc.rq, x->task);
    rpc.rq.turn = x->turn;
    uint64_t outer = task_deadline_push(x->task, rpc.call.timeout_ms);
    grpc_method_fn *answer = service_of(&rpc);
    if (answer == grpc_health) {
        answer(&rpc); /* suspends */
    } else if (rpc_begin_trace(&rpc, answer == answer_dapr) && check_token(&rpc) &&
               check_list(&rpc)) {
        is_logged = settings_of(x->task)->api_log.is_enabled && log_threshold <= LOG_INFO;
        answer(&rpc); /* suspends */
    }
    task_deadline_pop(x->task, outer);
    rpc_observe(&rpc, started_ns, is_logged);
}
