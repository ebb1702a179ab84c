/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The route to the application of another sidecar: where it is, a stream of CallLocalStream to it,
 * and its answer. Bodies go in pieces as they come, in both directions. A sidecar that knows no
 * streams is asked once more in one message.
 */
#include "api/invoke_route.h"

#include "api/resolve.h"
#include "api/trace.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/version.h"
#include "http/grpc.h"
#include "http/grpc_client.h"
#include "peer/message.h"
#include "peer/peers.h"
#include "resiliency/run.h"
#include "telemetry/metrics.h"

#define CALL_STREAM SLICE("/" PEER_SERVICE "/CallLocalStream")
#define CALL_UNARY SLICE("/" PEER_SERVICE "/CallLocal")

enum { GRPC_HEADERS = 4, HTTP_STATUS_MIN = 100 };

struct peer_call {
    struct client_call call;
    struct task *task; /* of the request */
    struct slice id, namespace_;
    struct slice address;
    struct slice peer_id; /* SPIFFE id that the other sidecar must have */
    struct slice head;    /* packed; goes with the first piece */
    bool has_sent_head;
    uint64_t sent, received; /* pieces */
    struct peer_reader reader;
    struct slice piece; /* of the message that brought the answer's head */
    bool is_whole;      /* nothing follows it */
    /* What the other sidecar says of a call that did not come to an answer. */
    enum grpc_code code;
    struct slice text;
};

static struct peer_call *
peer_of(const struct invoke_call *call)
{
    return call->state;
}

/* --- what is said ------------------------------------------------------------------------------*/

/* Where the call came from, for the application that gets it. */
static size_t
put_forwarded(struct request *rq, struct http_header *headers)
{
    struct slice address = rq->kernel->host_address, name = rq->kernel->host_name;
    size_t count = 0;
    if (address.len > 0)
        headers[count++] = (struct http_header){ SLICE("X-Forwarded-For"), address };
    if (name.len > 0)
        headers[count++] = (struct http_header){ SLICE("X-Forwarded-Host"), name };
    headers[count++] = (struct http_header){
        SLICE("Forwarded"),
        arena_printf(rq->arena, "for=" SLICE_FMT ";by=" SLICE_FMT ";host=" SLICE_FMT,
                     SLICE_ARG(address), SLICE_ARG(address), SLICE_ARG(name))
    };
    return count;
}

/* `data`: of a call that is one message. */
static struct slice
pack_head(struct request *rq, const struct invoke_call *call, struct slice path, struct slice data)
{
    size_t count;
    struct http_header *headers = invoke_passed_headers(rq, call, &count);
    count += invoke_put_identity(rq, call, peer_of(call)->id, headers + count);
    count += put_forwarded(rq, headers + count);
    if (call->body_length > 0 || (call->body_length == 0 && !invoke_is_safe(call->verb)))
        headers[count++] = (struct http_header){
            SLICE("Content-Length"), arena_printf(rq->arena, "%lld", (long long)call->body_length)
        };
    count += trace_http_headers(rq, headers + count);
    const struct peer_request request = {
        .method = slice_from(path, 1),
        .verb = call->verb,
        .query = call->query,
        .content_type = call->is_message ? call->content_type
                                         : invoke_header_of(call, SLICE("content-type")),
        .type_url = call->type_url,
        .data = data,
        .headers = headers,
        .header_count = count,
    };
    return peer_request_pack(rq->arena, &request);
}

static err_t
write(struct task *t, struct invoke_call *call, struct slice piece)
{
    struct peer_call *peer = peer_of(call);
    err_t err = OK;
    while (err == OK && piece.len > 0) {
        struct slice part = slice_first(piece, LIMIT_peer_piece_bytes);
        struct peer_frame frame;
        peer_frame(peer->call.arena, peer->has_sent_head ? SLICE_EMPTY : peer->head, part.len,
                   peer->sent++, true, &frame);
        peer->has_sent_head = true;
        err = client_write(t, &peer->call, peer_frame_front(&frame)); /* suspends */
        if (err == OK)
            err = client_write(t, &peer->call, part);
        if (err == OK)
            err = client_write(t, &peer->call, peer_frame_back(&frame));
        piece = slice_from(piece, part.len);
    }
    return err;
}

