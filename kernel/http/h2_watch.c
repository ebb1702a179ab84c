/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What time does to a connection: deadlines of heads and of output that nobody takes, idle ones
 * told to go, and the keepalive rules of gRPC servers, by which a silent client is asked whether it
 * is there, and one that asks too often loses its connection. One timer, which looks at everything.
 */
#include "async/worker.h"
#include "base/clock.h"
#include "http/h2_conn.h"

static bool
is_idle(const struct h2_conn *conn)
{
    return conn->has_begun && conn->head == NULL && conn->stream_count == 0 && !conn->is_draining &&
           stream_queued(&conn->stream) == 0;
}

/* By then something must have happened, or the connection is closed. */
static uint64_t
deadline_ms(const struct h2_conn *conn)
{
    const struct h2_config *config = &conn->server->config;
    if (stream_queued(&conn->stream) > 0)
        return conn->since_ms + config->write_stall_ms;
    if (!conn->has_begun || conn->head != NULL)
        return conn->since_ms + config->head_ms;
    if (conn->is_closing && conn->stream_count == 0)
        return conn->since_ms + LIMIT_http_linger_ms;
    if (conn->has_asked)
        return conn->heard_ms + LIMIT_grpc_ping_ms + LIMIT_grpc_ping_answer_ms;
    return UINT64_MAX;
}

/* When to ask a silent client; output that it does not take has a deadline already. */
static uint64_t
ask_at_ms(const struct h2_conn *conn)
{
    if (!conn->server->config.has_keepalive || conn->has_asked || !conn->has_begun ||
        stream_queued(&conn->stream) > 0)
        return UINT64_MAX;
    return conn->heard_ms + LIMIT_grpc_ping_ms;
}

static uint64_t
drained_at_ms(const struct h2_conn *conn)
{
    return conn->is_draining && !conn->is_closing ? conn->drain_ms + LIMIT_http_drain_idle_ms
                                                  : UINT64_MAX;
}

static uint64_t
shrink_at_ms(const struct h2_conn *conn)
{
    return is_idle(conn) && !conn->is_small ? conn->since_ms + LIMIT_h2_shrink_ms : UINT64_MAX;
}

static uint64_t
leave_at_ms(const struct h2_conn *conn)
{
    return is_idle(conn) ? conn->idle_ms + conn->server->config.idle_ms : UINT64_MAX;
}

/* Much is held for clients that do not take it. */
static bool
is_pressed(const struct h2_server *server)
{
    return server->waiters > LIMIT_h2_waiters_max || server->output > LIMIT_h2_all_output_bytes / 2;
}

/* When to ask whether a connection that takes nothing holds more than we can spare: the more it
 * holds, the sooner. */
static uint64_t
press_at_ms(const struct h2_conn *conn)
{
    if (conn->output == 0)
        return UINT64_MAX;
    bool is_large = conn->output > LIMIT_h2_output_bytes / 8 ||
                    conn->waiters > LIMIT_h2_waiters_max / 8;
    uint64_t from_ms = conn->took_ms > conn->now_ms ? conn->took_ms : conn->now_ms;
    return from_ms + (is_large ? LIMIT_h2_press_ms : LIMIT_h2_press_late_ms);
}

void
h2_watch_arm(struct h2_conn *conn)
{
    const uint64_t times[] = { deadline_ms(conn),  ask_at_ms(conn),   drained_at_ms(conn),
                               shrink_at_ms(conn), leave_at_ms(conn), press_at_ms(conn) };
    uint64_t at_ms = conn->stream_count > 0 ? conn->now_ms + LIMIT_h2_stall_check_ms : UINT64_MAX;
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        at_ms = times[i] < at_ms ? times[i] : at_ms;
    if (at_ms == UINT64_MAX || (timer_is_set(&conn->timer) && conn->timer.at_ms <= at_ms))
        return;
    timer_set(&conn->server->worker->timers, &conn->timer, at_ms);
}

void
h2_watch_touch(struct h2_conn *conn)
{
    conn->since_ms = clock_now_ms();
    conn->queued = stream_queued(&conn->stream);
    h2_watch_arm(conn);
}

