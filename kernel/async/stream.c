/* SPDX-License-Identifier: Apache-2.0 */
/* A byte-stream socket on a worker's loop; see stream.h. */
#include "async/stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <h2o.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    KEEP_OUT_BYTES = 16 * 1024, /* an empty output buffer larger than this is given back */
};

static void flush(struct flusher *flusher);
static void drop_output(struct stream *stream);
static void wait_until_writable(struct stream *stream);
static void on_again(struct timer *timer);
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
    timer_init(&stream->again, on_again);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK); /* fails only for a bad descriptor */
    stream->socket = h2o_evloop_socket_create(worker->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    stream->socket->data = stream;
    stream_resume(stream);
}

void
stream_move(struct stream *to, struct stream *from, const struct stream_events *events)
{
    bool has_output = list_is_linked(&from->flusher.link), has_more = timer_is_set(&from->again);
    list_remove(&from->flusher.link);
    timer_stop(&from->worker->timers, &from->again);
    *to = *from;
    to->events = events;
    to->socket->data = to;
    flusher_init(&to->flusher, flush);
    timer_init(&to->again, on_again);
    *from = (struct stream){ .worker = from->worker, .fd = -1 };
    if (has_output)
        stream_flush_later(to);
    if (has_more)
        timer_set(&to->worker->timers, &to->again, to->worker->now_ms);
}

void
stream_close(struct stream *stream)
{
    if (stream->socket == NULL)
        return;
    list_remove(&stream->flusher.link);
    timer_stop(&stream->worker->timers, &stream->again);
    if (stream->filter != NULL)
        stream->filter->close(stream);
    stream->socket->_cb.write = NULL; /* h2o asserts that no write is pending when it closes */
    h2o_socket_close(TAKE(stream->socket));
    drop_output(stream);
    buf_fini(&stream->out);
    free(TAKE(stream->given));
}

void
stream_shrink(struct stream *stream)
{
    assert(stream_queued(stream) == 0);
    buf_release(&stream->out);
    free(TAKE(stream->given));
}

/* --- filters -----------------------------------------------------------------------------------*/

void
stream_set_filter(struct stream *stream, const struct stream_filter *filter, void *state)
{
    assert(stream->filter == NULL && stream_queued(stream) == 0);
    stream->filter = filter;
    stream->filter_state = state;
}

static void
on_again(struct timer *timer)
{
    struct stream *stream = container_of(timer, struct stream, again);
    if (stream->is_reading)
        stream->events->on_readable(stream);
}

/* What the filter holds back makes no socket readable. */
static void
read_again_if_more(struct stream *stream)
{
    if (stream->filter != NULL && stream->is_reading && stream->filter->has_more(stream))
        timer_set(&stream->worker->timers, &stream->again, stream->worker->now_ms);
}

static enum stream_got
read_some(struct stream *stream, char *at, size_t bytes, size_t *ret_len)
{
    if (stream->filter != NULL)
        return stream->filter->read(stream, at, bytes, ret_len);
    ssize_t got;
    do
        got = read(stream->fd, at, bytes);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        *ret_len = (size_t)got;
        return STREAM_BYTES;
    }
    if (got == 0)
        return STREAM_END;
    return errno == EAGAIN || errno == EWOULDBLOCK ? STREAM_NOTHING : STREAM_ERROR;
}

/* --- input -------------------------------------------------------------------------------------*/

enum stream_got
stream_read(struct stream *stream, struct buf *in, size_t bytes)
{
    if (bytes > in->max - in->len)
        bytes = in->max - in->len;
    assert(bytes > 0);
    char *at = buf_reserve(in, bytes);
    assert(at != NULL);
    size_t len = 0;
    enum stream_got got = read_some(stream, at, bytes, &len);
    if (stream->wants_writable && !stream->is_blocked)
        wait_until_writable(stream);
    if (got == STREAM_BYTES) {
        buf_commit(in, len);
        read_again_if_more(stream);
    }
    return got;
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
    read_again_if_more(stream);
}

/* --- output ------------------------------------------------------------------------------------*/

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

bool
stream_give(struct stream *stream, struct buf *from)
{
    assert(stream_is_open(stream));
    if (from->len < STREAM_GIVEN_BYTES_MIN || stream->given_count == STREAM_GIVEN_MAX) {
        if (!buf_append(&stream->out, buf_slice(from)))
            return false;
        buf_clear(from);
    } else {
        if (stream->given == NULL)
            stream->given = calloc(STREAM_GIVEN_MAX, sizeof *stream->given);
        if (stream->given == NULL)
            abort();
        struct stream_given *last = &stream->given[stream->given_count++];
        last->at = stream->out.len;
        buf_init(&last->block, from->max);
        last->block.is_secret = stream->out.is_secret;
        buf_swap(&last->block, from);
        stream->given_bytes += last->block.len;
    }
    stream_flush_later(stream);
    return true;
}

