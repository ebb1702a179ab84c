/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection's queues, its clock and its interface. conn_internal.h tells the whole.
 */
#include "conn_internal.h"

#include "../shared/monotonic.h"
#include "../shared/resolve.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SWEEP_MS = 20, REQUESTS_MIN = 64 };

/* --- callbacks ---------------------------------------------------------------------------------*/

static void
release(struct conn *conn)
{
    resp_buf_fini(&conn->out);
    resp_buf_fini(&conn->in);
    free(conn->values);
    free(conn->requests);
    free(conn);
}

void
conn_touch_clock(struct conn *conn)
{
    conn->now_ms = monotonic_now_ms();
}

/* Every path from the loop into an owner's function lies between these two. After conn_leave()
 * returned false the connection is gone. */
void
conn_enter(struct conn *conn)
{
    conn_touch_clock(conn);
    conn->callbacks++;
}

bool
conn_leave(struct conn *conn)
{
    assert(conn->callbacks > 0);
    if (--conn->callbacks > 0 || !conn->freed)
        return !conn->freed;
    release(conn);
    return false;
}

void
conn_set_state(struct conn *conn, enum conn_state state)
{
    assert(state == STATE_BACKOFF || state > conn->state ||
           (state == STATE_CONNECTING && conn->state == STATE_CONNECTING));
    conn->state = state;
}

void
conn_set_timer(struct conn *conn, double delay_ms)
{
    ev_timer_stop(conn->loop, &conn->timer);
    ev_timer_set(&conn->timer, delay_ms < 0 ? 0.0 : delay_ms / 1e3, 0.0);
    ev_timer_start(conn->loop, &conn->timer);
}

/* --- the ring of requests ----------------------------------------------------------------------*/

static struct request *
request_at(struct conn *conn, size_t index)
{
    return &conn->requests[(conn->requests_first + index) & (conn->requests_cap - 1)];
}

static void
grow_requests(struct conn *conn)
{
    size_t cap = conn->requests_cap == 0 ? REQUESTS_MIN : conn->requests_cap * 2;
    struct request *requests = malloc(cap * sizeof *requests);
    if (requests == NULL)
        abort();
    for (size_t i = 0; i < conn->requests_count; i++)
        requests[i] = *request_at(conn, i);
    free(conn->requests);
    conn->requests = requests;
    conn->requests_cap = cap;
    conn->requests_first = 0;
}

const struct request *
conn_oldest_request(struct conn *conn)
{
    assert(conn->requests_count > 0);
    return request_at(conn, 0);
}

struct request
conn_pop_request(struct conn *conn)
{
    assert(conn->requests_count > 0);
    struct request request = *request_at(conn, 0);
    conn->requests_first = (conn->requests_first + 1) & (conn->requests_cap - 1);
    conn->requests_count--;
    return request;
}

/* check_stall() runs from now on, as long as something is under way. */
static void
watch_stall(struct conn *conn)
{
    int64_t read_ms = conn->settings.read_timeout_ms, write_ms = conn->settings.write_timeout_ms;
    if (read_ms >= 0 || write_ms >= 0)
        conn_set_timer(conn, (double)(read_ms >= 0 ? read_ms : write_ms));
}

/* Notes that what was just appended to `out` is one command. */
void
conn_push_request(struct conn *conn, size_t bytes, conn_done *done, void *arg)
{
    if (conn->requests_count == conn->requests_cap)
        grow_requests(conn);
    if (conn->requests_count == 0) {
        if (conn->state == STATE_READY && !ev_is_active(&conn->timer))
            watch_stall(conn);
    }
    conn->appended += bytes;
    *request_at(conn, conn->requests_count++) = (struct request){ .done = done,
                                                                  .arg = arg,
                                                                  .end = conn->appended };
    if (!ev_is_active(&conn->flush))
        ev_prepare_start(conn->loop, &conn->flush);
}

/* --- giving up ---------------------------------------------------------------------------------*/

