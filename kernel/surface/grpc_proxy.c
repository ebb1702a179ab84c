/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of services that are not the sidecar's: handed to the application that the metadata name,
 * here or behind another sidecar, messages undecoded, whichever kind of call it is. What another
 * sidecar hands to us goes to our own application or nowhere. The handler's task takes the answer
 * down; what the client sends goes up on the same task as far as it is here already (an ordinary
 * unary call is) and on a second one from there.
 *
 * Policies for the application behind another sidecar reach to the head of the answer, where a call
 * that failed usually says so; for a stream (`dapr-stream: true`) to the peer's connection only.
 */
#include "api/access.h"
#include "api/invoke.h"
#include "api/resolve.h"
#include "api/trace.h"
#include "app/grpc_app.h"
#include "async/worker.h"
#include "base/limits.h"
#include "base/clock.h"
#include "http/grpc_client.h"
#include "peer/peers.h"
#include "resiliency/run.h"
#include "surface/grpc_surface.h"
#include "surface/internal.h"
#include "telemetry/metrics.h"
#include "telemetry/rpc_metrics.h"

enum {
    OWN_METADATA = 10,
    UP_AT_ONCE_BYTES = 128 * 1024,
    PIECE_BYTES_MAX = LIMIT_h2_client_window_bytes * 2, /* as much as comes at once */
};

struct proxy {
    struct rpc *rpc;
    struct http_exchange *x;
    struct slice target; /* as the client names it */
    struct invoke_caller caller;
    /* Behind another sidecar. */
    struct slice id, namespace_;
    struct slice address;
    struct slice peer_id;
    struct client_call call;
    struct task *up; /* NULL: not begun, or over */
    bool awaits_up;
    struct wait up_wait;
    size_t up_bytes;
    bool up_has_ended;       /* the client has sent everything */
    bool awaits_head;        /* an attempt lasts until the answer's head is there */
    bool keeps;              /* what has gone up is in `kept`, for another attempt */
    struct arena_bytes kept; /* of the request's arena */
    struct buf up_piece;
    struct buf down_piece;
    uint64_t started_ns; /* 0: is not counted */
};

/* --- the head ----------------------------------------------------------------------------------*/

/* What of the client's goes on. */
static struct http_header *
passed_headers(struct proxy *p, size_t *ret_count)
{
    const struct http_exchange *x = p->x;
    struct http_header *headers = ARENA_ARRAY(p->rpc->rq.arena, struct http_header,
                                              x->header_count + OWN_METADATA + TRACE_HEADERS_MAX);
    size_t count = 0;
    headers[count++] = (struct http_header){ SLICE("te"), SLICE("trailers") };
    for (size_t i = 0; i < x->header_count; i++)
        if (!grpc_is_for_sidecar(x->headers[i].name))
            headers[count++] = x->headers[i];
    *ret_count = count;
    return headers;
}

static err_t
start(struct proxy *p, struct client *client, struct http_header *headers, size_t count)
{
    struct request *rq = &p->rpc->rq;
    count += trace_grpc_metadata(rq, headers + count);
    const struct client_head head = { .method = SLICE("POST"),
                                      .target = p->x->target,
                                      .headers = headers,
                                      .header_count = count,
                                      .body_length = HTTP_LENGTH_UNKNOWN,
                                      .turn = p->x->turn };
    return client_start(rq->task, client, &head, &p->call); /* suspends */
}

static err_t
start_app(struct proxy *p, struct app_channel *channel)
{
    const struct app_settings *settings = app_settings(channel->app);
    size_t count;
    struct http_header *headers = passed_headers(p, &count);
    count += app_grpc_metadata(settings, p->caller.app_id, p->caller.namespace_, headers + count);
    return start(p, app_grpc_client(channel), headers, count); /* suspends */
}

/* The next sidecar finds the application by the name that the client has used. */
static err_t
start_peer(struct proxy *p)
{
    struct client *client;
    size_t count;
    if (peers_client(kernel_worker_of(p->x->task)->peers, p->address, p->peer_id, &client) != OK)
        return DIAG_FAIL(task_diag(p->x->task), ERR_PEER_UNREACHABLE,
                         "dial tcp: address " SLICE_FMT ": invalid", SLICE_ARG(p->address));
    struct http_header *headers = passed_headers(p, &count);
    headers[count++] = (struct http_header){ SLICE("dapr-app-id"), p->target };
    headers[count++] = (struct http_header){ SLICE("dapr-caller-app-id"), p->caller.app_id };
    headers[count++] = (struct http_header){ SLICE("dapr-caller-namespace"), p->caller.namespace_ };
    headers[count++] = (struct http_header){ SLICE("dapr-callee-app-id"), p->id };
    return start(p, client, headers, count); /* suspends */
}

