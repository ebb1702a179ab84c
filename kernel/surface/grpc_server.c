/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entry of every gRPC call: head, token, method, handler. A service that is not ours may be an
 * application's, called by proxy; until there is one, such a call has no target.
 */
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "surface/grpc_surface.h"
#include "surface/observe.h"
#include "surface/token.h"
#include "surface/trace.h"

#define DAPR_SERVICE SLICE("dapr.proto.runtime.v1.Dapr")
#define HEALTH_SERVICE SLICE("grpc.health.v1.Health")

static const struct row {
    const char *rpc;
    grpc_method_fn *handler; /* NULL: not served */
} rows[] = {
#define GRPC_METHOD(rpc, handler) { #rpc, (handler) },
#define UNSERVED(rpc) { #rpc, NULL },
#include "api/methods.def"
};

/* --- for handlers ------------------------------------------------------------------------------*/

/* protobuf-c delivers strings as they are; the language says they are UTF-8. Recursion is bounded
 * by what the message was unpacked with. */
static bool is_text(const ProtobufCMessage *message);

static bool
field_is_text(const ProtobufCFieldDescriptor *field, const void *value)
{
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *text = *(const char *const *)value;
        return text == NULL || slice_is_utf8(slice_str(text));
    }
    const ProtobufCMessage *inner = *(const ProtobufCMessage *const *)value;
    return inner == NULL || is_text(inner);
}

static bool
is_text(const ProtobufCMessage *message)
{
    const char *base = (const char *)message;
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
            *(const uint32_t *)(const void *)(base + field->quantifier_offset) != field->id)
            continue;
        if (field->label != PROTOBUF_C_LABEL_REPEATED) {
            if (!field_is_text(field, base + field->offset))
                return false;
            continue;
        }
        size_t count = *(const size_t *)(const void *)(base + field->quantifier_offset);
        const void *const *items = *(const void *const *const *)(const void *)(base +
                                                                               field->offset);
        for (size_t k = 0; k < count; k++)
            if (!field_is_text(field, &items[k]))
                return false;
    }
    return true;
}

const void *
rpc_request(struct rpc *rpc, const ProtobufCMessageDescriptor *descriptor)
{
    struct slice bytes;
    bool has_message;
    uint64_t outer = task_deadline_push(rpc->rq.task, LIMIT_http_body_total_ms);
    bool is_read = grpc_read(&rpc->call, &bytes, &has_message); /* suspends */
    task_deadline_pop(rpc->rq.task, outer);
    if (!is_read) {
        rpc_end(rpc, rpc->call.code, rpc->call.message);
        return NULL;
    }
    if (!has_message) {
        rpc_end(rpc, GRPC_INTERNAL, SLICE("the request has no message"));
        return NULL;
    }
    const ProtobufCMessage *message = pb_unpack(
        rpc->rq.arena, descriptor, bytes, LIMIT_grpc_depth_max,
        LIMIT_grpc_unpack_base_bytes + LIMIT_grpc_unpack_factor * bytes.len);
    if (message != NULL && is_text(message)) {
        grpc_trace_request(rpc, message);
        return message;
    }
    rpc_end(rpc, GRPC_INTERNAL,
            message == NULL ? SLICE("grpc: error unmarshalling request: proto: cannot parse "
                                    "invalid wire-format data")
                            : SLICE("grpc: error unmarshalling request: string field contains "
                                    "invalid UTF-8"));
    return NULL;
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

static const struct row *
find_row(struct slice method)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (slice_eq(method, slice_str(rows[i].rpc)))
            return &rows[i];
    return NULL;
}

/* No service of ours. */
static void
answer_stranger(struct rpc *rpc)
{
    if (grpc_metadata(&rpc->call, SLICE("dapr-app-id")).data == NULL)
        rpc_end(rpc, GRPC_UNKNOWN,
                SLICE("failed to proxy request: required metadata dapr-callee-app-id or "
                      "dapr-app-id not found"));
    else
        rpc_end(rpc, GRPC_UNIMPLEMENTED, SLICE("service invocation is not implemented"));
}

static void
answer(struct rpc *rpc)
{
    const struct row *row = slice_eq(rpc->call.service, DAPR_SERVICE) ? find_row(rpc->call.method)
                                                                      : NULL;
    if (row != NULL && row->handler != NULL)
        row->handler(rpc); /* suspends */
    else if (row != NULL)
        rpc_end(rpc, GRPC_UNIMPLEMENTED,
                arena_printf(rpc->rq.arena, "the API method %s is not implemented", row->rpc));
    else
        answer_stranger(rpc);
}

/* HealthCheckResponse { status = 1: SERVING = 1 }, for the server as a whole. */
static void
answer_health(struct rpc *rpc)
{
    if (!slice_eq(rpc->call.method, SLICE("Check")))
        rpc_end(rpc, GRPC_UNIMPLEMENTED, SLICE("only Check is implemented"));
    else if (grpc_send(&rpc->call, SLICE("\x08\x01")) == OK)
        rpc_end(rpc, GRPC_OK, SLICE_EMPTY);
}

static void
observe(struct rpc *rpc, uint64_t started_ns, bool is_logged)
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

/* False: the call has been ended. */
static bool
begin_trace(struct rpc *rpc)
{
    struct slice words;
    grpc_trace_begin(rpc, slice_eq(rpc->call.service, DAPR_SERVICE));
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
    uint64_t outer = task_deadline_push(x->task, rpc.call.timeout_ms);
    if (slice_eq(rpc.call.service, HEALTH_SERVICE)) {
        answer_health(&rpc);
    } else if (begin_trace(&rpc) && check_token(&rpc)) {
        is_logged = kernel->api_log.is_enabled && log_threshold <= LOG_INFO;
        answer(&rpc); /* suspends */
    }
    task_deadline_pop(x->task, outer);
    observe(&rpc, started_ns, is_logged);
}