static void
disconnect(struct conn *conn)
{
    ev_io_stop(conn->loop, &conn->readable);
    ev_io_stop(conn->loop, &conn->writable);
    ev_prepare_stop(conn->loop, &conn->flush);
    ev_timer_stop(conn->loop, &conn->timer);
    tls_session_free(conn->tls);
    conn->tls = NULL;
    if (conn->search != NULL)
        conn->settings.locator->cancel(conn->search);
    conn->search = NULL;
    resolve_cancel(conn->resolve);
    conn->resolve = NULL;
    if (conn->fd >= 0)
        (void)close(conn->fd); /* nothing to be done about a failure */
    conn->fd = -1;
    conn->in.len = conn->in_pos = conn->in_credited = 0;
    conn->scan = (struct resp_scan){ 0 };
    conn->out.len = conn->out_pos = 0;
    conn->generation++;
}

void
conn_forget_addresses(struct conn *conn)
{
    if (conn->addresses != NULL)
        freeaddrinfo(conn->addresses);
    conn->addresses = conn->next_address = NULL;
}

/* Answers all requests of a connection that is no more. */
static bool
fail_requests(struct conn *conn, uint64_t written, const char *why)
{
    struct request *requests = conn->requests;
    size_t cap = conn->requests_cap, first = conn->requests_first, count = conn->requests_count;
    conn->requests = NULL;
    conn->requests_cap = conn->requests_first = conn->requests_count = 0;
    for (size_t i = 0; i < count && !conn->freed; i++) {
        const struct request *request = &requests[(first + i) & (cap - 1)];
        struct conn_result result = { .sent = request->end <= written, .why = why, .conn = conn };
        if (request->done != NULL)
            request->done(&result, request->arg);
    }
    free(requests);
    return !conn->freed;
}

/* None after a connection that lasted, so that a server's restart is hardly felt; growing ones when
 * connections fail or die young; the configured one while there never was any. */
static unsigned
next_pause_ms(struct conn *conn, bool was_ready)
{
    if (!was_ready && conn->backoff_ms == 0)
        return conn->settings.first_pause_ms;
    if (was_ready && conn->now_ms - conn->ready_at_ms > CONN_BACKOFF_MAX_MS) {
        conn->backoff_ms = CONN_BACKOFF_MIN_MS;
        return 0;
    }
    unsigned pause = conn->backoff_ms < CONN_BACKOFF_MIN_MS ? CONN_BACKOFF_MIN_MS
                                                            : conn->backoff_ms;
    conn->backoff_ms = pause * 2 > CONN_BACKOFF_MAX_MS ? CONN_BACKOFF_MAX_MS : pause * 2;
    return pause;
}

/* The way from any state to BACKOFF. The caller returns at once: the connection may be gone. */
void
conn_give_up(struct conn *conn, bool refused, const char *format, ...)
{
    bool was_ready = conn->state == STATE_READY;
    uint64_t written = conn->written;
    va_list args;
    va_start(args, format);
    vsnprintf(conn->why, sizeof conn->why, format, args);
    va_end(args);
    disconnect(conn);
    conn_forget_addresses(conn);
    conn->appended = conn->written = 0;
    conn_set_state(conn, STATE_BACKOFF);
    conn_set_timer(conn, next_pause_ms(conn, was_ready));
    char why[CONN_WHY_BYTES];
    memcpy(why, conn->why, sizeof why); /* a callback may give up again */
    conn_enter(conn);
    if (fail_requests(conn, written, why))
        conn->events->down(conn->owner, why, refused);
    (void)conn_leave(conn); /* nothing follows */
}

void
conn_lose(struct conn *conn, const char *reason)
{
    if (conn->state == STATE_READY)
        conn_give_up(conn, false, "redis at %s: connection lost: %s", conn->address, reason);
    else
        conn_give_up(conn, false, "%s", reason);
}

/* --- time --------------------------------------------------------------------------------------*/

