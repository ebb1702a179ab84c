/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers: composed in place in the stream's output, which goes out with one write a turn. What the
 * client does not take waits there, up to LIMIT_http_output_bytes; beyond that the task waits.
 * Framing and connection headers are ours alone; a header that could break the framing is refused.
 */
#include <assert.h>

#include "async/worker.h"
#include "http/chars.h"
#include "http/h1_conn.h"
#include "http/h1_put.h"

enum {
    FIXED_HEAD_BYTES = 256, /* status line, Date, framing, Connection */
};

/* --- waiting for output ------------------------------------------------------------------------*/

/* Until all queued output has gone. Neither cancelling nor the task's deadline ends this: what was
 * begun is finished, unless the client takes nothing for write_stall_ms. */
static err_t
wait_for_out(struct h1_exchange *e)
{
    struct task *t = e->base.task;
    uint64_t outer = task_deadline_ms(t);
    err_t err;
    size_t queued;
    task_shield_begin(t);
    do {
        struct wait wait;
        wait_init(&wait, t, NULL);
        e->out_wait = &wait;
        queued = stream_queued(&e->conn->stream);
        task_deadline_pop(t, UINT64_MAX);
        (void)task_deadline_push(t, e->conn->server->config.write_stall_ms); /* outer is kept */
        err = TASK_WAIT(t, &wait);
        e->out_wait = NULL;
    } while (err == ERR_DEADLINE && stream_queued(&e->conn->stream) < queued);
    task_deadline_pop(t, outer);
    task_shield_end(t);
    if (err == ERR_DEADLINE)
        h1_conn_gone(e->conn); /* stalled */
    return err == OK ? OK : ERR_CLOSED;
}

static size_t
room(const struct h1_exchange *e)
{
    const struct buf *out = &e->conn->stream.out;
    return out->max - out->len;
}

/* Until `bytes` fit behind what is queued. */
static err_t
wait_for_room(struct h1_exchange *e, size_t bytes)
{
    if (bytes > e->conn->stream.out.max)
        return ERR_TOO_LARGE;
    while (!e->base.client_gone && room(e) < bytes) {
        err_t err = wait_for_out(e); /* suspends */
        if (err != OK)
            return err;
    }
    return e->base.client_gone ? ERR_CLOSED : OK;
}

/* --- composing ---------------------------------------------------------------------------------*/

static char *
put_status_line(char *at, const struct h1_exchange *e, int status)
{
    at = h1_put(at, e->base.version_minor == 0 ? SLICE("HTTP/1.0 ") : SLICE("HTTP/1.1 "));
    at = h1_put_u64(at, (uint64_t)status);
    *at++ = ' ';
    struct slice text = slice_str(http_status_text(status));
    if (text.len > 0)
        return h1_put(h1_put(at, text), SLICE("\r\n"));
    return h1_put(h1_put_u64(h1_put(at, SLICE("status code ")), (uint64_t)status), SLICE("\r\n"));
}

/* --- what to send ------------------------------------------------------------------------------*/

/* What a handler's header means to the connection. */
enum meaning { PASSED, IS_DATE, IS_FRAMING, IS_CONNECTION };

static enum meaning
meaning_of(struct slice name)
{
    switch (name.len) {
    case 4:
        return slice_eq_nocase(name, SLICE("date")) ? IS_DATE : PASSED;
    case 10:
        if (slice_eq_nocase(name, SLICE("connection")))
            return IS_CONNECTION;
        return slice_eq_nocase(name, SLICE("keep-alive")) ? IS_FRAMING : PASSED;
    case 14:
        return slice_eq_nocase(name, SLICE("content-length")) ? IS_FRAMING : PASSED;
    case 17:
        return slice_eq_nocase(name, SLICE("transfer-encoding")) ? IS_FRAMING : PASSED;
    default:
        return PASSED;
    }
}

struct reply {
    int status;
    const struct http_header *headers;
    size_t header_count;
    int64_t length;
};

/* Room the head may take; 0 if a header would break out of its line. */
static size_t
head_bytes(const struct reply *r)
{
    size_t bytes = FIXED_HEAD_BYTES;
    for (size_t i = 0; i < r->header_count; i++) {
        const struct http_header *h = &r->headers[i];
        if (h->name.len == 0 || !chars_are(h->name, CHAR_TOKEN) || !chars_are_value(h->value))
            return 0;
        bytes += h->name.len + h->value.len + 4;
    }
    return bytes;
}

