/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connected byte-stream socket on a worker's loop. Input is read by the owner when it is told
 * that there is some, into the owner's buffer, so that the owner decides how much to hold. Output
 * is appended to a buffer and written once a turn; what the peer does not take stays queued and the
 * owner can ask how much that is.
 *
 * Large blocks need not be copied there: their memory can be given to the stream, which sends it in
 * its place among the rest.
 *
 * A filter between owner and socket (TLS) sees every byte of both directions; without one they go
 * straight through.
 *
 * h2o's socket carries the descriptor in its loop; its own reading (which has no bound) and writing
 * (which calls back once a write) are not used for plain text.
 *
 * Worker thread only. Callbacks run outside tasks. stream_close() may be called from within one;
 * none follows it.
 */
#ifndef ASYNC_STREAM_H
#define ASYNC_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "async/worker.h"
#include "base/buf.h"
#include "base/slice.h"

struct stream;

enum {
    STREAM_GIVEN_MAX = 8,              /* blocks in the queue at a time; further ones are copied */
    STREAM_GIVEN_BYTES_MIN = 8 * 1024, /* smaller ones too: it is less work */
};

struct stream_events {
    /* There is input, or the end of it, or an error: call stream_read(). */
    void (*on_readable)(struct stream *stream);
    /* All queued output has been handed to the system. NULL: not wanted. */
    void (*on_drained)(struct stream *stream);
    /* Writing failed: the connection is broken. The owner should close. */
    void (*on_broken)(struct stream *stream);
};

/* What stream_read() found. */
enum stream_got { STREAM_BYTES, STREAM_NOTHING, STREAM_END, STREAM_ERROR };

/* Worker thread, outside tasks. Functions do not suspend. */
struct stream_filter {
    /* As read(2) on a non-blocking socket, but for plain bytes. */
    enum stream_got (*read)(struct stream *stream, char *at, size_t bytes, size_t *ret_len);
    /* As send(2): how many bytes were taken; -1 with EAGAIN: none, and the filter calls
     * stream_flush_later() when there is sense in another try or sets stream->wants_writable; -1
     * with another error: never again. */
    ssize_t (*send)(struct stream *stream, const void *bytes, size_t len);
    /* Plain bytes wait inside: stream_read() would deliver some though the socket has none. */
    bool (*has_more)(const struct stream *stream);
    /* No more output, or the end of everything. Frees what it has with the latter. */
    void (*shutdown)(struct stream *stream);
    void (*close)(struct stream *stream);
};

/* A block in the queue of output, and where in it. */
struct stream_given {
    struct buf block; /* owned */
    size_t at;        /* so many bytes of `out` go before it */
};

struct stream {
    struct worker *worker;
    const struct stream_events *events;
    struct st_h2o_socket_t *socket;
    int fd;
    bool is_reading;
    bool is_blocked; /* the peer takes no more; waiting until it does */
    bool is_broken;
    bool wants_writable; /* the filter said EAGAIN because the socket takes no more */
    struct buf out;
    struct stream_given *given; /* STREAM_GIVEN_MAX, made when first needed; NULL: no block yet */
    size_t given_count;
    size_t given_bytes;
    struct flusher flusher;
    const struct stream_filter *filter; /* NULL: none */
    void *filter_state;                 /* the filter's own */
    struct timer again;                 /* the filter has more for on_readable */
};

/* Takes the descriptor (moved, also on failure it is closed by stream_close()), makes it
 * non-blocking and starts reading. `out_bytes_max` bounds queued output. */
void stream_open(struct stream *stream, struct worker *worker, int fd,
                 const struct stream_events *events, size_t out_bytes_max);
/* Moves socket and queued output to another struct and owner; `from` is closed then. */
void stream_move(struct stream *to, struct stream *from, const struct stream_events *events);
/* Drops queued output. The struct may be freed at once. */
void stream_close(struct stream *stream);
static inline bool
stream_is_open(const struct stream *stream)
{
    return stream->socket != NULL;
}

/* Puts a filter in between, before anything was read or written. */
void stream_set_filter(struct stream *stream, const struct stream_filter *filter, void *state);

/* One read(2) of at most `bytes` into `in`, or what its maximum leaves room for, which must not be
 * nothing: pause instead. After the end or an error the owner pauses or closes, or is told again in
 * each turn. */
enum stream_got stream_read(struct stream *stream, struct buf *in, size_t bytes);

/* Back-pressure: no on_readable until resumed. End of input is not seen meanwhile. */
void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);

/* Queues output for the end of this turn. False if that exceeds the maximum; nothing is queued. */
bool stream_write(struct stream *stream, struct slice bytes) WARN_UNUSED;
/* Queues all that `from` holds behind what is queued already, as stream_write() does, but without
 * copying if it is large: `from` is left without memory then, and in any case empty. What is
 * queued so does not count for the maximum. False: a small one that exceeds it. */
bool stream_give(struct stream *stream, struct buf *from) WARN_UNUSED;
/* For output built in place: append to stream->out, then call this. */
void stream_flush_later(struct stream *stream);
/* Writes now what is queued, unless the peer takes nothing: for owners with a flusher of their own.
 * Callbacks may come from within. */
void stream_flush(struct stream *stream);
/* Bytes the peer has not been able to take yet. */
static inline size_t
stream_queued(const struct stream *stream)
{
    return stream->out.len + stream->given_bytes;
}
/* Gives back the memory that an idle stream does not need. Nothing may be queued. */
void stream_shrink(struct stream *stream);

/* Half-close: no output after what is queued. Call when stream_queued() is 0. */
void stream_shutdown_write(struct stream *stream);

#endif
