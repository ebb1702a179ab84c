/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/2 client of libnghttp2 on a plain socket of rig.h, and bare frames for what libnghttp2
 * would never send. Answers are collected by stream.
 */
#ifndef TESTS_HTTP_H2_CLIENT_H
#define TESTS_HTTP_H2_CLIENT_H

#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "rig.h"

enum { H2_ANSWERS_MAX = 4096, H2_TEXT_MAX = 4096 };

struct h2_answer {
    int status;
    char headers[H2_TEXT_MAX]; /* "name: value\n" */
    char trailers[H2_TEXT_MAX];
    size_t body_len;
    char body[1024]; /* its begin */
    bool is_ended;
    bool is_closed;
    uint32_t code; /* it was closed with */
};

struct h2_client {
    struct rig *rig;
    int fd;
    nghttp2_session *session;
    bool has_ended; /* the server closed */
    bool is_paused; /* reads nothing */
    bool got_goaway;
    uint32_t goaway_code;
    char goaway_text[64];
    unsigned pings; /* not answers to ours */
    uint32_t server_streams_max;
    struct h2_answer *answers; /* by (id - 1) / 2 */
    struct slice body;         /* to be sent */
    size_t body_sent;
};

static inline struct h2_answer *
h2_answer_of(struct h2_client *client, int32_t id)
{
    size_t at = (size_t)(id - 1) / 2;
    REQUIRE(id > 0 && at < H2_ANSWERS_MAX);
    return &client->answers[at];
}

static inline int
h2_client_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                    size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                    void *arg)
{
    (void)session;
    (void)flags;
    struct h2_client *client = arg;
    struct h2_answer *answer = h2_answer_of(client, frame->hd.stream_id);
    struct slice n = slice_of((const char *)name, name_len);
    if (slice_eq(n, SLICE(":status"))) {
        uint64_t status = 0;
        REQUIRE(slice_to_u64(slice_of((const char *)value, value_len), &status));
        answer->status = (int)status;
        return 0;
    }
    char *to = frame->headers.cat == NGHTTP2_HCAT_HEADERS && answer->status != 0 ? answer->trailers
                                                                                 : answer->headers;
    size_t len = strlen(to);
    (void)snprintf(to + len, H2_TEXT_MAX - len, "%.*s: %.*s\n", (int)name_len, (const char *)name,
                   (int)value_len, (const char *)value);
    return 0;
}

static inline int
h2_client_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                  size_t len, void *arg)
{
    (void)session;
    (void)flags;
    struct h2_answer *answer = h2_answer_of(arg, id);
    for (size_t i = 0; i < len && answer->body_len + i < sizeof answer->body; i++)
        answer->body[answer->body_len + i] = (char)data[i];
    answer->body_len += len;
    return 0;
}

static inline int
h2_client_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2_client *client = arg;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        client->got_goaway = true;
        client->goaway_code = frame->goaway.error_code;
        if (frame->goaway.opaque_data_len > 0)
            (void)snprintf(client->goaway_text, sizeof client->goaway_text, "%.*s",
                           (int)frame->goaway.opaque_data_len,
                           (const char *)frame->goaway.opaque_data);
    }
    client->pings += frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0;
    if (frame->hd.type == NGHTTP2_SETTINGS)
        client->server_streams_max = nghttp2_session_get_remote_settings(
            session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        h2_answer_of(client, frame->hd.stream_id)->is_ended = true;
    return 0;
}

static inline int
h2_client_on_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    (void)session;
    struct h2_answer *answer = h2_answer_of(arg, id);
    answer->is_closed = true;
    answer->code = code;
    return 0;
}

/* On a connected socket; the preface is queued. */
static inline void
h2_client_init(struct h2_client *client, struct rig *rig, int fd, bool says_preface)
{
    const int on = 1;
    *client = (struct h2_client){ .rig = rig, .fd = fd };
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* slower without */
    client->answers = calloc(H2_ANSWERS_MAX, sizeof *client->answers);
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    REQUIRE(client->answers != NULL && nghttp2_session_callbacks_new(&callbacks) == 0 &&
            nghttp2_option_new(&option) == 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, h2_client_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, h2_client_on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, h2_client_on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, h2_client_on_close);
    nghttp2_option_set_peer_max_concurrent_streams(option, 1u << 30);
    REQUIRE(nghttp2_session_client_new2(&client->session, callbacks, client, option) == 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    if (says_preface)
        REQUIRE(nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, NULL, 0) == 0);
}

static inline void
h2_client_start(struct h2_client *client, struct rig *rig)
{
    h2_client_init(client, rig, rig_connect(rig), true);
}

static inline void
h2_client_stop(struct h2_client *client)
{
    nghttp2_session_del(client->session);
    free(client->answers);
    (void)close(client->fd);
}

