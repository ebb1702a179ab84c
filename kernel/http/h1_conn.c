/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one client connection: input becomes requests, one at a time and in order; each gets
 * a task; after its answer the next is looked for. Told in the order things happen to a connection.
 *
 * An idle connection holds this struct and h2o's socket, no buffers: input is read into one buffer
 * the server has for all, and only what cannot be used at once is kept. Reading stays on while a
 * task works, because the end of input and resets are news for it. Timers move lazily: the timer
 * may fire early, looks at what the connection does and sets itself again.
 */
#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "async/worker.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/h1_conn.h"
#include "http/tls.h"

enum {
    OUT_BUSY_BYTES = 64 * 1024, /* unread answers beyond which the next request waits */
    HEAD_READ_BYTES = 4096,     /* for the rest of a head, so that slow heads hold little */
};

static const char *const state_names[H1_STATE_COUNT] = {
    [H1_IDLE] = "idle",       [H1_HEAD] = "head",       [H1_BUSY] = "busy",
    [H1_DISCARD] = "discard", [H1_CLOSING] = "closing", [H1_LINGER] = "linger",
    [H1_CLOSED] = "closed",
};

#define TO(state) (1u << (state))
static const unsigned legal_moves[H1_STATE_COUNT] = {
    [H1_IDLE] = TO(H1_HEAD) | TO(H1_BUSY) | TO(H1_CLOSING) | TO(H1_CLOSED),
    [H1_HEAD] = TO(H1_BUSY) | TO(H1_CLOSING) | TO(H1_CLOSED),
    [H1_BUSY] = TO(H1_IDLE) | TO(H1_DISCARD) | TO(H1_CLOSING) | TO(H1_CLOSED),
    [H1_DISCARD] = TO(H1_IDLE) | TO(H1_CLOSING) | TO(H1_CLOSED),
    [H1_CLOSING] = TO(H1_LINGER) | TO(H1_CLOSED),
    [H1_LINGER] = TO(H1_CLOSED),
    [H1_CLOSED] = 0,
};

static void on_readable(struct stream *stream);
static void on_drained(struct stream *stream);
static void on_broken(struct stream *stream);
static void on_timer(struct timer *timer);
static void take_request(struct h1_conn *conn, struct buf *in);
static void next_request(struct h1_conn *conn);

static const struct stream_events events = { on_readable, on_drained, on_broken };

static struct h1_conn *
conn_of(struct stream *stream)
{
    return container_of(stream, struct h1_conn, stream);
}

/* --- state and time ----------------------------------------------------------------------------*/

/* When the present state has lasted too long; UINT64_MAX: it may last. */
static uint64_t
deadline_ms(const struct h1_conn *conn)
{
    const struct h1_config *config = &conn->server->config;
    switch (conn->state) {
    case H1_IDLE:
        if (stream_queued(&conn->stream) > 0)
            return conn->since_ms + config->write_stall_ms;
        if (conn->server->is_draining)
            return conn->since_ms + LIMIT_http_drain_idle_ms;
        if (conn->stream.filter != NULL && !tls_is_established(&conn->stream))
            return conn->since_ms + config->head_ms;
        return conn->since_ms + config->idle_ms;
    case H1_HEAD:
        if (conn->server->is_draining && config->head_ms > LIMIT_http_drain_silence_ms)
            return conn->since_ms + LIMIT_http_drain_silence_ms;
        return conn->since_ms + config->head_ms;
    case H1_DISCARD:
        return conn->since_ms + config->body_stall_ms;
    case H1_CLOSING:
        return conn->since_ms + config->write_stall_ms;
    case H1_LINGER:
        return conn->since_ms + LIMIT_http_linger_ms;
    case H1_BUSY:
    case H1_CLOSED:
    case H1_STATE_COUNT:
        break;
    }
    return UINT64_MAX;
}

/* Makes the timer fire at the deadline or earlier. */
static void
arm(struct h1_conn *conn)
{
    uint64_t at_ms = deadline_ms(conn);
    if (at_ms == UINT64_MAX || (timer_is_set(&conn->timer) && conn->timer.at_ms <= at_ms))
        return;
    timer_set(&conn->server->worker->timers, &conn->timer, at_ms);
}