static err_t
end(struct task *t, struct invoke_call *call)
{
    struct peer_call *peer = peer_of(call);
    err_t err = OK;
    if (!peer->has_sent_head) {
        struct peer_frame frame;
        peer_frame(peer->call.arena, peer->head, 0, 0, true, &frame);
        peer->has_sent_head = true;
        err = client_write(t, &peer->call, peer_frame_front(&frame)); /* suspends */
    }
    return err == OK ? client_end(t, &peer->call) : err;
}

/* --- the stream --------------------------------------------------------------------------------*/

static err_t
read_stream(void *arg, struct slice *ret_piece)
{
    struct peer_call *peer = arg;
    return client_read(peer->task, &peer->call, ret_piece); /* suspends */
}

static err_t
open_stream(struct request *rq, struct peer_call *peer)
{
    struct client *client;
    struct http_header headers[GRPC_HEADERS + TRACE_HEADERS_MAX];
    size_t count = 0;
    uint64_t left_ms = task_time_left_ms(rq->task);
    struct peers *peers = kernel_worker_of(rq->task)->peers;
    if (peers_client(peers, peer->address, peer->peer_id, &client) != OK)
        return DIAG_FAIL(task_diag(rq->task), ERR_PEER_UNREACHABLE,
                         "dial tcp: address " SLICE_FMT ": invalid", SLICE_ARG(peer->address));
    headers[count++] = (struct http_header){ SLICE("te"), SLICE("trailers") };
    headers[count++] = (struct http_header){ SLICE("content-type"), SLICE("application/grpc") };
    headers[count++] = (struct http_header){ SLICE("user-agent"), SLICE("remora/" REMORA_VERSION) };
    if (left_ms != UINT64_MAX)
        headers[count++] = (struct http_header){ SLICE("grpc-timeout"),
                                                 grpc_timeout_text(rq->arena, left_ms) };
    count += trace_grpc_metadata(rq, headers + count);
    const struct client_head head = { .method = SLICE("POST"),
                                      .target = CALL_STREAM,
                                      .headers = headers,
                                      .header_count = count,
                                      .body_length = HTTP_LENGTH_UNKNOWN,
                                      .turn = rq->turn };
    peer->has_sent_head = false;
    peer->sent = peer->received = 0;
    peer_reader_fini(&peer->reader);
    peer->reader = (struct peer_reader){ .read = read_stream,
                                         .arg = peer,
                                         .message_bytes_max = rq->kernel->body_bytes_max +
                                                              LIMIT_peer_head_bytes };
    return client_start(rq->task, client, &head, &peer->call); /* suspends */
}

/* The status at the end of the stream; OK means that all has come. */
static err_t
take_status(struct peer_call *peer)
{
    const struct client_call *call = &peer->call;
    const struct http_header *from = call->trailers;
    size_t count = call->trailer_count;
    if (!grpc_status_of(from, count, &peer->code)) {
        from = call->headers;
        count = call->header_count;
    }
    if (!grpc_status_of(from, count, &peer->code))
        return DIAG_FAIL(task_diag(peer->task), ERR_PEER_PROTOCOL,
                         "server closed the stream without sending trailers");
    if (peer->code == GRPC_OK)
        return OK;
    peer->text = grpc_message_decode(call->arena,
                                     peer_header_get(from, count, SLICE("grpc-message")));
    return ERR_PEER_FAILED;
}

/* The next piece of the answer; empty at its end. */
static err_t
next_piece(struct peer_call *peer, struct slice *ret_piece)
{
    struct slice message;
    struct peer_part part;
    bool has_message;
    *ret_piece = SLICE_EMPTY;
    do {
        if (peer->is_whole)
            return OK;
        err_t err = peer_reader_next(&peer->reader, &message, &has_message); /* suspends */
        if (err != OK)
            return err;
        if (!has_message)
            return take_status(peer);
        if (!peer_part_unpack(message, &part) || part.has_head ||
            (part.has_piece && part.seq != peer->received))
            return DIAG_FAIL(task_diag(peer->task), ERR_PEER_PROTOCOL,
                             "invalid piece of an answer received");
        peer->received += part.has_piece;
    } while (part.piece.len == 0);
    *ret_piece = part.piece;
    return OK;
}