void
h2_watch_idle(struct h2_conn *conn)
{
    conn->idle_ms = clock_now_ms();
    h2_watch_touch(conn);
}

/* Answers whose handler is done and that the client does not take. */
static void
reset_stalled(struct h2_conn *conn)
{
    struct list *node;
    LIST_FOREACH (node, &conn->streams) {
        struct h2_stream *s = LIST_ENTRY(node, struct h2_stream, link);
        if (s->exchange != NULL || !s->is_open ||
            conn->now_ms < s->since_ms + conn->server->config.write_stall_ms)
            continue;
        (void)nghttp2_submit_rst_stream(conn->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
        h2_conn_flush_later(conn);
    }
}

static void
ask(struct h2_conn *conn)
{
    conn->has_asked = true;
    /* Fails only without memory; then the deadline counts nevertheless. */
    (void)nghttp2_submit_ping(conn->session, NGHTTP2_FLAG_NONE, NULL);
    h2_conn_flush_later(conn);
}

/* Several things may be due; each is small. */
static void
do_due(struct h2_conn *conn)
{
    if (conn->now_ms >= drained_at_ms(conn))
        h2_conn_drained(conn);
    if (conn->now_ms >= leave_at_ms(conn))
        h2_conn_drain(conn);
    if (conn->now_ms >= ask_at_ms(conn))
        ask(conn);
    if (conn->now_ms >= shrink_at_ms(conn) && !nghttp2_session_want_write(conn->session))
        h2_memory_shrink(conn);
    reset_stalled(conn);
}

/* The client is told why, if it listens. */
static void
press_out(struct h2_conn *conn)
{
    h2_conn_abused(conn);
    (void)nghttp2_session_terminate_session(conn->session, NGHTTP2_ENHANCE_YOUR_CALM);
    if (stream_queued(&conn->stream) > 0)
        h2_conn_gone(conn);
    else
        h2_conn_flush_later(conn);
}

static void
on_timer(struct timer *timer)
{
    struct h2_conn *conn = container_of(timer, struct h2_conn, timer);
    size_t queued = stream_queued(&conn->stream);
    bool is_to_press = clock_now_ms() >= press_at_ms(conn) && is_pressed(conn->server);
    conn->now_ms = clock_now_ms();
    if (queued > 0 && queued < conn->queued)
        conn->since_ms = conn->now_ms; /* slow, not stalled */
    conn->queued = queued;
    if (conn->now_ms >= deadline_ms(conn)) {
        h2_conn_gone(conn);
        return;
    }
    if (is_to_press) {
        press_out(conn);
        return;
    }
    do_due(conn);
    h2_watch_arm(conn);
}

void
h2_watch_init(struct h2_conn *conn)
{
    conn->now_ms = conn->since_ms = conn->idle_ms = conn->heard_ms = clock_now_ms();
    timer_init(&conn->timer, on_timer);
}

void
h2_watch_waiter(struct h2_conn *conn, int change)
{
    conn->waiters += (size_t)change;
    conn->server->waiters += (size_t)change;
    if (change > 0 && conn->session != NULL)
        h2_watch_arm(conn);
}

/* The rule of gRPC's servers: an answer in between clears the account. */
void
h2_watch_pinged(struct h2_conn *conn)
{
    uint64_t now_ms = clock_now_ms();
    if (!conn->server->config.has_keepalive)
        return;
    if (conn->has_answered || conn->ping_ms == 0)
        conn->strikes = 0;
    else if (now_ms < conn->ping_ms + LIMIT_grpc_ping_gap_ms)
        conn->strikes++;
    conn->ping_ms = now_ms;
    if (conn->strikes <= LIMIT_grpc_ping_strikes_max)
        return;
    h2_conn_abused(conn);
    static const uint8_t words[] = "too_many_pings"; /* clients look for them and ping less often */
    int32_t last = nghttp2_session_get_last_proc_stream_id(conn->session);
    /* They fail only without memory, or for one that is on its way out already. */
    (void)nghttp2_submit_goaway(conn->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_ENHANCE_YOUR_CALM,
                                words, sizeof words - 1);
    (void)nghttp2_session_terminate_session2(conn->session, last, NGHTTP2_ENHANCE_YOUR_CALM);
}
