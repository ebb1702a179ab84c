/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the three files of a connection share; nobody else includes this. conn.c has the queues, the
 * clock and the interface, conn_io.c the established connection, conn_dial.c how it comes about.
 *
 *   LOCATING → RESOLVING → CONNECTING → SECURING (TLS only) → GREETING → READY
 *        any of them, on trouble → BACKOFF → LOCATING
 *
 * `out` holds encoded commands that the socket has not taken, `in` bytes that are not a whole reply
 * yet. `requests` is a ring: one entry per command on this connection, oldest first, each knowing
 * where in the stream of bytes its command ends, which is how we know what may have arrived when
 * the connection breaks. `waiting` is a list of commands that have no connection yet.
 */
#ifndef REDIS_CONN_INTERNAL_H
#define REDIS_CONN_INTERNAL_H

#include <ev.h>

#include "../shared/socket.h"
#include "conn.h"

enum conn_state {
    STATE_BACKOFF,
    STATE_LOCATING,
    STATE_RESOLVING,
    STATE_CONNECTING,
    STATE_SECURING,
    STATE_GREETING,
    STATE_READY,
};

struct request {
    conn_done *done;
    void *arg;
    uint64_t end; /* where its command ends in the stream of bytes written */
};

struct waiting {
    struct waiting *next;
    struct resp_buf bytes;
    conn_done *done;
    void *arg;
    uint64_t until_ms;
};

struct conn {
    struct ev_loop *loop;
    struct conn_settings settings;
    const struct conn_events *events;
    void *owner;
    enum conn_state state;
    unsigned callbacks; /* running: freeing waits for them */
    bool freed;

    int fd; /* or -1 */
    struct tls_session *tls;
    void *search; /* the locator's, or NULL */
    struct resolve *resolve;
    struct addrinfo *addresses, *next_address;
    ev_io readable, writable;
    ev_timer timer; /* BACKOFF: the pause; dialling: its end; READY: a stall */
    ev_timer sweep; /* runs while something waits */
    ev_prepare flush;
    unsigned backoff_ms; /* 0 until the first success */
    uint64_t ready_at_ms;
    unsigned greetings;  /* replies still due */
    uint64_t generation; /* of the connection */

    struct resp_buf out;
    size_t out_pos;
    uint64_t written;  /* bytes the socket took, over this connection's life */
    uint64_t appended; /* bytes put into `out`, over this connection's life */
    uint64_t now_ms;   /* by a clock that nobody sets, at the beginning of this callback */
    uint64_t write_progress_ms;
    /* Since when an answer has been due: the last one came, or the first command went out. */
    uint64_t read_progress_ms;

    struct resp_buf in;
    size_t in_pos;
    size_t in_credited; /* how much of an unfinished reply has counted as progress */
    struct resp_scan scan;
    struct resp_value *values; /* for the tree of a reply */
    size_t values_cap;

    struct request *requests; /* ring of a power of two */
    size_t requests_cap, requests_first, requests_count;

    struct waiting *waiting_first, **waiting_last;
    size_t waiting_count, waiting_bytes;

    char host[256], port[8]; /* of this attempt */
    char address[300];
    char why[CONN_WHY_BYTES];      /* why there is no connection; empty while there never was */
    char dial_why[CONN_WHY_BYTES]; /* what went wrong first in this attempt */
};

/* Every path from the loop into an owner's function lies between these two. After leave() returned
 * false the connection is gone. */
void conn_enter(struct conn *conn);
/* Looks at the clock; conn_enter() does. */
void conn_touch_clock(struct conn *conn);
bool conn_leave(struct conn *conn);

void conn_set_state(struct conn *conn, enum conn_state state);
void conn_set_timer(struct conn *conn, double delay_ms);
void conn_forget_addresses(struct conn *conn);

/* Notes that what was just appended to `out`, `bytes` long, is one command. */
void conn_push_request(struct conn *conn, size_t bytes, conn_done *done, void *arg);
/* There is one. */
const struct request *conn_oldest_request(struct conn *conn);
struct request conn_pop_request(struct conn *conn);
/* Moves to `out` what waited for a connection. */
void conn_admit_waiting(struct conn *conn);

/* The way from any state to BACKOFF. The caller returns at once: the connection may be gone. */
void conn_give_up(struct conn *conn, bool refused, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for an established connection. */
void conn_lose(struct conn *conn, const char *reason);

/* conn_io.c */
void conn_on_flush(struct ev_loop *loop, ev_prepare *watcher, int events);
void conn_on_readable(struct ev_loop *loop, ev_io *watcher, int events);
void conn_on_writable(struct ev_loop *loop, ev_io *watcher, int events);

static inline struct socket_io
conn_socket(struct conn *conn)
{
    return (struct socket_io){ conn->loop, conn->fd, conn->tls, &conn->writable };
}

/* conn_dial.c */
void conn_dial(struct conn *conn);
void conn_set_address(struct conn *conn, const char *host, const char *port);
void conn_on_connected(struct conn *conn);
void conn_secure(struct conn *conn);

#endif