/* How long until `since_ms` is `timeout_ms` ago; <= 0 if it is. */
static int64_t
time_left_ms(const struct conn *conn, uint64_t since_ms, int64_t timeout_ms)
{
    return timeout_ms - (int64_t)(conn->now_ms - since_ms);
}

static bool
answer_is_due(struct conn *conn)
{
    return conn->requests_count > 0 && conn_oldest_request(conn)->end <= conn->written;
}

static void
check_stall(struct conn *conn)
{
    const struct conn_settings *settings = &conn->settings;
    int64_t left = INT64_MAX;
    if (answer_is_due(conn) && settings->read_timeout_ms >= 0) {
        left = time_left_ms(conn, conn->read_progress_ms, settings->read_timeout_ms);
        if (left <= 0) {
            conn_lose(conn, "i/o timeout");
            return;
        }
    }
    if (conn->out_pos < conn->out.len && settings->write_timeout_ms >= 0) {
        int64_t more = time_left_ms(conn, conn->write_progress_ms, settings->write_timeout_ms);
        if (more <= 0) {
            conn_lose(conn, "write: i/o timeout");
            return;
        }
        left = more < left ? more : left;
    }
    if (left != INT64_MAX)
        conn_set_timer(conn, (double)left + 1);
    else if (conn->requests_count > 0)
        watch_stall(conn);
}

static void
on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct conn *conn = watcher->data;
    conn_enter(conn);
    switch (conn->state) {
    case STATE_BACKOFF:
        conn_dial(conn);
        break;
    case STATE_READY:
        check_stall(conn);
        break;
    case STATE_LOCATING:
        conn_give_up(conn, false, "i/o timeout");
        break;
    case STATE_RESOLVING:
    case STATE_CONNECTING:
        conn->next_address = NULL;
        conn_give_up(conn, false, "dial tcp %s: i/o timeout", conn->address);
        break;
    case STATE_SECURING:
    case STATE_GREETING:
        conn_give_up(conn, false, "i/o timeout");
        break;
    }
    (void)conn_leave(conn); /* nothing follows */
}

static void
expire(struct conn *conn, struct waiting *waiting)
{
    char why[CONN_WHY_BYTES + sizeof conn->address + 32];
    snprintf(why, sizeof why, "redis at %s is not available: %s", conn->address,
             conn->why[0] == '\0' ? "still connecting" : conn->why);
    struct conn_result result = { .sent = false, .why = why };
    waiting->done(&result, waiting->arg);
}

/* Ends what has waited too long. */
static void
on_sweep(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    struct conn *conn = watcher->data;
    struct waiting *expired = NULL, **expired_last = &expired;
    conn_touch_clock(conn);
    for (struct waiting **at = &conn->waiting_first; *at != NULL;) {
        struct waiting *waiting = *at;
        if (waiting->until_ms > conn->now_ms) {
            at = &waiting->next;
            continue;
        }
        *at = waiting->next;
        waiting->next = NULL;
        conn->waiting_count--;
        conn->waiting_bytes -= waiting->bytes.len;
        *expired_last = waiting;
        expired_last = &waiting->next;
    }
    conn->waiting_last = &conn->waiting_first;
    while (*conn->waiting_last != NULL)
        conn->waiting_last = &(*conn->waiting_last)->next;
    if (conn->waiting_first == NULL)
        ev_timer_stop(loop, watcher);
    conn_enter(conn);
    for (struct waiting *next; expired != NULL; expired = next) {
        next = expired->next;
        if (!conn->freed)
            expire(conn, expired);
        resp_buf_fini(&expired->bytes);
        free(expired);
    }
    (void)conn_leave(conn); /* nothing follows */
}

/* --- interface ---------------------------------------------------------------------------------*/

