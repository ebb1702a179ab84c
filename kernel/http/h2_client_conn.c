/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one HTTP/2 connection that we made. At the end of a turn calls that wait become
 * streams, what tasks wrote is framed, and all of it goes out with one write. A peer that is silent
 * while calls are open is asked by PING, seldom enough for servers that take often for harm.
 */
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "async/worker.h"
#include "base/clock.h"
#include "http/h2_client.h"
#include "http/tls.h"

enum { RESET_PAUSE_MS = 50, BARREN_MAX = 3, GROWTH_MS = 2 };

static void on_readable(struct stream *stream);
static void on_drained(struct stream *stream);
static void on_broken(struct stream *stream);
static void on_timer(struct timer *timer);
static void flush(struct flusher *flusher);

static const struct stream_events events = { on_readable, on_drained, on_broken };

static struct h2_client_conn *
conn_of(struct stream *stream)
{
    return container_of(stream, struct h2_client_conn, stream);
}

/* --- time --------------------------------------------------------------------------------------*/

/* When something has to be done about the connection if nothing happens before. */
static uint64_t
deadline_ms(const struct h2_client_conn *conn)
{
    const struct client_config *config = &conn->client->config;
    if (conn->state == H2_GREETING)
        return conn->since_ms + config->connect_ms;
    if (stream_queued(&conn->stream) > 0)
        return conn->since_ms + LIMIT_http_write_stall_ms;
    if (conn->call_count == 0)
        return conn->since_ms + (conn->state == H2_LEAVING ? 0 : config->idle_ms);
    if (conn->pinged_ms != 0)
        return conn->pinged_ms + conn->client->config.pong_ms;
    return conn->received_ms + conn->client->config.ping_ms;
}

static void
arm(struct h2_client_conn *conn)
{
    uint64_t at_ms = deadline_ms(conn);
    if (!list_is_empty(&conn->doomed) && at_ms > clock_coarse_ms() + RESET_PAUSE_MS)
        at_ms = clock_coarse_ms() + RESET_PAUSE_MS;
    if (conn->paused_ms != 0 && at_ms > conn->paused_ms)
        at_ms = conn->paused_ms;
    if (conn->pace.is_holding && at_ms > clock_now_ms() + GROWTH_MS)
        at_ms = clock_now_ms() + GROWTH_MS; /* the coarse clock is behind by more than that */
    if (!timer_is_set(&conn->timer) || conn->timer.at_ms > at_ms)
        timer_set(&conn->client->worker->timers, &conn->timer, at_ms);
}

static void
ping(struct h2_client_conn *conn, uint64_t now_ms)
{
    conn->pinged_ms = now_ms;
    (void)nghttp2_submit_ping(conn->session, NGHTTP2_FLAG_NONE, NULL); /* only without memory */
    h2_client_conn_flush_later(conn);
}

static void
on_timer(struct timer *timer)
{
    struct h2_client_conn *conn = container_of(timer, struct h2_client_conn, timer);
    size_t queued = stream_queued(&conn->stream);
    uint64_t now_ms = clock_now_ms();
    if (queued > 0 && queued < conn->queued)
        conn->since_ms = now_ms; /* slow, not stalled */
    conn->queued = queued;
    if (conn->paused_ms != 0 && now_ms >= conn->paused_ms) {
        conn->paused_ms = 0;
        h2_client_conn_flush_later(conn);
    }
    if (!list_is_empty(&conn->doomed) || conn->pace.is_holding)
        h2_client_conn_flush_later(conn);
    if (now_ms < deadline_ms(conn)) {
        arm(conn);
    } else if (conn->state == H2_GREETING) {
        h2_client_conn_gone(conn, SLICE("the peer does not speak HTTP/2, or not in time"));
    } else if (queued == 0 && conn->call_count > 0 && conn->pinged_ms == 0) {
        ping(conn, now_ms);
        arm(conn);
    } else {
        h2_client_conn_gone(conn, SLICE("the peer has fallen silent"));
    }
}

void
h2_client_conn_pause(struct h2_client_conn *conn, uint64_t ms)
{
    uint64_t until_ms = clock_now_ms() + ms;
    if (conn->paused_ms < until_ms)
        conn->paused_ms = until_ms;
    arm(conn);
}

/* Something happened that the deadlines count from. */
static void
touch(struct h2_client_conn *conn)
{
    conn->since_ms = clock_now_ms();
    conn->queued = stream_queued(&conn->stream);
    arm(conn);
}

/* --- beginning and end -------------------------------------------------------------------------*/

