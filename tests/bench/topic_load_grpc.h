/* SPDX-License-Identifier: Apache-2.0 */
/*
 * topic_load over gRPC: all publishers on one connection, as an SDK's channel has them, and an
 * application that takes every event.
 */
#ifndef BENCH_TOPIC_LOAD_GRPC_H
#define BENCH_TOPIC_LOAD_GRPC_H

#include <nghttp2/nghttp2.h>

#include "topic_load.h"

enum {
    PREFIX_BYTES = 5,
    WINDOW_BYTES = 8 * 1024 * 1024,
    SESSIONS_MAX = 64,
    ENTRIES_FIELD = 2 << 3 | 2, /* of TopicEventBulkRequest */
    ID_FIELD = 1 << 3 | 2,      /* of an entry of it, and of an entry of the answer */
    STATUSES_FIELD = 1 << 3 | 2,
};

#define NV(n, v)                                                                                   \
    {                                                                                              \
        .name = (uint8_t *)(uintptr_t)(n), .value = (uint8_t *)(uintptr_t)(v),                     \
        .namelen = strlen(n), .valuelen = strlen(v),                                               \
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE                      \
    }

struct session {
    struct end end;
    nghttp2_session *nghttp2;
    struct buf out;
};

/* An event on its way into the application, then the answer to it. */
struct event {
    struct buf in, out;
    size_t sent;
    bool is_bulk;
};

static struct session *sessions[SESSIONS_MAX];
static size_t session_count;
static struct session *to_sidecar;

static void
grpc_prefix(char *to, size_t len)
{
    const char prefix[PREFIX_BYTES] = { 0, (char)(len >> 24), (char)(len >> 16), (char)(len >> 8),
                                        (char)len };
    memcpy(to, prefix, sizeof prefix);
}

static void
grpc_write_head(struct buf *request, size_t message_bytes)
{
    char prefix[PREFIX_BYTES];
    grpc_prefix(prefix, message_bytes);
    if (!buf_append(request, slice_of(prefix, sizeof prefix)))
        die("message");
}

/* --- sessions ----------------------------------------------------------------------------------*/

static void
grpc_end_session(struct session *session)
{
    if (session == to_sidecar)
        die("the sidecar ended the connection");
    for (size_t i = 0; i < session_count; i++)
        if (sessions[i] == session)
            sessions[i] = sessions[--session_count];
    nghttp2_session_del(session->nghttp2); /* open calls stay behind: it is a benchmark */
    buf_fini(&session->out);
    (void)close(session->end.fd);
    free(session);
}

static void
grpc_on_ready(struct end *end)
{
    static uint8_t in[IN_BYTES];
    struct session *session = (struct session *)end;
    ssize_t got = recv(end->fd, in, sizeof in, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0 || nghttp2_session_mem_recv(session->nghttp2, in, (size_t)got) != got)
        grpc_end_session(session);
}

/* Everything that the sessions have to say, in few writes. */
static void
grpc_flush(void)
{
    for (size_t i = 0; i < session_count; i++) {
        struct session *session = sessions[i];
        const uint8_t *data;
        ssize_t len;
        while ((len = nghttp2_session_mem_send(session->nghttp2, &data)) > 0)
            if (!buf_append(&session->out, slice_of((const char *)data, (size_t)len)))
                die("output");
        while (session->out.len > 0) {
            struct slice bytes = buf_slice(&session->out);
            ssize_t sent = send(session->end.fd, bytes.data, bytes.len, MSG_NOSIGNAL);
            if (sent < 0)
                break; /* the reading side sees it too */
            buf_consume(&session->out, (size_t)sent);
        }
    }
}

