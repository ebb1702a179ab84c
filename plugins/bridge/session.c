/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of a connection, by nghttp2; see channel_internal.h for what its callbacks may do. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "../shared/memory.h"
#include "channel_internal.h"

enum {
    READ_BYTES = 64 * 1024,
    READS_PER_TURN = 16,
    OUT_BYTES_MAX = 1024 * 1024, /* frames that wait for the socket; then calls keep theirs */
    STREAM_WINDOW = 256 * 1024,
    CONNECTION_WINDOW = 8 * 1024 * 1024,
    STREAMS_MAX = 100, /* that the other side may open: none, since push is off */
};

/* --- what comes in -----------------------------------------------------------------------------*/

static struct rpc *
rpc_of(nghttp2_session *session, int32_t stream)
{
    return nghttp2_session_get_stream_user_data(session, stream);
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
          size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
    (void)flags;
    (void)arg;
    struct rpc *rpc = frame->hd.type == NGHTTP2_HEADERS ? rpc_of(session, frame->hd.stream_id)
                                                        : NULL;
    if (rpc != NULL)
        rpc_on_header(rpc, (struct remora_slice){ (const char *)name, name_len },
                      (struct remora_slice){ (const char *)value, value_len });
    return 0;
}

/* Bytes of a call that is not read from now count against its stream, not against all. */
static int
on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t len,
        void *arg)
{
    (void)flags;
    (void)arg;
    struct rpc *rpc = rpc_of(session, stream);
    (void)nghttp2_session_consume_connection(session, len); /* fails for lack of memory only */
    if (rpc == NULL || rpc->is_closed) {
        (void)nghttp2_session_consume_stream(session, stream, len);
        return 0;
    }
    if (rpc->is_paused)
        rpc->unconsumed += len;
    else
        (void)nghttp2_session_consume_stream(session, stream, len);
    rpc_take(rpc, data, len);
    return 0;
}

static int
on_close(nghttp2_session *session, int32_t stream, uint32_t error, void *arg)
{
    (void)arg;
    struct rpc *rpc = rpc_of(session, stream);
    if (rpc == NULL)
        return 0;
    rpc->stream = -1;
    rpc_on_close(rpc, error);
    return 0;
}

/* Streams go on for as long as anybody likes: those end, to be made again on another connection. */
static void
leave(struct channel *channel)
{
    struct rpc *rpc;
    if (channel->state == CHANNEL_READY)
        channel->state = CHANNEL_LEAVING;
    TAILQ_FOREACH(rpc, &channel->calls, link)
    if (rpc->request.message != NULL && rpc->stream >= 0)
        rpc_fail(rpc, REMORA_UNAVAILABLE, REMORA_EFFECT_UNKNOWN,
                 "the component ends its connection");
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)session;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        leave(arg);
    return 0;
}

static bool
is_idle(const struct channel *channel)
{
    const struct rpc *rpc;
    TAILQ_FOREACH(rpc, &channel->calls, link)
    if (rpc->stream >= 0)
        return false;
    return true;
}

bool
session_read(struct channel *channel)
{
    static uint8_t room[READ_BYTES];
    for (int i = 0; i < READS_PER_TURN; i++) {
        ssize_t got = recv(channel->fd, room, sizeof room, 0);
        if (got < 0)
            return errno == EAGAIN || errno == EINTR;
        if (got == 0)
            return false;
        if (nghttp2_session_mem_recv(channel->session, room, (size_t)got) != got)
            return false;
        if ((size_t)got < sizeof room)
            break;
    }
    return true;
}

/* --- what goes out -----------------------------------------------------------------------------*/

static ssize_t
read_body(nghttp2_session *session, int32_t stream, uint8_t *room, size_t len, uint32_t *flags,
          nghttp2_data_source *source, void *arg)
{
    (void)session;
    (void)stream;
    (void)arg;
    struct rpc *rpc = source->ptr;
    size_t have = rpc->out.len - rpc->out.at;
    size_t count = have < len ? have : len;
    if (count > 0)
        memcpy(room, rpc->out.data + rpc->out.at, count);
    rpc->out.at += count;
    if (count == have && rpc->is_out_complete)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (count == 0)
        return NGHTTP2_ERR_DEFERRED;
    return (ssize_t)count;
}

