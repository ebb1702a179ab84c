/* SPDX-License-Identifier: Apache-2.0 */
/* Writing Zipkin's JSON; see zipkin.h. Member order and what becomes a tag are the reference's. */
#include "telemetry/zipkin.h"

#include "base/json.h"
#include "base/limits.h"

enum { TAGS_MAX = SPAN_ATTRIBUTES_MAX + LIMIT_trace_pairs_max + 4 };

static bool
put_hex(struct buf *out, const uint8_t *bytes, size_t count)
{
    bool fits = buf_append_byte(out, '"');
    for (size_t i = 0; i < count && fits; i++)
        fits = buf_printf(out, "%02x", bytes[i]);
    return fits && buf_append_byte(out, '"');
}

/* Zipkin knows names in lower case only. */
static bool
put_name(struct buf *out, struct slice name)
{
    if (!buf_append(out, SLICE(",\"name\":")))
        return false;
    size_t from = out->len;
    if (!json_write_string(out, name, true))
        return false;
    char *text = out->data + out->start;
    for (size_t i = from; i < out->len; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            text[i] = (char)(text[i] - 'A' + 'a');
    return true;
}

static bool
put_kind(struct buf *out, enum span_kind kind)
{
    static const char *const names[] = {
        [SPAN_INTERNAL] = NULL,       [SPAN_SERVER] = "SERVER",     [SPAN_CLIENT] = "CLIENT",
        [SPAN_PRODUCER] = "PRODUCER", [SPAN_CONSUMER] = "CONSUMER",
    };
    return names[kind] == NULL || buf_printf(out, ",\"kind\":\"%s\"", names[kind]);
}

static bool
put_endpoint(struct buf *out, const char *member, struct slice service)
{
    return buf_printf(out, ",\"%s\":{\"serviceName\":", member) &&
           json_write_string(out, service, true) && buf_append_byte(out, '}');
}

/* Who was called, where it is known. */
static bool
put_remote(struct buf *out, const struct span *span)
{
    if (span->kind != SPAN_CLIENT && span->kind != SPAN_PRODUCER)
        return true;
    for (size_t i = 0; i < span->attribute_count; i++)
        if (slice_eq(span->attributes[i].name, SLICE("server.address")))
            return put_endpoint(out, "remoteEndpoint", span->attributes[i].value);
    return true;
}

/* --- tags --------------------------------------------------------------------------------------*/

/* In order of their names. Of two with the same name the one that came first stays: a span's own
 * attribute before the resource's. */
struct tags {
    struct span_attribute items[TAGS_MAX];
    size_t count;
};

static void
add_tag(struct tags *tags, struct slice name, struct slice value)
{
    size_t at = tags->count;
    while (at > 0 && slice_cmp(tags->items[at - 1].name, name) > 0)
        at--;
    bool is_there = at > 0 && slice_eq(tags->items[at - 1].name, name);
    if (value.len == 0 || is_there || tags->count == TAGS_MAX)
        return;
    memmove(&tags->items[at + 1], &tags->items[at], (tags->count - at) * sizeof tags->items[0]);
    tags->items[at] = (struct span_attribute){ .name = name, .value = value };
    tags->count++;
}

static bool
put_tags(struct buf *out, const struct span *span, const struct trace_resource *resource)
{
    struct tags tags;
    tags.count = 0;
    for (size_t i = 0; i < span->attribute_count; i++)
        add_tag(&tags, span->attributes[i].name, span->attributes[i].value);
    add_tag(&tags, SLICE("otel.scope.name"), TRACE_SCOPE_NAME);
    add_tag(&tags, SLICE("service.name"), resource->service_name);
    for (size_t i = 0; i < resource->attribute_count; i++)
        add_tag(&tags, resource->attributes[i].name, resource->attributes[i].value);
    if (span->has_failed) {
        add_tag(&tags, SLICE("error"), span->failure.len > 0 ? span->failure : SLICE("true"));
        add_tag(&tags, SLICE("otel.status_code"), SLICE("ERROR"));
    }
    bool fits = buf_append(out, SLICE(",\"tags\":{"));
    for (size_t i = 0; i < tags.count && fits; i++)
        fits = (i == 0 || buf_append_byte(out, ',')) &&
               json_write_string(out, tags.items[i].name, true) && buf_append_byte(out, ':') &&
               json_write_string(out, tags.items[i].value, true);
    return fits && buf_append_byte(out, '}');
}

bool
zipkin_span(struct buf *out, const struct span *span, const struct trace_resource *resource)
{
    uint64_t took_us = span->took_ns / 1000u;
    if (!buf_printf(out, "{\"timestamp\":%lld,\"duration\":%llu,\"traceId\":",
                    (long long)(span->start_unix_ns / 1000),
                    (unsigned long long)(took_us == 0 ? 1 : took_us)) || /* 0 would mean unknown */
        !put_hex(out, span->context.trace_id, TRACE_ID_BYTES) ||
        !buf_append(out, SLICE(",\"id\":")) || !put_hex(out, span->context.span_id, SPAN_ID_BYTES))
        return false;
    if (span->has_parent && (!buf_append(out, SLICE(",\"parentId\":")) ||
                             !put_hex(out, span->parent_id, SPAN_ID_BYTES)))
        return false;
    return put_name(out, span->name) && put_kind(out, span->kind) &&
           put_endpoint(out, "localEndpoint", resource->service_name) && put_remote(out, span) &&
           put_tags(out, span, resource) && buf_append_byte(out, '}');
}