static void
grpc_add_session(int fd, nghttp2_session_callbacks *callbacks, bool is_client)
{
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL || session_count == SESSIONS_MAX)
        die("memory");
    const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES },
        { NGHTTP2_SETTINGS_MAX_FRAME_SIZE, IN_BYTES },
    };
    session->end = (struct end){ grpc_on_ready, fd };
    buf_init(&session->out, OUT_BYTES_MAX);
    int status = is_client ? nghttp2_session_client_new(&session->nghttp2, callbacks, session)
                           : nghttp2_session_server_new(&session->nghttp2, callbacks, session);
    if (status != 0 ||
        nghttp2_submit_settings(session->nghttp2, NGHTTP2_FLAG_NONE, settings, 2) != 0 ||
        nghttp2_session_set_local_window_size(session->nghttp2, NGHTTP2_FLAG_NONE, 0,
                                              WINDOW_BYTES * 4) != 0)
        die("session");
    nghttp2_session_callbacks_del(callbacks);
    if (is_client)
        to_sidecar = session;
    sessions[session_count++] = session;
    watch(&session->end);
}

static nghttp2_session_callbacks *
grpc_new_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        die("memory");
    return callbacks;
}

/* --- publishers --------------------------------------------------------------------------------*/

static ssize_t
grpc_read_request(nghttp2_session *nghttp2, int32_t id, uint8_t *to, size_t len, uint32_t *flags,
                  nghttp2_data_source *source, void *arg)
{
    (void)nghttp2;
    (void)id;
    (void)arg;
    struct publisher *publisher = source->ptr;
    struct slice rest = slice_first(slice_from(buf_slice(&publisher->request), publisher->sent),
                                    len);
    memcpy(to, rest.data, rest.len);
    publisher->sent += rest.len;
    if (publisher->sent == publisher->request.len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)rest.len;
}

static void
grpc_publish(struct publisher *publisher)
{
    const nghttp2_nv nva[] = {
        NV(":method", "POST"),     NV(":scheme", "http"),
        NV(":path", options.path), NV(":authority", "localhost"),
        NV("te", "trailers"),      NV("content-type", "application/grpc"),
    };
    const nghttp2_data_provider provider = { .source.ptr = publisher,
                                             .read_callback = grpc_read_request };
    publisher->sent = 0;
    publisher->was_refused = true; /* until a status says otherwise */
    if (nghttp2_submit_request(to_sidecar->nghttp2, NULL, nva, sizeof nva / sizeof *nva, &provider,
                               publisher) < 0)
        die("submit");
}

static int
grpc_on_header(nghttp2_session *nghttp2, const nghttp2_frame *frame, const uint8_t *name,
               size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
    (void)flags;
    (void)arg;
    struct publisher *publisher = nghttp2_session_get_stream_user_data(nghttp2,
                                                                       frame->hd.stream_id);
    if (publisher == NULL || name_len != 11 || memcmp(name, "grpc-status", 11) != 0)
        return 0;
    publisher->was_refused = value_len != 1 || value[0] != '0';
    return 0;
}

static int
grpc_on_answer(nghttp2_session *nghttp2, int32_t id, uint32_t code, void *arg)
{
    (void)code;
    (void)arg;
    struct publisher *publisher = nghttp2_session_get_stream_user_data(nghttp2, id);
    on_answer(publisher, !publisher->was_refused);
    return 0;
}

static void
grpc_open(void)
{
    if (to_sidecar != NULL)
        return;
    nghttp2_session_callbacks *callbacks = grpc_new_callbacks();
    nghttp2_session_callbacks_set_on_header_callback(callbacks, grpc_on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, grpc_on_answer);
    grpc_add_session(dial(), callbacks, true);
}

/* --- application -------------------------------------------------------------------------------*/

static int
grpc_on_begin(nghttp2_session *nghttp2, const nghttp2_frame *frame, void *arg)
{
    (void)arg;
    struct event *event = calloc(1, sizeof *event);
    if (event == NULL)
        die("memory");
    buf_init(&event->in, OUT_BYTES_MAX);
    buf_init(&event->out, OUT_BYTES_MAX);
    (void)nghttp2_session_set_stream_user_data(nghttp2, frame->hd.stream_id, event);
    return 0;
}

static int
grpc_on_event_header(nghttp2_session *nghttp2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    (void)flags;
    (void)arg;
    struct event *event = nghttp2_session_get_stream_user_data(nghttp2, frame->hd.stream_id);
    if (event != NULL && name_len == 5 && memcmp(name, ":path", 5) == 0)
        event->is_bulk = memmem(value, value_len, "OnBulkTopicEvent", 16) != NULL;
    return 0;
}

