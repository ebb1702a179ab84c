/* SPDX-License-Identifier: Apache-2.0 */
/*
 * InvokeService: the invocation of an application's method as a message. A gRPC application gets it
 * as OnInvoke and its status, metadata and trailers go back as they are; for an HTTP application it
 * becomes a request, and the status of the answer a gRPC code with the HTTP one beside it.
 */
#include "api/invoke.h"
#include "api/trace.h"
#include "app/grpc_app.h"
#include "base/wire.h"
#include "dapr/proto/runtime/v1/invoke.pb-c.h"
#include "http/verb.h"
#include "surface/grpc_surface.h"
#include "surface/observe.h"

enum { FRAME_BYTES = 64, ERROR_TEXT_BYTES = 63, OWN_HEADERS = 4 };

typedef Dapr__Proto__Runtime__V1__InvokeServiceRequest request_t;
typedef Dapr__Proto__Common__V1__InvokeRequest message_t;

static const message_t no_message = DAPR__PROTO__COMMON__V1__INVOKE_REQUEST__INIT;

static const message_t *
message_of(const request_t *in)
{
    return in->message == NULL ? &no_message : in->message;
}

static struct slice
data_of(const message_t *message)
{
    return message->data == NULL ? SLICE_EMPTY : pb_slice(message->data->value);
}

/* Empty where the call names none. */
static struct slice
verb_of(const message_t *message)
{
    return message->http_extension == NULL ? SLICE_EMPTY
                                           : verb_name((uint64_t)message->http_extension->verb);
}

static struct slice
query_of(const message_t *message)
{
    return message->http_extension == NULL ? SLICE_EMPTY
                                           : slice_str(message->http_extension->querystring);
}

/* --- metadata ----------------------------------------------------------------------------------*/

bool
grpc_is_for_sidecar(struct slice name)
{
    static const char *const names[] = { "te",
                                         "dapr-app-id",
                                         "dapr-callee-app-id",
                                         "dapr-caller-app-id",
                                         "dapr-caller-namespace",
                                         "dapr-api-token" };
    return slice_is_one_of_nocase(name, names, ARRAY_LEN(names)) || trace_is_header(name);
}

/* The client's own metadata. */
static bool
is_metadata(struct slice name)
{
    return !grpc_is_reserved(name) && !grpc_is_for_sidecar(name) &&
           !slice_eq(name, SLICE("content-length"));
}

/* With room for `more` behind it. */
static struct http_header *
client_metadata(struct rpc *rpc, size_t more, size_t *ret_count)
{
    const struct http_exchange *x = rpc->call.x;
    struct http_header *headers = ARENA_ARRAY(rpc->rq.arena, struct http_header,
                                              x->header_count + more);
    size_t count = 0;
    for (size_t i = 0; i < x->header_count; i++) {
        struct slice name = x->headers[i].name;
        if (is_metadata(name))
            headers[count++] = x->headers[i];
    }
    *ret_count = count;
    return headers;
}

/* Ours, and what of theirs is metadata. */
static const struct http_header *
answer_metadata(struct rpc *rpc, const struct http_header *theirs, size_t their_count,
                size_t *ret_count)
{
    struct http_header *headers = ARENA_ARRAY(rpc->rq.arena, struct http_header,
                                              their_count + OWN_HEADERS + TRACE_HEADERS_MAX);
    size_t count = trace_http_headers(&rpc->rq, headers);
    for (size_t i = 0; i < their_count; i++)
        if (is_metadata(theirs[i].name))
            headers[count++] = theirs[i];
    *ret_count = count;
    return headers;
}

/* --- the answer of a gRPC application ----------------------------------------------------------*/

/* InvokeResponse { Any data = 1 { type_url = 1, value = 2 }, content_type = 2 }, the value in one
 * piece where it is. */
static err_t
send_answer(struct rpc *rpc, struct slice type_url, struct slice data, struct slice content_type)
{
    size_t any = wire_bytes_len(1, type_url) + wire_bytes_len(2, data);
    char *from = arena_alloc(rpc->rq.arena, type_url.len + content_type.len + FRAME_BYTES);
    char *at = wire_put_head(from, 1, any);
    at = wire_put_bytes(at, 1, type_url);
    if (data.len > 0)
        at = wire_put_head(at, 2, data.len);
    char *tail = at;
    at = wire_put_bytes(at, 2, content_type);
    struct slice head = slice_of(from, (size_t)(tail - from));
    struct slice rest = slice_of(tail, (size_t)(at - tail));
    err_t err = grpc_message_begin(&rpc->call, head.len + data.len + rest.len);
    if (err == OK)
        err = grpc_message_write(&rpc->call, head);
    if (err == OK)
        err = grpc_message_write(&rpc->call, data);
    return err == OK ? grpc_message_write(&rpc->call, rest) : err;
}

