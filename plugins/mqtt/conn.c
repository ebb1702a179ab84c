/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's life, its clock and its interface. */
#include "conn_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../shared/monotonic.h"

enum {
    PULSE_MS = 10 * 1000, /* how often an established connection is looked at */
    PING_AFTER_MS = 15 * 1000,
    PING_ANSWER_MS = 10 * 1000,
    STALL_MS = 20 * 1000,  /* without the socket taking anything of what waits */
    STEADY_MS = 10 * 1000, /* a connection that lived so long starts with a short pause again */
};

/* --- callbacks ---------------------------------------------------------------------------------*/

static void
release(struct conn *conn)
{
    bytes_fini(&conn->out);
    bytes_fini(&conn->in);
    free(conn);
}

void
conn_enter(struct conn *conn)
{
    conn->now_ms = monotonic_now_ms();
    conn->callbacks++;
}

void
conn_leave(struct conn *conn)
{
    assert(conn->callbacks > 0);
    if (--conn->callbacks == 0 && conn->is_freed)
        release(conn);
}

/* --- the clock ---------------------------------------------------------------------------------*/

void
conn_set_timer(struct conn *conn, uint64_t delay_ms)
{
    ev_timer_stop(conn->loop, &conn->timer);
    ev_timer_set(&conn->timer, (double)delay_ms / 1e3, 0.0);
    ev_timer_start(conn->loop, &conn->timer);
}

/* A server that has gone without a word is found by what it does not answer. */
static void
pulse(struct conn *conn)
{
    uint64_t now = conn->now_ms;
    if (!conn_is_flushed(conn) && now - conn->written_at_ms >= STALL_MS) {
        conn_give_up(conn, false, "write tcp %s: i/o timeout", conn->address);
        return;
    }
    if (conn->read_at_ms >= conn->pinged_at_ms)
        conn->pinged_at_ms = 0;
    if (conn->pinged_at_ms != 0 && now - conn->pinged_at_ms >= PING_ANSWER_MS) {
        conn_give_up(conn, false, "pingresp not received, disconnecting");
        return;
    }
    uint64_t oldest = conn->read_at_ms < conn->written_at_ms ? conn->read_at_ms
                                                             : conn->written_at_ms;
    if (conn->pinged_at_ms == 0 && now - oldest >= PING_AFTER_MS) {
        packet_put_bare(conn_out(conn), PACKET_PINGREQ);
        conn->pinged_at_ms = now;
    }
    conn_set_timer(conn, PULSE_MS);
}

static void
on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct conn *conn = watcher->data;
    conn_enter(conn);
    if (conn->state == STATE_BACKOFF)
        conn_dial(conn);
    else if (conn->state == STATE_READY)
        pulse(conn);
    else
        conn_give_up(conn, false, "%s",
                     conn->dial_why[0] != '\0' ? conn->dial_why : "network Error : i/o timeout");
    conn_leave(conn);
}

/* --- giving up ---------------------------------------------------------------------------------*/

void
conn_forget_addresses(struct conn *conn)
{
    if (conn->addresses != NULL)
        freeaddrinfo(conn->addresses);
    conn->addresses = conn->next_address = NULL;
}

static void
disconnect(struct conn *conn)
{
    ev_io_stop(conn->loop, &conn->readable);
    ev_io_stop(conn->loop, &conn->writable);
    ev_timer_stop(conn->loop, &conn->timer);
    ev_timer_stop(conn->loop, &conn->restart);
    ev_prepare_stop(conn->loop, &conn->flush);
    resolve_cancel(conn->resolve);
    conn->resolve = NULL;
    conn_forget_addresses(conn);
    tls_session_free(conn->tls);
    conn->tls = NULL;
    if (conn->fd >= 0)
        (void)close(conn->fd); /* there is nothing to be done about a failure */
    conn->fd = -1;
    conn->generation++;
    conn->out_pos = 0;
    bytes_fini(&conn->out);
    bytes_fini(&conn->in);
}

static uint64_t
next_pause_ms(struct conn *conn, bool was_steady)
{
    unsigned pause_ms = was_steady || conn->pause_ms == 0 ? CONN_PAUSE_MIN_MS : conn->pause_ms;
    conn->pause_ms = pause_ms * 2 > CONN_PAUSE_MAX_MS ? CONN_PAUSE_MAX_MS : pause_ms * 2;
    return pause_ms;
}

void
conn_give_up(struct conn *conn, bool refused, const char *format, ...)
{
    char why[CONN_WHY_BYTES];
    bool was_steady = conn->state == STATE_READY && conn->now_ms - conn->ready_at_ms >= STEADY_MS;
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    memcpy(conn->why, why, sizeof why);
    disconnect(conn);
    conn->state = STATE_BACKOFF;
    conn_set_timer(conn, next_pause_ms(conn, was_steady));
    conn->events->down(conn->owner, why, refused);
}

static void
on_restart(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct conn *conn = watcher->data;
    conn_enter(conn);
    conn_give_up(conn, false, "%s", conn->dial_why);
    conn_leave(conn);
}

/* --- interface ---------------------------------------------------------------------------------*/

struct conn *
conn_new(struct ev_loop *loop, const struct conn_settings *settings,
         const struct conn_events *events, void *owner)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        abort();
    *conn = (struct conn){
        .loop = loop, .settings = *settings, .events = events, .owner = owner, .fd = -1
    };
    conn->settings.connect.keepalive_s = CONN_KEEPALIVE_S;
    ev_init(&conn->readable, conn_on_readable);
    ev_init(&conn->writable, conn_on_writable);
    ev_init(&conn->timer, on_timer);
    ev_init(&conn->restart, on_restart);
    ev_prepare_init(&conn->flush, conn_on_flush);
    conn->readable.data = conn->writable.data = conn->timer.data = conn;
    conn->restart.data = conn->flush.data = conn;
    conn_set_timer(conn, 0); /* from BACKOFF, where it begins */
    return conn;
}

void
conn_free(struct conn *conn)
{
    if (conn == NULL)
        return;
    assert(!conn->is_freed);
    if (conn->state == STATE_READY) {
        static const struct conn_events deaf = { 0 };
        conn->events = &deaf;
        packet_put_bare(&conn->out, PACKET_DISCONNECT);
        (void)conn_flush(conn); /* what it does not take now is not worth waiting for */
    }
    disconnect(conn);
    conn->is_freed = true;
    if (conn->callbacks == 0)
        release(conn);
}

bool
conn_is_ready(const struct conn *conn)
{
    return conn != NULL && conn->state == STATE_READY;
}

bool
conn_is_flushed(const struct conn *conn)
{
    return conn_unsent_bytes(conn) == 0;
}

size_t
conn_unsent_bytes(const struct conn *conn)
{
    return conn == NULL ? 0 : conn->out.len - conn->out_pos;
}

struct bytes *
conn_out(struct conn *conn)
{
    assert(conn->state == STATE_READY || conn->state == STATE_GREETING);
    if (conn_is_flushed(conn)) {
        conn->now_ms = monotonic_now_ms();
        conn->written_at_ms = conn->now_ms; /* from when on it may stall */
    }
    ev_prepare_start(conn->loop, &conn->flush);
    return &conn->out;
}

void
conn_restart(struct conn *conn, const char *why)
{
    if (!conn_is_ready(conn))
        return;
    snprintf(conn->dial_why, sizeof conn->dial_why, "%s", why);
    ev_timer_set(&conn->restart, 0.0, 0.0);
    ev_timer_start(conn->loop, &conn->restart);
}

const char *
conn_why(const struct conn *conn)
{
    return conn == NULL ? "" : conn->why;
}
