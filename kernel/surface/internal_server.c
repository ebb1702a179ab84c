/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What other sidecars ask of this one, on a port of its own: CallLocal and CallLocalStream, which
 * are invocations of our application, and by proxy any service that the application has itself.
 * Nothing is passed on to a third sidecar. Access control is asked here, with the very path that
 * the application gets.
 */
#include "api/access.h"
#include "api/invoke.h"
#include "base/clock.h"
#include "base/limits.h"
#include "http/spiffe.h"
#include "peer/message.h"
#include "surface/grpc_surface.h"
#include "surface/internal.h"
#include "surface/observe.h"
#include "surface/trace.h"
#include "telemetry/metrics.h"

/* A call of our application under way. */
struct inbound {
    struct rpc *rpc;
    bool is_stream;
    struct peer_request request;
    struct invoke_call call;
    struct invoke_caller caller;
    struct peer_reader reader;
    struct slice piece;      /* of the message read last, not taken yet */
    uint64_t received, sent; /* pieces */
    uint64_t body_bytes;     /* of the request, so far */
    bool has_ended;
    struct slice wrong; /* with what the stream broke the rules; empty: with nothing */
};

/* --- the request's body ------------------------------------------------------------------------*/

static err_t
read_stream(void *arg, struct slice *ret_piece)
{
    return http_body_read(arg, ret_piece); /* suspends */
}

static err_t
break_off(struct inbound *in, const char *words)
{
    in->wrong = slice_str(words);
    return ERR_PEER_PROTOCOL;
}

/* The next message of the stream with something in it; an empty piece at the end. */
static err_t
next_piece(struct inbound *in)
{
    struct slice message;
    struct peer_part part;
    bool has_message;
    while (in->piece.len == 0 && !in->has_ended) {
        err_t err = peer_reader_next(&in->reader, &message, &has_message); /* suspends */
        if (err != OK)
            return err;
        if (!has_message) {
            in->has_ended = true;
            break;
        }
        if (!peer_part_unpack(message, &part))
            return break_off(in, "malformed message received");
        if (part.has_head && part.head.len > 0)
            return break_off(in, "request metadata found in non-leading chunk");
        if (part.has_piece && part.seq != in->received)
            return break_off(in, "invalid sequence number received");
        in->received += part.has_piece;
        in->piece = part.piece;
    }
    return OK;
}

static err_t
read_body(void *arg, struct slice *ret_chunk)
{
    struct inbound *in = arg;
    err_t err = next_piece(in); /* suspends */
    *ret_chunk = in->piece;
    in->piece = SLICE_EMPTY;
    in->body_bytes += ret_chunk->len;
    in->rpc->call.received_bytes += ret_chunk->len;
    if (err == OK && in->call.body_length != HTTP_LENGTH_UNKNOWN &&
        (in->body_bytes > (uint64_t)in->call.body_length ||
         (ret_chunk->len == 0 && in->body_bytes < (uint64_t)in->call.body_length)))
        return break_off(in, "the body is not as long as was said"); /* an application would wait */
    return err;
}

static bool
body_is_here(void *arg)
{
    const struct inbound *in = arg;
    return in->piece.len > 0 || in->has_ended ||
           (in->reader.rest.len == 0 && http_body_is_here(in->rpc->call.x));
}

/* --- the request's head ------------------------------------------------------------------------*/

static bool
refuse(struct inbound *in, const char *words)
{
    rpc_end(in->rpc, GRPC_INVALID_ARGUMENT,
            arena_printf(in->rpc->rq.arena, "parsing InternalInvokeRequest error: %s", words));
    return false;
}

static bool
read_head(struct inbound *in)
{
    struct rpc *rpc = in->rpc;
    struct slice message;
    struct peer_part part = { .head = SLICE_EMPTY, .piece = SLICE_EMPTY };
    bool has_message;
    in->reader = (struct peer_reader){ .read = read_stream,
                                       .arg = rpc->call.x,
                                       .message_bytes_max = rpc->call.message_bytes_max };
    err_t err = peer_reader_next(&in->reader, &message, &has_message); /* suspends */
    if (err != OK || !has_message) {
        rpc_end(rpc, err == OK ? GRPC_INTERNAL : err_info(err)->grpc,
                SLICE("the request could not be read"));
        return false;
    }
    rpc->call.received_bytes += message.len;
    message = arena_dup(rpc->rq.arena, message); /* the head is used as long as the call */
    part.head = message;
    if (in->is_stream && !peer_part_unpack(message, &part))
        return refuse(in, "malformed message");
    if (!peer_request_unpack(rpc->rq.arena, part.head, &in->request) ||
        in->request.header_count == 0)
        return refuse(in, "request does not contain the required fields in the leading chunk");
    if (part.has_piece && part.seq != 0)
        return refuse(in, "invalid sequence number received");
    in->received = part.has_piece;
    in->piece = in->is_stream ? part.piece : in->request.data;
    in->has_ended = !in->is_stream;
    return true;
}