/* The trailers go back as they came, status and all. */
static void
pass_trailers(struct rpc *rpc, const struct grpc_answer *answer)
{
    struct http_header *trailers = ARENA_ARRAY(rpc->rq.arena, struct http_header,
                                               answer->trailer_count + 1);
    struct http_header ours[TRACE_HEADERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < answer->trailer_count; i++)
        if (!trace_is_header(answer->trailers[i].name) &&
            !slice_eq(answer->trailers[i].name, SLICE("content-type")))
            trailers[count++] = answer->trailers[i];
    (void)trace_http_headers(&rpc->rq, ours);
    trailers[count++] = ours[0]; /* traceparent */
    rpc->call.ended_code = answer->code;
    if (rpc->rq.span != NULL)
        rpc->rq.span->failure = answer->text;
    (void)http_reply_end_with(rpc->call.x, trailers, count); /* nobody is left to be told */
}

static void
pass_answer(struct rpc *rpc, const struct app_invoked *invoked)
{
    const struct grpc_answer *answer = &invoked->answer;
    rpc->call.more_metadata = answer_metadata(rpc, answer->headers, answer->header_count,
                                              &rpc->call.more_metadata_count);
    if (answer->trailer_count == 0) { /* of a server that speaks no gRPC */
        rpc_end(rpc, answer->code, answer->text);
        return;
    }
    err_t err = answer->code == GRPC_OK
                    ? send_answer(rpc, invoked->type_url, invoked->data, invoked->content_type)
                    : grpc_start(&rpc->call);
    if (err == OK)
        pass_trailers(rpc, answer);
}

/* The call did not come to an answer. What a sidecar says of it is an error of this API, whatever
 * it was there. */
static void
fail_call(struct rpc *rpc, const struct invoke_call *call)
{
    rpc->rq.error.grpc = call->failure_code == GRPC_DEADLINE_EXCEEDED ||
                                 call->failure_code == GRPC_CANCELLED
                             ? call->failure_code
                             : GRPC_INTERNAL;
    rpc_fail(rpc);
}

/* --- the answer of an HTTP application ---------------------------------------------------------*/

/* As the reference translates; see also grpc_code_of_http(), which is what gRPC itself says. */
static enum grpc_code
code_of_status(int status)
{
    switch (status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_NOT_FOUND;
    case 408:
        return GRPC_CANCELLED;
    case 409:
        return GRPC_ALREADY_EXISTS;
    case 429:
        return GRPC_RESOURCE_EXHAUSTED;
    case 501:
        return GRPC_UNIMPLEMENTED;
    case 503:
        return GRPC_UNAVAILABLE;
    case 504:
        return GRPC_DEADLINE_EXCEEDED;
    default:
        return status >= 200 && status < 300 ? GRPC_OK : GRPC_UNKNOWN;
    }
}

/* What HTTP means by these names is not what gRPC would. */
static bool
is_http_only(struct slice name)
{
    static const char *const names[] = { "accept",
                                         "accept-charset",
                                         "accept-language",
                                         "accept-ranges",
                                         "cache-control",
                                         "content-type",
                                         "cookie",
                                         "date",
                                         "expect",
                                         "from",
                                         "host",
                                         "if-match",
                                         "if-none-match",
                                         "if-modified-since",
                                         "max-forwards",
                                         "origin",
                                         "if-unmodified-since",
                                         "pragma",
                                         "referer",
                                         "via",
                                         "warning" };
    return slice_is_one_of_nocase(name, names, ARRAY_LEN(names));
}

