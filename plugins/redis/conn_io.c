/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An established connection: bytes out, once a loop turn, and replies in, each to its request.
 */
#include "conn_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    READ_BYTES_MIN = 16 * 1024,
    READ_BYTES_MAX = 1 << 20,
    READS_A_TURN = 8,        /* then others get their turn */
    KEEP_BYTES = 128 * 1024, /* an idle buffer larger than this is given back */
    KEEP_VALUES = 256,
    PROGRESS_BYTES = 16 * 1024, /* of a long reply that count as an answer in time */
};

/* --- replies -----------------------------------------------------------------------------------*/

static const struct resp_value *
plant_tree(struct conn *conn)
{
    if (conn->values_cap < conn->scan.values) {
        free(conn->values);
        conn->values_cap = conn->scan.values < KEEP_VALUES ? KEEP_VALUES : conn->scan.values;
        conn->values = malloc(conn->values_cap * sizeof *conn->values);
        if (conn->values == NULL)
            abort();
    }
    return resp_tree(conn->in.data + conn->in_pos, conn->values);
}

/* Those of RESP2 are arrays that say so in their first word. */
static bool
is_message(const struct conn *conn, const struct resp_value *value)
{
    if (value->type == RESP_PUSH)
        return true;
    if (conn->events->message == NULL || value->type != RESP_ARRAY || value->count < 3 ||
        value->items[0].type != RESP_STRING)
        return false;
    return remora_slice_eq(value->items[0].text, "message") ||
           remora_slice_eq(value->items[0].text, "pmessage");
}

/* Hands one whole reply to its request. False: the connection is gone or another one. */
static bool
deliver(struct conn *conn)
{
    const struct resp_value *value = plant_tree(conn);
    size_t bytes = conn->scan.pos;
    uint64_t generation = conn->generation;
    conn->scan = (struct resp_scan){ 0 };
    conn->in_credited = 0;
    conn->read_progress_ms = conn->now_ms;
    /* Nor can a command be answered that has not left whole. */
    bool is_unasked = is_message(conn, value);
    if (!is_unasked &&
        (conn->requests_count == 0 || conn_oldest_request(conn)->end > conn->written)) {
        conn_give_up(conn, false, "redis at %s answered what was not asked", conn->address);
        return false;
    }
    if (is_unasked && conn->events->message != NULL) {
        conn->events->message(conn->owner, value);
    } else if (!is_unasked) {
        struct request request = conn_pop_request(conn);
        struct conn_result result = { .value = value, .sent = true, .conn = conn };
        if (request.done != NULL)
            request.done(&result, request.arg);
    }
    if (conn->freed || conn->generation != generation)
        return false;
    conn->in_pos += bytes;
    if (conn->values_cap > KEEP_VALUES) {
        free(conn->values);
        conn->values = NULL;
        conn->values_cap = 0;
    }
    return true;
}

/* A long reply that keeps coming is not a stall; a trickle is. */
static void
credit_progress(struct conn *conn)
{
    size_t unfinished = conn->in.len - conn->in_pos;
    if (unfinished - conn->in_credited < PROGRESS_BYTES)
        return;
    conn->in_credited = unfinished;
    conn->read_progress_ms = conn->now_ms;
}

static void
tidy_input(struct conn *conn)
{
    resp_buf_consume(&conn->in, conn->in_pos);
    conn->in_pos = 0;
    if (conn->in.len == 0 && conn->in.cap > KEEP_BYTES)
        resp_buf_fini(&conn->in);
}

/* False: the connection is gone or another one. */
static bool
consume(struct conn *conn)
{
    while (conn->in_pos < conn->in.len) {
        enum resp_result result = resp_scan(&conn->scan, conn->in.data + conn->in_pos,
                                            conn->in.len - conn->in_pos);
        if (result == RESP_BROKEN || conn->in.len - conn->in_pos > CONN_REPLY_BYTES_MAX) {
            conn_give_up(conn, false, "redis at %s does not speak the protocol, or too long",
                         conn->address);
            return false;
        }
        if (result == RESP_MORE) {
            credit_progress(conn);
            break;
        }
        if (!deliver(conn))
            return false;
    }
    tidy_input(conn);
    return true;
}

/* --- the socket --------------------------------------------------------------------------------*/

/* Writes what there is. False: the connection is gone or another one. */
static bool
flush(struct conn *conn)
{
    char lost[SOCKET_WHY_BYTES];
    const struct socket_io io = conn_socket(conn);
    if (conn->requests_count > 0 && conn_oldest_request(conn)->end > conn->written)
        conn->read_progress_ms = conn->now_ms; /* no answer has been due until now */
    while (conn->out_pos < conn->out.len) {
        size_t put = 0;
        enum socket_result result = socket_write(&io, conn->out.data + conn->out_pos,
                                                 conn->out.len - conn->out_pos, &put, lost);
        if (result == SOCKET_LOST) {
            conn_lose(conn, lost);
            return false;
        }
        if (result == SOCKET_AGAIN) {
            if (conn->tls == NULL) /* TLS knows what it waits for */
                socket_await_writable(&io);
            return true;
        }
        conn->out_pos += put;
        conn->written += put;
        conn->write_progress_ms = conn->now_ms;
    }
    ev_io_stop(conn->loop, &conn->writable);
    conn->out.len = conn->out_pos = 0;
    if (conn->out.cap > KEEP_BYTES)
        resp_buf_fini(&conn->out);
    return true;
}

void
conn_on_flush(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    (void)events;
    struct conn *conn = watcher->data;
    ev_prepare_stop(loop, watcher);
    if (ev_is_active(&conn->writable))
        return; /* the socket is full: on_writable goes on */
    conn_touch_clock(conn);
    conn->write_progress_ms = conn->now_ms;
    (void)flush(conn); /* nothing follows */
}

static size_t
read_room(const struct conn *conn)
{
    size_t unfinished = conn->in.len - conn->in_pos;
    return unfinished < READ_BYTES_MIN   ? READ_BYTES_MIN
           : unfinished > READ_BYTES_MAX ? READ_BYTES_MAX
                                         : unfinished;
}

static void
read_replies(struct conn *conn)
{
    char lost[SOCKET_WHY_BYTES];
    const struct socket_io io = conn_socket(conn);
    for (unsigned i = 0; i < READS_A_TURN; i++) {
        size_t room = read_room(conn), got = 0;
        char *to = resp_buf_reserve(&conn->in, room);
        enum socket_result result = socket_read(&io, to, room, &got, lost);
        if (result == SOCKET_AGAIN)
            return;
        if (result == SOCKET_LOST) {
            conn_lose(conn, lost);
            return;
        }
        conn->in.len += got;
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
        read_replies(conn);
        /* A TLS write may have waited for something to read. */
        if (conn->generation == generation && conn->out_pos > 0 && !ev_is_active(&conn->writable))
            (void)flush(conn);
    }
    (void)conn_leave(conn); /* nothing follows */
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
        (void)flush(conn); /* nothing follows */
    }
    (void)conn_leave(conn); /* nothing follows */
}
