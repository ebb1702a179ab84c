/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The yardstick of gRPC and the application behind the proxy in benchmarks: a server in bare C on
 * libnghttp2 and one epoll loop that sends every message back as it came, whatever the method, or
 * the bytes of a file, a message behind its prefix. What the operating system and the library cost
 * is in it, and nothing else.
 *
 * grpc_echo PORT [FILE]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/slice.h"

enum {
    EVENTS_MAX = 256,
    IN_BYTES = 256 * 1024,
    OUT_BYTES_MAX = 64 * 1024 * 1024,
    FLUSH_BYTES = 256 * 1024,
    BODY_BYTES_MAX = 64 * 1024 * 1024,
    WINDOW_BYTES = 8 * 1024 * 1024,
    FRAME_BYTES = 256 * 1024,
    SPARE_MAX = 4096,
};

struct conn {
    int fd;
    nghttp2_session *session;
    struct buf out;
    int is_blocked;
};

struct call {
    struct call *next;
    struct buf body;
    int has_trailers;
};

static int epoll_fd;
static char fixed[64 * 1024]; /* the answer, if a file was given */
static size_t fixed_len;
static struct call *spare;
static unsigned spare_count;

static void
die(const char *what)
{
    fprintf(stderr, "grpc_echo: %s: %s\n", what, strerror(errno));
    exit(2);
}

#define NV(n, v)                                                                                   \
    {                                                                                              \
        .name = (uint8_t *)(uintptr_t)(n), .value = (uint8_t *)(uintptr_t)(v),                     \
        .namelen = sizeof(n) - 1, .valuelen = sizeof(v) - 1,                                       \
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE                      \
    }

/* --- calls -------------------------------------------------------------------------------------*/

static struct call *
call_take(void)
{
    struct call *call = spare;
    if (call != NULL) {
        spare = call->next;
        spare_count--;
        call->has_trailers = 0;
        return call;
    }
    call = calloc(1, sizeof *call);
    if (call == NULL)
        die("memory");
    buf_init(&call->body, BODY_BYTES_MAX);
    return call;
}

static void
call_put(struct call *call)
{
    buf_clear(&call->body);
    if (spare_count == SPARE_MAX) {
        buf_fini(&call->body);
        free(call);
        return;
    }
    call->next = spare;
    spare = call;
    spare_count++;
}

static ssize_t
measure(nghttp2_session *session, int32_t id, uint8_t *to, size_t len, uint32_t *flags,
        nghttp2_data_source *source, void *arg)
{
    (void)to;
    (void)arg;
    static const nghttp2_nv trailer = NV("grpc-status", "0");
    struct call *call = source->ptr;
    size_t bytes = call->body.len < len ? call->body.len : len;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (bytes < call->body.len)
        return (ssize_t)bytes;
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    if (!call->has_trailers && nghttp2_submit_trailer(session, id, &trailer, 1) != 0)
        die("trailer");
    call->has_trailers = 1;
    return (ssize_t)bytes;
}

static int
send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t len,
          nghttp2_data_source *source, void *arg)
{
    (void)session;
    (void)frame;
    struct conn *conn = arg;
    struct call *call = source->ptr;
    if (!buf_append(&conn->out, slice_of((const char *)head, 9)) ||
        !buf_append(&conn->out, slice_first(buf_slice(&call->body), len)))
        die("output");
    buf_consume(&call->body, len);
    return 0;
}

static ssize_t
frame_length(nghttp2_session *session, uint8_t type, int32_t id, int32_t conn_window,
             int32_t stream_window, uint32_t frame_max, void *arg)
{
    (void)session;
    (void)type;
    (void)id;
    (void)arg;
    int32_t window = conn_window < stream_window ? conn_window : stream_window;
    int32_t max = frame_max < FRAME_BYTES ? (int32_t)frame_max : FRAME_BYTES;
    return window < max ? window : max;
}

static void
answer(nghttp2_session *session, int32_t id, struct call *call)
{
    static const nghttp2_nv nva[] = { NV(":status", "200"),
                                      NV("content-type", "application/grpc") };
    const nghttp2_data_provider provider = { .source.ptr = call, .read_callback = measure };
    if (fixed_len > 0) {
        buf_clear(&call->body);
        if (!buf_append(&call->body, slice_of(fixed, fixed_len)))
            die("memory");
    }
    if (nghttp2_submit_response(session, id, nva, 2, &provider) != 0)
        die("response");
}

