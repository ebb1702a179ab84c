/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers: the head goes to libnghttp2 at once, body bytes wait in the stream until frames are made
 * of them. A handler may be done before the client has taken its answer; what is left stays with
 * the stream, bounded, and is dropped if the client takes nothing for write_stall_ms.
 */
#include <assert.h>
#include <stdlib.h>

#include "async/worker.h"
#include "base/clock.h"
#include "http/chars.h"
#include "http/h2_conn.h"

enum {
    PIECE_BYTES = 2 * 1024,
    OWN_HEADERS_MAX = 3, /* status, date, content-length */
    KEEP_OUT_BYTES = 4096,
};

/* --- heads -------------------------------------------------------------------------------------*/

static nghttp2_nv
nv_of(struct slice name, struct slice value)
{
    /* libnghttp2 copies both; its struct just lacks the const. */
    return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.data,
                         .value = (uint8_t *)(uintptr_t)value.data,
                         .namelen = name.len,
                         .valuelen = value.len,
                         .flags = NGHTTP2_NV_FLAG_NONE };
}

static bool
is_of_connection(struct slice name)
{
    static const char *const names[] = { "connection",       "content-length",    "keep-alive",
                                         "proxy-connection", "transfer-encoding", "upgrade" };
    return slice_is_one_of_nocase(name, names, ARRAY_LEN(names));
}

static struct slice
number_text(struct arena *arena, uint64_t n)
{
    enum { DIGITS_MAX = 20 };
    char *text = arena_alloc(arena, DIGITS_MAX);
    size_t at = DIGITS_MAX;
    do
        text[--at] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    return slice_of(text + at, DIGITS_MAX - at);
}

static bool
is_sound(const struct http_header *h)
{
    return h->name.len > 0 && chars_are(h->name, CHAR_TOKEN) && chars_are_value(h->value);
}

static bool
has_no_body(int status)
{
    return status == 204 || status == 304;
}

/* gRPC's answers have no use for date and length. */
static bool
is_grpc(const struct http_header *headers, size_t header_count)
{
    return header_count > 0 && slice_eq(headers[0].value, SLICE("application/grpc"));
}

/* Appends what of `headers` is not the connection's; false: one could break the framing. */
static bool
add_headers(nghttp2_nv *nva, size_t *count, const struct http_header *headers, size_t header_count,
            bool *ret_has_date)
{
    for (size_t i = 0; i < header_count; i++) {
        const struct http_header *h = &headers[i];
        if (!is_sound(h))
            return false;
        if (is_of_connection(h->name))
            continue;
        *ret_has_date |= slice_eq_nocase(h->name, SLICE("date"));
        nva[(*count)++] = nv_of(h->name, h->value);
    }
    return true;
}

/* How much of the output makes the next frame; send_output() of h2_session.c takes it. */
static ssize_t
measure_output(nghttp2_session *session, int32_t id, uint8_t *to, size_t len, uint32_t *flags,
               nghttp2_data_source *source, void *arg)
{
    (void)to;
    (void)arg;
    struct h2_stream *s = source->ptr;
    size_t bytes = s->out.len < len ? s->out.len : len;
    if (!s->conn->has_begun || (bytes == 0 && !s->is_out_ended)) {
        s->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (s->out.len > bytes || !s->is_out_ended)
        return (ssize_t)bytes;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (s->trailers != NULL) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        (void)nghttp2_submit_trailer(session, id, s->trailers, s->trailer_count);
    }
    return (ssize_t)bytes;
}

static void
output_added(struct h2_stream *s, size_t bytes)
{
    struct h2_conn *conn = s->conn;
    if (conn->output == 0)
        conn->took_ms = clock_now_ms();
    conn->output += bytes;
    conn->server->output += bytes;
}

void
h2_output_dropped(struct h2_stream *s, size_t bytes)
{
    s->conn->output -= bytes;
    s->conn->server->output -= bytes;
}

void
h2_output_taken(struct h2_stream *s, size_t bytes)
{
    h2_output_dropped(s, bytes);
    s->since_ms = s->conn->took_ms = clock_now_ms();
    if (s->out.len == 0 && s->out.capacity > KEEP_OUT_BYTES)
        buf_release(&s->out);
    if (s->exchange != NULL && s->out.len <= LIMIT_h2_stream_output_bytes / 2)
        h2_stream_wake(s->exchange->out_wait, OK);
}