/* --- up ----------------------------------------------------------------------------------------*/

static void
keep_up(struct proxy *p)
{
    struct request *rq = &p->rpc->rq;
    p->keeps = p->keeps && p->kept.len + p->up_piece.len <= rq->kernel->body_bytes_max;
    if (p->keeps)
        arena_append(rq->arena, &p->kept, buf_slice(&p->up_piece));
}

/* One piece from the client to the application. */
static err_t
pass_up(struct task *t, struct proxy *p, bool *ret_is_end)
{
    err_t err = http_body_move(p->x, &p->up_piece); /* suspends */
    *ret_is_end = p->up_has_ended = err == OK && p->up_piece.len == 0;
    if (err != OK)
        return err;
    p->up_bytes += p->up_piece.len;
    keep_up(p);
    return *ret_is_end ? client_end(t, &p->call) : client_write_move(t, &p->call, &p->up_piece);
}

static void
up_main(struct task *t, void *arg)
{
    struct proxy *p = arg;
    bool is_end = false;
    while (!is_end && pass_up(t, p, &is_end) == OK)
        ;
    p->up = NULL;
    if (p->awaits_up)
        wait_done(&p->up_wait, OK);
}

/* What an attempt before this one has sent. */
static err_t
send_again(struct proxy *p)
{
    struct task *t = p->rpc->rq.task;
    err_t err = OK;
    if (p->kept.len > 0)
        err = client_write(t, &p->call, arena_bytes_slice(&p->kept)); /* suspends */
    return err == OK && p->up_has_ended ? client_end(t, &p->call) : err;
}

/* What has come with the head; then the rest gets a task of its own. */
static err_t
begin_up(struct proxy *p)
{
    struct task *t = p->rpc->rq.task;
    err_t repeated = send_again(p); /* suspends */
    bool is_end = false;
    if (repeated != OK || p->up_has_ended)
        return repeated == ERR_PEER_LOST ? OK : repeated; /* what it says can still be had */
    while (p->up_bytes < UP_AT_ONCE_BYTES && http_body_is_here(p->x)) {
        err_t err = pass_up(t, p, &is_end);
        if (is_end || err == ERR_PEER_LOST) /* what it says can still be had */
            return OK;
        if (err != OK)
            return err;
    }
    p->up = task_spawn(task_worker(t), "proxy", up_main, p);
    return p->up == NULL ? DIAG_FAIL(task_diag(t), ERR_OVERLOADED, "too many requests at a time")
                         : OK;
}

static void
end_up(struct proxy *p)
{
    struct task *t = p->rpc->rq.task;
    if (p->up == NULL)
        return;
    task_cancel(p->up);
    wait_init(&p->up_wait, t, NULL);
    p->awaits_up = true;
    (void)!TASK_WAIT_OUT(t, &p->up_wait); /* it ends at once, with OK */
}

/* --- down --------------------------------------------------------------------------------------*/

static void
note_status(struct proxy *p, const struct http_header *headers, size_t count)
{
    enum grpc_code code;
    if (!grpc_status_of(headers, count, &code))
        return;
    p->rpc->call.ended_code = code;
    for (size_t i = 0; i < count && p->rpc->rq.span != NULL; i++)
        if (slice_eq(headers[i].name, SLICE("grpc-message")))
            p->rpc->rq.span->failure = grpc_message_decode(p->rpc->rq.arena, headers[i].value);
}

/* The application answered something, but not gRPC. */
static void
refuse_answer(struct proxy *p)
{
    struct rpc *rpc = p->rpc;
    rpc_end(rpc, grpc_code_of_http(p->call.status),
            arena_printf(rpc->rq.arena, "unexpected HTTP status code received from server: %d (%s)",
                         p->call.status, http_status_text(p->call.status)));
}

static err_t
next_down(struct proxy *p)
{
    return client_read_move(p->rpc->rq.task, &p->call, &p->down_piece); /* suspends */
}

/* The rest of the body; its first piece is here. */
static err_t
pass_body(struct proxy *p)
{
    err_t err = OK;
    while (err == OK && p->down_piece.len > 0) {
        p->rpc->call.sent_bytes += p->down_piece.len;
        err = http_reply_move(p->x, &p->down_piece); /* suspends */
        if (err == OK)
            err = next_down(p);
    }
    return err;
}

