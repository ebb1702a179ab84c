/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request: its task, and its body as a pull source. Body bytes wait in the stream until the
 * handler asks; asking gives the client room to send more. A connection whose handlers read little
 * closes its own window, so what it can make us hold is bounded.
 */
#include <assert.h>
#include <stdlib.h>

#include "async/worker.h"
#include "base/clock.h"
#include "http/h2_conn.h"

/* --- beginning and end -------------------------------------------------------------------------*/

static void
stream_free(struct h2_stream *s)
{
    struct h2_conn *conn = s->conn;
    list_remove(&s->link);
    buf_fini(&s->in);
    buf_fini(&s->out);
    free(s->trailers);
    free(s);
    conn->server->stream_count--;
    h2_conn_lost_stream(conn);
}

void
h2_stream_wake(struct wait *wait, err_t result)
{
    if (wait != NULL && !wait->is_done)
        wait_done(wait, result);
}

/* What nobody will read: its room in the windows goes back. */
static void
give_back(struct h2_stream *s, size_t bytes)
{
    struct h2_conn *conn = s->conn;
    conn->unread -= bytes;
    if (conn->session == NULL || bytes == 0)
        return;
    if (s->is_open)
        (void)nghttp2_session_consume_stream(conn->session, s->id, bytes); /* only fails late */
    if (conn->owed > 0 && conn->unread <= LIMIT_h2_read_ahead_bytes / 2) {
        (void)nghttp2_session_consume_connection(conn->session, conn->owed);
        conn->owed = 0;
    }
    if (nghttp2_session_want_write(conn->session))
        h2_conn_flush_later(conn);
}

static void
drop_input(struct h2_stream *s)
{
    size_t bytes = s->in.len;
    buf_fini(&s->in);
    give_back(s, bytes);
}

