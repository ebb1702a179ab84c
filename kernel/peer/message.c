/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between sidecars; see message.h. Field numbers are those of
 * proto/dapr/proto/internals/v1 and common/v1. */
#include "peer/message.h"

#include <string.h>

#include "base/limits.h"
#include "base/wire.h"
#include "http/verb.h"

/* A verb that has no number travels as POST with its name in this header, which a sidecar of ours
 * takes out again. */
#define ODD_VERB SLICE("remora-http-verb")

struct slice
peer_header_get(const struct http_header *headers, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq_nocase(headers[i].name, name))
            return headers[i].value;
    return SLICE_EMPTY;
}

/* --- maps of lists: {key = 1, value = 2 {values = 1, repeated}} --------------------------------*/

static bool
is_repeated(const struct http_header *headers, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (slice_eq_nocase(headers[i].name, headers[at].name))
            return true;
    return false;
}

static size_t
list_len(const struct http_header *headers, size_t count, size_t at)
{
    size_t len = 0;
    for (size_t i = at; i < count; i++)
        if (i == at || slice_eq_nocase(headers[i].name, headers[at].name))
            len += 1 + wire_varint_len(headers[i].value.len) + headers[i].value.len;
    return len;
}

static size_t
entry_len(const struct http_header *headers, size_t count, size_t at, size_t list)
{
    (void)count;
    return wire_bytes_len(1, headers[at].name) + 1 + wire_varint_len(list) + list;
}

static size_t
map_len(unsigned field, const struct http_header *headers, size_t count)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_repeated(headers, i))
            continue;
        size_t entry = entry_len(headers, count, i, list_len(headers, count, i));
        len += wire_varint_len(field << 3) + wire_varint_len(entry) + entry;
    }
    return len;
}

/* An entry a name, with all values that go by it. */
static char *
put_map(char *at, unsigned field, const struct http_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (is_repeated(headers, i))
            continue;
        size_t list = list_len(headers, count, i);
        at = wire_put_head(at, field, entry_len(headers, count, i, list));
        at = wire_put_bytes(at, 1, headers[i].name);
        at = wire_put_head(at, 2, list);
        for (size_t j = i; j < count; j++)
            if (j == i || slice_eq_nocase(headers[j].name, headers[i].name))
                at = wire_put_present_bytes(at, 1, headers[j].value);
    }
    return at;
}

/* Headers being read. */
struct header_list {
    struct http_header *items;
    size_t count;
    size_t room;
};

static bool
add_header(struct arena *arena, struct header_list *list, struct slice name, struct slice value)
{
    if (list->count == LIMIT_http_headers_max)
        return false;
    if (list->count == list->room) {
        size_t more = list->room == 0 ? 16 : list->room * 2;
        list->items = arena_grow(arena, list->items, list->room * sizeof *list->items,
                                 more * sizeof *list->items);
        list->room = more;
    }
    list->items[list->count++] = (struct http_header){ name, value };
    return true;
}

static bool
take_entry(struct arena *arena, struct slice bytes, struct header_list *list)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    struct slice name = SLICE_EMPTY, values = SLICE_EMPTY;
    while (wire_next(&r, &f)) {
        if (f.field == 1)
            name = wire_bytes(&r, &f);
        else if (f.field == 2)
            values = wire_bytes(&r, &f);
    }
    if (r.is_bad)
        return false;
    r = wire_reader(values);
    while (wire_next(&r, &f)) {
        if (f.field != 1)
            continue;
        struct slice value = wire_bytes(&r, &f);
        if (r.is_bad || !add_header(arena, list, name, value))
            return false;
    }
    return !r.is_bad;
}

/* --- Any and InvokeRequest ---------------------------------------------------------------------*/

static size_t
any_len(struct slice type_url, struct slice data)
{
    return wire_bytes_len(1, type_url) + wire_bytes_len(2, data);
}

static char *
put_any(char *at, unsigned field, struct slice type_url, struct slice data)
{
    size_t len = any_len(type_url, data);
    if (len == 0)
        return at;
    at = wire_put_head(at, field, len);
    at = wire_put_bytes(at, 1, type_url);
    return wire_put_bytes(at, 2, data);
}

static size_t
message_field_len(unsigned field, size_t len)
{
    return wire_varint_len(field << 3) + wire_varint_len(len) + len;
}

