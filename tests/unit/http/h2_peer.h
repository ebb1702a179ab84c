/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/2 server of libnghttp2 on plain sockets, driven by the test between turns of the worker:
 * it answers as the path of a request says, counts what it sees, and can be told to misbehave.
 */
#ifndef TESTS_HTTP_H2_PEER_H
#define TESTS_HTTP_H2_PEER_H

#include <errno.h>
#include <fcntl.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "async/listener.h"
#include "base/buf.h"
#include "base/slice.h"
#include "rig.h"

enum { PEER_CONNS_MAX = 16 };

struct peer;

struct peer_stream {
    struct peer_conn *conn;
    struct buf body; /* received */
    size_t sent;     /* of the answer */
    char path[64];
    char headers[2048]; /* "name: value\n" */
    bool has_trailers;
    bool is_endless; /* the answer never ends */
};

struct peer_conn {
    struct peer *peer;
    int fd; /* -1: closed */
    nghttp2_session *session;
    unsigned open, open_most;
};

struct peer {
    struct worker *worker;
    int listener;
    uint16_t port;
    uint32_t streams_max; /* 0: not said */
    uint32_t window;      /* 0: the default */
    bool is_silent;       /* accepts, says nothing */
    bool reads_nothing;
    unsigned refusals;   /* streams to refuse */
    bool leaves_at_once; /* says goodbye with its settings */
    unsigned goaways;    /* requests to answer by a GOAWAY that does not count them */
    struct peer_conn conns[PEER_CONNS_MAX];
    size_t conn_count;
    unsigned requests, resets, pings;
    size_t endless_bytes;
    struct peer_stream *held; /* the last one of /hold */
    char last_headers[2048];
};

static inline struct peer_stream *
peer_stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static inline int
peer_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct peer_conn *conn = arg;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct peer_stream *s = calloc(1, sizeof *s);
    REQUIRE(s != NULL);
    s->conn = conn;
    buf_init(&s->body, 64 * 1024 * 1024);
    conn->open++;
    if (conn->open > conn->open_most)
        conn->open_most = conn->open;
    REQUIRE(nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, s) == 0);
    return 0;
}

static inline int
peer_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
               size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
    (void)flags;
    (void)arg;
    struct peer_stream *s = peer_stream_of(session, frame->hd.stream_id);
    size_t len = strlen(s->headers);
    if (slice_eq(slice_of((const char *)name, name_len), SLICE(":path")))
        (void)snprintf(s->path, sizeof s->path, "%.*s", (int)value_len, (const char *)value);
    (void)snprintf(s->headers + len, sizeof s->headers - len, "%.*s: %.*s\n", (int)name_len,
                   (const char *)name, (int)value_len, (const char *)value);
    return 0;
}

static inline int
peer_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
             void *arg)
{
    (void)flags;
    (void)arg;
    struct peer_stream *s = peer_stream_of(session, id);
    if (s != NULL && !slice_eq(slice_str(s->path), SLICE("/count")))
        REQUIRE(buf_append(&s->body, slice_of((const char *)data, len)));
    return 0;
}

static inline ssize_t
peer_read(nghttp2_session *session, int32_t id, uint8_t *to, size_t len, uint32_t *flags,
          nghttp2_data_source *source, void *arg)
{
    (void)arg;
    struct peer_stream *s = source->ptr;
    size_t left = s->is_endless ? len : s->body.len - s->sent, bytes = left < len ? left : len;
    if (s->is_endless) {
        memset(to, 'e', bytes);
        s->conn->peer->endless_bytes += bytes;
    }
    if (!s->is_endless && bytes > 0)
        memcpy(to, buf_slice(&s->body).data + s->sent, bytes);
    s->sent += bytes;
    if (!s->is_endless && s->sent == s->body.len) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->has_trailers) {
            nghttp2_nv trailer = { .name = (uint8_t *)(uintptr_t) "x-sum",
                                   .value = (uint8_t *)(uintptr_t) "12",
                                   .namelen = 5,
                                   .valuelen = 2 };
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            REQUIRE(nghttp2_submit_trailer(session, id, &trailer, 1) == 0);
        }
    }
    return (ssize_t)bytes;
}

