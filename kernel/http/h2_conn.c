/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one HTTP/2 connection: input goes to libnghttp2, which starts and ends streams; what
 * tasks answered is framed at the end of the turn and goes out with one write. Frames are made only
 * while the socket has taken what it was given, so that a client which reads nothing costs what its
 * streams may hold and no more.
 */
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "async/worker.h"
#include "base/base64.h"
#include "base/clock.h"
#include "http/h1_head.h"
#include "http/h2_conn.h"
#include "http/tls.h"

enum {
    SETTINGS_TEXT_MAX = 1024,
};

static void on_readable(struct stream *stream);
static void on_drained(struct stream *stream);
static void on_broken(struct stream *stream);
static void flush(struct flusher *flusher);

static const struct stream_events events = { on_readable, on_drained, on_broken };

static struct h2_conn *
conn_of(struct stream *stream)
{
    return container_of(stream, struct h2_conn, stream);
}

/* --- beginning and end -------------------------------------------------------------------------*/

static struct h2_conn *
conn_new(struct h2_server *server, bool is_local)
{
    struct h2_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        abort();
    conn->server = server;
    conn->is_local = is_local;
    conn->controls = (struct h2_budget){ h2_server_is_wary(server) ? LIMIT_h2_wary_burst
                                                                   : LIMIT_h2_control_burst,
                                         clock_now_ms() };
    flusher_init(&conn->flusher, flush);
    h2_watch_init(conn);
    list_init(&conn->streams);
    list_init(&conn->admit_queue);
    conn->admit_max = LIMIT_h2_admit_first;
    list_init(&conn->link);
    list_append(&server->conns, &conn->link);
    server->conn_count++;
    if (server->conn_count > server->conn_count_high)
        server->conn_count_high = server->conn_count;
    conn->session = h2_session_new(conn);
    return conn;
}

static void
conn_free(struct h2_conn *conn)
{
    struct h2_server *server = conn->server;
    list_remove(&conn->link);
    free((void *)(uintptr_t)conn->peer_id.data); /* ours: see h2_server_adopt() */
    free(conn);
    h2_server_lost_conn(server);
}

void
h2_conn_lost_stream(struct h2_conn *conn)
{
    assert(conn->stream_count > 0);
    if (--conn->stream_count > 0)
        return;
    if (conn->session == NULL) {
        conn_free(conn);
        return;
    }
    h2_watch_idle(conn);
    if (conn->is_closing)
        h2_conn_flush_later(conn);
}

void
h2_conn_gone(struct h2_conn *conn)
{
    if (conn->session == NULL)
        return;
    timer_stop(&conn->server->worker->timers, &conn->timer);
    conn->server->has_dropped |= conn->output > LIMIT_h2_stream_output_bytes;
    list_remove(&conn->flusher.link);
    stream_close(&conn->stream);
    if (conn->head != NULL)
        h2_head_put(conn->server, TAKE(conn->head));
    conn->stream_count++; /* keeps the connection while its streams go */
    nghttp2_session_del(TAKE(conn->session));
    struct list *node, *next;
    LIST_FOREACH_SAFE(node, next, &conn->streams)
    h2_stream_closed(LIST_ENTRY(node, struct h2_stream, link));
    h2_conn_lost_stream(conn);
}

void
h2_conn_begun(struct h2_conn *conn)
{
    struct list *node;
    conn->has_begun = true;
    LIST_FOREACH (node, &conn->streams)
        h2_reply_resume(LIST_ENTRY(node, struct h2_stream, link));
}

/* In two steps (RFC 9113 section 6.8): requests that were on their way when the client was told are
 * answered still. Its answer to a ping that follows says that there are no more of them. */
void
h2_conn_drain(struct h2_conn *conn)
{
    if (conn->session == NULL || conn->is_draining)
        return;
    conn->is_draining = true;
    conn->drain_ms = clock_now_ms();
    /* Fails only without memory; then the second step comes by time. */
    (void)nghttp2_submit_shutdown_notice(conn->session);
    struct list *node;
    LIST_FOREACH (node, &conn->streams)
        h2_stream_drain(LIST_ENTRY(node, struct h2_stream, link));
    h2_watch_touch(conn);
    h2_conn_flush_later(conn);
}

void
h2_conn_abused(struct h2_conn *conn)
{
    if (conn->is_closing)
        return;
    conn->is_closing = true; /* and is counted once */
    (void)h2_budget_take(&conn->server->cuts, LIMIT_h2_cuts_burst, LIMIT_h2_cuts_per_s);
}