static err_t
read_head(struct request *rq, struct peer_call *peer, struct peer_answer *ret_answer)
{
    struct slice message;
    struct peer_part part;
    bool has_message;
    err_t err = client_head(rq->task, &peer->call); /* suspends */
    if (err != OK)
        return err;
    if (!grpc_is_answer(&peer->call)) {
        peer->code = grpc_code_of_http(peer->call.status);
        peer->text = arena_printf(rq->arena,
                                  "unexpected HTTP status code received from server: %d (%s)",
                                  peer->call.status, http_status_text(peer->call.status));
        return ERR_PEER_FAILED;
    }
    err = peer_reader_next(&peer->reader, &message, &has_message); /* suspends */
    if (err == OK && !has_message) {
        err = take_status(peer);
        return err == OK ? DIAG_FAIL(task_diag(rq->task), ERR_PEER_PROTOCOL,
                                     "no response received from stream")
                         : err;
    }
    if (err != OK)
        return err;
    message = arena_dup(rq->arena, message); /* the head outlives the message, the piece need not */
    if (!peer_part_unpack(message, &part) || !part.has_head ||
        !peer_answer_unpack(rq->arena, part.head, ret_answer) || (part.has_piece && part.seq != 0))
        return DIAG_FAIL(task_diag(rq->task), ERR_PEER_PROTOCOL,
                         "response does not contain the required fields in the leading chunk");
    peer->piece = part.piece.len > 0 ? part.piece : ret_answer->data;
    peer->received = part.has_piece;
    return OK;
}

/* --- the answer --------------------------------------------------------------------------------*/

static void
take_http(struct request *rq, struct invoke_call *call, const struct peer_answer *answer)
{
    struct slice length = peer_header_get(answer->headers, answer->header_count,
                                          SLICE("content-length"));
    uint64_t n;
    call->status = answer->code;
    call->answer_length = slice_to_u64(length, &n) && n <= INT64_MAX ? (int64_t)n
                                                                     : HTTP_LENGTH_UNKNOWN;
    struct http_header *headers = ARENA_ARRAY(rq->arena, struct http_header,
                                              answer->header_count + 1);
    size_t count = 0;
    for (size_t i = 0; i < answer->header_count; i++)
        if (!slice_eq_nocase(answer->headers[i].name, SLICE("content-type")) ||
            answer->content_type.len == 0)
            headers[count++] = answer->headers[i];
    if (answer->content_type.len > 0)
        headers[count++] = (struct http_header){ SLICE("Content-Type"), answer->content_type };
    invoke_take_headers(rq, call, headers, count);
}

/* All of it: a message has no pieces. */
static err_t
gather(struct request *rq, struct peer_call *peer, struct slice *ret_data)
{
    struct arena_bytes data = { 0 };
    struct slice piece = peer->piece;
    err_t err = OK;
    do {
        if (piece.len > rq->kernel->body_bytes_max - data.len)
            return DIAG_FAIL(task_diag(rq->task), ERR_TOO_LARGE,
                             "the answer is larger than the body limit");
        arena_append(rq->arena, &data, piece);
    } while ((err = next_piece(peer, &piece)) == OK && piece.len > 0); /* suspends */
    *ret_data = arena_bytes_slice(&data);
    return err;
}

/* Metadata that is not text is base64 on the wire of either protocol, with padding here. */
static const struct http_header *
metadata_of(struct request *rq, const struct http_header *from, size_t count)
{
    struct http_header *to = ARENA_ARRAY(rq->arena, struct http_header, count + 1);
    for (size_t i = 0; i < count; i++) {
        char *name = arena_str(rq->arena, from[i].name);
        for (size_t j = 0; j < from[i].name.len; j++)
            if (name[j] >= 'A' && name[j] <= 'Z')
                name[j] = (char)(name[j] - 'A' + 'a');
        to[i] = (struct http_header){ slice_of(name, from[i].name.len), from[i].value };
    }
    return to;
}

static struct slice
encoded(struct arena *arena, struct slice bytes)
{
    size_t len = base64_encoded_len(bytes.len);
    char *text = arena_alloc(arena, len);
    base64_encode(bytes, text);
    return slice_of(text, len);
}