/* What is said to come; only a request that may well have no body is waited for. */
static err_t
find_length(struct inbound *in)
{
    struct slice said = peer_header_get(in->request.headers, in->request.header_count,
                                        SLICE("content-length"));
    uint64_t n;
    err_t err = OK;
    in->call.body_length = HTTP_LENGTH_UNKNOWN;
    if (slice_to_u64(said, &n) && n <= INT64_MAX) {
        in->call.body_length = (int64_t)n;
        return OK;
    }
    if (in->piece.len == 0 && !in->has_ended &&
        (invoke_is_safe(in->request.verb) || body_is_here(in)))
        err = next_piece(in); /* suspends */
    if (err == OK && in->has_ended)
        in->call.body_length = (int64_t)in->piece.len;
    return err;
}

/* The headers, with the type of the content as the message has it. */
static const struct http_header *
take_headers(struct inbound *in, size_t *ret_count)
{
    const struct peer_request *request = &in->request;
    struct slice type = request->content_type;
    struct http_header *headers = ARENA_ARRAY(in->rpc->rq.arena, struct http_header,
                                              request->header_count + 1);
    size_t count = 0;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *h = &request->headers[i];
        if (h->name.len == 0 || h->name.data[0] == ':')
            continue;
        if (slice_eq_nocase(h->name, SLICE("content-type"))) {
            if (type.len == 0 && !slice_has_prefix(h->value, SLICE("application/grpc")))
                type = h->value;
            continue;
        }
        headers[count] = *h;
        if (slice_has_prefix_nocase(h->name, SLICE("grpc-"))) /* is none of its protocol's own */
            headers[count].name = arena_printf(in->rpc->rq.arena, "dapr-" SLICE_FMT,
                                               SLICE_ARG(h->name));
        count++;
    }
    if (type.len > 0)
        headers[count++] = (struct http_header){ SLICE("Content-Type"), type };
    *ret_count = count;
    return headers;
}

void
internal_caller(const struct http_exchange *x, const struct http_header *headers, size_t count,
                struct invoke_caller *ret_caller)
{
    struct spiffe_app proven;
    if (x->peer_id.len > 0) {
        /* Who has proved to be no application cannot claim to be one. */
        bool is_app = spiffe_app_of(x->peer_id, &proven);
        *ret_caller = is_app ? (struct invoke_caller){ proven.app_id, proven.namespace_ }
                             : (struct invoke_caller){ SLICE_EMPTY, SLICE_EMPTY };
        return;
    }
    ret_caller->app_id = peer_header_get(headers, count, SLICE("dapr-caller-app-id"));
    ret_caller->namespace_ = peer_header_get(headers, count, SLICE("dapr-caller-namespace"));
    if (ret_caller->namespace_.len == 0)
        ret_caller->namespace_ = SLICE("default");
}

/* --- the answer --------------------------------------------------------------------------------*/

static err_t
send_part(struct inbound *in, struct slice head, struct slice piece)
{
    struct grpc_call *call = &in->rpc->call;
    struct peer_frame frame;
    peer_frame(in->rpc->rq.arena, head, piece.len, in->sent, false, &frame);
    in->sent += piece.len > 0;
    err_t err = grpc_message_begin(call, frame.message_bytes); /* these suspend */
    if (err == OK)
        err = grpc_message_write(call, peer_frame_front(&frame));
    if (err == OK && piece.len > 0)
        err = grpc_message_write(call, piece);
    if (err == OK && frame.back_len > 0)
        err = grpc_message_write(call, peer_frame_back(&frame));
    return err;
}

