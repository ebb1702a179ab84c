/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request heads: fields collected as libnghttp2 delivers them (it has checked pseudo headers, names
 * and forbidden headers), then shown to the handler as an HTTP/1.1 head would be. What HTTP/1.1's
 * parser refuses in targets and hosts is refused here too.
 */
#include <stdlib.h>

#include "http/chars.h"
#include "http/h1_head.h"
#include "http/h2_conn.h"
#include "http/path.h"

enum {
    HEAD_ROOM_BYTES = LIMIT_http_read_buffer_bytes_max * 2, /* any limit a user may set */
    ABUSE_FACTOR = 8,      /* so far beyond the limit nobody gets by mistake */
    FIELD_COST_BYTES = 32, /* RFC 9113 counts so much for each */
};

struct h2_head *
h2_head_take(struct h2_server *server)
{
    struct h2_head *head = TAKE(server->spare_head);
    if (head == NULL) {
        head = calloc(1, sizeof *head);
        if (head == NULL)
            abort();
        buf_init(&head->bytes, HEAD_ROOM_BYTES);
    }
    buf_clear(&head->bytes);
    head->method = head->target = head->authority = (struct h2_span){ 0 };
    head->count = head->cost = 0;
    head->is_too_large = head->is_malformed = false;
    head->content_length = HTTP_LENGTH_UNKNOWN;
    return head;
}

void
h2_head_put(struct h2_server *server, struct h2_head *head)
{
    if (server->spare_head == NULL && head->bytes.capacity <= LIMIT_http_read_bytes) {
        server->spare_head = head;
        return;
    }
    buf_fini(&head->bytes);
    free(head);
}

static struct h2_span
add_text(struct h2_head *head, struct slice text)
{
    struct h2_span span = { (uint32_t)head->bytes.len, (uint32_t)text.len };
    if (!buf_append(&head->bytes, text))
        head->is_too_large = true;
    if (head->is_too_large)
        span.at = span.len = 0;
    return span;
}

static void
add_field(struct h2_head *head, struct slice name, struct slice value)
{
    if (head->count == LIMIT_http_headers_max) {
        head->is_too_large = true;
        return;
    }
    struct h2_field *field = &head->fields[head->count++];
    field->name = add_text(head, name);
    field->value = add_text(head, value);
    uint64_t length;
    if (!slice_eq(name, SLICE("content-length")))
        return;
    if (slice_to_u64(value, &length) && length <= INT64_MAX)
        head->content_length = (int64_t)length;
    else
        head->is_malformed = true;
}

bool
h2_head_add(struct h2_head *head, struct slice name, struct slice value, size_t bytes_max)
{
    head->cost += name.len + value.len + FIELD_COST_BYTES;
    if (head->bytes.len + name.len + value.len > bytes_max)
        head->is_too_large = true;
    if (head->is_too_large)
        return head->cost <= bytes_max * ABUSE_FACTOR;
    if (slice_eq(name, SLICE(":method")))
        head->method = add_text(head, value);
    else if (slice_eq(name, SLICE(":path")))
        head->target = add_text(head, value);
    else if (slice_eq(name, SLICE(":authority")))
        head->authority = add_text(head, value);
    else if (name.len > 0 && name.data[0] != ':')
        add_field(head, name, value);
    return true;
}

/* Headers of the connection, which end with HTTP/1.1. */
static bool
is_of_connection(struct slice name)
{
    static const char *const names[] = { "connection",        "upgrade",
                                         "http2-settings",    "keep-alive",
                                         "proxy-connection",  "te",
                                         "transfer-encoding", "host" };
    return slice_is_one_of_nocase(name, names, ARRAY_LEN(names));
}

void
h2_head_from_h1(struct h2_head *head, const struct h1_head *from, size_t bytes_max)
{
    head->method = add_text(head, from->method);
    head->target = add_text(head, from->target);
    head->authority = add_text(head, from->authority);
    for (size_t i = 0; i < from->header_count; i++)
        if (!is_of_connection(from->headers[i].name))
            (void)h2_head_add(head, from->headers[i].name, from->headers[i].value,
                              bytes_max); /* it has passed the same limits */
}

struct slice
h2_head_get(const struct h2_head *head, struct slice name)
{
    const char *base = head->bytes.data;
    for (size_t i = 0; i < head->count; i++) {
        const struct h2_field *f = &head->fields[i];
        if (f->name.len == name.len && memcmp(base + f->name.at, name.data, name.len) == 0)
            return slice_of(base + f->value.at, f->value.len);
    }
    return SLICE_EMPTY;
}

static struct slice
slice_at(const char *base, struct h2_span span)
{
    return span.len == 0 ? SLICE_EMPTY : slice_of(base + span.at, span.len);
}

static bool
fill_target(struct slice target, struct http_exchange *x)
{
    if (target.len == 0 || !chars_are(target, CHAR_TARGET) ||
        (target.data[0] != '/' && !slice_eq(target, SLICE("*"))))
        return false;
    ptrdiff_t mark = slice_find_byte(target, '?');
    x->target = target;
    x->path = mark < 0 ? target : slice_first(target, (size_t)mark);
    x->query = mark < 0 ? SLICE_EMPTY : slice_from(target, x->path.len + 1);
    return path_escapes_are_valid(x->path);
}

bool
h2_head_fill(const struct h2_head *head, struct arena *arena, struct http_exchange *x)
{
    const char *base = arena_dup(arena, buf_slice(&head->bytes)).data;
    struct http_header *headers = arena_alloc(arena, sizeof *headers * head->count);
    for (size_t i = 0; i < head->count; i++)
        headers[i] = (struct http_header){ slice_at(base, head->fields[i].name),
                                           slice_at(base, head->fields[i].value) };
    x->method = slice_at(base, head->method);
    x->authority = slice_at(base, head->authority);
    x->headers = headers;
    x->header_count = head->count;
    x->content_length = head->content_length;
    return !head->is_malformed && chars_are(x->method, CHAR_TOKEN) &&
           chars_are(x->authority, CHAR_HOST) && fill_target(slice_at(base, head->target), x);
}
