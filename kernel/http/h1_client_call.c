/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP/1.1 exchange from the asking side: the request composed in place in the stream's output,
 * the answer taken piece by piece from its input. An answer may come before the request has gone
 * out whole.
 *
 * A request is sent again, once and on a new connection, when the one it was sent on had carried
 * another call before, ended without a byte of an answer, and sending it twice does no harm (no
 * body, and a method that is safe): then the server had closed it before.
 */
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "async/worker.h"
#include "base/limits.h"
#include "http/chars.h"
#include "http/h1_client.h"
#include "http/h1_head.h"
#include "http/h1_put.h"
#include "http/tls.h"

enum { FIXED_HEAD_BYTES = 128 }; /* blanks, version, framing and Host without its value */

static const struct client_transport h1_client_transport;

static struct h1_client_call *
call_of(const struct client_call *base)
{
    return base->state;
}

/* --- waiting -----------------------------------------------------------------------------------*/

static void
wake(struct wait **slot, err_t result)
{
    struct wait *wait = *slot;
    *slot = NULL;
    if (wait != NULL)
        wait_done(wait, result);
}

void
h1_client_on_input(struct h1_client_call *call)
{
    wake(&call->in_wait, OK);
}

void
h1_client_on_output(struct h1_client_call *call)
{
    wake(&call->out_wait, OK);
}

/* Suspends until the slot is woken, for at most so long. */
static err_t
wait_on(struct task *t, struct wait **slot, uint64_t ms)
{
    struct wait wait;
    wait_init(&wait, t, NULL);
    *slot = &wait;
    uint64_t outer = task_deadline_push(t, ms);
    err_t err = TASK_WAIT(t, &wait);
    task_deadline_pop(t, outer);
    *slot = NULL;
    return err;
}

/* Why nothing comes any more. */
static err_t
lost(struct task *t, const struct h1_client_call *call, const char *words)
{
    struct slice why = tls_error(&call->conn->stream);
    if (why.len > 0)
        return DIAG_FAIL(task_diag(t), ERR_PEER_LOST, SLICE_FMT, SLICE_ARG(why));
    if (call->conn->is_lost)
        words = "read: connection reset by peer";
    return DIAG_FAIL(task_diag(t), ERR_PEER_LOST, "%s", words);
}

/* --- the request -------------------------------------------------------------------------------*/

/* Headers that follow from what else is said. */
static bool
is_ours(struct slice name)
{
    switch (name.len) {
    case 4:
        return slice_eq_nocase(name, SLICE("host"));
    case 10:
        return slice_eq_nocase(name, SLICE("connection")) ||
               slice_eq_nocase(name, SLICE("keep-alive"));
    case 14:
        return slice_eq_nocase(name, SLICE("content-length"));
    case 17:
        return slice_eq_nocase(name, SLICE("transfer-encoding"));
    default:
        return false;
    }
}

static struct slice
authority_of(const struct h1_client *client, const struct client_head *head)
{
    return head->authority.len > 0 ? head->authority : client->config.authority;
}

/* Room the head may take; 0 if something of it would break out of its place. */
static size_t
head_bytes(const struct h1_client *client, const struct client_head *head)
{
    struct slice authority = authority_of(client, head);
    if (head->method.len == 0 || !chars_are(head->method, CHAR_TOKEN) || head->target.len == 0 ||
        !chars_are(head->target, CHAR_TARGET) || !chars_are(authority, CHAR_HOST))
        return 0;
    size_t bytes = FIXED_HEAD_BYTES + head->method.len + head->target.len + authority.len;
    for (size_t i = 0; i < head->header_count; i++) {
        const struct http_header *h = &head->headers[i];
        if (h->name.len == 0 || !chars_are(h->name, CHAR_TOKEN) || !chars_are_value(h->value))
            return 0;
        bytes += h->name.len + h->value.len + 4;
    }
    return bytes;
}

/* Without a body these say so; other methods need not, and mostly have none. */
static bool
has_body_by_nature(struct slice method)
{
    return slice_eq(method, SLICE("POST")) || slice_eq(method, SLICE("PUT")) ||
           slice_eq(method, SLICE("PATCH"));
}

static char *
put_head(char *at, const struct h1_client *client, const struct client_head *head)
{
    at = h1_put(h1_put(at, head->method), SLICE(" "));
    at = h1_put(h1_put(at, head->target), SLICE(" HTTP/1.1\r\nHost: "));
    at = h1_put(h1_put(at, authority_of(client, head)), SLICE("\r\n"));
    for (size_t i = 0; i < head->header_count; i++) {
        const struct http_header *h = &head->headers[i];
        if (is_ours(h->name))
            continue;
        at = h1_put(h1_put(at, h->name), SLICE(": "));
        at = h1_put(h1_put(at, h->value), SLICE("\r\n"));
    }
    if (head->body_length < 0)
        at = h1_put(at, SLICE("Transfer-Encoding: chunked\r\n"));
    else if (head->body_length > 0 || has_body_by_nature(head->method))
        at = h1_put(h1_put_u64(h1_put(at, SLICE("Content-Length: ")), (uint64_t)head->body_length),
                    SLICE("\r\n"));
    return h1_put(at, SLICE("\r\n"));
}