static struct peer_answer
head_of(struct inbound *in)
{
    struct invoke_call *call = &in->call;
    if (call->invoked != NULL) {
        const struct app_invoked *invoked = call->invoked;
        return (struct peer_answer){ .code = (int32_t)invoked->answer.code,
                                     .text = invoked->answer.text,
                                     .details = invoked->answer.details,
                                     .headers = invoked->answer.headers,
                                     .header_count = invoked->answer.header_count,
                                     .trailers = invoked->answer.trailers,
                                     .trailer_count = invoked->answer.trailer_count,
                                     .content_type = invoked->content_type,
                                     .type_url = invoked->type_url,
                                     .data = SLICE_EMPTY };
    }
    struct http_header *headers = ARENA_ARRAY(in->rpc->rq.arena, struct http_header,
                                              call->answer_header_count + 1);
    size_t count = call->answer_header_count;
    for (size_t i = 0; i < count; i++)
        headers[i] = call->answer_headers[i];
    if (call->answer_length >= 0)
        headers[count++] = (struct http_header){ SLICE("Content-Length"),
                                                 arena_printf(in->rpc->rq.arena, "%lld",
                                                              (long long)call->answer_length) };
    return (
        struct peer_answer){ .code = call->status,
                             .text = SLICE_EMPTY,
                             .details = SLICE_EMPTY,
                             .headers = headers,
                             .header_count = count,
                             .content_type = peer_header_get(headers, count, SLICE("content-type")),
                             .type_url = SLICE_EMPTY,
                             .data = SLICE_EMPTY };
}

/* Pieces as they come. */
static err_t
stream_answer(struct inbound *in)
{
    struct peer_answer answer = head_of(in);
    struct slice head = peer_answer_pack(in->rpc->rq.arena, &answer), piece = SLICE_EMPTY;
    if (in->call.invoked != NULL)
        return send_part(in, head, in->call.invoked->data); /* suspends */
    err_t err = send_part(in, head, SLICE_EMPTY);
    while (err == OK && (err = invoke_read(&in->rpc->rq, &in->call, &piece)) == OK && piece.len > 0)
        err = send_part(in, SLICE_EMPTY, piece); /* suspends */
    return err;
}

/* All of it in one message. */
static err_t
whole_answer(struct inbound *in)
{
    struct request *rq = &in->rpc->rq;
    struct peer_answer answer = head_of(in);
    struct arena_bytes body = { 0 };
    struct slice piece;
    err_t err = OK;
    if (in->call.invoked != NULL) {
        answer.data = in->call.invoked->data;
        return grpc_send(&in->rpc->call, peer_answer_pack(rq->arena, &answer));
    }
    while ((err = invoke_read(rq, &in->call, &piece)) == OK && piece.len > 0) { /* suspends */
        if (piece.len > rq->kernel->body_bytes_max - body.len)
            return ERR_TOO_LARGE;
        arena_append(rq->arena, &body, piece);
    }
    if (err != OK)
        return err;
    answer.data = arena_bytes_slice(&body);
    return grpc_send(&in->rpc->call, peer_answer_pack(rq->arena, &answer));
}

/* --- the call ----------------------------------------------------------------------------------*/

void
internal_deny(struct rpc *rpc, const struct access_question *question)
{
    rpc_end(rpc, GRPC_PERMISSION_DENIED,
            arena_printf(rpc->rq.arena,
                         "access control policy has denied access to id: " SLICE_FMT
                         " operation: " SLICE_FMT " verb: " SLICE_FMT,
                         SLICE_ARG(question->caller_id), SLICE_ARG(question->path),
                         SLICE_ARG(question->verb.len > 0 ? question->verb : SLICE("NONE"))));
}

static bool
check_access(struct inbound *in, struct slice path)
{
    const struct app *app = kernel_worker_of(in->rpc->rq.task)->app.app;
    const struct access_question question = {
        .caller_id = in->rpc->call.x->peer_id,
        .verb = in->request.verb,
        .path = path,
        .is_http = !app_is_grpc(app_settings(app)->protocol),
    };
    bool is_allowed = access_is_allowed(settings_of(in->rpc->rq.task)->access, &question);
    if (!is_allowed)
        internal_deny(in->rpc, &question);
    return is_allowed;
}

static bool
prepare(struct inbound *in)
{
    struct rpc *rpc = in->rpc;
    struct invoke_call *call = &in->call;
    enum grpc_code code;
    struct slice path;
    const char *trouble = invoke_app_trouble(&rpc->rq, &code);
    if (trouble != NULL && code == GRPC_UNKNOWN) { /* there is no application at all */
        rpc_end(rpc, GRPC_INTERNAL, slice_str(trouble));
        return false;
    }
    if (!read_head(in)) /* suspends */
        return false;
    if (!invoke_clean_method(rpc->rq.arena, in->request.method, &path))
        return refuse(in, "invalid method: method contains forbidden character");
    if (!check_access(in, path))
        return false;
    *call = (struct invoke_call){ .app_id = rpc->rq.kernel->app_id,
                                  .verb = in->request.verb,
                                  .method = path,
                                  .query = in->request.query,
                                  .caller = &in->caller,
                                  .is_message = true,
                                  .content_type = in->request.content_type,
                                  .type_url = in->request.type_url,
                                  .source = { read_body, body_is_here, in } };
    call->headers = take_headers(in, &call->header_count);
    internal_caller(rpc->call.x, in->request.headers, in->request.header_count, &in->caller);
    if (find_length(in) == OK) /* suspends */
        return true;
    if (in->wrong.len > 0)
        return refuse(in, in->wrong.data);
    rpc_end(rpc, GRPC_CANCELLED, SLICE("the request could not be read"));
    return false;
}