/* The application's own, and the status in the form that an application's answer has it here. */
static const struct http_header *
trailers_of(struct request *rq, const struct peer_answer *answer, size_t *ret_count)
{
    struct http_header *to = ARENA_ARRAY(rq->arena, struct http_header,
                                         answer->trailer_count + GRPC_HEADERS);
    const struct http_header *from = metadata_of(rq, answer->trailers, answer->trailer_count);
    size_t count = 0;
    for (size_t i = 0; i < answer->trailer_count; i++)
        if (!grpc_is_reserved(from[i].name))
            to[count++] = from[i];
    to[count++] = (struct http_header){ SLICE("grpc-status"),
                                        arena_printf(rq->arena, "%d", (int)answer->code) };
    if (answer->text.len > 0)
        to[count++] = (struct http_header){ SLICE("grpc-message"),
                                            grpc_message_encode(rq->arena, answer->text) };
    if (answer->details.len > 0)
        to[count++] = (struct http_header){ SLICE("grpc-status-details-bin"),
                                            encoded(rq->arena, answer->details) };
    *ret_count = count;
    return to;
}

/* Of a gRPC application. */
static err_t
take_grpc(struct request *rq, struct invoke_call *call, const struct peer_answer *answer)
{
    struct app_invoked *invoked = ARENA_NEW(rq->arena, struct app_invoked);
    size_t trailer_count;
    const struct http_header *trailers = trailers_of(rq, answer, &trailer_count);
    *invoked = (struct app_invoked){
        .answer = { .code = (enum grpc_code)answer->code,
                    .text = answer->text,
                    .details = answer->details,
                    .is_peers = true,
                    .message = SLICE_EMPTY,
                    .headers = metadata_of(rq, answer->headers, answer->header_count),
                    .header_count = answer->header_count,
                    .trailers = trailers,
                    .trailer_count = trailer_count },
        .content_type = answer->content_type,
        .type_url = answer->type_url,
    };
    struct peer_call *peer = peer_of(call);
    err_t err = gather(rq, peer, &invoked->data); /* suspends */
    if (err != OK)
        return err;
    peer->piece = SLICE_EMPTY;
    peer->is_whole = true;
    invoke_take_invoked(rq, call, invoked);
    return OK;
}

static err_t
take_answer(struct request *rq, struct invoke_call *call, const struct peer_answer *answer)
{
    if (answer->code >= HTTP_STATUS_MIN && answer->code < 1000) {
        take_http(rq, call, answer);
        return OK;
    }
    if (answer->code >= 0 && answer->code < HTTP_STATUS_MIN)
        return take_grpc(rq, call, answer); /* suspends */
    return DIAG_FAIL(task_diag(rq->task), ERR_PEER_PROTOCOL, "the answer has no valid status");
}

/* --- counting ----------------------------------------------------------------------------------*/

#define UNARY SLICE("unary") /* as the reference counts all calls that are not by proxy */

static void
count_sent(const struct peer_call *peer)
{
    const struct slice labels[] = { peer->id, UNARY };
    metrics_record(metrics_series(METRICS_invoke_request_sent, labels), 0);
}

static void
count_answer(struct request *rq, const struct invoke_call *call, uint64_t started_ns)
{
    int status = call->invoked != NULL ? (int)call->invoked->answer.code : call->status;
    const struct slice labels[] = { peer_of(call)->id, arena_printf(rq->arena, "%d", status),
                                    UNARY };
    metrics_record(metrics_series(METRICS_invoke_response_received, labels), 0);
    metrics_record(metrics_series(METRICS_invoke_response_latency, labels),
                   clock_now_ns() - started_ns);
}

/* --- one attempt -------------------------------------------------------------------------------*/

static err_t
call_stream(struct request *rq, struct invoke_call *call)
{
    struct peer_call *peer = peer_of(call);
    struct peer_answer answer = { .code = -1 };
    err_t err = open_stream(rq, peer); /* suspends */
    if (err != OK)
        return err;
    err = invoke_send_body(rq, call); /* suspends */
    if (err == OK || err == ERR_PEER_LOST)
        err = read_head(rq, peer, &answer); /* suspends */
    return err == OK ? take_answer(rq, call, &answer) : err;
}