/* Everything of the answer; OK: with its own status. */
static err_t
pass_down(struct proxy *p)
{
    struct task *t = p->rpc->rq.task;
    struct client_call *call = &p->call;
    enum grpc_code code;
    err_t err = client_head(t, call); /* suspends */
    if (err != OK)
        return err;
    if (!grpc_is_answer(call)) {
        refuse_answer(p);
        return OK;
    }
    bool is_head_only = grpc_status_of(call->headers, call->header_count, &code);
    if (is_head_only && (err = next_down(p)) != OK)
        return err;
    is_head_only = is_head_only && p->down_piece.len == 0;
    if (is_head_only)
        note_status(p, call->headers, call->header_count);
    p->rpc->call.has_started = true;
    err = http_reply_start(p->x, 200, call->headers, call->header_count,
                           is_head_only ? 0 : HTTP_LENGTH_UNKNOWN);
    if (err != OK || is_head_only)
        return err == OK ? http_reply_end(p->x) : err;
    if (p->down_piece.len == 0)
        err = next_down(p);
    if (err == OK)
        err = pass_body(p);
    if (err != OK)
        return err;
    note_status(p, call->trailers, call->trailer_count);
    return http_reply_end_with(p->x, call->trailers, call->trailer_count);
}

static void
end_with(struct proxy *p, err_t err)
{
    struct rpc *rpc = p->rpc;
    struct slice text;
    if (p->x->reply_ended || p->x->client_gone)
        return;
    enum grpc_code code = grpc_failure(rpc->rq.task, &p->call, err, &text);
    rpc_end(rpc, code, text);
}

/* --- the call ----------------------------------------------------------------------------------*/

static void
count_call(const struct proxy *p, uint64_t started_ns)
{
    const struct grpc_call *call = &p->rpc->call;
    rpc_count_client(&(struct rpc_count){ .method = p->x->path,
                                          .code = call->ended_code,
                                          .sent_bytes = call->received_bytes,
                                          .received_bytes = call->sent_bytes,
                                          .took_ns = clock_now_ns() - started_ns });
}

/* Both bodies of a call that has been started. */
static err_t
pass_both(struct proxy *p)
{
    err_t err = begin_up(p);               /* suspends if the peer takes little */
    return err == OK ? pass_down(p) : err; /* suspends */
}

static void
begin(struct proxy *p)
{
    p->x->is_passed_on = true;
    p->started_ns = metrics_is_on() ? clock_now_ns() : 0;
    buf_init(&p->up_piece, PIECE_BYTES_MAX);
    buf_init(&p->down_piece, PIECE_BYTES_MAX);
}

static void
finish(struct proxy *p)
{
    end_up(p);
    p->rpc->call.received_bytes = p->up_bytes;
    client_finish(&p->call);
    buf_fini(&p->up_piece);
    buf_fini(&p->down_piece);
    if (p->started_ns != 0)
        count_call(p, p->started_ns);
}

static void
call_app(struct proxy *p, struct app_channel *channel)
{
    err_t err = app_enter(p->x->task, channel); /* suspends */
    if (err != OK) {
        end_with(p, err);
        return;
    }
    begin(p);
    err = start_app(p, channel); /* suspends */
    if (err == OK)
        err = pass_both(p); /* suspends */
    if (err != OK)
        end_with(p, err);
    finish(p);
    app_leave(channel);
}

/* --- another sidecar ---------------------------------------------------------------------------*/

/* Takes back what an attempt has begun. */
static void
take_back(struct proxy *p)
{
    end_up(p);
    p->awaits_up = false;
    client_finish(&p->call);
    p->call = (struct client_call){ 0 };
    buf_clear(&p->up_piece);
}

/* Up to the head of the answer. */
static err_t
await_head(struct proxy *p, struct attempt *attempt)
{
    enum grpc_code code = GRPC_OK;
    err_t err = begin_up(p); /* suspends if the peer takes little */
    if (err == OK)
        err = client_head(p->rpc->rq.task, &p->call); /* suspends */
    if (err != OK)
        return err;
    if (!grpc_is_answer(&p->call))
        code = grpc_code_of_http(p->call.status);
    else if (!grpc_status_of(p->call.headers, p->call.header_count, &code))
        code = GRPC_OK; /* what stands behind the messages comes too late for another attempt */
    attempt->answer = ANSWER_GRPC;
    attempt->code = (int)code;
    return OK;
}

static err_t
try_peer(struct task *t, void *arg, struct attempt *attempt)
{
    struct proxy *p = arg;
    struct request *rq = &p->rpc->rq;
    if (attempt->number > 1)
        take_back(p); /* suspends for a moment */
    (void)t;          /* the request's */
    err_t err = invoke_choose_peer(rq, attempt, p->id, p->namespace_, &p->address); /* suspends */
    if (err != OK)
        return err;
    p->peer_id = invoke_peer_id(rq, p->id, p->namespace_);
    err = start_peer(p); /* suspends */
    if (err == OK && p->awaits_head)
        err = await_head(p, attempt); /* suspends */
    if (err == ERR_PEER_UNREACHABLE || err == ERR_PEER_LOST)
        resolve_forget(rq, p->id, p->address);
    attempt->is_final = p->up_bytes > 0 && !p->keeps;
    return err;
}