static err_t
reply_start(struct http_exchange *x, int status, const struct http_header *headers,
            size_t header_count, int64_t length)
{
    struct h2_exchange *e = h2_exchange_of(x);
    struct h2_stream *s = e->stream;
    assert(!x->reply_started && status >= 200 && status <= 999);
    struct arena *arena = task_arena(x->task);
    nghttp2_nv *nva = arena_alloc(arena, sizeof *nva * (header_count + OWN_HEADERS_MAX));
    size_t count = 1;
    bool is_plain = !x->is_passed_on && !is_grpc(headers, header_count), has_date = !is_plain;
    nva[0] = nv_of(SLICE(":status"), number_text(arena, (uint64_t)status));
    if (!add_headers(nva, &count, headers, header_count, &has_date))
        return ERR_MALFORMED;
    if (!s->is_open)
        return ERR_CLOSED;
    if (!has_date)
        nva[count++] = nv_of(SLICE("date"), http_date_now(&s->conn->server->date));
    if (length >= 0 && !has_no_body(status) && is_plain)
        nva[count++] = nv_of(SLICE("content-length"), number_text(arena, (uint64_t)length));
    e->is_bodiless = slice_eq(x->method, SLICE("HEAD")) || has_no_body(status) || length == 0;
    e->reply_left = length < 0 ? UINT64_MAX : (uint64_t)length;
    const nghttp2_data_provider provider = { .source.ptr = s, .read_callback = measure_output };
    if (nghttp2_submit_response(s->conn->session, s->id, nva, count,
                                e->is_bodiless ? NULL : &provider) != 0)
        return ERR_CLOSED; /* being reset */
    x->reply_started = true;
    x->reply_status = status;
    h2_conn_flush_later(s->conn);
    return OK;
}

/* --- bodies ------------------------------------------------------------------------------------*/

static size_t
left_of(size_t max, size_t used)
{
    return used < max ? max - used : 0;
}

/* How much may be added now; a stream without any output may always add a piece. */
static size_t
room_for(const struct h2_stream *s, size_t bytes)
{
    const size_t rooms[] = { left_of(LIMIT_h2_stream_output_bytes, s->out.len),
                             left_of(LIMIT_h2_output_bytes, s->conn->output),
                             left_of(LIMIT_h2_all_output_bytes, s->conn->server->output) };
    size_t room = bytes;
    for (size_t i = 0; i < ARRAY_LEN(rooms); i++)
        room = rooms[i] < room ? rooms[i] : room;
    size_t piece = s->out.len > 0 ? 0 : bytes < PIECE_BYTES ? bytes : PIECE_BYTES;
    return room > piece ? room : piece;
}

/* As for HTTP/1.1, neither cancelling nor the task's deadline ends this. */
static err_t
wait_for_room(struct h2_exchange *e)
{
    struct h2_stream *s = e->stream;
    struct task *t = task_current(); /* of the two that share a stream, the one that writes */
    err_t err = OK;
    uint64_t outer = task_deadline_ms(t);
    /* What is passed on waits on behalf of somebody else, who is held up in turn. */
    int counted = e->base.is_passed_on ? 0 : 1;
    if (!s->is_open || room_for(s, 1) > 0)
        return s->is_open ? OK : ERR_CLOSED;
    h2_watch_waiter(s->conn, counted);
    task_shield_begin(t);
    while (err == OK && s->is_open && room_for(s, 1) == 0) {
        struct wait wait;
        wait_init(&wait, t, NULL);
        e->out_wait = &wait;
        task_deadline_pop(t, UINT64_MAX);
        (void)task_deadline_push(t, s->conn->server->config.write_stall_ms); /* outer is kept */
        err = TASK_WAIT(t, &wait);
        e->out_wait = NULL;
    }
    task_deadline_pop(t, outer);
    task_shield_end(t);
    h2_watch_waiter(s->conn, -counted);
    return err == OK && s->is_open ? OK : ERR_CLOSED;
}

void
h2_reply_resume(struct h2_stream *s)
{
    if (s->is_deferred)
        (void)nghttp2_session_resume_data(s->conn->session, s->id); /* it is deferred */
    s->is_deferred = false;
    h2_conn_flush_later(s->conn);
}

static err_t
reply_write(struct http_exchange *x, struct slice bytes)
{
    struct h2_exchange *e = h2_exchange_of(x);
    struct h2_stream *s = e->stream;
    assert(x->reply_started && !x->reply_ended);
    if (bytes.len > e->reply_left)
        return ERR_INTERNAL; /* more than announced: the caller's mistake, and the answer is cut */
    if (e->reply_left != UINT64_MAX)
        e->reply_left -= bytes.len;
    while (bytes.len > 0 && !e->is_bodiless) {
        err_t err = wait_for_room(e); /* suspends if nothing fits */
        if (err != OK)
            return err;
        struct slice piece = slice_first(bytes, room_for(s, bytes.len));
        bool fits = buf_append(&s->out, piece);
        assert(fits);
        output_added(s, piece.len);
        bytes = slice_from(bytes, piece.len);
        h2_reply_resume(s);
    }
    return s->is_open ? OK : ERR_CLOSED;
}

