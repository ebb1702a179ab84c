/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call over HTTP/2: its request is put together and waits for a stream, its bodies flow both
 * ways as far as the windows go. A request that the peer refused unseen (GOAWAY, REFUSED_STREAM) is
 * sent again by itself as long as its bytes are still here.
 */
#include <assert.h>

#include "async/worker.h"
#include "base/clock.h"
#include "http/chars.h"
#include "http/h2_client.h"

enum { ATTEMPTS_MAX = 10, FIELDS_AT_FIRST = 16, OWN_FIELDS = 5 };

static struct h2_call *
call_of(struct client_call *call)
{
    return call->state;
}

static void
wake(struct wait *wait)
{
    if (wait != NULL && !wait->is_done)
        wait_done(wait, OK);
}

static void
wake_all(struct h2_call *c)
{
    wake(c->start_wait);
    wake(c->in_wait);
    wake(c->out_wait);
}

/* Tells the task why the call is over. */
static err_t
over(struct task *t, struct h2_call *c)
{
    err_t err = c->err != OK ? c->err : ERR_PEER_LOST;
    struct slice dialled = buf_slice(&c->client->dial_text);
    if (err == c->client->dial_err && c->reason.len == 0 && dialled.len > 0)
        return DIAG_FAIL(task_diag(t), err, SLICE_FMT, SLICE_ARG(dialled));
    return DIAG_FAIL(task_diag(t), err, SLICE_FMT,
                     SLICE_ARG(c->reason.len > 0 ? c->reason : slice_str(err_info(err)->code)));
}

/* Waits at most `ms`; the slot is empty again afterwards. */
static err_t
wait_at(struct task *t, struct wait **slot, uint64_t ms)
{
    struct wait wait;
    assert(*slot == NULL); /* one task reads, one writes */
    wait_init(&wait, t, NULL);
    *slot = &wait;
    uint64_t outer = task_deadline_push(t, ms);
    err_t err = TASK_WAIT(t, &wait);
    task_deadline_pop(t, outer);
    *slot = NULL;
    return err;
}

/* --- the request's head ------------------------------------------------------------------------*/

static bool
is_of_connection(struct slice name)
{
    static const char *const names[] = {
        "connection",        "content-length", "keep-alive", "proxy-connection",
        "transfer-encoding", "upgrade",        "host",       "http2-settings"
    };
    return slice_is_one_of_nocase(name, names, ARRAY_LEN(names));
}

static bool
is_sound(const struct http_header *h)
{
    return h->name.len > 0 && chars_are(h->name, CHAR_TOKEN) && chars_are_value(h->value);
}

/* Appends the texts of one field; nv_at() finds them again. */
static bool
add_field(struct h2_call *c, struct slice name, struct slice value)
{
    const uint32_t lengths[2] = { (uint32_t)name.len, (uint32_t)value.len };
    char *at = buf_reserve(&c->head, sizeof lengths + name.len + value.len);
    if (at == NULL)
        return false;
    memcpy(at, lengths, sizeof lengths);
    at += sizeof lengths;
    for (size_t i = 0; i < name.len; i++)
        at[i] = (char)(name.data[i] >= 'A' && name.data[i] <= 'Z' ? name.data[i] | 0x20
                                                                  : name.data[i]);
    if (value.len > 0)
        memcpy(at + name.len, value.data, value.len);
    buf_commit(&c->head, sizeof lengths + name.len + value.len);
    c->field_count++;
    return true;
}

static bool
add_length(struct h2_call *c, int64_t length)
{
    enum { DIGITS_MAX = 20 };
    char text[DIGITS_MAX];
    size_t at = DIGITS_MAX;
    do
        text[--at] = (char)('0' + length % 10);
    while ((length /= 10) > 0);
    return add_field(c, SLICE("content-length"), slice_of(text + at, DIGITS_MAX - at));
}