#define PEER_NV(n, v)                                                                              \
    (nghttp2_nv)                                                                                   \
    {                                                                                              \
        .name = (uint8_t *)(uintptr_t)(n), .value = (uint8_t *)(uintptr_t)(v),                     \
        .namelen = strlen(n), .valuelen = strlen(v)                                                \
    }

/* The body that came is the answer. */
static inline void
peer_answer(struct peer_stream *s, int32_t id)
{
    const nghttp2_nv nva[] = { PEER_NV(":status", "200"), PEER_NV("x-own", "1") };
    const nghttp2_data_provider provider = { .source.ptr = s, .read_callback = peer_read };
    REQUIRE(nghttp2_submit_response(s->conn->session, id, nva, 2, &provider) == 0);
}

/* Whether the request is answered by misbehaving. */
static inline bool
peer_refuses(struct peer_stream *s, int32_t id)
{
    struct peer *peer = s->conn->peer;
    if (peer->refusals > 0) {
        peer->refusals--;
        REQUIRE(nghttp2_submit_rst_stream(s->conn->session, NGHTTP2_FLAG_NONE, id,
                                          NGHTTP2_REFUSED_STREAM) == 0);
        return true;
    }
    if (peer->goaways > 0) {
        peer->goaways--;
        REQUIRE(nghttp2_submit_goaway(s->conn->session, NGHTTP2_FLAG_NONE, id < 2 ? 0 : id - 2,
                                      NGHTTP2_NO_ERROR, NULL, 0) == 0);
        return true;
    }
    return false;
}

static inline void
peer_request(struct peer_stream *s, int32_t id)
{
    struct slice path = slice_str(s->path);
    nghttp2_session *session = s->conn->session;
    struct peer *peer = s->conn->peer;
    peer->requests++;
    memcpy(peer->last_headers, s->headers, sizeof s->headers);
    if (peer_refuses(s, id))
        return;
    if (slice_eq(path, SLICE("/hold"))) {
        peer->held = s;
        return;
    }
    if (slice_eq(path, SLICE("/reset"))) {
        REQUIRE(nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL) == 0);
        return;
    }
    if (slice_eq(path, SLICE("/early"))) { /* an interim answer first */
        const nghttp2_nv interim = PEER_NV(":status", "103");
        REQUIRE(nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, id, NULL, &interim, 1, NULL) ==
                0);
    }
    if (slice_eq(path, SLICE("/empty"))) {
        const nghttp2_nv nva = PEER_NV(":status", "204");
        REQUIRE(nghttp2_submit_response(session, id, &nva, 1, NULL) == 0);
        return;
    }
    s->is_endless = slice_eq(path, SLICE("/endless"));
    s->has_trailers = slice_eq(path, SLICE("/trailers"));
    peer_answer(s, id);
}

static inline int
peer_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct peer_conn *conn = arg;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        conn->peer->resets++;
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0)
        conn->peer->pings++;
    if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS))
        return 0;
    struct peer_stream *s = peer_stream_of(session, frame->hd.stream_id);
    bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    bool is_at_once = s != NULL && frame->hd.type == NGHTTP2_HEADERS &&
                      slice_has_prefix(slice_str(s->path), SLICE("/e")) &&
                      slice_eq(slice_str(s->path), SLICE("/endless"));
    if (s != NULL && (is_end || is_at_once) && s->sent == 0)
        peer_request(s, frame->hd.stream_id);
    return 0;
}

static inline int
peer_on_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    (void)code;
    struct peer_conn *conn = arg;
    struct peer_stream *s = peer_stream_of(session, id);
    if (s == NULL)
        return 0;
    conn->open--;
    if (conn->peer->held == s)
        conn->peer->held = NULL;
    buf_fini(&s->body);
    free(s);
    return 0;
}

static inline void
peer_open(struct peer *peer, struct worker *worker)
{
    *peer = (struct peer){ .worker = worker };
    peer->listener = listener_bind_tcp(SLICE("127.0.0.1"), 0, false);
    REQUIRE(peer->listener >= 0);
    REQUIRE(fcntl(peer->listener, F_SETFL, O_NONBLOCK) == 0);
    peer->port = listener_port(peer->listener);
}

