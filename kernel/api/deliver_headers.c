/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of deliveries; see deliver_headers.h. */
#include "api/deliver_headers.h"

#include "api/header_text.h"

/* Servers refuse heads from eight kilobytes on, and would refuse the event for good. */
enum { ALL_BYTES_MAX = 4096 };

/* What means something to whoever carries or gets the event is not for a publisher to say. */
static bool
is_reserved(struct slice name)
{
    static const char *const names[] = {
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "dapr-api-token",
        "dapr-app-id",
        "expect",
        "host",
        "keep-alive",
        "pubsubname",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_eq(name, slice_str(names[i])))
            return true;
    return trace_is_header(name) || slice_has_prefix(name, SLICE("grpc-")) ||
           slice_has_prefix(name, SLICE("proxy-")) || slice_has_prefix(name, SLICE("dapr-ca")) ||
           (name.len > 4 && slice_eq(slice_from(name, name.len - 4), SLICE("-bin")));
}

size_t
deliver_metadata(struct arena *arena, const struct pubsub_message *message,
                 struct http_header ret_headers[DELIVER_METADATA_MAX])
{
    size_t count = 0, left = ALL_BYTES_MAX;
    for (size_t i = 0; i < message->metadata_count && count < DELIVER_METADATA_MAX; i++) {
        struct slice name = header_text_name(arena, SLICE(""), message->metadata[i].name);
        struct slice value = message->metadata[i].value;
        if (name.len == 0 || is_reserved(name) || !header_text_is_value(value) ||
            name.len + value.len > left)
            continue;
        left -= name.len + value.len;
        ret_headers[count++] = (struct http_header){ name, value };
    }
    return count;
}

static size_t
without_bytes(struct http_header *headers, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (header_text_is_ascii(headers[i].value))
            headers[kept++] = headers[i];
    return kept;
}

bool
deliver_has_trace(const struct cloudevent *event)
{
    return cloudevent_text(event, SLICE("traceparent")).data != NULL ||
           cloudevent_text(event, SLICE("traceid")).data != NULL;
}

struct slice
deliver_target(struct arena *arena, struct slice path)
{
    return slice_has_prefix(path, SLICE("/")) ? path
                                              : arena_printf(arena, "/" SLICE_FMT, SLICE_ARG(path));
}

size_t
deliver_headers(struct request *rq, const struct topic_spec *spec,
                const struct pubsub_message *message, const struct cloudevent *event, bool is_grpc,
                struct http_header ret_headers[DELIVER_HEADERS_MAX])
{
    size_t count = 0;
    ret_headers[count++] = (struct http_header){ SLICE("pubsubname"), spec->pubsub };
    if (deliver_has_trace(event))
        count += is_grpc ? trace_grpc_metadata(rq, ret_headers + count)
                         : trace_http_headers(rq, ret_headers + count);
    size_t added = deliver_metadata(rq->arena, message, ret_headers + count);
    return count + (is_grpc ? without_bytes(ret_headers + count, added) : added);
}