static int
grpc_on_event_data(nghttp2_session *nghttp2, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *arg)
{
    (void)flags;
    (void)arg;
    struct event *event = nghttp2_session_get_stream_user_data(nghttp2, id);
    if (!buf_append(&event->in, slice_of((const char *)data, len)))
        die("an event that is too large");
    return 0;
}

/* A field of protobuf that has a length; false if there is none left. Numbers do not occur. */
static bool
grpc_next_field(struct slice *rest, uint8_t *ret_tag, struct slice *ret_value)
{
    size_t len = 0, at = 1;
    if (rest->len < 2)
        return false;
    *ret_tag = (uint8_t)rest->data[0];
    for (unsigned shift = 0; at < rest->len && shift < 35; shift += 7) {
        len |= ((size_t)rest->data[at] & 127) << shift;
        if ((rest->data[at++] & 128) == 0)
            break;
    }
    *rest = slice_from(*rest, at);
    *ret_value = slice_first(*rest, len);
    *rest = slice_from(*rest, ret_value->len);
    return true;
}

/* A status for every entry; success is zero, which is not written. */
static void
grpc_write_statuses(struct event *event)
{
    struct slice rest = slice_from(buf_slice(&event->in), PREFIX_BYTES), entry, id;
    uint8_t tag, id_tag;
    while (grpc_next_field(&rest, &tag, &entry)) {
        if (tag != ENTRIES_FIELD || !grpc_next_field(&entry, &id_tag, &id) || id_tag != ID_FIELD ||
            id.len > 100)
            continue;
        const char head[] = { STATUSES_FIELD, (char)(id.len + 2), ID_FIELD, (char)id.len };
        if (!buf_append(&event->out, slice_of(head, sizeof head)) || !buf_append(&event->out, id))
            die("answer");
    }
    grpc_prefix(event->out.data + event->out.start, event->out.len - PREFIX_BYTES);
}

static ssize_t
grpc_read_answer(nghttp2_session *nghttp2, int32_t id, uint8_t *to, size_t len, uint32_t *flags,
                 nghttp2_data_source *source, void *arg)
{
    (void)arg;
    static const nghttp2_nv trailer = NV("grpc-status", "0");
    struct event *event = source->ptr;
    struct slice rest = slice_first(slice_from(buf_slice(&event->out), event->sent), len);
    memcpy(to, rest.data, rest.len);
    event->sent += rest.len;
    if (event->sent == event->out.len) {
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(nghttp2, id, &trailer, 1) != 0)
            die("trailer");
    }
    return (ssize_t)rest.len;
}

static int
grpc_on_event(nghttp2_session *nghttp2, const nghttp2_frame *frame, void *arg)
{
    (void)arg;
    const nghttp2_nv nva[] = { NV(":status", "200"), NV("content-type", "application/grpc") };
    struct event *event = nghttp2_session_get_stream_user_data(nghttp2, frame->hd.stream_id);
    if (event == NULL || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0 ||
        (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS))
        return 0;
    grpc_write_head(&event->out, 0);
    if (event->is_bulk)
        grpc_write_statuses(event);
    const nghttp2_data_provider provider = { .source.ptr = event,
                                             .read_callback = grpc_read_answer };
    if (nghttp2_submit_response(nghttp2, frame->hd.stream_id, nva, 2, &provider) != 0)
        die("response");
    on_request(buf_slice(&event->in));
    return 0;
}

static int
grpc_on_event_closed(nghttp2_session *nghttp2, int32_t id, uint32_t code, void *arg)
{
    (void)code;
    (void)arg;
    struct event *event = nghttp2_session_get_stream_user_data(nghttp2, id);
    if (event == NULL)
        return 0;
    buf_fini(&event->in);
    buf_fini(&event->out);
    free(event);
    return 0;
}

static void
grpc_accept(int fd)
{
    nghttp2_session_callbacks *callbacks = grpc_new_callbacks();
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, grpc_on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, grpc_on_event_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, grpc_on_event_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, grpc_on_event);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, grpc_on_event_closed);
    grpc_add_session(fd, callbacks, false);
}

#endif