static void
drop_output(struct stream *stream)
{
    for (size_t i = 0; i < stream->given_count; i++)
        buf_fini(&stream->given[i].block);
    stream->given_count = stream->given_bytes = 0;
    buf_clear(&stream->out);
}

/* Queued output in its order. */
static size_t
list_output(const struct stream *stream, struct iovec *ret_parts)
{
    struct slice out = buf_slice(&stream->out);
    size_t count = 0, at = 0;
    for (size_t i = 0; i < stream->given_count; i++) {
        struct slice block = buf_slice(&stream->given[i].block);
        size_t next = stream->given[i].at;
        if (next > at)
            ret_parts[count++] = (struct iovec){ (char *)(uintptr_t)out.data + at, next - at };
        ret_parts[count++] = (struct iovec){ (char *)(uintptr_t)block.data, block.len };
        at = next;
    }
    if (out.len > at)
        ret_parts[count++] = (struct iovec){ (char *)(uintptr_t)out.data + at, out.len - at };
    return count;
}

static struct slice
first_output(const struct stream *stream)
{
    struct slice out = buf_slice(&stream->out);
    if (stream->given_count == 0)
        return out;
    const struct stream_given *next = &stream->given[0];
    return next->at > 0 ? slice_first(out, next->at) : buf_slice(&next->block);
}

static ssize_t
send_some(struct stream *stream)
{
    if (stream->filter != NULL) {
        struct slice first = first_output(stream);
        return stream->filter->send(stream, first.data, first.len);
    }
    struct iovec parts[2 * STREAM_GIVEN_MAX + 1];
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = list_output(stream, parts) };
    return sendmsg(stream->fd, &message, MSG_NOSIGNAL);
}

/* The socket has taken so many bytes of it. */
static void
consume_output(struct stream *stream, size_t bytes)
{
    size_t gone = 0; /* blocks */
    while (bytes > 0) {
        struct stream_given *next = gone < stream->given_count ? &stream->given[gone] : NULL;
        size_t before = next == NULL ? stream->out.len : next->at;
        size_t taken = bytes < before ? bytes : before;
        buf_consume(&stream->out, taken);
        for (size_t i = gone; i < stream->given_count; i++)
            stream->given[i].at -= taken;
        bytes -= taken;
        if (next == NULL || next->at > 0)
            break;
        taken = bytes < next->block.len ? bytes : next->block.len;
        buf_consume(&next->block, taken);
        stream->given_bytes -= taken;
        bytes -= taken;
        if (next->block.len > 0)
            break;
        buf_fini(&next->block);
        gone++;
    }
    assert(bytes == 0);
    if (gone > 0 && stream->given_count > gone)
        memmove(stream->given, stream->given + gone,
                (stream->given_count - gone) * sizeof *stream->given);
    stream->given_count -= gone;
}

static void
broke(struct stream *stream)
{
    stream->is_broken = true;
    drop_output(stream);
    stream->events->on_broken(stream);
}

static void
wait_until_writable(struct stream *stream)
{
    stream->is_blocked = true;
    stream->wants_writable = false;
    h2o_socket_notify_write(stream->socket, on_writable);
}

/* Hands queued output to the system. */
static void
flush(struct flusher *flusher)
{
    struct stream *stream = container_of(flusher, struct stream, flusher);
    while (stream_queued(stream) > 0) {
        ssize_t sent = send_some(stream);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            if (stream->filter == NULL || stream->wants_writable)
                wait_until_writable(stream);
            return;
        }
        if (sent < 0) {
            broke(stream);
            return;
        }
        consume_output(stream, (size_t)sent);
    }
    buf_wipe(&stream->out);
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
    if (stream->filter != NULL && stream->is_reading) /* it may be reading that had to write */
        timer_set(&stream->worker->timers, &stream->again, stream->worker->now_ms);
    if (err != NULL)
        broke(stream);
    else
        flush(&stream->flusher);
}

void
stream_shutdown_write(struct stream *stream)
{
    assert(stream_queued(stream) == 0);
    if (stream->filter != NULL)
        stream->filter->shutdown(stream);
    (void)shutdown(stream->fd, SHUT_WR); /* the peer may be gone already */
}