static bool
take_any(struct slice bytes, struct slice *ret_type_url, struct slice *ret_data)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    while (wire_next(&r, &f)) {
        if (f.field == 1)
            *ret_type_url = wire_bytes(&r, &f);
        else if (f.field == 2)
            *ret_data = wire_bytes(&r, &f);
    }
    return !r.is_bad;
}

/* --- the request -------------------------------------------------------------------------------*/

/* With the header that names an odd verb, if it is one. */
static const struct http_header *
with_odd_verb(struct arena *arena, const struct peer_request *request, size_t *ret_count)
{
    *ret_count = request->header_count;
    if (slice_eq(verb_name(verb_number(request->verb)), request->verb))
        return request->headers;
    struct http_header *headers = ARENA_ARRAY(arena, struct http_header, request->header_count + 1);
    for (size_t i = 0; i < request->header_count; i++)
        headers[i] = request->headers[i];
    headers[(*ret_count)++] = (struct http_header){ ODD_VERB, request->verb };
    return headers;
}

struct slice
peer_request_pack(struct arena *arena, const struct peer_request *request)
{
    size_t count;
    const struct http_header *headers = with_odd_verb(arena, request, &count);
    unsigned verb = verb_number(request->verb);
    size_t any = any_len(request->type_url, request->data);
    size_t http = wire_number_len(1, verb) + wire_bytes_len(2, request->query);
    size_t message = wire_bytes_len(1, request->method) +
                     (any > 0 ? message_field_len(2, any) : 0) +
                     wire_bytes_len(3, request->content_type) +
                     (http > 0 ? message_field_len(4, http) : 0);
    size_t len = wire_number_len(1, 1) + map_len(2, headers, count) + message_field_len(3, message);
    char *from = arena_alloc(arena, len);
    char *at = wire_put_number(from, 1, 1); /* APIVersion V1 */
    at = put_map(at, 2, headers, count);
    at = wire_put_head(at, 3, message);
    at = wire_put_bytes(at, 1, request->method);
    at = put_any(at, 2, request->type_url, request->data);
    at = wire_put_bytes(at, 3, request->content_type);
    if (http > 0) {
        at = wire_put_head(at, 4, http);
        at = wire_put_number(at, 1, verb);
        at = wire_put_bytes(at, 2, request->query);
    }
    return slice_of(from, (size_t)(at - from));
}

static bool
take_http(struct slice bytes, struct peer_request *request)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    while (wire_next(&r, &f)) {
        if (f.field == 1)
            request->verb = verb_name(wire_number(&r, &f));
        else if (f.field == 2)
            request->query = wire_bytes(&r, &f);
    }
    return !r.is_bad;
}

static bool
take_invoke_request(struct slice bytes, struct peer_request *request)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    bool is_good = true;
    while (is_good && wire_next(&r, &f)) {
        if (f.field == 1)
            request->method = wire_bytes(&r, &f);
        else if (f.field == 2)
            is_good = take_any(wire_bytes(&r, &f), &request->type_url, &request->data);
        else if (f.field == 3)
            request->content_type = wire_bytes(&r, &f);
        else if (f.field == 4)
            is_good = take_http(wire_bytes(&r, &f), request);
    }
    return is_good && !r.is_bad;
}

bool
peer_request_unpack(struct arena *arena, struct slice bytes, struct peer_request *ret_request)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    struct header_list list = { 0 };
    bool is_good = true, has_message = false;
    *ret_request = (struct peer_request){ .method = SLICE_EMPTY,
                                          .verb = SLICE_EMPTY,
                                          .query = SLICE_EMPTY,
                                          .content_type = SLICE_EMPTY,
                                          .type_url = SLICE_EMPTY,
                                          .data = SLICE_EMPTY };
    while (is_good && wire_next(&r, &f)) {
        if (f.field == 2) {
            is_good = take_entry(arena, wire_bytes(&r, &f), &list);
        } else if (f.field == 3) {
            has_message = true;
            is_good = take_invoke_request(wire_bytes(&r, &f), ret_request);
        }
    }
    for (size_t i = 0; i < list.count; i++) {
        if (!slice_eq_nocase(list.items[i].name, ODD_VERB))
            continue;
        ret_request->verb = list.items[i].value;
        list.items[i--] = list.items[--list.count];
    }
    ret_request->headers = list.items;
    ret_request->header_count = list.count;
    return is_good && !r.is_bad && has_message;
}

/* --- the answer --------------------------------------------------------------------------------*/