static void
give_up(struct request *rq, struct invoke_call *call)
{
    invoke_stop_body(rq, call); /* suspends */
    client_finish(&peer_of(call)->call);
}

/* The other sidecar is older than streams: everything once more, in one message. */
static err_t
call_unary(struct request *rq, struct invoke_call *call, struct slice path)
{
    struct peer_call *peer = peer_of(call);
    struct client *client;
    struct grpc_answer reply;
    struct peer_answer answer = { .code = -1 };
    if (!invoke_can_repeat(call)) {
        peer->text = arena_printf(rq->arena,
                                  "app " SLICE_FMT " does not support streaming-based service "
                                  "invocation and the request cannot be sent again",
                                  SLICE_ARG(peer->id));
        return ERR_PEER_FAILED;
    }
    give_up(rq, call);                        /* suspends */
    err_t err = invoke_gather_body(rq, call); /* suspends */
    if (err == OK)
        err = peers_client(kernel_worker_of(rq->task)->peers, peer->address, peer->peer_id,
                           &client);
    if (err != OK)
        return err;
    const struct grpc_question question = {
        .path = CALL_UNARY,
        .message = pack_head(rq, call, path, call->body),
        .answer_bytes_max = rq->kernel->body_bytes_max + LIMIT_peer_head_bytes,
    };
    err = grpc_ask(rq->task, client, &question, &reply); /* suspends */
    peer->code = reply.code;
    peer->text = reply.text;
    if (err != OK || reply.code != GRPC_OK)
        return err != OK ? err : ERR_PEER_FAILED;
    if (!peer_answer_unpack(rq->arena, reply.message, &answer))
        return DIAG_FAIL(task_diag(rq->task), ERR_PEER_PROTOCOL, "the answer is malformed");
    peer->piece = answer.data;
    peer->is_whole = true;
    return take_answer(rq, call, &answer);
}

/* Unreachable, for the policies, is also what has not been sent, and what may be sent again because
 * it changes nothing. */
static err_t
harmless(const struct invoke_call *call, err_t err)
{
    const struct peer_call *peer = peer_of(call);
    bool is_away = err == ERR_PEER_LOST ||
                   (err == ERR_PEER_FAILED && peer->code == GRPC_UNAVAILABLE);
    return is_away && (!peer->call.was_sent || invoke_is_safe(call->verb)) ? ERR_PEER_UNREACHABLE
                                                                           : err;
}

err_t
invoke_choose_peer(struct request *rq, struct attempt *attempt, struct slice id,
                   struct slice namespace_, struct slice *ret_address)
{
    struct slice first = SLICE_EMPTY;
    for (unsigned i = 0; i < LIMIT_peer_choices_max; i++) {
        if (resolve_app(rq, id, namespace_, ret_address) != OK) /* suspends */
            return ERR_NOT_RESOLVED;
        if (slice_eq(*ret_address, first))
            break; /* that is all of them */
        if (i == 0)
            first = *ret_address;
        err_t err = attempt == NULL ? OK : resiliency_enter(rq->task, attempt, *ret_address);
        if (err != ERR_BREAKER_OPEN)
            return err;
    }
    return ERR_BREAKER_OPEN;
}

static err_t
exchange(struct request *rq, struct invoke_call *call, struct slice path)
{
    struct peer_call *peer = peer_of(call);
    err_t err = invoke_choose_peer(rq, call->attempt, peer->id, peer->namespace_,
                                   &peer->address); /* suspends */
    if (err != OK)
        return err;
    peer->peer_id = invoke_peer_id(rq, peer->id, peer->namespace_);
    bool is_counted = metrics_is_on();
    uint64_t started_ns = is_counted ? clock_now_ns() : 0;
    if (is_counted)
        count_sent(peer);
    err = call_stream(rq, call); /* suspends */
    if (err == ERR_PEER_FAILED && peer->code == GRPC_UNIMPLEMENTED)
        err = call_unary(rq, call, path); /* suspends */
    if (err == ERR_PEER_UNREACHABLE || err == ERR_PEER_LOST)
        resolve_forget(rq, peer->id, peer->address);
    if (err == OK && is_counted)
        count_answer(rq, call, started_ns);
    return err;
}