static bool
is_safe(const struct client_head *head)
{
    static const char *const methods[] = { "GET", "HEAD", "OPTIONS", "TRACE" };
    for (size_t i = 0; i < ARRAY_LEN(methods) && head->body_length == 0; i++)
        if (slice_eq(head->method, slice_str(methods[i])))
            return true;
    return false;
}

/* Writes the head into the output of the call's connection. */
static void
send_head(struct h1_client_call *call, const struct client_head *head, size_t bytes)
{
    struct buf *out = &call->conn->stream.out;
    char *from = buf_reserve(out, bytes);
    assert(from != NULL); /* nothing else is queued, and the size was checked */
    char *end = put_head(from, call->client, head);
    assert((size_t)(end - from) <= bytes);
    struct slice sent = slice_of(from, (size_t)(end - from));
    if (call->conn->was_used && is_safe(head))
        call->again = arena_dup(call->base->arena, sent);
    buf_commit(out, sent.len);
    stream_flush_later(&call->conn->stream);
    call->base->was_sent = true;
}

err_t
h1_client_start(struct task *t, struct client *base, const struct client_head *head,
                struct client_call *ret_call)
{
    struct h1_client *client = container_of(base, struct h1_client, base);
    size_t bytes = head_bytes(client, head);
    if (bytes == 0 || bytes > LIMIT_client_output_bytes)
        return DIAG_FAIL(task_diag(t), ERR_MALFORMED, "the request cannot be sent: %s",
                         bytes == 0 ? "a header, method or target is not well-formed"
                                    : "its headers are too large");
    if (client->is_closing)
        return ERR_CLOSED;
    client->call_count++;
    err_t err = gate_enter(t, &client->gate, 1); /* suspends */
    if (err != OK) {
        h1_client_left(client, false);
        return err;
    }
    struct h1_client_call *call = ARENA_NEW(task_arena(t), struct h1_client_call);
    call->base = ret_call;
    call->client = client;
    call->method = arena_dup(task_arena(t), head->method);
    call->is_chunked = head->body_length < 0;
    call->body_left = head->body_length < 0 ? UINT64_MAX : (uint64_t)head->body_length;
    buf_init(&call->piece, h1_client_in_bytes_max(client));
    err = h1_client_take(t, client, call, false); /* suspends */
    if (err != OK) {
        h1_client_left(client, true);
        return err;
    }
    ret_call->state = call;
    ret_call->transport = &h1_client_transport;
    send_head(call, head, bytes);
    return OK;
}

/* The server has closed the connection before the request came. */
static bool
may_send_again(const struct h1_client_call *call)
{
    return call->again.len > 0 && call->conn->in.len == 0 && call->interim_count == 0;
}

static err_t
send_again(struct task *t, struct h1_client_call *call)
{
    struct slice again = call->again;
    struct h1_client_conn *old = call->conn;
    call->again = SLICE_EMPTY;
    call->scanned = 0;
    err_t err = h1_client_take(t, call->client, call, true); /* suspends */
    if (err != OK)
        return err; /* finish() drops the old one */
    h1_client_give_back(old, false);
    bool fits = stream_write(&call->conn->stream, again);
    assert(fits); /* it did before */
    return OK;
}

/* --- the request's body ------------------------------------------------------------------------*/

/* The server takes nothing any more. */
static bool
is_deaf(const struct h1_client_call *call)
{
    return call->conn->is_closed || call->conn->is_lost || call->is_over;
}

/* Suspends until `bytes` fit behind what is queued. */
static err_t
wait_for_room(struct task *t, struct h1_client_call *call, size_t bytes)
{
    const struct stream *stream = &call->conn->stream;
    while (!is_deaf(call) && stream->out.max - stream->out.len < bytes) {
        size_t queued = stream_queued(stream);
        err_t err = wait_on(t, &call->out_wait, call->client->config.stall_ms);
        bool is_slow = err == ERR_DEADLINE && stream_queued(stream) < queued &&
                       task_time_left_ms(t) > 0;
        if (err != OK && !is_slow)
            return err;
    }
    return is_deaf(call) ? DIAG_FAIL(task_diag(t), ERR_PEER_LOST, "write: broken pipe") : OK;
}