/* --- what libnghttp2 tells ---------------------------------------------------------------------*/

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)arg;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        (void)nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call_take());
    return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
        void *arg)
{
    (void)flags;
    (void)arg;
    struct call *call = nghttp2_session_get_stream_user_data(session, id);
    if (!buf_append(&call->body, slice_of((const char *)data, len)))
        die("a message that is too large");
    return 0;
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)arg;
    if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        answer(session, frame->hd.stream_id,
               nghttp2_session_get_stream_user_data(session, frame->hd.stream_id));
    return 0;
}

static int
on_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    (void)code;
    (void)arg;
    struct call *call = nghttp2_session_get_stream_user_data(session, id);
    if (call != NULL)
        call_put(call);
    return 0;
}

static nghttp2_session *
new_session(struct conn *conn)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *session;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        die("memory");
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, frame_length);
    const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES },
        { NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_BYTES },
    };
    if (nghttp2_session_server_new(&session, callbacks, conn) != 0 ||
        nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 2) != 0 ||
        nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES * 4) != 0)
        die("session");
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

/* --- connections -------------------------------------------------------------------------------*/

static void
watch(int fd, uint32_t events, void *arg, int operation)
{
    struct epoll_event event = { .events = events, .data.ptr = arg };
    if (epoll_ctl(epoll_fd, operation, fd, &event) != 0)
        die("epoll_ctl");
}

static void
conn_free(struct conn *conn)
{
    nghttp2_session_del(conn->session); /* calls that were open stay behind: it is a benchmark */
    buf_fini(&conn->out);
    (void)close(conn->fd);
    free(conn);
}

/* 0: the connection is gone. */
static int
flush(struct conn *conn)
{
    for (;;) {
        const uint8_t *data;
        ssize_t len = 1;
        while (conn->out.len < FLUSH_BYTES &&
               (len = nghttp2_session_mem_send(conn->session, &data)) > 0)
            if (!buf_append(&conn->out, slice_of((const char *)data, (size_t)len)))
                die("output");
        if (len < 0)
            return 0;
        if (conn->out.len == 0)
            break;
        struct slice bytes = buf_slice(&conn->out);
        ssize_t sent = send(conn->fd, bytes.data, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            return 0;
        if (sent < 0) {
            if (!conn->is_blocked)
                watch(conn->fd, EPOLLIN | EPOLLOUT, conn, EPOLL_CTL_MOD);
            conn->is_blocked = 1;
            return 1;
        }
        buf_consume(&conn->out, (size_t)sent);
    }
    if (conn->is_blocked)
        watch(conn->fd, EPOLLIN, conn, EPOLL_CTL_MOD);
    conn->is_blocked = 0;
    return 1;
}

static void
on_event(struct conn *conn, uint32_t events)
{
    static uint8_t in[IN_BYTES];
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        ssize_t got = recv(conn->fd, in, sizeof in, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN) ||
            (got > 0 && nghttp2_session_mem_recv(conn->session, in, (size_t)got) != got)) {
            conn_free(conn);
            return;
        }
    }
    if (!flush(conn))
        conn_free(conn);
}

static void
on_connection(int listener)
{
    const int on = 1;
    struct conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        die("memory");
    conn->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (conn->fd < 0) {
        free(conn);
        return;
    }
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* slower without */
    buf_init(&conn->out, OUT_BYTES_MAX);
    conn->session = new_session(conn);
    watch(conn->fd, EPOLLIN, conn, EPOLL_CTL_ADD);
    if (!flush(conn))
        conn_free(conn);
}

static int
listen_on(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1024) != 0)
        die("listen");
    return fd;
}

static void
read_fixed(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        die(path);
    fixed_len = fread(fixed, 1, sizeof fixed, file);
    (void)fclose(file);
}

int
main(int argc, char **argv)
{
    uint64_t port = 0;
    if (argc < 2 || argc > 3 || !slice_to_u64(slice_str(argv[1]), &port) || port > UINT16_MAX)
        die("usage: grpc_echo PORT [FILE]");
    if (argc == 3)
        read_fixed(argv[2]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on((uint16_t)port);
    watch(listener, EPOLLIN, NULL, EPOLL_CTL_ADD);
    for (;;) {
        static struct epoll_event events[EVENTS_MAX];
        int n = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                on_connection(listener);
            else
                on_event(events[i].data.ptr, events[i].events);
        }
    }
}
