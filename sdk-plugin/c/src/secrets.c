/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret operations: decoded from the wire, handed to the store's function, answered. Values are
 * copied into memory of the call, which call_reply() sends from; nothing of them is logged.
 */
#include "sdk.h"

#include <assert.h>

#include "base/wire.h"

struct request {
    struct remora_slice name;
    struct remora_pair *metadata;
    size_t metadata_count;
};

/* --- decoding ----------------------------------------------------------------------------------*/

static bool
decode_pair(struct slice bytes, struct remora_pair *ret_pair)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    *ret_pair = (struct remora_pair){ to_remora(SLICE_EMPTY), to_remora(SLICE_EMPTY) };
    while (wire_next(&r, &f)) {
        if (f.field == 1)
            ret_pair->name = to_remora(wire_bytes(&r, &f));
        else if (f.field == 2)
            ret_pair->value = to_remora(wire_bytes(&r, &f));
    }
    return !r.is_bad;
}

/* `name_field` 0: the message has none. */
static bool
decode(struct remora_call *call, unsigned name_field, unsigned metadata_field,
       struct request *ret_request)
{
    struct request request = { .name = to_remora(SLICE_EMPTY) };
    struct wire_reader r = wire_reader(call->message);
    struct wire_field f;
    bool ok = true;
    size_t count = wire_count(call->message, metadata_field);
    if (count > SDK_METADATA_MAX)
        return false;
    request.metadata = arena_alloc(&call->arena, count * sizeof *request.metadata);
    while (ok && wire_next(&r, &f)) {
        if (f.field == metadata_field)
            ok = decode_pair(wire_bytes(&r, &f), &request.metadata[request.metadata_count++]);
        else if (f.field == name_field)
            request.name = to_remora(wire_bytes(&r, &f));
    }
    *ret_request = request;
    return ok && !r.is_bad && call->body.len == 0;
}

/* --- operations --------------------------------------------------------------------------------*/

void
secrets_run(struct remora_call *call)
{
    const struct remora_secret_ops *ops = call->component->type->secret;
    const bool is_get = call->method == METHOD(SECRET_GET);
    void *self = call->component->self;
    struct request request;
    if (ops == NULL || (is_get ? ops->get == NULL : ops->get_all == NULL))
        call_fail(call, REMORA_UNIMPLEMENTED, "%s does not support this operation",
                  call->component->type->type);
    else if (!decode(call, is_get ? 1 : 0, is_get ? 2 : 1, &request))
        call_fail(call, REMORA_INVALID_ARGUMENT, "malformed secret operation");
    else if (is_get)
        ops->get(call, self, request.name, request.metadata, request.metadata_count);
    else
        ops->get_all(call, self, request.metadata, request.metadata_count);
}

/* --- replies -----------------------------------------------------------------------------------*/

static size_t
pair_len(const struct remora_pair *pair)
{
    return wire_bytes_len(1, from_remora(pair->name)) + wire_bytes_len(2, from_remora(pair->value));
}

/* Upper bound of what put_pairs() writes. */
static size_t
pairs_max(const struct remora_pair *pairs, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += WIRE_HEAD_MAX + pair_len(&pairs[i]);
    return bytes;
}

static size_t
pairs_len(const struct remora_pair *pairs, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += 1 + wire_varint_len(pair_len(&pairs[i])) + pair_len(&pairs[i]);
    return bytes;
}

/* As field 2, which they are in both replies. */
static char *
put_pairs(char *at, const struct remora_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        at = wire_put_head(at, 2, pair_len(&pairs[i]));
        at = wire_put_bytes(at, 1, from_remora(pairs[i].name));
        at = wire_put_bytes(at, 2, from_remora(pairs[i].value));
    }
    return at;
}

void
remora_secret_reply_value(remora_call *call, const struct remora_pair *pairs, size_t count)
{
    const size_t max = WIRE_NUMBER_MAX + pairs_max(pairs, count);
    char *start = arena_alloc(&call->arena, max);
    char *end = put_pairs(wire_put_number(start, 1, true), pairs, count);
    assert((size_t)(end - start) <= max);
    call_reply(call, slice_of(start, (size_t)(end - start)), NULL, 0);
}

void
remora_secret_reply_missing(remora_call *call)
{
    call_reply(call, SLICE_EMPTY, NULL, 0); /* found is false */
}

void
remora_secret_reply_all(remora_call *call, const struct remora_secret *secrets, size_t count)
{
    size_t max = 0;
    for (size_t i = 0; i < count; i++)
        max += 2 * WIRE_HEAD_MAX + secrets[i].name.len +
               pairs_max(secrets[i].pairs, secrets[i].pair_count);
    char *start = arena_alloc(&call->arena, max), *at = start;
    for (size_t i = 0; i < count; i++) {
        const struct slice name = from_remora(secrets[i].name);
        at = wire_put_head(
            at, 1, wire_bytes_len(1, name) + pairs_len(secrets[i].pairs, secrets[i].pair_count));
        at = wire_put_bytes(at, 1, name);
        at = put_pairs(at, secrets[i].pairs, secrets[i].pair_count);
    }
    assert((size_t)(at - start) <= max);
    call_reply(call, slice_of(start, (size_t)(at - start)), NULL, 0);
}