static void
set_state(struct h1_conn *conn, enum h1_state state)
{
    assert((legal_moves[conn->state] & TO(state)) != 0);
    log_debug("remora.http", "connection %d: %s -> %s", conn->stream.fd, state_names[conn->state],
              state_names[state]);
    conn->state = state;
    if (state == H1_BUSY || state == H1_CLOSED)
        return; /* the handler's time, not ours */
    conn->since_ms = clock_coarse_ms();
    conn->queued = stream_queued(&conn->stream);
    arm(conn);
}

static void
on_timer(struct timer *timer)
{
    struct h1_conn *conn = container_of(timer, struct h1_conn, timer);
    uint64_t now_ms = clock_now_ms();
    size_t queued = stream_queued(&conn->stream);
    if (now_ms >= deadline_ms(conn) && queued > 0 && queued < conn->queued) {
        conn->since_ms = now_ms; /* slow, not stalled */
        conn->queued = queued;
    }
    if (now_ms >= deadline_ms(conn))
        h1_conn_gone(conn);
    else
        arm(conn);
}

/* --- beginning and end -------------------------------------------------------------------------*/

size_t
h1_conn_in_bytes_max(const struct h1_server *server)
{
    size_t head = server->config.head_bytes_max + LIMIT_http_head_slack_bytes;
    size_t most = head > LIMIT_http_read_ahead_bytes ? head : LIMIT_http_read_ahead_bytes;
    return (most + LIMIT_http_read_bytes) * 2;
}

/* A context that is no good has been found out when it was made: the connection just ends. */
static bool
start_tls(struct h1_conn *conn)
{
    struct arena scratch;
    struct diag diag;
    arena_init(&scratch);
    diag_init(&diag, &scratch);
    bool is_good = tls_start(&conn->stream, conn->server->config.tls, SLICE_EMPTY, &diag);
    if (!is_good)
        log_error("remora.http", "a connection is refused: " SLICE_FMT, SLICE_ARG(diag.message));
    arena_fini(&scratch);
    return is_good;
}

void
h1_conn_open(struct h1_server *server, int fd)
{
    struct h1_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        abort();
    conn->server = server;
    buf_init(&conn->in, h1_conn_in_bytes_max(server));
    timer_init(&conn->timer, on_timer);
    list_init(&conn->link);
    list_append(&server->conns, &conn->link);
    server->conn_count++;
    stream_open(&conn->stream, server->worker, fd, &events, LIMIT_http_output_bytes);
    conn->since_ms = clock_now_ms();
    if (server->config.tls == NULL || start_tls(conn))
        arm(conn);
    else
        h1_conn_gone(conn);
}

static void
conn_free(struct h1_conn *conn)
{
    struct h1_server *server = conn->server;
    assert(conn->exchange == NULL);
    timer_stop(&server->worker->timers, &conn->timer);
    stream_close(&conn->stream);
    buf_fini(&conn->in);
    list_remove(&conn->link);
    free(conn);
    h1_server_lost_conn(server);
}

static void
wake(struct wait *wait, err_t result)
{
    if (wait != NULL && !wait->is_done)
        wait_done(wait, result);
}

void
h1_conn_gone(struct h1_conn *conn)
{
    struct h1_exchange *e = conn->exchange;
    if (e == NULL) {
        conn_free(conn);
        return;
    }
    if (conn->state == H1_CLOSED)
        return;
    set_state(conn, H1_CLOSED);
    timer_stop(&conn->server->worker->timers, &conn->timer);
    stream_close(&conn->stream);
    e->base.client_gone = true;
    wake(e->body_wait, ERR_CLOSED);
    wake(e->out_wait, ERR_CLOSED);
    task_cancel(e->base.task);
}

void
h1_conn_reset_on_close(struct h1_conn *conn)
{
    const struct linger now = { .l_onoff = 1, .l_linger = 0 };
    (void)setsockopt(conn->stream.fd, SOL_SOCKET, SO_LINGER, &now,
                     sizeof now); /* not for AF_UNIX */
    conn->is_ended = true;        /* and no lingering */
}

