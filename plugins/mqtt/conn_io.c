/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes out, once a loop turn, and packets in, each to the owner. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "conn_internal.h"

enum {
    READ_BYTES_MIN = 16 * 1024,
    READ_BYTES_MAX = 1 << 20,
    READS_A_TURN = 8,        /* then others get their turn */
    KEEP_BYTES = 128 * 1024, /* an idle buffer larger than this is given back */
};

/* --- out ---------------------------------------------------------------------------------------*/

bool
conn_flush(struct conn *conn)
{
    char lost[SOCKET_WHY_BYTES];
    const struct socket_io io = conn_socket(conn);
    while (conn->out_pos < conn->out.len) {
        size_t put = 0;
        enum socket_result result = socket_write(&io, conn->out.data + conn->out_pos,
                                                 conn->out.len - conn->out_pos, &put, lost);
        if (result == SOCKET_LOST) {
            if (conn->events->down != NULL)
                conn_give_up(conn, false, "%s", lost);
            return false;
        }
        if (result == SOCKET_AGAIN) {
            if (conn->tls == NULL) /* TLS knows what it waits for */
                socket_await_writable(&io);
            return true;
        }
        conn->out_pos += put;
        conn->written_at_ms = conn->now_ms;
    }
    ev_io_stop(conn->loop, &conn->writable);
    conn->out.len = conn->out_pos = 0;
    if (conn->out.cap > KEEP_BYTES)
        bytes_fini(&conn->out);
    return true;
}

/* The owner hears of it when something has left, which may be the end of the connection. */
static void
flush_and_tell(struct conn *conn)
{
    bool had_any = !conn_is_flushed(conn);
    if (conn_flush(conn) && had_any && conn_is_flushed(conn) && conn->state == STATE_READY)
        conn->events->flushed(conn->owner);
}

void
conn_on_flush(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    (void)events;
    struct conn *conn = watcher->data;
    ev_prepare_stop(loop, watcher);
    if (ev_is_active(&conn->writable))
        return; /* the socket is full: on_writable goes on */
    conn_enter(conn);
    flush_and_tell(conn);
    conn_leave(conn);
}

/* --- in ----------------------------------------------------------------------------------------*/

static const char *
refusal(uint8_t code)
{
    static const char *const words[] = { "unacceptable protocol version", "identifier rejected",
                                         "server Unavailable", "bad user name or password",
                                         "not Authorized" };
    return code <= sizeof words / sizeof words[0] ? words[code - 1] : "unknown refusal";
}

static void
on_connack(struct conn *conn, const struct packet *packet)
{
    enum { SERVER_UNAVAILABLE = 3 };
    if (packet->code != 0) {
        conn_give_up(conn, packet->code != SERVER_UNAVAILABLE, "%s", refusal(packet->code));
        return;
    }
    conn->state = STATE_READY;
    conn->ready_at_ms = conn->now_ms;
    conn->pinged_at_ms = 0;
    conn->why[0] = '\0';
    conn_set_timer(conn, CONN_KEEPALIVE_S * 1000 / 3);
    conn->events->ready(conn->owner, packet->session_present);
}

/* False: the connection is gone or another one. */
static bool
take_packet(struct conn *conn, const struct packet *packet)
{
    uint64_t generation = conn->generation;
    if ((conn->state == STATE_GREETING) != (packet->type == PACKET_CONNACK)) {
        conn_give_up(conn, false, "the server at %s sends what is not due", conn->address);
        return false;
    }
    if (packet->type == PACKET_CONNACK)
        on_connack(conn, packet);
    else if (packet->type != PACKET_PINGRESP)
        conn->events->packet(conn->owner, packet);
    return !conn->is_freed && conn->generation == generation;
}

/* False: the connection is gone or another one. */
static bool
consume(struct conn *conn)
{
    size_t pos = 0;
    for (;;) {
        struct packet packet;
        enum packet_result result = packet_read(conn->in.data + pos, conn->in.len - pos, &packet);
        if (result == PACKET_MORE)
            break;
        if (result != PACKET_COMPLETE) {
            conn_give_up(conn, false, "the server at %s sends %s", conn->address,
                         result == PACKET_TOO_LONG ? "a message longer than 64 MiB"
                                                   : "what is not MQTT 3.1.1");
            return false;
        }
        if (!take_packet(conn, &packet))
            return false;
        pos += packet.bytes;
    }
    bytes_consume(&conn->in, pos);
    if (conn->in.len == 0 && conn->in.cap > KEEP_BYTES)
        bytes_fini(&conn->in);
    return true;
}

static size_t
read_room(const struct conn *conn)
{
    size_t unfinished = conn->in.len;
    return unfinished < READ_BYTES_MIN   ? READ_BYTES_MIN
           : unfinished > READ_BYTES_MAX ? READ_BYTES_MAX
                                         : unfinished;
}

static void
read_packets(struct conn *conn)
{
    char lost[SOCKET_WHY_BYTES];
    const struct socket_io io = conn_socket(conn);
    for (unsigned i = 0; i < READS_A_TURN; i++) {
        size_t room = read_room(conn), got = 0;
        char *to = bytes_reserve(&conn->in, room);
        enum socket_result result = socket_read(&io, to, room, &got, lost);
        if (result == SOCKET_AGAIN)
            return;
        if (result == SOCKET_LOST) {
            conn_give_up(conn, false, "%s", lost);
            return;
        }
        conn->in.len += got;
        conn->read_at_ms = conn->now_ms;
        if (!consume(conn))
            return;
        if (got < room && conn->tls == NULL)
            return; /* the next read would find nothing */
    }
    if (conn->tls != NULL)
        ev_feed_event(conn->loop, &conn->readable, EV_READ); /* it may hold decrypted bytes */
}

void
conn_on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct conn *conn = watcher->data;
    conn_enter(conn);
    if (conn->state == STATE_SECURING) {
        conn_secure(conn);
    } else {
        uint64_t generation = conn->generation;
        read_packets(conn);
        /* A TLS write may have waited for something to read. */
        if (conn->generation == generation && !conn_is_flushed(conn) &&
            !ev_is_active(&conn->writable))
            flush_and_tell(conn);
    }
    conn_leave(conn);
}

void
conn_on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)events;
    struct conn *conn = watcher->data;
    conn_enter(conn);
    if (conn->state == STATE_CONNECTING) {
        conn_on_connected(conn);
    } else if (conn->state == STATE_SECURING) {
        conn_secure(conn);
    } else {
        ev_io_stop(loop, watcher);
        flush_and_tell(conn);
    }
    conn_leave(conn);
}