/* False: it cannot be sent. */
static bool
fill_head(struct h2_call *c, const struct client_head *head)
{
    bool fits = chars_are(head->method, CHAR_TOKEN) && head->method.len > 0 &&
                head->target.len > 0 && chars_are(head->target, CHAR_TARGET) &&
                head->header_count <= H2_CLIENT_FIELDS_MAX - OWN_FIELDS &&
                add_field(c, SLICE(":method"), head->method) &&
                add_field(c, SLICE(":scheme"),
                          c->client->config.tls != NULL ? SLICE("https") : SLICE("http")) &&
                add_field(c, SLICE(":path"), head->target) &&
                chars_are(head->authority, CHAR_HOST) &&
                add_field(c, SLICE(":authority"),
                          head->authority.len > 0 ? head->authority : c->client->config.authority);
    for (size_t i = 0; i < head->header_count && fits; i++) {
        fits = is_sound(&head->headers[i]);
        if (fits && !is_of_connection(head->headers[i].name))
            fits = add_field(c, head->headers[i].name, head->headers[i].value);
    }
    c->body_left = head->body_length < 0 ? UINT64_MAX : (uint64_t)head->body_length;
    if (fits && head->body_length > 0)
        fits = add_length(c, head->body_length);
    return fits;
}

/* --- getting a stream --------------------------------------------------------------------------*/

/* How much of the output makes the next frame; send_output() of h2_client_session.c takes it. */
static ssize_t
measure_output(nghttp2_session *session, int32_t id, uint8_t *to, size_t len, uint32_t *flags,
               nghttp2_data_source *source, void *arg)
{
    (void)session;
    (void)id;
    (void)to;
    (void)arg;
    struct h2_call *c = source->ptr;
    size_t left = c->out.len - c->out_framed, bytes = left < len ? left : len;
    if (bytes == 0 && !c->is_out_ended) {
        c->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (left == bytes && c->is_out_ended)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)bytes;
}

bool
h2_call_submit(struct h2_call *c, struct h2_client_conn *conn)
{
    nghttp2_nv *nva = c->client->fields;
    uint8_t *at = (uint8_t *)(uintptr_t)buf_slice(&c->head).data;
    assert(c->field_count <= H2_CLIENT_FIELDS_MAX);
    for (size_t i = 0; i < c->field_count; i++) {
        uint32_t lengths[2];
        memcpy(lengths, at, sizeof lengths);
        at += sizeof lengths;
        /* The call outlives its stream, so libnghttp2 need not copy. */
        nva[i] = (nghttp2_nv){ .name = at,
                               .value = at + lengths[0],
                               .namelen = lengths[0],
                               .valuelen = lengths[1],
                               .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME |
                                        NGHTTP2_NV_FLAG_NO_COPY_VALUE };
        at += lengths[0] + lengths[1];
    }
    const nghttp2_data_provider provider = { .source.ptr = c, .read_callback = measure_output };
    bool has_no_body = c->is_out_ended && c->out.len == 0;
    int32_t id = nghttp2_submit_request(conn->session, NULL, nva, c->field_count,
                                        has_no_body ? NULL : &provider, c);
    if (id < 0)
        return false;
    c->id = id;
    c->conn = conn;
    c->state = H2_CALL_OPEN;
    if (c->turn > c->client->turn)
        c->client->turn = c->turn;
    c->attempts++;
    c->is_deferred = false;
    c->owner->was_sent = true;
    conn->output += c->out.len;
    list_append(&conn->calls, &c->link);
    conn->call_count++;
    h2_pace_opened(c);
    wake(c->start_wait);
    return true;
}

static void
enqueue(struct h2_call *c)
{
    struct h2_client *client = c->client;
    struct list *at = &client->waiting;
    c->state = H2_CALL_WAITING;
    while (at->prev != &client->waiting &&
           LIST_ENTRY(at->prev, struct h2_call, link)->turn > c->turn)
        at = at->prev;
    list_append(at, &c->link);
    client->waiting_count++;
    h2_client_kick(client);
}

/* The next of whoever it is made for, but none that has gone by. */
static uint64_t
turn_of(const struct h2_client *client, uint64_t *turn)
{
    uint64_t next = turn == NULL || *turn < client->turn ? client->turn : *turn + 1;
    if (turn != NULL)
        *turn = next;
    return next;
}