struct h2_client_conn *
h2_client_conn_new(struct h2_client *client)
{
    struct h2_client_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        abort();
    conn->client = client;
    conn->since_ms = clock_now_ms();
    h2_pace_init(conn);
    conn->resets = (struct h2_budget){ LIMIT_h2_client_reset_burst, conn->since_ms };
    conn->controls = (struct h2_budget){ LIMIT_h2_control_burst, conn->since_ms };
    flusher_init(&conn->flusher, flush);
    timer_init(&conn->timer, on_timer);
    list_init(&conn->link);
    list_init(&conn->calls);
    list_init(&conn->doomed);
    return conn;
}

/* The system finds out about a machine that has gone without a word. */
static void
watch_peer(int fd)
{
    const int on = 1, unacked_ms = LIMIT_http_write_stall_ms, idle_s = 60;
    /* Fail on Unix sockets, which need none of it. */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked_ms, sizeof unacked_ms);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void
h2_client_conn_open(struct h2_client_conn *conn, int fd)
{
    struct h2_client *client = conn->client;
    struct arena scratch;
    struct diag diag;
    watch_peer(fd);
    stream_open(&conn->stream, client->worker, fd, &events, H2_OUT_BYTES_MAX);
    conn->session = h2_client_session_new(conn);
    conn->state = H2_GREETING;
    conn->received_ms = clock_now_ms();
    arena_init(&scratch);
    diag_init(&diag, &scratch);
    if (client->config.tls != NULL &&
        !tls_start(&conn->stream, client->config.tls, client->config.peer_id, &diag)) {
        h2_client_conn_gone(conn, diag.message);
    } else {
        touch(conn);
        h2_client_conn_flush_later(conn);
    }
    arena_fini(&scratch);
}

void
h2_client_conn_gone(struct h2_client_conn *conn, struct slice reason)
{
    struct h2_client *client = conn->client;
    bool was_greeting = conn->state == H2_GREETING;
    struct list *node, *next;
    char words[LIMIT_tls_error_bytes]; /* those of TLS go with the stream, which closes first */
    assert(conn->state != H2_DIALLING);
    if (reason.len > sizeof words)
        reason.len = sizeof words;
    memcpy(words, reason.data, reason.len);
    reason.data = words;
    conn->state = H2_LEAVING;
    timer_stop(&client->worker->timers, &conn->timer);
    list_remove(&conn->flusher.link);
    list_remove(&conn->link);
    stream_close(&conn->stream);
    nghttp2_session_del(TAKE(conn->session));
    LIST_FOREACH_SAFE(node, next, &conn->calls)
    {
        struct h2_call *c = LIST_ENTRY(node, struct h2_call, link);
        if (c->state == H2_CALL_OPEN)
            h2_call_closed(c, NGHTTP2_INTERNAL_ERROR, reason);
    }
    while ((node = list_take_first(&conn->calls)) != NULL)
        LIST_ENTRY(node, struct h2_call, link)->conn = NULL; /* they keep what they hold */
    /* A server that is about to end may end a connection before its first answer; once or twice. */
    client->barren = conn->has_served ? 0 : client->barren + 1;
    if (client->barren >= BARREN_MAX)
        h2_client_fail_waiting(client, ERR_PEER_UNREACHABLE, reason);
    else if (was_greeting)
        h2_client_dial_failed(client, ERR_PEER_UNREACHABLE, reason);
    h2_client_kick(client);
    h2_client_lost_conn(conn);
}

void
h2_client_conn_leave(struct h2_client_conn *conn)
{
    if (conn->client->waiting_count > 0)
        return; /* flush() sees to it when they have had their turn */
    conn->state = H2_LEAVING;
    if (conn->call_count == 0)
        h2_client_conn_gone(conn, SLICE("the client was closed"));
    else
        h2_client_conn_flush_later(conn);
}

size_t
h2_client_conn_room(const struct h2_client_conn *conn)
{
    uint32_t max = conn->streams_max < conn->client->config.streams_max
                       ? conn->streams_max
                       : conn->client->config.streams_max;
    bool is_shut = conn->state != H2_READY || conn->call_count >= max ||
                   (conn->paused_ms != 0 && clock_now_ms() < conn->paused_ms);
    return is_shut ? 0 : max - conn->call_count;
}

/* --- output ------------------------------------------------------------------------------------*/

void
h2_client_conn_flush_later(struct h2_client_conn *conn)
{
    if (conn->session != NULL)
        worker_flush_later(conn->client->worker, &conn->flusher);
}

