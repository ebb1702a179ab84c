/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request bodies as pull sources. Input that arrives while the handler holds a piece goes to the
 * connection's buffer; asking for the next piece swaps the two, so that nothing is copied and a
 * piece stays valid until the next call.
 */
#include <assert.h>

#include "base/clock.h"
#include "http/h1_conn.h"

void
h1_body_init(struct h1_body *body, const struct h1_head *head)
{
    *body = (struct h1_body){
        .is_chunked = head->is_chunked,
        .is_ended = !head->is_chunked && head->content_length == 0,
        .left = head->is_chunked ? 0 : (uint64_t)head->content_length,
    };
}

enum h1_got
h1_body_discard(struct h1_conn *conn, struct buf *in)
{
    struct slice rest = buf_slice(in), data;
    enum h1_got got;
    do
        got = h1_body_next(&conn->body, &rest, &data);
    while (got == H1_GOT_DATA);
    conn->dropped += in->len - rest.len;
    buf_consume(in, in->len - rest.len);
    return got;
}

/* The next data that have come already. */
static enum h1_got
take_here(struct h1_exchange *e, struct slice *ret_chunk)
{
    struct h1_conn *conn = e->conn;
    if (e->early.len > 0) {
        *ret_chunk = e->early;
        e->early = SLICE_EMPTY;
        return H1_GOT_DATA;
    }
    enum h1_got got = h1_body_next(&conn->body, &e->piece_rest, ret_chunk);
    if (got != H1_GOT_MORE || conn->in.len == 0)
        return got;
    struct buf emptied = e->piece;
    e->piece = conn->in;
    conn->in = emptied;
    buf_clear(&conn->in);
    e->piece_rest = buf_slice(&e->piece);
    h1_conn_resume(conn);
    return h1_body_next(&conn->body, &e->piece_rest, ret_chunk);
}

void
h1_body_give_back(struct h1_exchange *e)
{
    struct buf *in = &e->conn->in, joined;
    if (e->piece_rest.len == 0)
        return;
    buf_init(&joined, in->max);
    /* Each is below the read-ahead limit and one read, the maximum is twice that. */
    bool fits = buf_append(&joined, e->piece_rest) && buf_append(&joined, buf_slice(in));
    assert(fits);
    buf_fini(in);
    *in = joined;
    e->piece_rest = SLICE_EMPTY;
}

bool
h1_body_is_here(const struct http_exchange *x)
{
    const struct h1_exchange *e = h1_exchange_of((struct http_exchange *)(uintptr_t)x);
    const struct h1_conn *conn = e->conn;
    if (e->early.len > 0 || x->client_gone || conn->is_ended)
        return true;
    if (conn->body.is_ended || conn->body.is_broken)
        return true;
    return !conn->body.is_chunked && e->piece_rest.len + conn->in.len > 0;
}

static void
send_continue(struct h1_exchange *e)
{
    if (!e->expects_continue)
        return;
    e->expects_continue = false;
    bool is_queued = e->base.reply_started ||
                     stream_write(&e->conn->stream, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
    (void)is_queued; /* a client that reads nothing need not be asked to send */
}

err_t
h1_body_read(struct http_exchange *x, struct slice *ret_chunk)
{
    struct h1_exchange *e = h1_exchange_of(x);
    struct h1_conn *conn = e->conn;
    if (!x->client_gone)
        send_continue(e);
    for (;;) {
        switch (take_here(e, ret_chunk)) {
        case H1_GOT_DATA:
            return OK;
        case H1_GOT_END:
            h1_body_give_back(e);
            *ret_chunk = SLICE_EMPTY;
            return OK;
        case H1_GOT_BROKEN:
            return ERR_MALFORMED;
        case H1_GOT_MORE:
            break;
        }
        if (x->client_gone || conn->is_ended)
            return ERR_CLOSED;
        const struct h1_server *server = conn->server;
        err_t err = http_await_input(task_current(), &e->body_wait, server->is_draining,
                                     x->body_may_pause ? UINT64_MAX : server->config.body_stall_ms);
        if (err != OK)
            return err;
    }
}