void
h2_conn_drained(struct h2_conn *conn)
{
    if (!conn->is_draining || conn->is_closing)
        return;
    conn->is_closing = true;
    int32_t last = nghttp2_session_get_last_proc_stream_id(conn->session);
    /* Fails only without memory; then the connection just ends. */
    (void)nghttp2_submit_goaway(conn->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
    h2_watch_touch(conn);
    h2_conn_flush_later(conn);
}

/* --- output ------------------------------------------------------------------------------------*/

void
h2_conn_flush_later(struct h2_conn *conn)
{
    if (conn->session != NULL)
        worker_flush_later(conn->server->worker, &conn->flusher);
}

/* Nothing more will come or go: everything said, or a budget spent. */
static bool
is_over(struct h2_conn *conn)
{
    if (stream_queued(&conn->stream) > 0 || nghttp2_session_want_write(conn->session))
        return false;
    /* libnghttp2 reads no more: too many resets, which it does not tell. */
    if (!nghttp2_session_want_read(conn->session) && !conn->has_left)
        h2_conn_abused(conn);
    return !nghttp2_session_want_read(conn->session) ||
           (conn->is_closing && conn->stream_count == 0);
}

static void
flush(struct flusher *flusher)
{
    struct h2_conn *conn = container_of(flusher, struct h2_conn, flusher);
    bool had_output = stream_queued(&conn->stream) > 0;
    if (conn->stream.is_broken || !h2_make_frames(conn->session, &conn->stream)) {
        h2_conn_gone(conn);
        return;
    }
    if (!had_output)
        conn->since_ms = clock_now_ms();
    conn->is_small = false;
    stream_flush(&conn->stream); /* on_drained and on_broken only take notes */
    if (conn->stream.is_broken || is_over(conn))
        h2_conn_gone(conn);
    else
        h2_watch_arm(conn);
}

static void
on_drained(struct stream *stream)
{
    struct h2_conn *conn = conn_of(stream);
    conn->since_ms = clock_now_ms();
    if (nghttp2_session_want_write(conn->session) || conn->is_closing ||
        !nghttp2_session_want_read(conn->session))
        h2_conn_flush_later(conn);
}

static void
on_broken(struct stream *stream)
{
    h2_conn_flush_later(conn_of(stream));
}

/* --- input -------------------------------------------------------------------------------------*/

/* False: the connection is gone. */
static bool
take_input(struct h2_conn *conn, struct slice bytes)
{
    bool had_head = conn->head != NULL;
    conn->is_small = false;
    conn->heard_ms = conn->server->worker->now_ms;
    conn->has_asked = false;
    ssize_t taken = nghttp2_session_mem_recv(conn->session, (const uint8_t *)bytes.data, bytes.len);
    if (taken >= 0) {
        h2_session_start_pending(conn);
    } else {
        h2_conn_abused(conn);
        if (h2_make_frames(conn->session, &conn->stream)) /* a GOAWAY may be among them */
            stream_flush(&conn->stream);
        h2_conn_gone(conn);
        return false;
    }
    if (conn->head != NULL && !had_head)
        h2_watch_touch(conn);
    if (nghttp2_session_want_write(conn->session) || !nghttp2_session_want_read(conn->session))
        h2_conn_flush_later(conn);
    return true;
}

static void
on_readable(struct stream *stream)
{
    struct h2_conn *conn = conn_of(stream);
    struct buf *in = &conn->server->scratch;
    buf_clear(in);
    switch (stream_read(stream, in, LIMIT_h2_read_bytes)) {
    case STREAM_BYTES:
        (void)take_input(conn, buf_slice(in)); /* nothing is done with it afterwards */
        break;
    case STREAM_NOTHING:
        break;
    case STREAM_END:
    case STREAM_ERROR:
        h2_conn_gone(conn);
        break;
    }
}

/* --- from HTTP/1.1 -----------------------------------------------------------------------------*/

/* base64url without padding (RFC 7540 section 3.2.1) to the payload of a SETTINGS frame. */
static bool
decode_settings(struct slice text, uint8_t *ret_payload, size_t *ret_len)
{
    char padded[SETTINGS_TEXT_MAX + 4], bytes[SETTINGS_TEXT_MAX];
    size_t len = 0;
    text = slice_trim(text);
    if (text.len > SETTINGS_TEXT_MAX)
        return false;
    for (; len < text.len; len++)
        padded[len] = text.data[len] == '-' ? '+' : text.data[len] == '_' ? '/' : text.data[len];
    while (len % 4 != 0)
        padded[len++] = '=';
    if (!base64_decode(slice_of(padded, len), bytes, ret_len) || *ret_len % 6 != 0)
        return false;
    memcpy(ret_payload, bytes, *ret_len);
    return true;
}

bool
h2_settings_are_valid(struct slice text)
{
    uint8_t payload[SETTINGS_TEXT_MAX];
    size_t len;
    return decode_settings(text, payload, &len);
}

static struct slice
settings_of(const struct h1_head *head)
{
    for (size_t i = 0; i < head->header_count; i++)
        if (slice_eq_nocase(head->headers[i].name, SLICE("http2-settings")))
            return head->headers[i].value;
    return SLICE_EMPTY;
}

/* The request that asked for the upgrade becomes stream 1. */
static bool
upgrade(struct h2_conn *conn, const struct h1_head *from)
{
    uint8_t payload[SETTINGS_TEXT_MAX];
    size_t len;
    if (!decode_settings(settings_of(from), payload, &len) ||
        nghttp2_session_upgrade2(conn->session, payload, len, slice_eq(from->method, SLICE("HEAD")),
                                 NULL) != 0)
        return false;
    conn->has_begun = false; /* those settings came over HTTP/1.1 */
    struct h2_head *head = h2_head_take(conn->server);
    h2_head_from_h1(head, from, conn->server->config.head_bytes_max + LIMIT_http_head_slack_bytes);
    h2_stream_start(conn, 1, head, true);
    h2_head_put(conn->server, head);
    return true;
}

bool
h2_server_adopt(struct h2_server *server, struct stream *stream, bool is_local, struct slice bytes,
                const struct h1_head *head)
{
    struct h2_conn *conn = conn_new(server, is_local);
    struct slice peer_id = tls_peer_id(stream);
    if (peer_id.len > 0)
        conn->peer_id = slice_of(slice_copy(peer_id), peer_id.len);
    if (head != NULL && !upgrade(conn, head)) {
        nghttp2_session_del(conn->session);
        conn_free(conn);
        return false;
    }
    stream_move(&conn->stream, stream, &events);
    conn->stream.out.max = H2_OUT_BYTES_MAX;
    stream_resume(&conn->stream);
    h2_watch_touch(conn);
    h2_conn_flush_later(conn);
    if (bytes.len > 0)
        (void)take_input(conn, bytes); /* nothing is done with it afterwards */
    return true;
}