static bool
has_no_body(int status)
{
    return status == 204 || status == 304;
}

/* The rest of the body can be read away in reasonable time, should the handler not want it. */
static bool
body_is_near_its_end(const struct h1_exchange *e)
{
    const struct h1_body *body = &e->conn->body;
    return body->is_ended ||
           (!body->is_broken && (body->is_chunked || body->left <= LIMIT_http_discard_bytes));
}

static void
decide_framing(struct h1_exchange *e, const struct reply *r)
{
    struct h1_conn *conn = e->conn;
    e->is_head = slice_eq(e->base.method, SLICE("HEAD")) || has_no_body(r->status);
    e->is_chunked = !e->is_head && r->length < 0 && e->base.version_minor > 0;
    e->is_until_close = !e->is_head && r->length < 0 && e->base.version_minor == 0;
    e->reply_left = r->length < 0 ? UINT64_MAX : (uint64_t)r->length;
    conn->keeps_alive = conn->keeps_alive && !e->is_until_close && !conn->server->is_draining &&
                        !e->expects_continue && body_is_near_its_end(e);
}

static char *
put_headers(char *at, struct h1_exchange *e, const struct reply *r, bool *ret_has_date)
{
    for (size_t i = 0; i < r->header_count; i++) {
        const struct http_header *h = &r->headers[i];
        enum meaning meaning = meaning_of(h->name);
        if (meaning == IS_CONNECTION && slice_eq_nocase(h->value, SLICE("close")))
            e->conn->keeps_alive = false;
        if (meaning == IS_CONNECTION || meaning == IS_FRAMING)
            continue;
        *ret_has_date |= meaning == IS_DATE;
        at = h1_put(h1_put(at, h->name), SLICE(": "));
        at = h1_put(h1_put(at, h->value), SLICE("\r\n"));
    }
    return at;
}

static char *
put_head(char *at, struct h1_exchange *e, const struct reply *r)
{
    bool has_date = false;
    at = put_status_line(at, e, r->status);
    at = put_headers(at, e, r, &has_date);
    if (!has_date)
        at = h1_put(h1_put(h1_put(at, SLICE("Date: ")), http_date_now(&e->conn->server->date)),
                    SLICE("\r\n"));
    if (r->length >= 0 && !has_no_body(r->status))
        at = h1_put(h1_put_u64(h1_put(at, SLICE("Content-Length: ")), (uint64_t)r->length),
                    SLICE("\r\n"));
    if (e->is_chunked)
        at = h1_put(at, SLICE("Transfer-Encoding: chunked\r\n"));
    if (!e->conn->keeps_alive)
        at = h1_put(at, SLICE("Connection: close\r\n"));
    else if (e->base.version_minor == 0)
        at = h1_put(at, SLICE("Connection: keep-alive\r\n"));
    return h1_put(at, SLICE("\r\n"));
}

static err_t
reply_start(struct http_exchange *x, int status, const struct http_header *headers,
            size_t header_count, int64_t length)
{
    struct h1_exchange *e = h1_exchange_of(x);
    assert(!x->reply_started && status >= 200 && status <= 999);
    const struct reply r = { status, headers, header_count, length };
    size_t bytes = head_bytes(&r);
    if (bytes == 0)
        return ERR_MALFORMED;
    err_t err = wait_for_room(e, bytes); /* suspends only if much is queued */
    if (err != OK)
        return err;
    x->reply_started = true;
    decide_framing(e, &r);
    struct buf *out = &e->conn->stream.out;
    if (!e->is_head && length > 0 && (uint64_t)length <= room(e) - bytes)
        bytes += (size_t)length; /* the body will follow: one growth for both */
    char *from = buf_reserve(out, bytes);
    assert(from != NULL);
    char *end = put_head(from, e, &r);
    assert((size_t)(end - from) <= bytes);
    buf_commit(out, (size_t)(end - from));
    stream_flush_later(&e->conn->stream);
    return OK;
}