static err_t
call_write(struct task *t, struct client_call *base, struct slice bytes)
{
    struct h1_client_call *call = call_of(base);
    assert(!call->is_sent);
    if (!call->is_chunked && bytes.len > call->body_left)
        return ERR_INTERNAL; /* more than announced: the caller's mistake */
    while (bytes.len > 0) {
        struct slice piece = slice_first(bytes, H1_PIECE_BYTES);
        err_t err = wait_for_room(t, call, piece.len + H1_CHUNK_FRAME_BYTES); /* suspends */
        if (err != OK)
            return err;
        struct buf *out = &call->conn->stream.out;
        char *from = buf_reserve(out, piece.len + H1_CHUNK_FRAME_BYTES);
        assert(from != NULL);
        char *end = call->is_chunked ? h1_put_chunk(from, piece) : h1_put(from, piece);
        buf_commit(out, (size_t)(end - from));
        stream_flush_later(&call->conn->stream);
        if (!call->is_chunked)
            call->body_left -= piece.len;
        bytes = slice_from(bytes, piece.len);
    }
    return OK;
}

static err_t
call_end(struct task *t, struct client_call *base)
{
    struct h1_client_call *call = call_of(base);
    if (call->is_sent)
        return OK;
    if (!call->is_chunked && call->body_left > 0)
        return ERR_INTERNAL; /* less than announced: the caller's mistake */
    if (call->is_chunked) {
        err_t err = wait_for_room(t, call, H1_CHUNK_FRAME_BYTES); /* suspends */
        if (err != OK)
            return err;
        bool fits = stream_write(&call->conn->stream, SLICE("0\r\n\r\n"));
        assert(fits);
    }
    call->is_sent = true;
    return OK;
}

/* --- the answer's head -------------------------------------------------------------------------*/

/* Nothing more is read of this answer. */
static void
set_over(struct h1_client_call *call)
{
    call->is_over = true;
    wake(&call->out_wait, OK); /* who still writes is told that nobody listens */
}

static err_t
malformed(struct task *t, const char *why, struct slice shown)
{
    struct buf quoted;
    buf_init(&quoted, 1024);
    for (size_t i = 0; i < shown.len; i++) { /* what a server sends is not to be trusted in a log */
        char c = shown.data[i];
        bool fits = c >= ' ' && c < 0x7f && c != '"' && c != '\\'
                        ? buf_append_byte(&quoted, c)
                        : buf_printf(&quoted, "\\x%02x", (unsigned char)c);
        assert(fits); /* it is short */
    }
    const char *quote = shown.len > 0 ? "\"" : "";
    err_t err = DIAG_FAIL(task_diag(t), ERR_PEER_PROTOCOL,
                          "net/http: HTTP/1.x transport connection broken: %s%s%s" SLICE_FMT "%s",
                          why, shown.len > 0 ? " " : "", quote, SLICE_ARG(buf_slice(&quoted)),
                          quote);
    buf_fini(&quoted);
    return err;
}

static void
take_final(struct h1_client_call *call, const struct h1_response *response)
{
    struct client_call *base = call->base;
    bool is_plain = !response->is_chunked && !response->has_no_body;
    struct http_header *headers = arena_alloc(base->arena,
                                              sizeof *headers * response->header_count);
    memcpy(headers, response->headers, sizeof *headers * response->header_count);
    call->has_head = true;
    call->is_until_close = is_plain && response->content_length < 0;
    call->keeps_alive = response->keeps_alive && !call->is_until_close;
    call->body = (struct h1_body){
        .is_chunked = response->is_chunked,
        .left = is_plain && !call->is_until_close ? (uint64_t)response->content_length : 0,
    };
    base->headers = headers;
    base->header_count = response->header_count;
    base->content_length = response->content_length;
    base->status = response->status;
    if (response->has_no_body || (is_plain && response->content_length == 0)) {
        call->body = (struct h1_body){ .is_ended = true };
        set_over(call);
    }
}

/* `len` bytes of input are a head. */
static err_t
take_head(struct task *t, struct h1_client_call *call, size_t len)
{
    struct h1_response *response = &call->client->response;
    struct buf *in = &call->conn->in;
    struct slice bytes = arena_dup(call->base->arena, slice_first(buf_slice(in), len)), shown;
    const char *why = h1_response_parse(bytes, call->method, response, &shown);
    if (why != NULL)
        return malformed(t, why, shown);
    if (response->status == 101)
        return malformed(t, "an upgrade nobody has asked for", SLICE("101"));
    buf_consume(in, len);
    call->scanned = 0;
    if (response->status >= 200)
        take_final(call, response);
    else if (++call->interim_count > LIMIT_client_interim_max)
        return malformed(t, "too many 1xx informational responses", SLICE_EMPTY);
    h1_client_resume(call->conn);
    return OK;
}