static inline void
peer_accept(struct peer *peer)
{
    int fd = accept4(peer->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    REQUIRE(peer->conn_count < PEER_CONNS_MAX);
    struct peer_conn *conn = &peer->conns[peer->conn_count++];
    *conn = (struct peer_conn){ .peer = peer, .fd = fd };
    if (peer->is_silent)
        return;
    nghttp2_session_callbacks *callbacks;
    REQUIRE(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, peer_on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, peer_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, peer_on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, peer_on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, peer_on_close);
    REQUIRE(nghttp2_session_server_new(&conn->session, callbacks, conn) == 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_settings_entry settings[2];
    size_t count = 0;
    if (peer->streams_max > 0)
        settings[count++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
                                                      peer->streams_max };
    if (peer->window > 0)
        settings[count++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
                                                      peer->window };
    REQUIRE(nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, settings, count) == 0);
    if (peer->leaves_at_once)
        REQUIRE(nghttp2_submit_goaway(conn->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL,
                                      0) == 0);
}

static inline void
peer_hang_up(struct peer_conn *conn)
{
    if (conn->fd < 0)
        return;
    (void)close(conn->fd);
    conn->fd = -1;
}

static inline bool
peer_send(struct peer_conn *conn)
{
    const uint8_t *data;
    ssize_t len;
    while ((len = nghttp2_session_mem_send(conn->session, &data)) > 0) {
        size_t sent = 0;
        uint64_t give_up_ms = rig_real_ms() + 10000;
        while (sent < (size_t)len) {
            ssize_t n = send(conn->fd, data + sent, (size_t)len - sent, MSG_NOSIGNAL);
            if (n > 0)
                sent += (size_t)n;
            else if (errno != EAGAIN)
                return false;
            else
                worker_turn(conn->peer->worker, 1);
            REQUIRE(rig_real_ms() < give_up_ms);
        }
        if (sent > 0 && conn->peer->worker != NULL && sent >= 16384)
            worker_turn(conn->peer->worker, 0);
    }
    return true;
}

static inline void
peer_pump(struct peer *peer)
{
    static uint8_t in[65536];
    peer_accept(peer);
    for (size_t i = 0; i < peer->conn_count; i++) {
        struct peer_conn *conn = &peer->conns[i];
        while (conn->fd >= 0 && conn->session != NULL) {
            if (!peer_send(conn)) {
                peer_hang_up(conn);
                break;
            }
            if (peer->reads_nothing)
                break;
            ssize_t got = recv(conn->fd, in, sizeof in, 0);
            if (got < 0 && errno == EAGAIN)
                break;
            if (got <= 0 || nghttp2_session_mem_recv(conn->session, in, (size_t)got) < 0)
                peer_hang_up(conn);
        }
    }
}

static inline void
peer_close(struct peer *peer)
{
    for (size_t i = 0; i < peer->conn_count; i++) {
        struct peer_conn *conn = &peer->conns[i];
        peer_hang_up(conn);
        /* Streams that are still open are not told: free what they hold. */
        for (int32_t id = 1; conn->session != NULL && conn->open > 0 && id < 100000; id += 2)
            if (nghttp2_session_find_stream(conn->session, id) != NULL &&
                peer_stream_of(conn->session, id) != NULL)
                (void)peer_on_close(conn->session, id, 0, conn);
        nghttp2_session_del(conn->session);
    }
    if (peer->listener >= 0)
        (void)close(peer->listener);
}

/* Pumps and turns until the condition holds. */
#define PEER_UNTIL(peer, condition)                                                                \
    do {                                                                                           \
        uint64_t peer_give_up_ms = rig_real_ms() + 10000;                                          \
        peer_pump(peer);                                                                           \
        while (!(condition) && rig_real_ms() < peer_give_up_ms) {                                  \
            worker_turn((peer)->worker, 1);                                                        \
            peer_pump(peer);                                                                       \
        }                                                                                          \
        REQUIRE(condition);                                                                        \
    } while (0)

#endif