/* Gives a call up that has no stream. */
static void
leave_queue(struct h2_call *c)
{
    list_remove(&c->link);
    c->client->waiting_count--;
    c->state = H2_CALL_OVER;
}

err_t
h2_client_call_start(struct task *t, struct h2_client *client, const struct client_head *head,
                     struct client_call *ret_call)
{
    *ret_call = (struct client_call){ .arena = task_arena(t),
                                      .content_length = HTTP_LENGTH_UNKNOWN };
    if (client->is_closing)
        return DIAG_FAIL(task_diag(t), ERR_PEER_UNREACHABLE, "the client was closed");
    if (client->waiting_count >= client->config.waiters_max)
        return DIAG_FAIL(task_diag(t), ERR_OVERLOADED, "too many calls are waiting");
    struct h2_call *c = h2_client_call_take(client);
    if (!fill_head(c, head)) {
        h2_client_call_put(c);
        return DIAG_FAIL(task_diag(t), ERR_MALFORMED, "the request's head cannot be sent");
    }
    c->owner = ret_call;
    c->turn = turn_of(client, head->turn);
    c->keeps_output = true;
    c->content_length = HTTP_LENGTH_UNKNOWN;
    c->ended_ms = clock_coarse_ms();
    ret_call->transport = &h2_client_transport;
    ret_call->client = &client->base;
    ret_call->state = c;
    enqueue(c);
    err_t err = OK;
    while (err == OK && c->state == H2_CALL_WAITING &&
           client->waiting_count > h2_client_room(client))
        err = wait_at(t, &c->start_wait, UINT64_MAX);
    if (err == OK && c->state == H2_CALL_OVER && !c->has_head)
        err = over(t, c);
    if (err != OK)
        client_finish(ret_call);
    return err;
}

/* --- the end -----------------------------------------------------------------------------------*/

/* A call stays with its connection as long as it may hold unread bytes. */
static void
leave_conn(struct h2_call *c)
{
    list_remove(&c->link);
    c->conn = NULL;
}

static void
undoom(struct h2_call *c)
{
    if (list_is_linked(&c->doom_link))
        c->conn->doomed_count--;
    list_remove(&c->doom_link);
}

static void
close_as(struct h2_call *c, err_t err, struct slice reason)
{
    c->state = H2_CALL_OVER;
    if (c->err == OK)
        c->err = err;
    if (c->reason.len == 0 && reason.len > 0)
        c->reason = arena_dup(c->owner->arena, reason); /* those of TLS go with the connection */
    wake_all(c);
}

void
h2_call_fail(struct h2_call *c, err_t err)
{
    c->owner->was_sent = false;
    close_as(c, err, SLICE_EMPTY);
}

static struct slice
code_words(uint32_t code)
{
    return slice_str(nghttp2_http2_strerror(code));
}

void
h2_call_closed(struct h2_call *c, uint32_t code, struct slice reason)
{
    struct h2_client *client = c->client;
    struct h2_client_conn *conn = c->conn;
    bool is_whole = c->has_head && c->is_in_ended;
    undoom(c);
    h2_pace_answered(c);
    conn->call_count--;
    conn->output -= c->out.len - c->out_framed;
    if (conn->call_count == 0)
        conn->since_ms = clock_coarse_ms();
    if (c->owner == NULL) {
        leave_conn(c);
        h2_client_call_put(c);
        if (client->waiting_count > 0)
            h2_client_kick(client);
        return;
    }
    if (code == NGHTTP2_REFUSED_STREAM && !c->has_head && c->keeps_output &&
        c->attempts < ATTEMPTS_MAX) {
        /* Servers count a stream for a moment after its end: twice as long each time. */
        if (conn->state == H2_READY)
            h2_client_conn_pause(conn, UINT64_C(1) << c->attempts);
        leave_conn(c);
        c->out_framed = 0;
        c->is_out_sent = false;
        c->owner->was_sent = false;
        c->count = c->bytes = 0;
        enqueue(c);
        return;
    }
    c->owner->was_sent = code != NGHTTP2_REFUSED_STREAM;
    if (reason.len == 0 && !is_whole) {
        c->owner->reset_code = code;
        c->owner->was_reset = true;
        reason = code_words(code);
    }
    close_as(c, is_whole ? OK : ERR_PEER_LOST, reason);
    if (client->waiting_count > 0)
        h2_client_kick(client);
}