static void
request_main(struct task *t, void *arg)
{
    (void)t;
    struct h2_stream *s = arg;
    struct h2_exchange *e = s->exchange;
    struct h2_conn *conn = s->conn;
    if (e->base.target.len > 0)
        conn->server->handler(&e->base); /* suspends */
    else
        (void)http_reply(&e->base, 400, NULL, 0, SLICE_EMPTY); /* the head was malformed */
    bool is_whole = h2_reply_finish(e);
    buf_fini(&e->piece);
    s->exchange = NULL;
    s->since_ms = clock_now_ms();
    if (s->out.len == 0)
        h2_admit_end(s, true); /* nothing is left to be taken */
    drop_input(s);
    if (!s->is_open) {
        stream_free(s);
        return;
    }
    if (!is_whole)
        (void)nghttp2_submit_rst_stream(conn->session, NGHTTP2_FLAG_NONE, s->id,
                                        NGHTTP2_INTERNAL_ERROR);
    else if (s->is_out_sent && !s->is_in_ended)
        (void)nghttp2_submit_rst_stream(conn->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
    h2_conn_flush_later(conn);
}

static struct h2_exchange *
exchange_new(struct h2_stream *s, struct task *t, const struct h2_head *head)
{
    struct h2_exchange *e = ARENA_NEW(task_arena(t), struct h2_exchange);
    e->stream = s;
    e->base = (struct http_exchange){
        .transport = &h2_transport,
        .task = t,
        .server_arg = s->conn->server->arg,
        .version_major = 2,
        .is_local = s->conn->is_local,
        .peer_id = s->conn->peer_id,
        .turn = &s->conn->turn,
    };
    if (!h2_head_fill(head, task_arena(t), &e->base))
        e->base.target = SLICE_EMPTY;
    if (s->is_in_ended && e->base.content_length == HTTP_LENGTH_UNKNOWN)
        e->base.content_length = 0;
    list_init(&e->admit_link);
    buf_init(&e->piece, s->in.max);
    return e;
}

void
h2_stream_start(struct h2_conn *conn, int32_t id, const struct h2_head *head, bool is_ended)
{
    if (head->is_too_large) {
        h2_reply_refuse(conn, id, head, 431);
        return;
    }
    struct h2_stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        abort();
    struct task *t = task_spawn(conn->server->worker, "http", request_main, s);
    if (t == NULL) {
        free(s);
        h2_reply_refuse(conn, id, head, 503);
        return;
    }
    s->conn = conn;
    s->id = id;
    s->is_open = true;
    s->is_in_ended = is_ended;
    s->since_ms = clock_now_ms();
    /* The window is what may come; some clients round it up by a frame when it changes. */
    buf_init(&s->in, LIMIT_h2_window_bytes * 2);
    buf_init(&s->out, LIMIT_h2_stream_output_bytes);
    list_init(&s->link);
    list_append(&conn->streams, &s->link);
    conn->stream_count++;
    struct h2_server *server = conn->server;
    if (++server->stream_count > server->stream_count_high)
        server->stream_count_high = server->stream_count;
    s->exchange = exchange_new(s, t, head);
    (void)nghttp2_session_set_stream_user_data(conn->session, id, s); /* the stream exists */
}

void
h2_stream_closed(struct h2_stream *s)
{
    struct h2_exchange *e = s->exchange;
    s->is_open = false;
    h2_admit_end(s, s->is_out_sent);
    h2_output_dropped(s, s->out.len);
    buf_fini(&s->out);
    if (e == NULL) {
        stream_free(s);
        return;
    }
    if (!s->is_out_sent) {
        e->base.client_gone = true;
        task_cancel(e->base.task);
    }
    h2_stream_wake(e->body_wait, ERR_CLOSED);
    h2_stream_wake(e->out_wait, ERR_CLOSED);
    h2_stream_wake(e->admit_wait, ERR_CLOSED);
}

/* --- admission ---------------------------------------------------------------------------------*/

/* Few when the server holds much already for clients that do not take it. */
static bool
may_admit(const struct h2_conn *conn)
{
    bool is_pressed = conn->server->waiters > LIMIT_h2_waiters_max &&
                      conn->admit_max == LIMIT_h2_admit_first;
    return conn->admitted < (is_pressed ? LIMIT_h2_admit_pressed : conn->admit_max);
}

static void
wake_next(struct h2_conn *conn)
{
    if (list_is_empty(&conn->admit_queue) || !may_admit(conn))
        return;
    h2_stream_wake(LIST_ENTRY(conn->admit_queue.next, struct h2_exchange, admit_link)->admit_wait,
                   OK);
}

void
h2_admit_end(struct h2_stream *s, bool is_taken)
{
    struct h2_conn *conn = s->conn;
    if (!s->is_admitted)
        return;
    s->is_admitted = false;
    conn->admitted--;
    if (is_taken && conn->admit_max < LIMIT_h2_streams_max)
        conn->admit_max += 2;
    wake_next(conn);
}

static err_t
wait_to_be_admitted(struct h2_exchange *e)
{
    struct h2_stream *s = e->stream;
    struct task *t = e->base.task;
    err_t err = OK;
    uint64_t outer = task_deadline_push(t, LIMIT_http_body_total_ms);
    do {
        struct wait wait;
        wait_init(&wait, t, NULL);
        e->admit_wait = &wait;
        list_append(&s->conn->admit_queue, &e->admit_link);
        err = TASK_WAIT(t, &wait);
        list_remove(&e->admit_link);
        e->admit_wait = NULL;
    } while (err == OK && s->is_open && !may_admit(s->conn));
    task_deadline_pop(t, outer);
    return err == OK && !s->is_open ? ERR_CLOSED : err;
}

err_t
h2_admit(struct http_exchange *x)
{
    struct h2_exchange *e = h2_exchange_of(x);
    struct h2_stream *s = e->stream;
    struct h2_conn *conn = s->conn;
    err_t err = OK;
    if (!list_is_empty(&conn->admit_queue) || !may_admit(conn))
        err = wait_to_be_admitted(e); /* suspends */
    if (err == OK) {
        s->is_admitted = true;
        conn->admitted++;
    }
    wake_next(conn); /* there may be room for another, or for one in our place */
    return err;
}

/* --- the body ----------------------------------------------------------------------------------*/

void
h2_stream_data(struct h2_stream *s, struct slice bytes)
{
    struct h2_conn *conn = s->conn;
    if (s->exchange == NULL || !buf_append(&s->in, bytes)) {
        (void)nghttp2_session_consume(conn->session, s->id, bytes.len); /* dropped */
        return;
    }
    conn->unread += bytes.len;
    if (conn->unread <= LIMIT_h2_read_ahead_bytes)
        (void)nghttp2_session_consume_connection(conn->session, bytes.len);
    else
        conn->owed += bytes.len;
    h2_stream_wake(s->exchange->body_wait, OK);
}

void
h2_stream_drain(struct h2_stream *s)
{
    if (s->exchange != NULL)
        h2_stream_wake(s->exchange->body_wait, OK);
}

void
h2_stream_in_ended(struct h2_stream *s)
{
    s->is_in_ended = true;
    if (s->exchange != NULL)
        h2_stream_wake(s->exchange->body_wait, OK);
}

bool
h2_body_is_here(const struct http_exchange *x)
{
    const struct h2_exchange *e = h2_exchange_of((struct http_exchange *)(uintptr_t)x);
    return e->stream->in.len > 0 || e->stream->is_in_ended || !e->stream->is_open;
}

/* Until there is some, or the end of it. */
static err_t
await_input(struct h2_exchange *e)
{
    const struct h2_stream *s = e->stream;
    const struct h2_server *server = s->conn->server;
    bool may_pause = e->base.is_passed_on || e->base.body_may_pause;
    uint64_t stall_ms = may_pause ? UINT64_MAX : server->config.body_stall_ms;
    err_t err = OK;
    while (err == OK && s->in.len == 0 && !s->is_in_ended)
        err = s->is_open ? http_await_input(task_current(), &e->body_wait, server->is_draining,
                                            stall_ms) /* suspends */
                         : ERR_CLOSED;
    return err;
}

err_t
h2_body_read(struct http_exchange *x, struct slice *ret_chunk)
{
    struct h2_exchange *e = h2_exchange_of(x);
    struct h2_stream *s = e->stream;
    err_t err = await_input(e); /* suspends */
    if (err != OK)
        return err;
    if (s->in.len > 0) {
        buf_clear(&e->piece);
        buf_swap(&e->piece, &s->in);
        give_back(s, e->piece.len);
        *ret_chunk = buf_slice(&e->piece);
    } else {
        *ret_chunk = SLICE_EMPTY;
    }
    return OK;
}

err_t
h2_body_move(struct http_exchange *x, struct buf *to)
{
    struct h2_exchange *e = h2_exchange_of(x);
    struct h2_stream *s = e->stream;
    err_t err = await_input(e); /* suspends */
    if (err == OK && s->in.len > 0) {
        buf_swap(to, &s->in);
        give_back(s, to->len);
    }
    return err;
}
