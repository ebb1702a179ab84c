/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a connection share; nobody else includes this. conn.c has its life and its
 * clock, conn_dial.c how it comes about, conn_io.c the bytes.
 */
#ifndef MQTT_CONN_INTERNAL_H
#define MQTT_CONN_INTERNAL_H

#include <ev.h>

#include "../shared/resolve.h"
#include "../shared/socket.h"
#include "conn.h"

enum conn_state {
    STATE_BACKOFF,
    STATE_RESOLVING,
    STATE_CONNECTING,
    STATE_SECURING,
    STATE_GREETING,
    STATE_READY,
};

struct conn {
    struct ev_loop *loop;
    struct conn_settings settings;
    const struct conn_events *events;
    void *owner;
    enum conn_state state;
    unsigned callbacks; /* running: freeing waits for them */
    bool is_freed;
    uint64_t generation; /* of the connection */

    int fd; /* or -1 */
    struct tls_session *tls;
    struct resolve *resolve;
    struct addrinfo *addresses, *next_address;
    ev_io readable, writable;
    ev_timer timer; /* BACKOFF: the pause; dialling: its end; READY: the pulse */
    ev_prepare flush;
    ev_timer restart; /* at once */
    unsigned pause_ms;
    uint64_t now_ms; /* at the beginning of this callback */
    uint64_t ready_at_ms;
    uint64_t read_at_ms, written_at_ms; /* when the socket last gave and took something */
    uint64_t pinged_at_ms;              /* 0: no answer is due */

    struct bytes out, in;
    size_t out_pos; /* what the socket has taken of it */

    char address[300];        /* of this attempt */
    char why[CONN_WHY_BYTES]; /* why there is no connection */
    char dial_why[CONN_WHY_BYTES];
};

/* Every path from the loop into an owner's function lies between these two. After conn_leave() the
 * connection may be gone. */
void conn_enter(struct conn *conn);
void conn_leave(struct conn *conn);
void conn_set_timer(struct conn *conn, uint64_t delay_ms);
void conn_forget_addresses(struct conn *conn);
/* The way from any state to BACKOFF. The caller returns at once. */
void conn_give_up(struct conn *conn, bool refused, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* conn_dial.c */
void conn_dial(struct conn *conn);
void conn_on_connected(struct conn *conn);
void conn_secure(struct conn *conn);

/* conn_io.c */
void conn_on_flush(struct ev_loop *loop, ev_prepare *watcher, int events);
void conn_on_readable(struct ev_loop *loop, ev_io *watcher, int events);
void conn_on_writable(struct ev_loop *loop, ev_io *watcher, int events);
/* Writes what the socket takes; false: the connection is given up. */
bool conn_flush(struct conn *conn);

static inline struct socket_io
conn_socket(struct conn *conn)
{
    return (struct socket_io){ conn->loop, conn->fd, conn->tls, &conn->writable };
}

#endif