/* --- failures ----------------------------------------------------------------------------------*/

static struct slice
rpc_error(struct request *rq, enum grpc_code code, struct slice text)
{
    return arena_printf(rq->arena, "rpc error: code = %s desc = " SLICE_FMT, grpc_code_name(code),
                        SLICE_ARG(text));
}

static err_t
fail_call(struct request *rq, struct invoke_call *call, err_t err)
{
    struct peer_call *peer = peer_of(call);
    enum grpc_code code = err_info(err)->grpc;
    struct slice words = invoke_failure_words(rq, call, err);
    if (err == ERR_NOT_RESOLVED)
        return invoke_fail(rq, call, err, GRPC_INTERNAL, words);
    if (err == ERR_PEER_FAILED) {
        code = peer->code;
        words = peer->text;
    } else if (err == ERR_PEER_UNREACHABLE) {
        words = arena_printf(
            rq->arena, "connection error: desc = \"transport: Error while dialing: " SLICE_FMT "\"",
            SLICE_ARG(words));
    } else if (err == ERR_PEER_LOST) {
        code = grpc_failure(rq->task, &peer->call, err, &words);
    }
    words = rpc_error(rq, code, words);
    if (code == GRPC_UNAVAILABLE && call->attempt != NULL)
        words = arena_printf(
            rq->arena, "failed to invoke target " SLICE_FMT " after %u retries. Error: " SLICE_FMT,
            SLICE_ARG(peer->id), call->attempt->number - 1, SLICE_ARG(words));
    (void)invoke_fail(rq, call, err, code, words);
    if (code == GRPC_PERMISSION_DENIED)
        rq->error.http = 403;
    return harmless(call, err);
}

/* --- the route ---------------------------------------------------------------------------------*/

/* Made by the first attempt. False: the id is none. */
static bool
prepare(struct request *rq, struct invoke_call *call, struct slice path)
{
    struct peer_call *peer = ARENA_NEW(rq->arena, struct peer_call);
    peer->task = rq->task;
    call->state = peer;
    if (!resolve_split(rq, call->app_id, &peer->id, &peer->namespace_))
        return false;
    if (peer->namespace_.len == 0)
        peer->namespace_ = invoke_own_namespace(rq->kernel);
    peer->head = pack_head(rq, call, path, SLICE_EMPTY);
    if (call->keep_bytes_max < LIMIT_peer_keep_bytes)
        call->keep_bytes_max = LIMIT_peer_keep_bytes;
    return true;
}

static err_t
start(struct request *rq, struct invoke_call *call, struct slice path)
{
    if (call->app_id.len == 0)
        return invoke_fail(rq, call, ERR_DIRECT_INVOKE, GRPC_INTERNAL, SLICE("app id is empty"));
    if (call->state == NULL && !prepare(rq, call, path))
        return fail_call(rq, call, ERR_NOT_RESOLVED);
    err_t err = exchange(rq, call, path); /* suspends */
    return err == OK || err == ERR_BREAKER_OPEN ? err : fail_call(rq, call, err);
}

static err_t
read_answer(struct request *rq, struct invoke_call *call, struct slice *ret_chunk)
{
    struct peer_call *peer = peer_of(call);
    struct slice *here = call->held_answer.len > 0 ? &call->held_answer : &peer->piece;
    (void)rq;
    if (here->len == 0)
        return next_piece(peer, ret_chunk); /* suspends */
    *ret_chunk = *here;
    *here = SLICE_EMPTY;
    return OK;
}

static void
finish(struct invoke_call *call)
{
    struct peer_call *peer = peer_of(call);
    if (peer == NULL)
        return;
    client_finish(&peer->call);
    peer_reader_fini(&peer->reader);
    peer->reader = (struct peer_reader){ 0 };
    peer->piece = SLICE_EMPTY;
    peer->is_whole = false;
}

const struct invoke_route invoke_peer_route = { .is_remote = true,
                                                .start = start,
                                                .read = read_answer,
                                                .finish = finish,
                                                .write = write,
                                                .end = end };