/* Output has gone out: ends it and waits for the client to close, which it cannot be told to do
 * otherwise: closing with input unread would reset the connection, and the answer with it. */
static void
linger(struct h1_conn *conn)
{
    if (conn->is_ended) {
        conn_free(conn);
        return;
    }
    set_state(conn, H1_LINGER);
    stream_shutdown_write(&conn->stream);
    conn->dropped = 0;
    stream_resume(&conn->stream);
}

/* No further requests. May free the connection. */
static void
close_when_flushed(struct h1_conn *conn)
{
    set_state(conn, H1_CLOSING);
    stream_pause(&conn->stream);
    buf_clear(&conn->in);
    buf_release(&conn->in);
    if (stream_queued(&conn->stream) == 0)
        linger(conn);
}

/* A request under way, or on its way, may still come; a silent client is not waited for. */
void
h1_conn_drain(struct h1_conn *conn)
{
    if (conn->exchange != NULL)
        wake(conn->exchange->body_wait, OK);
    if (conn->state != H1_HEAD && conn->state != H1_IDLE)
        return;
    conn->since_ms = clock_now_ms();
    arm(conn);
}

/* --- input -------------------------------------------------------------------------------------*/

/* Keeps for later what was not used of the server's buffer. */
static void
keep(struct h1_conn *conn, struct buf *in)
{
    if (in == &conn->in || in->len == 0)
        return;
    bool fits = buf_append(&conn->in, buf_slice(in));
    assert(fits); /* one read */
    buf_clear(in);
}

/* Reading ahead stops at a limit, and so does seeing the client leave. */
static void
pause_if_full(struct h1_conn *conn)
{
    if (conn->in.len >= LIMIT_http_read_ahead_bytes)
        stream_pause(&conn->stream);
}

void
h1_conn_resume(struct h1_conn *conn)
{
    bool is_full = conn->state == H1_BUSY && conn->in.len >= LIMIT_http_read_ahead_bytes;
    if (!conn->is_ended && !is_full && stream_is_open(&conn->stream))
        stream_resume(&conn->stream);
}

/* The whole of the present request has come, and something behind it. */
static bool
has_next_request(const struct h1_conn *conn)
{
    const struct h1_body *body = &conn->body;
    size_t here = conn->in.len + conn->exchange->piece_rest.len;
    return body->is_chunked ? body->is_ended && here > 0 : here > body->left;
}

static void
on_end(struct h1_conn *conn)
{
    conn->is_ended = true;
    stream_pause(&conn->stream);
    struct h1_exchange *e = conn->exchange;
    if (e != NULL) {
        wake(e->body_wait, ERR_CLOSED);
        if (!has_next_request(conn)) /* a client that pipelines and half-closes wants answers */
            task_wind_down(e->base.task);
    } else if (stream_queued(&conn->stream) == 0) {
        conn_free(conn);
    } else if (!conn->waits_for_out) { /* then what has come is answered first */
        close_when_flushed(conn);
    }
}

static void
on_input(struct h1_conn *conn, struct buf *in)
{
    switch (conn->state) {
    case H1_IDLE:
    case H1_HEAD:
        take_request(conn, in);
        break;
    case H1_BUSY:
        if (conn->exchange->body_wait != NULL)
            wake(conn->exchange->body_wait, OK);
        pause_if_full(conn);
        break;
    case H1_DISCARD:
        next_request(conn);
        break;
    case H1_LINGER:
        conn->dropped += in->len;
        if (conn->dropped > LIMIT_http_linger_bytes) /* it finds no room, and time to read */
            stream_pause(&conn->stream);
        break;
    case H1_CLOSING:
    case H1_CLOSED:
    case H1_STATE_COUNT:
        break;
    }
}

static void
on_readable(struct stream *stream)
{
    struct h1_conn *conn = conn_of(stream);
    struct buf *scratch = &conn->server->scratch;
    bool is_fresh = conn->in.len == 0 && conn->state != H1_BUSY && conn->state != H1_DISCARD;
    struct buf *in = is_fresh ? scratch : &conn->in;
    buf_clear(scratch);
    switch (
        stream_read(stream, in, conn->state == H1_HEAD ? HEAD_READ_BYTES : LIMIT_http_read_bytes)) {
    case STREAM_BYTES:
        on_input(conn, in);
        break;
    case STREAM_NOTHING:
        break;
    case STREAM_END:
        on_end(conn);
        break;
    case STREAM_ERROR:
        if (tls_error(stream).len > 0)
            log_debug("remora.http", "connection %d: " SLICE_FMT, stream->fd,
                      SLICE_ARG(tls_error(stream)));
        h1_conn_gone(conn);
        break;
    }
}