/* Calls that wait become streams, in their order. */
static void
submit_waiting(struct h2_client_conn *conn)
{
    struct h2_client *client = conn->client;
    size_t room = h2_client_conn_room(conn);
    for (; room > 0 && !list_is_empty(&client->waiting) && h2_pace_may_open(conn); room--) {
        struct h2_call *c = LIST_ENTRY(client->waiting.next, struct h2_call, link);
        list_remove(&c->link);
        client->waiting_count--;
        if (h2_call_submit(c, conn))
            continue;
        /* Stream numbers are used up, or the session is ending. */
        list_append(client->waiting.next, &c->link);
        client->waiting_count++;
        conn->state = H2_LEAVING;
        h2_client_kick(client);
        return;
    }
    if (list_is_empty(&client->waiting))
        conn->pace.is_holding = false;
}

static bool
is_over(const struct h2_client_conn *conn)
{
    if (conn->state == H2_LEAVING && conn->call_count > 0 && conn->call_count == conn->doomed_count)
        return true;
    if (stream_queued(&conn->stream) > 0 || nghttp2_session_want_write(conn->session))
        return false;
    return !nghttp2_session_want_read(conn->session) ||
           (conn->state == H2_LEAVING && conn->call_count == 0);
}

static struct slice
break_reason(const struct h2_client_conn *conn)
{
    struct slice text = tls_error(&conn->stream);
    return text.len > 0 ? text : SLICE("the connection broke");
}

static void
flush(struct flusher *flusher)
{
    struct h2_client_conn *conn = container_of(flusher, struct h2_client_conn, flusher);
    bool had_output = stream_queued(&conn->stream) > 0;
    if (!conn->stream.is_broken && !conn->is_broken && !had_output)
        submit_waiting(conn);
    if (conn->client->is_closing && conn->client->waiting_count == 0)
        conn->state = H2_LEAVING;
    h2_client_doom(conn);
    if (conn->stream.is_broken || conn->is_broken ||
        !h2_make_frames(conn->session, &conn->stream)) {
        h2_client_conn_gone(conn, break_reason(conn));
        return;
    }
    if (!had_output)
        conn->since_ms = clock_now_ms();
    stream_flush(&conn->stream); /* on_drained and on_broken only take notes */
    if (conn->stream.is_broken || is_over(conn))
        h2_client_conn_gone(conn, break_reason(conn));
    else
        arm(conn);
}

static void
on_drained(struct stream *stream)
{
    struct h2_client_conn *conn = conn_of(stream);
    conn->since_ms = clock_now_ms();
    bool is_held = conn->pace.is_holding && conn->pace.unanswered >= conn->pace.window;
    bool may_submit = conn->client->waiting_count > 0 && !is_held &&
                      h2_client_conn_room(conn) > 0; /* else this would go on and on */
    if (nghttp2_session_want_write(conn->session) || conn->state == H2_LEAVING ||
        !nghttp2_session_want_read(conn->session) || may_submit)
        h2_client_conn_flush_later(conn);
}

static void
on_broken(struct stream *stream)
{
    h2_client_conn_flush_later(conn_of(stream));
}

/* --- input -------------------------------------------------------------------------------------*/

/* False: the connection is gone. */
static bool
take_input(struct h2_client_conn *conn, struct slice bytes)
{
    ssize_t taken = nghttp2_session_mem_recv(conn->session, (const uint8_t *)bytes.data, bytes.len);
    conn->received_ms = clock_coarse_ms();
    if (taken < 0 || conn->is_broken) {
        if (taken < 0 &&
            h2_make_frames(conn->session, &conn->stream)) /* a GOAWAY may be among them */
            stream_flush(&conn->stream);
        h2_client_conn_gone(conn, SLICE("the peer broke the rules of HTTP/2"));
        return false;
    }
    if (nghttp2_session_want_write(conn->session) || !nghttp2_session_want_read(conn->session) ||
        conn->state == H2_LEAVING)
        h2_client_conn_flush_later(conn);
    return true;
}

static void
on_readable(struct stream *stream)
{
    struct h2_client_conn *conn = conn_of(stream);
    struct buf *in = &conn->client->scratch;
    buf_clear(in);
    switch (stream_read(stream, in, LIMIT_h2_client_read_bytes)) {
    case STREAM_BYTES:
        (void)take_input(conn, buf_slice(in)); /* nothing is done with it afterwards */
        break;
    case STREAM_NOTHING:
        break;
    case STREAM_END:
        h2_client_conn_gone(conn, SLICE("the peer closed the connection"));
        break;
    case STREAM_ERROR:
        h2_client_conn_gone(conn, break_reason(conn));
        break;
    }
}
