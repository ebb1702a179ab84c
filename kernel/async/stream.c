/* SPDX-License-Identifier: Apache-2.0 */
/* A byte-stream socket on a worker's loop; see stream.h. */
#include "async/stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <h2o.h>
#include <unistd.h>

enum {
    KEEP_OUT_BYTES = 16 * 1024, /* an empty output buffer larger than this is given back */
};

static void flush(struct flusher *flusher);
static void on_writable(h2o_socket_t *sock, const char *err);

static void
on_ready(h2o_socket_t *sock, const char *err)
{
    (void)err; /* with DONT_READ h2o reports none: read(2) will */
    struct stream *stream = sock->data;
    stream->events->on_readable(stream);
}

void
stream_open(struct stream *stream, struct worker *worker, int fd,
            const struct stream_events *events, size_t out_bytes_max)
{
    *stream = (struct stream){ .worker = worker, .events = events, .fd = fd };
    buf_init(&stream->out, out_bytes_max);
    flusher_init(&stream->flusher, flush);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK); /* fails only for a bad descriptor */
    stream->socket = h2o_evloop_socket_create(worker->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    stream->socket->data = stream;
    stream_resume(stream);
}

void
stream_move(struct stream *to, struct stream *from, const struct stream_events *events)
{
    bool has_output = list_is_linked(&from->flusher.link);
    list_remove(&from->flusher.link);
    *to = *from;
    to->events = events;
    to->socket->data = to;
    flusher_init(&to->flusher, flush);
    *from = (struct stream){ .worker = from->worker, .fd = -1 };
    if (has_output)
        stream_flush_later(to);
}

void
stream_close(struct stream *stream)
{
    if (stream->socket == NULL)
        return;
    list_remove(&stream->flusher.link);
    stream->socket->_cb.write = NULL; /* h2o asserts that no write is pending when it closes */
    h2o_socket_close(TAKE(stream->socket));
    buf_fini(&stream->out);
}

enum stream_got
stream_read(struct stream *stream, struct buf *in, size_t bytes)
{
    if (bytes > in->max - in->len)
        bytes = in->max - in->len;
    assert(bytes > 0);
    char *at = buf_reserve(in, bytes);
    assert(at != NULL);
    ssize_t got;
    do
        got = read(stream->fd, at, bytes);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        buf_commit(in, (size_t)got);
        return STREAM_BYTES;
    }
    if (got == 0)
        return STREAM_END;
    return errno == EAGAIN || errno == EWOULDBLOCK ? STREAM_NOTHING : STREAM_ERROR;
}

void
stream_pause(struct stream *stream)
{
    if (stream->is_reading)
        h2o_socket_read_stop(stream->socket);
    stream->is_reading = false;
}

void
stream_resume(struct stream *stream)
{
    if (!stream->is_reading)
        h2o_socket_read_start(stream->socket, on_ready);
    stream->is_reading = true;
}

bool
stream_write(struct stream *stream, struct slice bytes)
{
    assert(stream_is_open(stream));
    if (!buf_append(&stream->out, bytes))
        return false;
    stream_flush_later(stream);
    return true;
}

void
stream_flush_later(struct stream *stream)
{
    assert(stream_is_open(stream));
    if (!stream->is_blocked && !stream->is_broken)
        worker_flush_later(stream->worker, &stream->flusher);
}

static void
broke(struct stream *stream)
{
    stream->is_broken = true;
    buf_clear(&stream->out);
    stream->events->on_broken(stream);
}

/* Hands queued output to the system. */
static void
flush(struct flusher *flusher)
{
    struct stream *stream = container_of(flusher, struct stream, flusher);
    while (stream->out.len > 0) {
        struct slice bytes = buf_slice(&stream->out);
        ssize_t sent = send(stream->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            stream->is_blocked = true;
            h2o_socket_notify_write(stream->socket, on_writable);
            return;
        }
        if (sent < 0) {
            broke(stream);
            return;
        }
        buf_consume(&stream->out, (size_t)sent);
    }
    if (stream->out.capacity > KEEP_OUT_BYTES)
        buf_release(&stream->out);
    if (stream->events->on_drained != NULL)
        stream->events->on_drained(stream);
}

void
stream_flush(struct stream *stream)
{
    if (stream->is_blocked || stream->is_broken)
        return;
    list_remove(&stream->flusher.link);
    flush(&stream->flusher);
}

static void
on_writable(h2o_socket_t *sock, const char *err)
{
    struct stream *stream = sock->data;
    stream->is_blocked = false;
    if (err != NULL)
        broke(stream);
    else
        flush(&stream->flusher);
}

void
stream_shutdown_write(struct stream *stream)
{
    assert(stream->out.len == 0);
    (void)shutdown(stream->fd, SHUT_WR); /* the peer may be gone already */
}
