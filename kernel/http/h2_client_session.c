/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libnghttp2 tells of a connection we made, and what it is told at the start. Callbacks only
 * note things and wake tasks: none may close the connection, whose session is in the middle of a
 * call.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "http/h2_client.h"

/* A frame that costs us and brings nothing, unless it is one of few. */
static void
charge(struct h2_client_conn *conn)
{
    if (!h2_budget_take(&conn->controls, LIMIT_h2_control_burst, LIMIT_h2_controls_per_s))
        conn->is_broken = true;
}

static struct h2_call *
call_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

/* --- heads -------------------------------------------------------------------------------------*/

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
          size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
    (void)flags;
    struct h2_client_conn *conn = arg;
    struct h2_call *c = call_of(session, frame->hd.stream_id);
    if (frame->hd.type != NGHTTP2_HEADERS || c == NULL || c->owner == NULL)
        return 0;
    c->bytes += name_len + value_len;
    if (c->bytes > conn->client->config.head_bytes_max || c->count >= LIMIT_http_headers_max) {
        charge(conn);
        c->err = ERR_PEER_PROTOCOL;
        c->reason = SLICE("the answer has more headers than are taken");
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the stream is reset */
    }
    h2_call_field(c, h2_slice(name, name_len), h2_slice(value, value_len));
    return 0;
}

/* --- frames ------------------------------------------------------------------------------------*/

static void
on_stream_frame(struct h2_client_conn *conn, const nghttp2_frame *frame)
{
    bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    struct h2_call *c = call_of(conn->session, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_DATA && frame->hd.length == 0 && !is_end)
        charge(conn);
    if (c == NULL)
        return;
    if (frame->hd.type == NGHTTP2_HEADERS && c->owner != NULL && !h2_call_head_ended(c)) {
        c->err = ERR_PEER_PROTOCOL;
        c->reason = SLICE("the answer has no sound status");
        (void)nghttp2_submit_rst_stream(conn->session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                        NGHTTP2_PROTOCOL_ERROR); /* only without memory */
        return;
    }
    if (is_end)
        h2_call_in_ended(c);
}

static void
on_settings(struct h2_client_conn *conn, const nghttp2_frame *frame)
{
    if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
        return;
    charge(conn);
    conn->streams_max = nghttp2_session_get_remote_settings(
        conn->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    if (conn->state == H2_GREETING)
        conn->state = H2_READY;
    h2_client_kick(conn->client);
}

/* Servers measure the way with a ping for each message they get. */
static void
on_ping(struct h2_client_conn *conn, const nghttp2_ping *ping)
{
    if ((ping->hd.flags & NGHTTP2_FLAG_ACK) != 0)
        conn->pinged_ms = 0;
    if ((ping->hd.flags & NGHTTP2_FLAG_ACK) != 0 || !conn->has_sent)
        charge(conn);
    conn->has_sent = false;
}

static int
on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2_client_conn *conn = arg;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS:
        on_stream_frame(conn, frame);
        break;
    case NGHTTP2_SETTINGS:
        on_settings(conn, frame);
        break;
    case NGHTTP2_PING:
        on_ping(conn, &frame->ping);
        break;
    case NGHTTP2_PRIORITY:
        charge(conn);
        break;
    case NGHTTP2_RST_STREAM: /* of a call it costs no more than the call */
        if (call_of(session, frame->hd.stream_id) == NULL)
            charge(conn);
        break;
    case NGHTTP2_GOAWAY: /* streams beyond its last one have been closed as refused */
        conn->state = H2_LEAVING;
        h2_client_kick(conn->client);
        break;
    default:
        break;
    }
    return 0;
}

static int
on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
              void *arg)
{
    (void)flags;
    (void)arg;
    struct h2_call *c = call_of(session, id);
    if (c != NULL && c->owner != NULL)
        h2_call_data(c, h2_slice(data, len));
    else /* nobody reads it: the stream's window stays closed, the others go on */
        (void)nghttp2_session_consume_connection(session, len);
    return 0;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    (void)arg;
    struct h2_call *c = call_of(session, id);
    if (c != NULL)
        h2_call_closed(c, code, SLICE_EMPTY);
    return 0;
}

static int
on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2_client_conn *conn = arg;
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    conn->has_sent = true;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return 0;
    struct h2_call *c = call_of(session, frame->hd.stream_id);
    if (c != NULL)
        c->is_out_sent = true;
    return 0;
}

/* --- request bodies ----------------------------------------------------------------------------*/

/* One DATA frame, from the call's output to the socket's without a stop between. */
static int
send_output(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t len,
            nghttp2_data_source *source, void *arg)
{
    (void)session;
    struct h2_client_conn *conn = arg;
    struct h2_call *c = source->ptr;
    struct slice left = slice_from(buf_slice(&c->out), c->out_framed);
    struct buf *owner = h2_call_may_give(c, len) ? &c->out : NULL;
    int result = h2_put_data(&conn->stream, frame, head, slice_first(left, len), owner);
    if (result == 0)
        h2_call_output_taken(c, len, owner != NULL);
    return result;
}

/* --- start -------------------------------------------------------------------------------------*/

static nghttp2_session *
new_session(struct h2_client_conn *conn)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_session *session;
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
        abort();
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_output);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, h2_frame_length);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_outbound_ack(option, LIMIT_h2_acks_max);
    nghttp2_option_set_max_settings(option, LIMIT_h2_settings_max);
    nghttp2_option_set_max_continuations(option, LIMIT_h2_continuations_max);
    nghttp2_option_set_peer_max_concurrent_streams(option, UINT32_MAX >> 1);
    if (nghttp2_session_client_new2(&session, callbacks, conn, option) != 0)
        abort(); /* out of memory */
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

nghttp2_session *
h2_client_session_new(struct h2_client_conn *conn)
{
    nghttp2_session *session = new_session(conn);
    const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, LIMIT_h2_client_window_bytes },
        { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, LIMIT_h2_hpack_bytes },
        { NGHTTP2_SETTINGS_MAX_FRAME_SIZE, LIMIT_h2_frame_bytes },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)conn->client->config.head_bytes_max },
    };
    /* These fail only without memory, which ends the process elsewhere. */
    (void)nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
    (void)nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                                LIMIT_h2_client_connection_window_bytes);
    return session;
}

void
h2_client_set_window(struct h2_client_conn *conn, bool is_tight)
{
    const nghttp2_settings_entry window = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
                                            is_tight ? LIMIT_h2_client_tight_window_bytes
                                                     : LIMIT_h2_client_window_bytes };
    conn->is_tight = is_tight;
    (void)nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, &window, 1); /* no memory */
    h2_client_conn_flush_later(conn);
}