static void
fail_call(struct inbound *in)
{
    struct slice words = in->wrong.len > 0 ? in->wrong : in->call.failure;
    rpc_end(in->rpc,
            in->wrong.len > 0 ? GRPC_INVALID_ARGUMENT
            : in->call.failure_code == GRPC_CANCELLED ||
                    in->call.failure_code == GRPC_DEADLINE_EXCEEDED
                ? in->call.failure_code
                : GRPC_INTERNAL,
            arena_printf(in->rpc->rq.arena, "error invoking app channel: " SLICE_FMT,
                         SLICE_ARG(words)));
}

static void
count_request(const struct inbound *in)
{
    const struct slice labels[] = { in->caller.app_id };
    metrics_record(metrics_series(METRICS_invoke_request_received, labels), 0);
}

static void
count_answer(const struct inbound *in, err_t err)
{
    const struct invoke_call *call = &in->call;
    char digits[OBSERVE_NUMBER_BYTES];
    int status = err != OK               ? GRPC_INTERNAL
                 : call->invoked != NULL ? (int)call->invoked->answer.code
                                         : call->status;
    const struct slice labels[] = { in->caller.app_id, observe_number(digits, (uint64_t)status) };
    metrics_record(metrics_series(METRICS_invoke_response_sent, labels), 0);
}

static void
call_local(struct rpc *rpc, bool is_stream)
{
    struct inbound in = {
        .rpc = rpc, .is_stream = is_stream, .piece = SLICE_EMPTY, .wrong = SLICE_EMPTY
    };
    rpc->call.x->body_may_pause = true;
    if (prepare(&in)) { /* suspends */
        count_request(&in);
        err_t err = invoke_start(&rpc->rq, &in.call); /* suspends */
        count_answer(&in, err);
        if (err != OK)
            fail_call(&in);
        else if ((is_stream ? stream_answer(&in) : whole_answer(&in)) == OK) /* suspends */
            rpc_end(rpc, GRPC_OK, SLICE_EMPTY);
        else
            rpc_end(rpc, GRPC_UNAVAILABLE, SLICE("the application's answer ended early"));
        invoke_finish(&rpc->rq, &in.call);
    }
    peer_reader_fini(&in.reader);
}

static void
answer(struct rpc *rpc)
{
    struct slice method = rpc->call.method;
    if (!slice_eq(rpc->call.service, SLICE(PEER_SERVICE)))
        grpc_proxy_in(rpc); /* suspends */
    else if (slice_eq(method, SLICE("CallLocalStream")))
        call_local(rpc, true); /* suspends */
    else if (slice_eq(method, SLICE("CallLocal")))
        call_local(rpc, false); /* suspends */
    else
        rpc_end(rpc, GRPC_UNIMPLEMENTED,
                arena_printf(rpc->rq.arena, "the method " SLICE_FMT " is not implemented",
                             SLICE_ARG(method)));
}

void
internal_handle(struct http_exchange *x)
{
    struct rpc rpc;
    const struct kernel *kernel = x->server_arg;
    uint64_t started_ns = task_worker(x->task)->now_ns;
    if (!grpc_begin(x, kernel->body_bytes_max + LIMIT_peer_head_bytes, &rpc.call))
        return;
    rpc.call.ended_code = GRPC_UNKNOWN;
    request_init(&rpc.rq, x->task);
    rpc.rq.turn = x->turn;
    uint64_t outer = task_deadline_push(x->task, rpc.call.timeout_ms);
    if (rpc_begin_trace(&rpc, false)) {
        if (rpc.rq.span != NULL)
            rpc.rq.span->kind = SPAN_SERVER;
        answer(&rpc); /* suspends */
    }
    task_deadline_pop(x->task, outer);
    rpc_observe(&rpc, started_ns, false);
}