/* As much of `bytes` as fits now. */
static size_t
append(struct h1_exchange *e, struct slice bytes)
{
    size_t frame = e->is_chunked ? H1_CHUNK_FRAME_BYTES : 0;
    size_t len = bytes.len < room(e) - frame ? bytes.len : room(e) - frame;
    struct buf *out = &e->conn->stream.out;
    char *from = buf_reserve(out, len + frame), *at = from;
    assert(from != NULL);
    struct slice data = slice_first(bytes, len);
    at = e->is_chunked ? h1_put_chunk(at, data) : h1_put(at, data);
    buf_commit(out, (size_t)(at - from));
    stream_flush_later(&e->conn->stream);
    return len;
}

static err_t
reply_write(struct http_exchange *x, struct slice bytes)
{
    struct h1_exchange *e = h1_exchange_of(x);
    assert(x->reply_started && !x->reply_ended);
    if (bytes.len > e->reply_left)
        return ERR_INTERNAL; /* more than announced: the caller's mistake, and the answer is cut */
    if (e->reply_left != UINT64_MAX)
        e->reply_left -= bytes.len;
    if (e->is_head)
        return x->client_gone ? ERR_CLOSED : OK;
    while (bytes.len > 0) {
        size_t piece = bytes.len < H1_PIECE_BYTES ? bytes.len : H1_PIECE_BYTES;
        err_t err = wait_for_room(e,
                                  piece + H1_CHUNK_FRAME_BYTES); /* suspends if it does not fit */
        if (err != OK)
            return err;
        bytes = slice_from(bytes, append(e, bytes));
    }
    return x->client_gone ? ERR_CLOSED : OK;
}

static err_t
reply_end(struct http_exchange *x)
{
    struct h1_exchange *e = h1_exchange_of(x);
    assert(x->reply_started);
    if (x->reply_ended)
        return OK;
    if (!e->is_head && e->reply_left != UINT64_MAX && e->reply_left > 0)
        return ERR_INTERNAL; /* less than announced: stays unended, so it is cut */
    if (e->is_chunked) {
        err_t err = wait_for_room(e, H1_CHUNK_FRAME_BYTES);
        if (err != OK)
            return err;
        if (!stream_write(&e->conn->stream, SLICE("0\r\n\r\n")))
            return ERR_INTERNAL;
    }
    x->reply_ended = true;
    return x->client_gone ? ERR_CLOSED : OK;
}

static int
socket_of(const struct http_exchange *x)
{
    const struct h1_exchange *e = (const struct h1_exchange *)x;
    return stream_is_open(&e->conn->stream) ? e->conn->stream.fd : -1;
}

const struct http_transport h1_transport = {
    .socket = socket_of,
    .body_read = h1_body_read,
    .body_is_here = h1_body_is_here,
    .reply_start = reply_start,
    .reply_write = reply_write,
    .reply_end = reply_end,
};

/* --- without a handler -------------------------------------------------------------------------*/

void
h1_reply_fault(struct h1_conn *conn, enum h1_fault fault)
{
    bool fits = stream_write(&conn->stream, SLICE("HTTP/1.1 ")) &&
                stream_write(&conn->stream, h1_fault_answer(fault));
    if (fits && fault == H1_FAULT_EXPECTATION) /* the only one the reference dates */
        fits = stream_write(&conn->stream, SLICE("Date: ")) &&
               stream_write(&conn->stream, http_date_now(&conn->server->date)) &&
               stream_write(&conn->stream, SLICE("\r\n\r\n"));
    (void)fits; /* a client that left 256 KiB of answers unread would not read this one */
}

bool
h1_reply_finish(struct h1_exchange *e)
{
    struct http_exchange *x = &e->base;
    if (!x->reply_started && !x->client_gone) {
        static const struct http_header type = { .name = SLICE("Content-Type"),
                                                 .value = SLICE("text/plain; charset=utf-8") };
        (void)http_reply(x, 500, &type, 1, SLICE("500 Internal Server Error")); /* seen below */
    }
    if (x->client_gone || x->reply_ended)
        return true;
    if (x->reply_started && (e->is_head || e->reply_left == 0) && http_reply_end(x) == OK)
        return true;
    if (e->is_until_close)
        h1_conn_reset_on_close(e->conn); /* its end would look like a whole answer */
    return false;
}