/* Sends what the session has, receives what is there. */
static inline void
h2_client_pump(struct h2_client *client)
{
    const uint8_t *data;
    ssize_t len;
    while (!client->has_ended && (len = nghttp2_session_mem_send(client->session, &data)) > 0) {
        size_t sent = 0;
        uint64_t give_up_ms = rig_real_ms() + 10000;
        while (sent < (size_t)len && !client->has_ended) {
            ssize_t n = send(client->fd, data + sent, (size_t)len - sent, MSG_NOSIGNAL);
            if (n > 0)
                sent += (size_t)n;
            else if (errno != EAGAIN)
                client->has_ended = true;
            else
                worker_turn(&client->rig->worker, 1);
            REQUIRE(rig_real_ms() < give_up_ms);
        }
    }
    static char in[16384];
    while (!client->has_ended && !client->is_paused) {
        ssize_t n = recv(client->fd, in, sizeof in, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        client->has_ended = n <= 0;
        if (n > 0)
            REQUIRE(nghttp2_session_mem_recv(client->session, (uint8_t *)in, (size_t)n) == n);
    }
}

/* Pumps and turns until the condition holds. */
#define H2_UNTIL(client, condition)                                                                \
    do {                                                                                           \
        uint64_t h2_give_up_ms = rig_real_ms() + 10000;                                            \
        h2_client_pump(client);                                                                    \
        while (!(condition) && rig_real_ms() < h2_give_up_ms) {                                    \
            worker_turn(&(client)->rig->worker, 1);                                                \
            h2_client_pump(client);                                                                \
        }                                                                                          \
        REQUIRE(condition);                                                                        \
    } while (0)

static inline ssize_t
h2_client_read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t len, uint32_t *flags,
                    nghttp2_data_source *source, void *arg)
{
    (void)session;
    (void)id;
    (void)source;
    struct h2_client *client = arg;
    size_t left = client->body.len - client->body_sent;
    size_t bytes = left < len ? left : len;
    memcpy(to, client->body.data + client->body_sent, bytes);
    client->body_sent += bytes;
    if (client->body_sent == client->body.len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)bytes;
}

/* A body of which nothing comes. */
static inline ssize_t
h2_client_hold_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t len, uint32_t *flags,
                    nghttp2_data_source *source, void *arg)
{
    (void)session;
    (void)id;
    (void)to;
    (void)len;
    (void)flags;
    (void)source;
    (void)arg;
    return NGHTTP2_ERR_DEFERRED;
}

#define H2_NV(n, v)                                                                                \
    (nghttp2_nv)                                                                                   \
    {                                                                                              \
        .name = (uint8_t *)(uintptr_t)(n), .value = (uint8_t *)(uintptr_t)(v),                     \
        .namelen = strlen(n), .valuelen = strlen(v)                                                \
    }

/* A request; `body` NULL for none, else it must live until it has been sent. `more` may be NULL. */
static inline int32_t
h2_client_ask(struct h2_client *client, const char *method, const char *path,
              const struct slice *body, const nghttp2_nv *more, size_t more_count)
{
    nghttp2_nv nva[32] = { H2_NV(":method", method), H2_NV(":path", path), H2_NV(":scheme", "http"),
                           H2_NV(":authority", "x") };
    REQUIRE(more_count <= 28);
    for (size_t i = 0; i < more_count; i++)
        nva[4 + i] = more[i];
    const nghttp2_data_provider provider = { .read_callback = h2_client_read_body };
    if (body != NULL) {
        client->body = *body;
        client->body_sent = 0;
    }
    int32_t id = nghttp2_submit_request(client->session, NULL, nva, 4 + more_count,
                                        body == NULL ? NULL : &provider, NULL);
    REQUIRE(id > 0);
    return id;
}

static inline struct h2_answer *
h2_client_get(struct h2_client *client, const char *path)
{
    int32_t id = h2_client_ask(client, "GET", path, NULL, NULL, 0);
    struct h2_answer *answer = h2_answer_of(client, id);
    H2_UNTIL(client, answer->is_closed || client->has_ended);
    return answer;
}

/* --- bare frames -------------------------------------------------------------------------------*/

#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/* Returns the length of the frame written. */
static inline size_t
h2_frame(char *to, unsigned type, unsigned flags, uint32_t id, const void *payload, size_t len)
{
    const unsigned char head[9] = {
        (unsigned char)(len >> 16), (unsigned char)(len >> 8), (unsigned char)len,
        (unsigned char)type,        (unsigned char)flags,      (unsigned char)(id >> 24),
        (unsigned char)(id >> 16),  (unsigned char)(id >> 8),  (unsigned char)id,
    };
    memcpy(to, head, sizeof head);
    if (len > 0)
        memcpy(to + sizeof head, payload, len);
    return sizeof head + len;
}

/* Sends until done or the server has closed; reads and drops what comes. True: it closed. */
static inline bool
h2_flood(struct rig *rig, int fd, const char *data, size_t len)
{
    uint64_t give_up_ms = rig_real_ms() + 10000;
    static char in[16384];
    while (len > 0 && rig_real_ms() < give_up_ms) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return true;
        if (sent > 0) {
            data += sent;
            len -= (size_t)sent;
        }
        worker_turn(&rig->worker, 0);
        ssize_t got = recv(fd, in, sizeof in, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return true;
    }
    return false;
}

#endif