struct slice
peer_answer_pack(struct arena *arena, const struct peer_answer *answer)
{
    size_t any = any_len(answer->type_url, answer->data);
    size_t status = answer->details.len > 0 ? answer->details.len
                                            : wire_number_len(1, (uint64_t)answer->code) +
                                                  wire_bytes_len(2, answer->text);
    size_t message = (any > 0 ? message_field_len(1, any) : 0) +
                     wire_bytes_len(2, answer->content_type);
    size_t len = message_field_len(1, status) + map_len(2, answer->headers, answer->header_count) +
                 map_len(3, answer->trailers, answer->trailer_count) +
                 message_field_len(4, message);
    char *from = arena_alloc(arena, len);
    char *at = wire_put_head(from, 1, status);
    if (answer->details.len > 0) {
        at = wire_put_raw(at, answer->details);
    } else {
        at = wire_put_number(at, 1, (uint64_t)answer->code);
        at = wire_put_bytes(at, 2, answer->text);
    }
    at = put_map(at, 2, answer->headers, answer->header_count);
    at = put_map(at, 3, answer->trailers, answer->trailer_count);
    at = wire_put_head(at, 4, message);
    at = put_any(at, 1, answer->type_url, answer->data);
    at = wire_put_bytes(at, 2, answer->content_type);
    return slice_of(from, (size_t)(at - from));
}

static bool
take_status(struct slice bytes, struct peer_answer *answer)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    while (wire_next(&r, &f)) {
        if (f.field == 1) {
            uint64_t code = wire_number(&r, &f);
            answer->code = code <= INT32_MAX ? (int32_t)code : -1;
        } else if (f.field == 2) {
            answer->text = wire_bytes(&r, &f);
        } else if (f.field == 3) {
            answer->details = bytes;
        }
    }
    return !r.is_bad;
}

static bool
take_invoke_response(struct slice bytes, struct peer_answer *answer)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    bool is_good = true;
    answer->has_message = true;
    while (is_good && wire_next(&r, &f)) {
        if (f.field == 1)
            is_good = take_any(wire_bytes(&r, &f), &answer->type_url, &answer->data);
        else if (f.field == 2)
            answer->content_type = wire_bytes(&r, &f);
    }
    return is_good && !r.is_bad;
}

bool
peer_answer_unpack(struct arena *arena, struct slice bytes, struct peer_answer *ret_answer)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    struct header_list headers = { 0 }, trailers = { 0 };
    bool is_good = true, has_status = false;
    *ret_answer = (struct peer_answer){ .text = SLICE_EMPTY,
                                        .details = SLICE_EMPTY,
                                        .content_type = SLICE_EMPTY,
                                        .type_url = SLICE_EMPTY,
                                        .data = SLICE_EMPTY };
    while (is_good && wire_next(&r, &f)) {
        if (f.field == 1) {
            has_status = true;
            is_good = take_status(wire_bytes(&r, &f), ret_answer);
        } else if (f.field == 2) {
            is_good = take_entry(arena, wire_bytes(&r, &f), &headers);
        } else if (f.field == 3) {
            is_good = take_entry(arena, wire_bytes(&r, &f), &trailers);
        } else if (f.field == 4) {
            is_good = take_invoke_response(wire_bytes(&r, &f), ret_answer);
        }
    }
    ret_answer->headers = headers.items;
    ret_answer->header_count = headers.count;
    ret_answer->trailers = trailers.items;
    ret_answer->trailer_count = trailers.count;
    return is_good && !r.is_bad && has_status;
}

/* --- streams -----------------------------------------------------------------------------------*/

void
peer_frame(struct arena *arena, struct slice head, size_t bytes, uint64_t seq, bool has_prefix,
           struct peer_frame *ret_frame)
{
    size_t payload = bytes == 0 ? 0
                                : wire_varint_len(1 << 3) + wire_varint_len(bytes) + bytes +
                                      wire_number_len(2, seq);
    size_t len = (head.len > 0 ? message_field_len(1, head.len) : 0) +
                 (payload > 0 ? message_field_len(2, payload) : 0);
    ret_frame->head = head.len == 0 ? NULL : arena_alloc(arena, head.len + PEER_PIECE_HEAD_MAX);
    char *from = head.len == 0 ? ret_frame->small : ret_frame->head, *at = from;
    if (has_prefix) {
        const char prefix[PEER_PREFIX_BYTES] = { 0, (char)(len >> 24), (char)(len >> 16),
                                                 (char)(len >> 8), (char)len };
        at = wire_put_raw(at, slice_of(prefix, sizeof prefix));
    }
    if (head.len > 0)
        at = wire_put_present_bytes(at, 1, head);
    ret_frame->back_len = 0;
    if (payload > 0) {
        at = wire_put_head(at, 2, payload);
        at = wire_put_head(at, 1, bytes);
        ret_frame->back_len = (size_t)(wire_put_number(ret_frame->back, 2, seq) - ret_frame->back);
    }
    ret_frame->front_len = (size_t)(at - from);
    ret_frame->message_bytes = len;
}

