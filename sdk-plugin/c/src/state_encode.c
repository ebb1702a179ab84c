/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of state stores as typed messages: field numbers as in plugin.proto, in order, into
 * memory of the call that is sized by an upper bound first. */
#include "sdk.h"

#include <assert.h>

#include "base/wire.h"

struct writer {
    char *start;
    char *at;
    char *end;
};

static struct writer
writer(struct remora_call *call, size_t bytes_max)
{
    char *start = arena_alloc(&call->arena, bytes_max);
    return (struct writer){ .start = start, .at = start, .end = start + bytes_max };
}

static struct slice
written(const struct writer *w)
{
    assert(w->at <= w->end);
    return slice_of(w->start, (size_t)(w->at - w->start));
}

static size_t
etag_len(const struct remora_state_value *value)
{
    return value->has_etag ? value->etag.len : 0;
}

struct slice
state_encode_value(struct remora_call *call, const struct remora_state_value *value)
{
    struct writer w = writer(call, (size_t)3 * WIRE_NUMBER_MAX + etag_len(value));
    w.at = wire_put_number(w.at, 1, value->found);
    if (value->has_etag)
        w.at = wire_put_present_bytes(w.at, 2, from_remora(value->etag));
    w.at = wire_put_number(w.at, 3, (uint64_t)value->expires_unix_ms);
    return written(&w);
}

/* --- lists: each item is encoded apart, because its length stands before it
 * ---------------------*/

static struct slice
encode_status(struct remora_call *call, const struct remora_failure *failure)
{
    const struct frame_status status = call_status_of(call, failure);
    struct writer w = writer(call,
                             (size_t)4 * WIRE_NUMBER_MAX + status.message.len + status.reason.len);
    w.at = wire_put_number(w.at, 1, status.code);
    w.at = wire_put_bytes(w.at, 2, status.message);
    w.at = wire_put_bytes(w.at, 3, status.reason);
    w.at = wire_put_number(w.at, 4, status.effect);
    return written(&w);
}

/* Length of the item of a value reply, without its status. */
static size_t
item_len(const struct remora_state_value *value)
{
    size_t len = wire_number_len(1, value->found) + wire_number_len(3, value->value.len) +
                 wire_number_len(4, (uint64_t)value->expires_unix_ms);
    if (value->has_etag)
        len += 1 + wire_varint_len(value->etag.len) + value->etag.len;
    return len;
}

static char *
put_item(char *at, const struct remora_state_value *value, struct slice status)
{
    const size_t len = item_len(value);
    at = wire_put_head(at, 1, len + (status.len > 0 ? wire_bytes_len(6, status) : 0));
    at = wire_put_number(at, 1, value->found);
    if (value->has_etag)
        at = wire_put_present_bytes(at, 2, from_remora(value->etag));
    at = wire_put_number(at, 3, value->value.len);
    at = wire_put_number(at, 4, (uint64_t)value->expires_unix_ms);
    return wire_put_bytes(at, 6, status);
}

/* An empty slice where an item has no failure. */
static struct slice *
encode_statuses(struct remora_call *call, const struct remora_state_value *values, size_t count,
                size_t *ret_bytes)
{
    struct slice *statuses = arena_alloc(&call->arena, count * sizeof *statuses);
    for (size_t i = 0; i < count; i++) {
        statuses[i] = SLICE_EMPTY;
        if (values[i].failure != NULL)
            statuses[i] = encode_status(call, values[i].failure);
        *ret_bytes += statuses[i].len;
    }
    return statuses;
}

struct slice
state_encode_values(struct remora_call *call, const struct remora_state_value *values, size_t count)
{
    size_t bytes_max = 0;
    const struct slice *statuses = encode_statuses(call, values, count, &bytes_max);
    for (size_t i = 0; i < count; i++)
        bytes_max += (size_t)6 * WIRE_NUMBER_MAX + etag_len(&values[i]);
    struct writer w = writer(call, bytes_max);
    for (size_t i = 0; i < count; i++)
        w.at = put_item(w.at, &values[i], statuses[i]);
    return written(&w);
}

static char *
put_query_item(char *at, const struct remora_state_value *value, struct slice status)
{
    const struct slice key = from_remora(value->key);
    size_t len = wire_bytes_len(1, key) + wire_number_len(3, value->value.len) +
                 wire_bytes_len(4, status);
    if (value->has_etag)
        len += 1 + wire_varint_len(value->etag.len) + value->etag.len;
    at = wire_put_head(at, 1, len);
    at = wire_put_bytes(at, 1, key);
    if (value->has_etag)
        at = wire_put_present_bytes(at, 2, from_remora(value->etag));
    at = wire_put_number(at, 3, value->value.len);
    return wire_put_bytes(at, 4, status);
}

struct slice
state_encode_query(struct remora_call *call, const struct remora_state_value *values, size_t count,
                   struct remora_slice token)
{
    size_t bytes_max = WIRE_HEAD_MAX + token.len;
    const struct slice *statuses = encode_statuses(call, values, count, &bytes_max);
    for (size_t i = 0; i < count; i++)
        bytes_max += (size_t)5 * WIRE_NUMBER_MAX + values[i].key.len + etag_len(&values[i]);
    struct writer w = writer(call, bytes_max);
    for (size_t i = 0; i < count; i++)
        w.at = put_query_item(w.at, &values[i], statuses[i]);
    w.at = wire_put_bytes(w.at, 2, from_remora(token));
    return written(&w);
}

struct slice
state_encode_failures(struct remora_call *call, const struct remora_failure *const *failures,
                      size_t count)
{
    struct slice *statuses = arena_alloc(&call->arena, count * sizeof *statuses);
    size_t bytes_max = 0;
    for (size_t i = 0; i < count; i++) {
        if (failures[i] == NULL)
            continue;
        statuses[i] = encode_status(call, failures[i]);
        bytes_max += (size_t)3 * WIRE_NUMBER_MAX + statuses[i].len;
    }
    struct writer w = writer(call, bytes_max);
    for (size_t i = 0; i < count; i++) {
        if (failures[i] == NULL)
            continue;
        w.at = wire_put_head(w.at, 1, wire_number_len(1, i) + wire_bytes_len(2, statuses[i]));
        w.at = wire_put_number(w.at, 1, i);
        w.at = wire_put_bytes(w.at, 2, statuses[i]);
    }
    return written(&w);
}

struct slice
state_encode_count(struct remora_call *call, uint64_t count)
{
    struct writer w = writer(call, WIRE_NUMBER_MAX);
    w.at = wire_put_number(w.at, 1, count);
    return written(&w);
}

struct slice
state_encode_keys(struct remora_call *call, const struct remora_slice *keys, size_t count,
                  struct remora_slice token)
{
    size_t bytes_max = WIRE_HEAD_MAX + token.len;
    for (size_t i = 0; i < count; i++)
        bytes_max += WIRE_HEAD_MAX + keys[i].len;
    struct writer w = writer(call, bytes_max);
    for (size_t i = 0; i < count; i++)
        w.at = wire_put_present_bytes(w.at, 1, from_remora(keys[i]));
    w.at = wire_put_bytes(w.at, 2, from_remora(token));
    return written(&w);
}