/* False if the socket is broken; what it does not take is kept. */
static bool
push(struct channel *channel, const uint8_t *data, size_t len, size_t *ret_sent)
{
    *ret_sent = 0;
    while (*ret_sent < len) {
        ssize_t sent = send(channel->fd, data + *ret_sent, len - *ret_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN;
        *ret_sent += (size_t)sent;
    }
    return true;
}

static bool
flush(struct channel *channel)
{
    size_t sent, len = channel->out.len - channel->out.at;
    if (len == 0)
        return true;
    if (!push(channel, (const uint8_t *)channel->out.data + channel->out.at, len, &sent))
        return false;
    channel->out.at += sent;
    return true;
}

bool
session_write(struct channel *channel)
{
    ssize_t len = 0;
    const uint8_t *data;
    bool is_good = flush(channel);
    while (is_good && channel->out.len - channel->out.at < OUT_BYTES_MAX &&
           (len = nghttp2_session_mem_send(channel->session, &data)) > 0) {
        bytes_append(&channel->out, data, (size_t)len);
        if (channel->out.len - channel->out.at >= READ_BYTES)
            is_good = flush(channel);
    }
    is_good = is_good && len >= 0 && flush(channel);
    if (channel->out.at < channel->out.len)
        ev_io_start(remora_loop(), &channel->writer);
    else
        ev_io_stop(remora_loop(), &channel->writer);
    if (channel->state == CHANNEL_LEAVING && is_idle(channel))
        return false; /* nothing is left to be done here */
    return is_good && (nghttp2_session_want_read(channel->session) != 0 ||
                       nghttp2_session_want_write(channel->session) != 0);
}

/* --- calls -------------------------------------------------------------------------------------*/

static nghttp2_nv
header(const char *name, const char *value)
{
    return (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name,
        .value = (uint8_t *)(uintptr_t)value,
        .namelen = strlen(name),
        .valuelen = strlen(value),
    };
}

/* At most eight digits and a unit. */
static void
print_timeout(uint64_t left_ms, char ret_text[16])
{
    if (left_ms < 100000000)
        (void)snprintf(ret_text, 16, "%um", (unsigned)left_ms);
    else
        (void)snprintf(ret_text, 16, "%uS",
                       (unsigned)(left_ms / 1000 > 99999999 ? 99999999 : left_ms / 1000));
}

bool
session_submit(struct rpc *rpc)
{
    struct channel *channel = rpc->channel;
    char timeout[16];
    nghttp2_nv headers[9] = {
        header(":method", "POST"),
        header(":scheme", "http"),
        header(":path", rpc->request.method),
        header(":authority", "localhost"),
        header("te", "trailers"),
        header("content-type", "application/grpc"),
        header("user-agent", "remora-bridge/1"),
        header("x-component-instance", channel->instance),
    };
    size_t count = 8;
    if (ev_is_active(&rpc->deadline)) {
        ev_tstamp left_s = ev_timer_remaining(remora_loop(), &rpc->deadline);
        print_timeout(left_s > 0 ? (uint64_t)(left_s * 1000) + 1 : 1, timeout);
        headers[count++] = header("grpc-timeout", timeout);
    }
    nghttp2_data_provider body = { .source.ptr = rpc, .read_callback = read_body };
    int32_t stream = nghttp2_submit_request(channel->session, NULL, headers, count, &body, rpc);
    if (stream < 0)
        return false;
    rpc->stream = stream;
    rpc->is_sent = true;
    return true;
}

/* --- opening -----------------------------------------------------------------------------------*/

static bool
create(struct channel *channel)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int failed = nghttp2_session_callbacks_new(&callbacks);
    if (failed == 0)
        failed = nghttp2_option_new(&option);
    if (failed == 0) {
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        nghttp2_option_set_no_auto_window_update(option, 1);
        failed = nghttp2_session_client_new2(&channel->session, callbacks, channel, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return failed == 0;
}

bool
session_open(struct channel *channel)
{
    const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS_MAX },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
    };
    return create(channel) &&
           nghttp2_submit_settings(channel->session, NGHTTP2_FLAG_NONE, settings,
                                   sizeof settings / sizeof settings[0]) == 0 &&
           nghttp2_session_set_local_window_size(channel->session, NGHTTP2_FLAG_NONE, 0,
                                                 CONNECTION_WINDOW) == 0;
}