bool
peer_part_unpack(struct slice bytes, struct peer_part *ret_part)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    *ret_part = (struct peer_part){ .head = SLICE_EMPTY, .piece = SLICE_EMPTY };
    while (wire_next(&r, &f)) {
        if (f.field == 1) {
            ret_part->has_head = true;
            ret_part->head = wire_bytes(&r, &f);
        } else if (f.field == 2) {
            struct slice payload = wire_bytes(&r, &f);
            struct wire_reader inner = wire_reader(payload);
            struct wire_field g;
            ret_part->has_piece = true;
            while (wire_next(&inner, &g)) {
                if (g.field == 1)
                    ret_part->piece = wire_bytes(&inner, &g);
                else if (g.field == 2)
                    ret_part->seq = wire_number(&inner, &g);
            }
            r.is_bad |= inner.is_bad;
        }
    }
    return !r.is_bad;
}

/* --- framing -----------------------------------------------------------------------------------*/

/* More input behind what is left. At the end of the body `has_ended`. */
static err_t
read_more(struct peer_reader *reader)
{
    err_t err = reader->read(reader->arg, &reader->rest); /* suspends */
    if (err != OK)
        reader->rest = SLICE_EMPTY;
    reader->has_ended = err == OK && reader->rest.len == 0;
    return err;
}

/* Until so many bytes are in `held`, which has the first of them. */
static err_t
hold(struct peer_reader *reader, size_t bytes)
{
    while (reader->held.len < bytes) {
        err_t err = reader->rest.len > 0 ? OK : read_more(reader); /* suspends */
        if (err != OK)
            return err;
        if (reader->has_ended)
            return ERR_PEER_PROTOCOL; /* inside a message */
        struct slice part = slice_first(reader->rest, bytes - reader->held.len);
        if (!buf_append(&reader->held, part))
            return ERR_TOO_LARGE;
        reader->rest = slice_from(reader->rest, part.len);
    }
    return OK;
}

/* Length of the message behind a prefix. */
static err_t
prefix_length(const struct peer_reader *reader, struct slice prefix, size_t *ret_len)
{
    const unsigned char *p = (const unsigned char *)prefix.data;
    *ret_len = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    if (p[0] != 0)
        return ERR_PEER_PROTOCOL; /* compressed, which nobody has agreed to */
    return *ret_len > reader->message_bytes_max ? ERR_TOO_LARGE : OK;
}

err_t
peer_reader_next(struct peer_reader *reader, struct slice *ret_message, bool *ret_has)
{
    size_t len;
    err_t err;
    *ret_has = false;
    if (reader->held.max == 0)
        buf_init(&reader->held, reader->message_bytes_max + PEER_PREFIX_BYTES);
    buf_clear(&reader->held);
    while (reader->rest.len == 0 && !reader->has_ended)
        if ((err = read_more(reader)) != OK) /* suspends */
            return err;
    if (reader->has_ended)
        return OK;
    *ret_has = true;
    if (reader->rest.len >= PEER_PREFIX_BYTES) {
        if ((err = prefix_length(reader, reader->rest, &len)) != OK)
            return err;
        if (len <= reader->rest.len - PEER_PREFIX_BYTES) { /* all of it is here */
            *ret_message = slice_first(slice_from(reader->rest, PEER_PREFIX_BYTES), len);
            reader->rest = slice_from(reader->rest, PEER_PREFIX_BYTES + len);
            return OK;
        }
    }
    err = hold(reader, PEER_PREFIX_BYTES); /* suspends */
    if (err == OK)
        err = prefix_length(reader, buf_slice(&reader->held), &len);
    if (err == OK)
        err = hold(reader, PEER_PREFIX_BYTES + len); /* suspends */
    if (err == OK)
        *ret_message = slice_from(buf_slice(&reader->held), PEER_PREFIX_BYTES);
    return err;
}

void
peer_reader_fini(struct peer_reader *reader)
{
    if (reader->held.max != 0)
        buf_fini(&reader->held);
}