/* gRPC wants names in lower case; HTTP/2 sends them so. */
static void
set_http_metadata(struct rpc *rpc, const struct invoke_call *call)
{
    struct arena *arena = rpc->rq.arena;
    struct http_header *headers = ARENA_ARRAY(
        arena, struct http_header, call->answer_header_count + OWN_HEADERS + TRACE_HEADERS_MAX);
    size_t count = trace_http_headers(&rpc->rq, headers);
    for (size_t i = 0; i < call->answer_header_count; i++) {
        const struct http_header *h = &call->answer_headers[i];
        if (trace_is_header(h->name) || slice_has_suffix(h->name, SLICE("-bin")) ||
            slice_has_prefix_nocase(h->name, SLICE("grpc-")))
            continue;
        headers[count] = *h;
        if (is_http_only(h->name))
            headers[count].name = arena_printf(arena, "dapr-" SLICE_FMT, SLICE_ARG(h->name));
        count++;
    }
    headers[count++] = (struct http_header){ SLICE("dapr-http-status"),
                                             arena_printf(arena, "%d", call->status) };
    rpc->call.more_metadata = headers;
    rpc->call.more_metadata_count = count;
}

static struct slice
answer_type(const struct invoke_call *call)
{
    for (size_t i = 0; i < call->answer_header_count; i++)
        if (slice_eq_nocase(call->answer_headers[i].name, SLICE("content-type")))
            return call->answer_headers[i].value;
    return SLICE_EMPTY;
}

/* The whole body, since a message has no pieces. */
static err_t
gather(struct request *rq, struct invoke_call *call, struct slice *ret_body)
{
    size_t most = rq->kernel->body_bytes_max;
    struct arena_bytes body = { 0 };
    for (;;) {
        struct slice piece;
        err_t err = invoke_read(rq, call, &piece); /* suspends */
        if (err != OK)
            return err;
        if (piece.len == 0)
            break;
        if (piece.len > most - body.len)
            return ERR_TOO_LARGE;
        arena_append(rq->arena, &body, piece);
    }
    *ret_body = arena_bytes_slice(&body);
    return OK;
}

static void
fail_with_status(struct rpc *rpc, int status, struct slice body)
{
    struct request *rq = &rpc->rq;
    const char *text = http_status_text(status);
    (void)fail(rq, ERR_DIRECT_INVOKE, "%s", text);
    rq->error.grpc = code_of_status(status);
    rq->error.reason = slice_str(text);
    error_add_info(rq, "http.code", arena_printf(rq->arena, "%d", status));
    error_add_info(rq, "http.error_message", slice_first(body, ERROR_TEXT_BYTES));
    rpc_fail(rpc);
}

static void
answer_http(struct rpc *rpc, struct invoke_call *call)
{
    struct slice body;
    err_t err = gather(&rpc->rq, call, &body); /* suspends */
    if (err != OK) {
        (void)fail(&rpc->rq, ERR_DIRECT_INVOKE,
                   "failed to invoke, id: " SLICE_FMT ", err: rpc error: code = %s desc = %s",
                   SLICE_ARG(call->app_id), grpc_code_name(err_info(err)->grpc),
                   err == ERR_TOO_LARGE ? "the answer is larger than the body limit"
                                        : "the answer ended early");
        rpc_fail(rpc);
        return;
    }
    set_http_metadata(rpc, call);
    if (code_of_status(call->status) != GRPC_OK)
        fail_with_status(rpc, call->status, body);
    else if (send_answer(rpc, SLICE_EMPTY, body, answer_type(call)) == OK)
        rpc_end(rpc, GRPC_OK, SLICE_EMPTY);
}

/* --- entry -------------------------------------------------------------------------------------*/

void
grpc_invoke_service(struct rpc *rpc)
{
    const request_t *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__invoke_service_request__descriptor);
    if (in == NULL)
        return;
    const message_t *message = message_of(in);
    size_t count;
    struct http_header *headers = client_metadata(rpc, 1, &count);
    if (message->content_type[0] != '\0')
        headers[count++] = (struct http_header){ SLICE("Content-Type"),
                                                 slice_str(message->content_type) };
    struct invoke_call call = { .app_id = slice_str(in->id),
                                .verb = verb_of(message),
                                .method = slice_str(message->method),
                                .query = query_of(message),
                                .headers = headers,
                                .header_count = count,
                                .body = data_of(message),
                                .is_message = true,
                                .content_type = slice_str(message->content_type),
                                .type_url = message->data == NULL
                                                ? SLICE_EMPTY
                                                : slice_str(message->data->type_url) };
    call.body_length = (int64_t)call.body.len;
    if (invoke_start(&rpc->rq, &call) != OK) /* suspends */
        fail_call(rpc, &call);
    else if (call.invoked != NULL)
        pass_answer(rpc, call.invoked);
    else
        answer_http(rpc, &call);
    invoke_finish(&rpc->rq, &call);
}