/* Whole, where nothing waits to be framed; what is held is what was held before. */
static err_t
reply_move(struct http_exchange *x, struct buf *from)
{
    struct h2_exchange *e = h2_exchange_of(x);
    struct h2_stream *s = e->stream;
    size_t bytes = from->len;
    if (s->out.len > 0 || bytes > s->out.max || e->is_bodiless || bytes > e->reply_left ||
        !s->is_open || s->conn->output + bytes > LIMIT_h2_output_bytes)
        return reply_write(x, buf_slice(from)); /* suspends if not all of it fits */
    assert(x->reply_started && !x->reply_ended);
    if (e->reply_left != UINT64_MAX)
        e->reply_left -= bytes;
    buf_swap(&s->out, from);
    output_added(s, bytes);
    h2_reply_resume(s);
    return OK;
}

/* One block: the array, then the texts. */
static void
keep_trailers(struct h2_stream *s, const struct http_header *trailers, size_t count)
{
    size_t bytes = sizeof(nghttp2_nv) * count;
    for (size_t i = 0; i < count; i++)
        bytes += trailers[i].name.len + trailers[i].value.len;
    nghttp2_nv *nva = malloc(bytes);
    if (nva == NULL)
        abort();
    char *at = (char *)(nva + count);
    for (size_t i = 0; i < count; i++) {
        const struct http_header *h = &trailers[i];
        memcpy(at, h->name.data, h->name.len);
        memcpy(at + h->name.len, h->value.data, h->value.len);
        nva[i] = nv_of(slice_of(at, h->name.len), slice_of(at + h->name.len, h->value.len));
        at += h->name.len + h->value.len;
    }
    s->trailers = nva;
    s->trailer_count = count;
}

static err_t
reply_end_with(struct http_exchange *x, const struct http_header *trailers, size_t count)
{
    struct h2_exchange *e = h2_exchange_of(x);
    struct h2_stream *s = e->stream;
    assert(x->reply_started);
    if (x->reply_ended)
        return OK;
    if (!e->is_bodiless && e->reply_left != UINT64_MAX && e->reply_left > 0)
        return ERR_INTERNAL; /* less than announced: stays unended, so it is cut */
    for (size_t i = 0; i < count; i++)
        if (!is_sound(&trailers[i]))
            return ERR_MALFORMED;
    x->reply_ended = true;
    if (!s->is_open)
        return ERR_CLOSED;
    if (count > 0 && !e->is_bodiless)
        keep_trailers(s, trailers, count);
    s->is_out_ended = true;
    h2_reply_resume(s);
    return OK;
}

static err_t
reply_end(struct http_exchange *x)
{
    return reply_end_with(x, NULL, 0);
}

static int
socket_of(const struct http_exchange *x)
{
    const struct h2_exchange *e = (const struct h2_exchange *)x;
    const struct h2_conn *conn = e->stream->conn;
    return conn != NULL && stream_is_open(&conn->stream) ? conn->stream.fd : -1;
}

const struct http_transport h2_transport = {
    .socket = socket_of,
    .body_read = h2_body_read,
    .body_move = h2_body_move,
    .reply_move = reply_move,
    .body_is_here = h2_body_is_here,
    .admit = h2_admit,
    .reply_start = reply_start,
    .reply_write = reply_write,
    .reply_end = reply_end,
    .reply_end_with = reply_end_with,
};

bool
h2_reply_finish(struct h2_exchange *e)
{
    struct http_exchange *x = &e->base;
    if (!x->reply_started && !x->client_gone) {
        static const struct http_header type = { .name = SLICE("content-type"),
                                                 .value = SLICE("text/plain; charset=utf-8") };
        (void)http_reply(x, 500, &type, 1, SLICE("500 Internal Server Error")); /* seen below */
    }
    if (x->client_gone || x->reply_ended)
        return true;
    return x->reply_started && (e->is_bodiless || e->reply_left == 0) && reply_end(x) == OK;
}

/* --- without a handler -------------------------------------------------------------------------*/

void
h2_reply_refuse(struct h2_conn *conn, int32_t id, const struct h2_head *head, int status)
{
    bool is_grpc = slice_has_prefix(h2_head_get(head, SLICE("content-type")),
                                    SLICE("application/grpc"));
    const nghttp2_nv grpc[] = {
        nv_of(SLICE(":status"), SLICE("200")),
        nv_of(SLICE("content-type"), SLICE("application/grpc")),
        nv_of(SLICE("grpc-status"), SLICE("8")),
        nv_of(SLICE("grpc-message"), status == 431 ? SLICE("the metadata is too large")
                                                   : SLICE("too many requests at a time")),
    };
    const nghttp2_nv http = nv_of(SLICE(":status"), status == 431 ? SLICE("431") : SLICE("503"));
    /* Fails only for a stream that is being reset. */
    if (is_grpc)
        (void)nghttp2_submit_response(conn->session, id, grpc, ARRAY_LEN(grpc), NULL);
    else
        (void)nghttp2_submit_response(conn->session, id, &http, 1, NULL);
    h2_conn_flush_later(conn);
}