/* --- requests ----------------------------------------------------------------------------------*/

static void
refuse(struct h1_conn *conn, enum h1_fault fault)
{
    h1_reply_fault(conn, fault);
    close_when_flushed(conn);
}

/* A slice of `from` as the same slice of its copy; constants stay what they are. */
static struct slice
moved(struct slice s, struct slice from, const char *to)
{
    uintptr_t at = (uintptr_t)s.data - (uintptr_t)from.data;
    return at <= from.len ? slice_of(to + at, s.len) : s;
}

/* The exchange of a parsed head: one copy of the head, and of body bytes behind it, into the arena.
 */
static struct h1_exchange *
exchange_new(struct h1_conn *conn, struct task *t, struct slice bytes)
{
    const struct h1_head *head = &conn->server->head;
    struct arena *arena = task_arena(t);
    struct h1_exchange *e = ARENA_NEW(arena, struct h1_exchange);
    struct http_header *headers = arena_alloc(arena,
                                              sizeof(struct http_header) * head->header_count);
    const char *to = arena_dup(arena, bytes).data;
    for (size_t i = 0; i < head->header_count; i++) {
        headers[i].name = moved(head->headers[i].name, bytes, to);
        headers[i].value = moved(head->headers[i].value, bytes, to);
    }
    e->base = (struct http_exchange){
        .transport = &h1_transport,
        .task = t,
        .server_arg = conn->server->arg,
        .method = moved(head->method, bytes, to),
        .target = moved(head->target, bytes, to),
        .path = moved(head->path, bytes, to),
        .query = moved(head->query, bytes, to),
        .authority = moved(head->authority, bytes, to),
        .version_major = 1,
        .version_minor = head->version_minor,
        .headers = headers,
        .header_count = head->header_count,
        .content_length = head->content_length,
        .is_local = conn->server->is_local,
        .peer_id = arena_dup(arena, tls_peer_id(&conn->stream)),
    };
    e->conn = conn;
    e->expects_continue = head->expects_continue;
    buf_init(&e->piece, conn->in.max);
    return e;
}

static void
request_main(struct task *t, void *arg)
{
    (void)t;
    struct h1_conn *conn = arg;
    struct h1_exchange *e = conn->exchange;
    conn->server->handler(&e->base); /* suspends */
    bool is_whole = h1_reply_finish(e);
    h1_body_give_back(e);
    buf_fini(&e->piece);
    conn->exchange = NULL;
    if (conn->state == H1_CLOSED)
        conn_free(conn);
    else if (!is_whole || !conn->keeps_alive)
        close_when_flushed(conn);
    else
        next_request(conn);
}

/* `bytes` begin with the head of head_len bytes that server->head holds. Returns how many of them
 * were taken. */
static size_t
start_request(struct h1_conn *conn, struct slice bytes, size_t head_len)
{
    const struct h1_head *head = &conn->server->head;
    struct task *t = task_spawn(conn->server->worker, "http", request_main, conn);
    if (t == NULL) {
        refuse(conn, H1_FAULT_OVERLOADED);
        return 0;
    }
    h1_body_init(&conn->body, head);
    size_t early_len = conn->body.left < bytes.len - head_len ? (size_t)conn->body.left
                                                              : bytes.len - head_len;
    conn->body.left -= early_len;
    conn->body.is_ended |= !head->is_chunked && conn->body.left == 0;
    struct h1_exchange *e = exchange_new(conn, t, slice_first(bytes, head_len + early_len));
    e->early = slice_of(e->base.method.data + (bytes.data + head_len - head->method.data),
                        early_len);
    conn->exchange = e;
    conn->keeps_alive = head->keeps_alive;
    set_state(conn, H1_BUSY);
    return head_len + early_len;
}