/* Under the policies for the application; until then nothing has been passed down. */
static err_t
reach_peer(struct proxy *p)
{
    struct request *rq = &p->rpc->rq;
    struct resiliency_target target;
    bool is_stream = slice_eq_nocase(grpc_metadata(&p->rpc->call, SLICE("dapr-stream")),
                                     SLICE("true"));
    resiliency_for_app(settings_of(rq->task)->resiliency, p->target, &target);
    p->awaits_head = !is_stream &&
                     (target.retry != NULL || target.breaker != NULL || target.timeout != NULL);
    p->keeps = p->awaits_head && target.retry != NULL;
    const struct run run = { .target = &target,
                             .built_in = &built_in_invoke,
                             .enters_late = true,
                             .is_replayable = true,
                             .is_ending = &rq->kernel->is_ending };
    return resiliency_run(rq->task, &run, try_peer, p); /* suspends */
}

static void
call_peer(struct proxy *p)
{
    begin(p);
    err_t err = reach_peer(p); /* suspends */
    if (err == OK)
        err = p->awaits_head ? pass_down(p) : pass_both(p); /* suspends */
    if (err == ERR_NOT_RESOLVED)
        rpc_end(p->rpc, GRPC_UNKNOWN, task_diag(p->x->task)->message);
    else if (err != OK)
        end_with(p, err);
    if (err == ERR_PEER_LOST)
        resolve_forget(&p->rpc->rq, p->id, p->address);
    finish(p);
}

/* --- whose call --------------------------------------------------------------------------------*/

/* Empty: the call has been ended. */
static struct slice
target_of(struct rpc *rpc)
{
    struct slice id = grpc_metadata(&rpc->call, SLICE("dapr-app-id"));
    if (id.len == 0)
        id = grpc_metadata(&rpc->call, SLICE("dapr-callee-app-id"));
    if (id.len == 0)
        rpc_end(rpc, GRPC_UNKNOWN,
                slice_eq(rpc->call.service, SLICE("dapr.proto.runtime.v1.Dapr"))
                    ? SLICE("failed to proxy request: required metadata dapr-callee-app-id or "
                            "dapr-app-id not found")
                    : SLICE("cannot proxy request: missing dapr-callee-app-id or dapr-app-id "
                            "metadata"));
    return id;
}

static void
to_app(struct proxy *p)
{
    struct rpc *rpc = p->rpc;
    struct app_channel *channel = &kernel_worker_of(rpc->rq.task)->app;
    enum grpc_code code;
    const char *trouble = invoke_app_trouble(&rpc->rq, &code);
    if (trouble == NULL)
        call_app(p, channel); /* suspends */
    else
        rpc_end(rpc, code, slice_str(trouble));
}

void
grpc_proxy(struct rpc *rpc)
{
    struct request *rq = &rpc->rq;
    struct proxy proxy = { .rpc = rpc, .x = rpc->call.x, .target = target_of(rpc) };
    proxy.caller = (struct invoke_caller){ rq->kernel->app_id, invoke_own_namespace(rq->kernel) };
    if (proxy.target.len == 0)
        return;
    if (invoke_is_self(rq, proxy.target)) {
        to_app(&proxy); /* suspends */
    } else if (!resolve_split(rq, proxy.target, &proxy.id, &proxy.namespace_)) {
        rpc_end(rpc, GRPC_UNKNOWN, task_diag(rq->task)->message);
    } else {
        if (proxy.namespace_.len == 0)
            proxy.namespace_ = invoke_own_namespace(rq->kernel);
        call_peer(&proxy); /* suspends */
    }
}

void
grpc_proxy_in(struct rpc *rpc)
{
    struct http_exchange *x = rpc->call.x;
    struct proxy proxy = { .rpc = rpc, .x = x, .target = target_of(rpc) };
    if (proxy.target.len == 0)
        return;
    internal_caller(x, x->headers, x->header_count, &proxy.caller);
    const struct access_question question = { .caller_id = x->peer_id,
                                              .verb = SLICE_EMPTY,
                                              .path = x->path };
    if (!invoke_is_self(&rpc->rq, proxy.target))
        rpc_end(rpc, GRPC_UNKNOWN,
                arena_printf(rpc->rq.arena, "couldn't find service: " SLICE_FMT,
                             SLICE_ARG(proxy.target)));
    else if (!access_is_allowed(settings_of(x->task)->access, &question))
        internal_deny(rpc, &question);
    else
        to_app(&proxy); /* suspends */
}