/* Where more is to be reset than is due, the connection takes no new calls: peers count by
 * connection. It ends, and with it what is to be reset, when nobody needs it any more. */
void
h2_client_doom(struct h2_client_conn *conn)
{
    struct h2_client *client = conn->client;
    while (
        !list_is_empty(&conn->doomed) &&
        h2_budget_take(&conn->resets, LIMIT_h2_client_reset_burst, LIMIT_h2_client_resets_per_s)) {
        struct h2_call *c = LIST_ENTRY(conn->doomed.next, struct h2_call, doom_link);
        undoom(c);
        (void)nghttp2_submit_rst_stream(conn->session, NGHTTP2_FLAG_NONE, c->id,
                                        c->is_in_ended ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
    }
    if (!list_is_empty(&conn->doomed) && conn->state == H2_READY &&
        client->conn_count < client->config.connections_max) {
        conn->state = H2_LEAVING;
        h2_client_kick(client);
    }
}

/* What has been read, or never will be: its room in the windows goes back. */
static void
give_back(struct h2_call *c, size_t bytes)
{
    struct h2_client_conn *conn = c->conn;
    if (conn == NULL || bytes == 0)
        return;
    conn->unread -= bytes;
    if (c->owner != NULL && c->state == H2_CALL_OPEN && !c->is_in_ended)
        (void)nghttp2_session_consume_stream(conn->session, c->id, bytes); /* only fails late */
    if (conn->is_tight && conn->unread <= LIMIT_h2_client_read_ahead_bytes / 2)
        h2_client_set_window(conn, false);
    if (nghttp2_session_want_write(conn->session))
        h2_client_conn_flush_later(conn);
}

static void
finish(struct client_call *call)
{
    struct h2_call *c = call_of(call);
    struct h2_client_conn *conn = c->conn;
    assert(c->start_wait == NULL && c->in_wait == NULL && c->out_wait == NULL);
    size_t unread = c->in.len;
    call->transport = NULL;
    call->state = NULL;
    c->owner = NULL;
    buf_clear(&c->in);
    give_back(c, unread);
    if (c->state == H2_CALL_WAITING)
        leave_queue(c);
    if (c->state == H2_CALL_OVER) {
        leave_conn(c);
        h2_client_call_put(c);
        return;
    }
    if (c->is_in_ended && c->is_out_ended)
        return; /* closes by itself when the last frame has gone */
    list_append(&conn->doomed, &c->doom_link);
    conn->doomed_count++;
    h2_client_conn_flush_later(conn);
}

/* --- the request's body ------------------------------------------------------------------------*/

/* What may be asked for a second time is kept, if it is little. */
static void
forget_output(struct h2_call *c)
{
    c->keeps_output = false;
    buf_consume(&c->out, c->out_framed);
    c->out_framed = 0;
}

bool
h2_call_may_give(const struct h2_call *c, size_t bytes)
{
    bool keeps = c->keeps_output && c->out.len <= LIMIT_h2_client_repeat_bytes;
    return !keeps && c->out_framed == 0 && bytes == c->out.len;
}

void
h2_call_output_taken(struct h2_call *c, size_t bytes, bool is_given)
{
    c->conn->output -= bytes;
    if (is_given)
        c->keeps_output = false;
    else
        c->out_framed += bytes;
    if (c->keeps_output && c->out.len > LIMIT_h2_client_repeat_bytes)
        c->keeps_output = false;
    if (!c->keeps_output)
        forget_output(c);
    if (c->owner != NULL && c->out.len - c->out_framed <= LIMIT_h2_stream_output_bytes / 2)
        wake(c->out_wait);
}

/* How much may be added now; a call without any output may always add a piece. */
static size_t
room_for(struct h2_call *c, size_t bytes)
{
    size_t room = LIMIT_h2_stream_output_bytes - c->out.len;
    if (c->state == H2_CALL_OPEN && c->out.len > 0) {
        size_t all = c->conn->output < LIMIT_h2_output_bytes
                         ? LIMIT_h2_output_bytes - c->conn->output
                         : 0;
        room = room < all ? room : all;
    }
    return bytes < room ? bytes : room;
}

static void
resume(struct h2_call *c)
{
    if (c->state != H2_CALL_OPEN)
        return;
    if (c->is_deferred)
        (void)nghttp2_session_resume_data(c->conn->session, c->id); /* it is deferred */
    c->is_deferred = false;
    h2_client_conn_flush_later(c->conn);
}

static err_t
write_body(struct task *t, struct client_call *call, struct slice bytes)
{
    struct h2_call *c = call_of(call);
    assert(!c->is_out_ended);
    if (bytes.len > c->body_left)
        return DIAG_FAIL(task_diag(t), ERR_MALFORMED, "the body is longer than announced");
    if (c->body_left != UINT64_MAX)
        c->body_left -= bytes.len;
    while (bytes.len > 0) {
        if (c->state == H2_CALL_OVER)
            return over(t, c);
        size_t room = room_for(c, bytes.len);
        if (room == 0) {
            forget_output(c); /* may have made room */
            room = room_for(c, bytes.len);
        }
        if (room == 0) {
            err_t err = wait_at(t, &c->out_wait, c->client->config.stall_ms);
            if (err != OK)
                return err;
            continue;
        }
        bool fits = buf_append(&c->out, slice_first(bytes, room));
        assert(fits);
        if (c->state == H2_CALL_OPEN)
            c->conn->output += room;
        bytes = slice_from(bytes, room);
        resume(c);
    }
    return c->state == H2_CALL_OVER ? over(t, c) : OK;
}

/* Whole, where nothing waits to be framed; what is held is what was held before. */
static err_t
write_move(struct task *t, struct client_call *call, struct buf *from)
{
    struct h2_call *c = call_of(call);
    size_t bytes = from->len;
    if (c->state == H2_CALL_OVER || c->out.len > 0 || bytes > c->out.max || bytes > c->body_left)
        return write_body(t, call, buf_slice(from)); /* suspends if not all of it fits */
    assert(!c->is_out_ended);
    if (c->body_left != UINT64_MAX)
        c->body_left -= bytes;
    buf_swap(&c->out, from);
    if (c->state == H2_CALL_OPEN)
        c->conn->output += bytes;
    resume(c);
    return OK;
}

static err_t
end_body(struct task *t, struct client_call *call)
{
    struct h2_call *c = call_of(call);
    if (c->is_out_ended)
        return OK;
    if (c->body_left != UINT64_MAX && c->body_left > 0)
        return DIAG_FAIL(task_diag(t), ERR_MALFORMED, "the body is shorter than announced");
    c->is_out_ended = true;
    c->ended_ms = clock_coarse_ms();
    if (c->state == H2_CALL_OVER)
        return c->err == OK ? OK : over(t, c);
    resume(c);
    return OK;
}

/* --- the answer --------------------------------------------------------------------------------*/

void
h2_call_field(struct h2_call *c, struct slice name, struct slice value)
{
    struct arena *arena = c->owner->arena;
    uint64_t number = 0;
    if (slice_eq(name, SLICE(":status"))) {
        c->status = slice_to_u64(value, &number) && number <= 999 ? (int)number : 0;
        return;
    }
    if (c->count == c->capacity) {
        size_t more = c->capacity == 0 ? FIELDS_AT_FIRST : c->capacity * 2;
        c->fields = arena_grow(arena, c->fields, c->capacity * sizeof *c->fields,
                               more * sizeof *c->fields);
        c->capacity = more;
    }
    char *text = arena_alloc(arena, name.len + value.len + 1);
    memcpy(text, name.data, name.len);
    if (value.len > 0)
        memcpy(text + name.len, value.data, value.len);
    c->fields[c->count++] = (struct http_header){ slice_of(text, name.len),
                                                  slice_of(text + name.len, value.len) };
    if (!c->has_head && slice_eq(name, SLICE("content-length")) && slice_to_u64(value, &number) &&
        number <= INT64_MAX)
        c->content_length = (int64_t)number;
}

bool
h2_call_head_ended(struct h2_call *c)
{
    if (c->has_head) { /* these were the trailers */
        c->owner->trailers = c->fields;
        c->owner->trailer_count = c->count;
        return true;
    }
    if (c->status < 100)
        return false;
    if (c->status < 200) { /* informational */
        c->count = c->bytes = 0;
        c->content_length = HTTP_LENGTH_UNKNOWN;
        return true;
    }
    c->has_head = true;
    h2_pace_answered(c);
    c->conn->has_served = true;
    c->owner->status = c->status;
    c->owner->headers = c->fields;
    c->owner->header_count = c->count;
    c->owner->content_length = c->content_length;
    c->fields = NULL;
    c->count = c->capacity = c->bytes = 0;
    forget_output(c);
    wake(c->in_wait);
    wake(c->out_wait);
    return true;
}

void
h2_call_in_ended(struct h2_call *c)
{
    c->is_in_ended = true;
    wake(c->in_wait);
}

void
h2_call_data(struct h2_call *c, struct slice bytes)
{
    struct h2_client_conn *conn = c->conn;
    if (!buf_append(&c->in, bytes)) {
        (void)nghttp2_session_consume_connection(conn->session, bytes.len); /* it goes on wrong */
        return;
    }
    /* The connection's window stays open whatever single calls do: it is everybody's. */
    conn->unread += bytes.len;
    (void)nghttp2_session_consume_connection(conn->session, bytes.len);
    if (!conn->is_tight && conn->unread > LIMIT_h2_client_read_ahead_bytes)
        h2_client_set_window(conn, true);
    wake(c->in_wait);
}

/* Counted from the end of the request: an upload may take as long as it moves. */
static uint64_t
head_left_ms(const struct h2_call *c)
{
    uint64_t allowed_ms = c->client->config.head_ms, now_ms = clock_now_ms();
    if (allowed_ms == UINT64_MAX || !c->is_out_ended)
        return UINT64_MAX;
    return now_ms < c->ended_ms + allowed_ms ? c->ended_ms + allowed_ms - now_ms : 0;
}

static err_t
read_head(struct task *t, struct client_call *call)
{
    struct h2_call *c = call_of(call);
    while (!c->has_head) {
        if (c->state == H2_CALL_OVER)
            return over(t, c);
        err_t err = wait_at(t, &c->in_wait, head_left_ms(c));
        if (err != OK)
            return err;
    }
    return OK;
}

/* Until there is some, or the end of it. */
static err_t
await_input(struct task *t, struct h2_call *c)
{
    err_t err = OK;
    while (err == OK && c->in.len == 0 && !(c->is_in_ended && c->err == OK))
        err = c->state == H2_CALL_OVER ? over(t, c)
                                       : wait_at(t, &c->in_wait, c->client->config.stall_ms);
    return err;
}

static err_t
read_body(struct task *t, struct client_call *call, struct slice *ret_chunk)
{
    struct h2_call *c = call_of(call);
    err_t err = await_input(t, c); /* suspends */
    if (err != OK)
        return err;
    if (c->in.len > 0) {
        buf_clear(&c->piece);
        buf_swap(&c->piece, &c->in);
        give_back(c, c->piece.len);
        *ret_chunk = buf_slice(&c->piece);
    } else {
        *ret_chunk = SLICE_EMPTY;
    }
    return OK;
}

static err_t
read_move(struct task *t, struct client_call *call, struct buf *to)
{
    struct h2_call *c = call_of(call);
    err_t err = await_input(t, c); /* suspends */
    if (err == OK && c->in.len > 0) {
        buf_swap(to, &c->in);
        give_back(c, to->len);
    }
    return err;
}

const struct client_transport h2_client_transport = {
    .write = write_body,
    .end = end_body,
    .head = read_head,
    .read = read_body,
    .write_move = write_move,
    .read_move = read_move,
    .finish = finish,
};