static void
wait_for_head(struct h1_conn *conn, struct buf *in)
{
    size_t head_bytes_max = conn->server->config.head_bytes_max + LIMIT_http_head_slack_bytes;
    if (!h1_head_may_begin(buf_slice(in))) {
        refuse(conn, H1_FAULT_MALFORMED);
    } else if (in->len >= head_bytes_max) {
        refuse(conn, H1_FAULT_TOO_LARGE);
    } else if (conn->is_ended) {
        close_when_flushed(conn); /* the rest will not come */
    } else {
        if (conn->state == H1_IDLE)
            set_state(conn, H1_HEAD);
        keep(conn, in);
        conn->scanned = conn->in.len;
    }
}

/* In H1_IDLE or H1_HEAD: starts the request that `in` begins with, if it is all there. */
static void
take_request(struct h1_conn *conn, struct buf *in)
{
    struct h1_server *server = conn->server;
    size_t head_len = h1_head_end(buf_slice(in), conn->scanned);
    if (head_len == 0) {
        wait_for_head(conn, in);
        return;
    }
    conn->scanned = 0;
    if (server->h2 != NULL && h1_is_preface(buf_slice(in))) {
        h1_hand_over(conn, buf_slice(in), NULL);
        conn_free(conn);
        return;
    }
    enum h1_fault fault = head_len > server->config.head_bytes_max + LIMIT_http_head_slack_bytes
                              ? H1_FAULT_TOO_LARGE
                              : h1_head_parse(slice_first(buf_slice(in), head_len), &server->head);
    if (fault != H1_FAULT_NONE) {
        refuse(conn, fault);
        return;
    }
    if (server->h2 != NULL && !server->is_draining && h1_wants_h2c(&server->head)) {
        h1_hand_over(conn, slice_from(buf_slice(in), head_len), &server->head);
        conn_free(conn);
        return;
    }
    size_t taken = start_request(conn, buf_slice(in), head_len);
    if (taken == 0)
        return;
    buf_consume(in, taken);
    keep(conn, in);
    pause_if_full(conn);
    buf_release(&conn->in);
}

/* --- between requests --------------------------------------------------------------------------*/

/* Reads the rest of an unread body away. True when the next request begins here. */
static bool
discard_body(struct h1_conn *conn)
{
    if (conn->state == H1_BUSY)
        conn->dropped = 0;
    enum h1_got got = h1_body_discard(conn, &conn->in);
    if (got == H1_GOT_END)
        return true;
    if (got == H1_GOT_BROKEN || conn->is_ended || conn->dropped > LIMIT_http_discard_bytes) {
        close_when_flushed(conn);
        return false;
    }
    if (conn->state == H1_BUSY)
        set_state(conn, H1_DISCARD);
    h1_conn_resume(conn);
    return false;
}

/* The answer is queued. May free the connection. */
static void
next_request(struct h1_conn *conn)
{
    if (!discard_body(conn))
        return;
    set_state(conn, H1_IDLE);
    buf_release(&conn->in);
    if (conn->in.len == 0 && conn->is_ended) {
        close_when_flushed(conn);
    } else if (conn->in.len > 0 && stream_queued(&conn->stream) > OUT_BUSY_BYTES) {
        conn->waits_for_out = true;
        stream_pause(&conn->stream);
    } else {
        h1_conn_resume(conn);
        if (conn->in.len > 0)
            take_request(conn, &conn->in);
    }
}

static void
on_drained(struct stream *stream)
{
    struct h1_conn *conn = conn_of(stream);
    if (conn->exchange != NULL)
        wake(conn->exchange->out_wait, OK);
    if (stream->out.capacity > LIMIT_http_idle_output_bytes)
        buf_release(&stream->out);
    if (conn->state == H1_CLOSING) {
        linger(conn);
    } else if (conn->waits_for_out) {
        conn->waits_for_out = false;
        h1_conn_resume(conn);
        take_request(conn, &conn->in);
    } else if (conn->state == H1_IDLE && conn->server->is_draining) {
        h1_conn_drain(conn);
    }
}

static void
on_broken(struct stream *stream)
{
    h1_conn_gone(conn_of(stream));
}