static bool
command_wait(struct conn *conn, const struct remora_slice *args, size_t count,
             const struct waiting *like)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += args[i].len;
    if (conn->waiting_count >= CONN_WAITING_MAX ||
        (conn->waiting_count > 0 && conn->waiting_bytes + bytes > CONN_OUT_BYTES_MAX))
        return false;
    struct waiting *waiting = malloc(sizeof *waiting);
    if (waiting == NULL)
        abort();
    *waiting = *like;
    resp_put_command(&waiting->bytes, args, count);
    *conn->waiting_last = waiting;
    conn->waiting_last = &waiting->next;
    conn->waiting_count++;
    conn->waiting_bytes += waiting->bytes.len;
    if (!ev_is_active(&conn->sweep))
        ev_timer_again(conn->loop, &conn->sweep);
    return true;
}

void
conn_admit_waiting(struct conn *conn)
{
    while (conn->waiting_first != NULL && conn->requests_count < CONN_REQUESTS_MAX) {
        struct waiting *waiting = conn->waiting_first;
        conn->waiting_first = waiting->next;
        conn->waiting_count--;
        conn->waiting_bytes -= waiting->bytes.len;
        resp_buf_append(&conn->out, waiting->bytes.data, waiting->bytes.len);
        conn_push_request(conn, waiting->bytes.len, waiting->done, waiting->arg);
        resp_buf_fini(&waiting->bytes);
        free(waiting);
    }
    if (conn->waiting_first == NULL) {
        conn->waiting_last = &conn->waiting_first;
        ev_timer_stop(conn->loop, &conn->sweep);
    }
}

bool
conn_command(struct conn *conn, const struct remora_slice *args, size_t count, uint64_t wait_ms,
             conn_done *done, void *arg)
{
    assert(!conn->freed);
    if (conn->state != STATE_READY) {
        conn_touch_clock(conn);
        if (wait_ms > (uint64_t)conn->settings.dial_timeout_ms)
            wait_ms = (uint64_t)conn->settings.dial_timeout_ms;
        struct waiting like = { .done = done, .arg = arg, .until_ms = conn->now_ms + wait_ms };
        return command_wait(conn, args, count, &like);
    }
    if (conn->requests_count >= CONN_REQUESTS_MAX ||
        conn->out.len - conn->out_pos > CONN_OUT_BYTES_MAX)
        return false;
    size_t before = conn->out.len;
    resp_put_command(&conn->out, args, count);
    conn_push_request(conn, conn->out.len - before, done, arg);
    return true;
}

bool
conn_is_ready(const struct conn *conn)
{
    return conn->state == STATE_READY;
}

void
conn_restart(struct conn *conn, const char *why)
{
    if (conn->state == STATE_READY)
        conn_lose(conn, why);
}

const char *
conn_address(const struct conn *conn)
{
    return conn->address;
}

struct conn *
conn_new(struct ev_loop *loop, const struct conn_settings *settings,
         const struct conn_events *events, void *owner)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        abort();
    conn->loop = loop;
    conn->settings = *settings;
    conn->events = events;
    conn->owner = owner;
    conn->fd = -1;
    conn->waiting_last = &conn->waiting_first;
    conn_set_address(conn, settings->host, settings->port);
    ev_init(&conn->readable, conn_on_readable);
    ev_init(&conn->writable, conn_on_writable);
    ev_init(&conn->timer, on_timer);
    ev_timer_init(&conn->sweep, on_sweep, 0.0, SWEEP_MS / 1e3);
    ev_prepare_init(&conn->flush, conn_on_flush);
    conn->readable.data = conn->writable.data = conn->timer.data = conn;
    conn->sweep.data = conn->flush.data = conn;
    conn_set_timer(conn, 0); /* so that no event comes before this returns */
    return conn;
}

void
conn_free(struct conn *conn)
{
    if (conn == NULL)
        return;
    assert(!conn->freed);
    disconnect(conn);
    conn_forget_addresses(conn);
    ev_timer_stop(conn->loop, &conn->sweep);
    for (struct waiting *next; conn->waiting_first != NULL; conn->waiting_first = next) {
        next = conn->waiting_first->next;
        resp_buf_fini(&conn->waiting_first->bytes);
        free(conn->waiting_first);
    }
    conn->freed = true;
    if (conn->callbacks == 0)
        release(conn);
}