/* One step towards the head: something that has come, or waiting for it. */
static err_t
advance(struct task *t, struct h1_client_call *call)
{
    struct h1_client_conn *conn = call->conn;
    size_t len = h1_head_end(buf_slice(&conn->in), call->scanned);
    size_t head_bytes_max = call->client->config.head_bytes_max;
    if (len > 0 && len <= head_bytes_max)
        return take_head(t, call, len);
    if (conn->in.len > head_bytes_max)
        return DIAG_FAIL(task_diag(t), ERR_PEER_PROTOCOL,
                         "net/http: HTTP/1.x transport connection broken: server response headers "
                         "exceeded %zu bytes; aborted",
                         head_bytes_max);
    if (conn->is_ended || conn->is_lost) {
        if (may_send_again(call))
            return send_again(t, call); /* suspends */
        return lost(t, call, conn->in.len == 0 ? "EOF" : "unexpected EOF");
    }
    call->scanned = conn->in.len;
    err_t err = wait_on(t, &call->in_wait, call->client->config.head_ms);
    if (err == ERR_DEADLINE && task_time_left_ms(t) > 0)
        return DIAG_FAIL(task_diag(t), err, "net/http: timeout awaiting response headers");
    return err;
}

static err_t
call_head(struct task *t, struct client_call *base)
{
    struct h1_client_call *call = call_of(base);
    err_t err = OK;
    while (err == OK && !call->has_head)
        err = advance(t, call); /* suspends */
    return err;
}

/* --- the answer's body -------------------------------------------------------------------------*/

static enum h1_got
next_until_close(struct h1_client_call *call, struct slice *ret_chunk)
{
    if (call->piece_rest.len == 0)
        return call->conn->is_ended && call->conn->in.len == 0 ? H1_GOT_END : H1_GOT_MORE;
    *ret_chunk = call->piece_rest;
    call->piece_rest = SLICE_EMPTY;
    return H1_GOT_DATA;
}

static enum h1_got
next_here(struct h1_client_call *call, struct slice *ret_chunk)
{
    if (call->is_until_close)
        return next_until_close(call, ret_chunk);
    return h1_body_next(&call->body, &call->piece_rest, ret_chunk);
}

/* The next piece that has come already. What arrives while the caller holds it goes to the
 * connection's buffer; asking again swaps the two, so nothing is copied. */
static enum h1_got
take_here(struct h1_client_call *call, struct slice *ret_chunk)
{
    enum h1_got got = next_here(call, ret_chunk);
    if (got != H1_GOT_MORE || call->conn->in.len == 0)
        return got;
    struct buf emptied = call->piece;
    call->piece = call->conn->in;
    call->conn->in = emptied;
    buf_clear(&call->conn->in);
    call->piece_rest = buf_slice(&call->piece);
    h1_client_resume(call->conn);
    return next_here(call, ret_chunk);
}

/* Many servers write head and body apart and let Nagle's algorithm hold the second until the first
 * is acknowledged, which the system would delay by 40 ms. */
static void
acknowledge_at_once(struct h1_client_call *call)
{
    const int on = 1;
    if (!call->has_acknowledged)
        (void)setsockopt(call->conn->stream.fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    call->has_acknowledged = true; /* once: later pieces acknowledge each other */
}

static err_t
call_read(struct task *t, struct client_call *base, struct slice *ret_chunk)
{
    struct h1_client_call *call = call_of(base);
    assert(call->has_head);
    for (;;) {
        switch (take_here(call, ret_chunk)) {
        case H1_GOT_DATA:
            return OK;
        case H1_GOT_END:
            set_over(call);
            *ret_chunk = SLICE_EMPTY;
            return OK;
        case H1_GOT_BROKEN:
            return DIAG_FAIL(task_diag(t), ERR_PEER_PROTOCOL, "malformed chunked encoding");
        case H1_GOT_MORE:
            break;
        }
        if (call->conn->is_ended || call->conn->is_lost)
            return lost(t, call, "unexpected EOF");
        acknowledge_at_once(call);
        err_t err = wait_on(t, &call->in_wait, call->client->config.stall_ms);
        if (err != OK)
            return err;
    }
}

/* --- the end -----------------------------------------------------------------------------------*/

static void
call_finish(struct client_call *base)
{
    struct h1_client_call *call = call_of(base);
    struct h1_client_conn *conn = call->conn;
    assert(call->in_wait == NULL);
    assert(call->out_wait == NULL);
    bool is_reusable = call->is_over && call->is_sent && call->keeps_alive && !conn->is_ended &&
                       !conn->is_lost && !conn->is_closed && stream_queued(&conn->stream) == 0 &&
                       call->piece_rest.len == 0;
    buf_fini(&call->piece);
    h1_client_give_back(conn, is_reusable);
    h1_client_left(call->client, true);
}

static const struct client_transport h1_client_transport = {
    .write = call_write,
    .end = call_end,
    .head = call_head,
    .read = call_read,
    .finish = call_finish,
};
