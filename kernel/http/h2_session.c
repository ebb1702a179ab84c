/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libnghttp2 tells of a connection, and what it is told at the start. Callbacks only note
 * things and wake tasks: none may close the connection, whose session is in the middle of a call.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "http/h2_conn.h"

bool
h2_server_is_wary(struct h2_server *server)
{
    h2_budget_refill(&server->cuts, LIMIT_h2_cuts_burst, LIMIT_h2_cuts_per_s);
    return server->cuts.left == 0;
}

/* A frame that costs us and gives the client nothing, unless it is one of few. */
static void
charge(struct h2_conn *conn)
{
    if (h2_budget_take(&conn->controls, LIMIT_h2_control_burst, LIMIT_h2_controls_per_s))
        return;
    h2_conn_abused(conn);
    (void)nghttp2_session_terminate_session(conn->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* --- heads -------------------------------------------------------------------------------------*/

static bool
is_request(const nghttp2_frame *frame)
{
    return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

static void
drop_head(struct h2_conn *conn)
{
    if (conn->head != NULL)
        h2_head_put(conn->server, TAKE(conn->head));
}

void
h2_session_start_pending(struct h2_conn *conn)
{
    int32_t id = conn->pending_id;
    if (id == 0)
        return;
    conn->pending_id = 0;
    h2_stream_start(conn, id, conn->head, conn->is_pending_ended);
    drop_head(conn);
}

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)session;
    struct h2_conn *conn = arg;
    h2_session_start_pending(conn);
    if (!is_request(frame))
        return 0;
    drop_head(conn);
    conn->head = h2_head_take(conn->server);
    return 0;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
          size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
    (void)session;
    (void)flags;
    struct h2_conn *conn = arg;
    size_t bytes_max = conn->server->config.head_bytes_max + LIMIT_http_head_slack_bytes;
    if (!is_request(frame) || conn->head == NULL)
        return 0; /* trailers of a request mean nothing to us */
    if (h2_head_add(conn->head, h2_slice(name, name_len), h2_slice(value, value_len), bytes_max))
        return 0;
    charge(conn);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* --- frames ------------------------------------------------------------------------------------*/

static void
on_stream_frame(struct h2_conn *conn, const nghttp2_frame *frame)
{
    bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (is_request(frame)) {
        conn->pending_id = conn->head == NULL ? 0 : frame->hd.stream_id;
        conn->is_pending_ended = is_end;
        return;
    }
    if (frame->hd.type == NGHTTP2_DATA && frame->hd.length == 0 && !is_end)
        charge(conn);
    struct h2_stream *s = nghttp2_session_get_stream_user_data(conn->session, frame->hd.stream_id);
    if (is_end && s != NULL)
        h2_stream_in_ended(s);
}

static void
on_ping(struct h2_conn *conn, const nghttp2_ping *ping)
{
    if ((ping->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
        if (!conn->has_answered) /* clients measure the way with a ping for each answer */
            charge(conn);
        h2_watch_pinged(conn);
        conn->has_answered = false;
    } else if (memcmp(ping->opaque_data, H2_DRAIN_PING, sizeof ping->opaque_data) == 0) {
        h2_conn_drained(conn);
    }
}

static int
on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)session;
    struct h2_conn *conn = arg;
    if (!conn->has_begun)
        h2_conn_begun(conn);
    if (frame->hd.type != NGHTTP2_RST_STREAM)
        h2_session_start_pending(conn);
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS:
        on_stream_frame(conn, frame);
        break;
    case NGHTTP2_PING:
        on_ping(conn, &frame->ping);
        break;
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PRIORITY:
        charge(conn);
        break;
    case NGHTTP2_GOAWAY:
        conn->has_left = true;
        break;
    default: /* resets have a limit of libnghttp2's own */
        break;
    }
    return 0;
}

static int
on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
              void *arg)
{
    (void)flags;
    h2_session_start_pending(arg);
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (s != NULL)
        h2_stream_data(s, h2_slice(data, len));
    else
        (void)nghttp2_session_consume(session, id, len); /* only the window would notice */
    return 0;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    (void)code;
    struct h2_conn *conn = arg;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (s != NULL)
        h2_stream_closed(s);
    if (id == conn->pending_id) {
        conn->pending_id = 0;
        drop_head(conn);
    }
    return 0;
}

static int
on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2_conn *conn = arg;
    /* Not sooner: pings overtake. */
    if (frame->hd.type == NGHTTP2_GOAWAY && conn->is_draining && !conn->is_closing)
        (void)nghttp2_submit_ping(session, NGHTTP2_FLAG_NONE, (const uint8_t *)H2_DRAIN_PING);
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    conn->has_answered = true;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return 0;
    int32_t id = frame->hd.stream_id;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (s != NULL) {
        s->is_out_sent = true;
        h2_admit_end(s, true);
    }
    /* The client need not send the rest of a body that nobody reads. */
    if ((s == NULL || s->exchange == NULL) &&
        nghttp2_session_get_stream_remote_close(session, id) == 0)
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
    return 0;
}

/* One DATA frame, from the stream's output to the socket's without a stop between. */
static int
send_output(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t len,
            nghttp2_data_source *source, void *arg)
{
    (void)session;
    struct h2_conn *conn = arg;
    struct h2_stream *s = source->ptr;
    struct slice payload = slice_first(buf_slice(&s->out), len);
    struct buf *owner = len == s->out.len ? &s->out : NULL;
    int result = h2_put_data(&conn->stream, frame, head, payload, owner);
    if (result == 0 && owner == NULL)
        buf_consume(&s->out, len);
    if (result == 0)
        h2_output_taken(s, len);
    return result;
}

/* --- start -------------------------------------------------------------------------------------*/

static nghttp2_session *
new_session(struct h2_conn *conn)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_session *session;
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
        abort();
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
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
    bool is_wary = h2_server_is_wary(conn->server);
    nghttp2_option_set_stream_reset_rate_limit(
        option, is_wary ? LIMIT_h2_wary_burst : LIMIT_h2_reset_burst, LIMIT_h2_resets_per_s);
    nghttp2_mem memory = h2_memory_of(conn);
    if (nghttp2_session_server_new3(&session, callbacks, conn, option, &memory) != 0)
        abort(); /* out of memory */
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

nghttp2_session *
h2_session_new(struct h2_conn *conn)
{
    const struct h2_config *config = &conn->server->config;
    nghttp2_session *session = new_session(conn);
    const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, config->streams_max },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, LIMIT_h2_window_bytes },
        { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, LIMIT_h2_hpack_bytes },
        { NGHTTP2_SETTINGS_MAX_FRAME_SIZE, LIMIT_h2_frame_bytes },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
          (uint32_t)config->head_bytes_max + LIMIT_http_head_slack_bytes },
    };
    /* These fail only without memory, which ends the process elsewhere. */
    (void)nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
    (void)nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                                LIMIT_h2_connection_window_bytes);
    return session;
}
