/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of secret stores; see secret.h. */
#include "component/secret.h"

#include <assert.h>

#include "base/limits.h"
#include "base/wire.h"

static size_t
pair_len(const struct secret_pair *pair)
{
    return wire_bytes_len(1, pair->name) + wire_bytes_len(2, pair->value);
}

struct slice
secret_pack_request(struct arena *arena, const struct slice *name,
                    const struct secret_pair *metadata, size_t count)
{
    const unsigned metadata_field = name == NULL ? 1 : 2;
    size_t max = name == NULL ? 0 : WIRE_HEAD_MAX + name->len;
    for (size_t i = 0; i < count; i++)
        max += WIRE_HEAD_MAX + pair_len(&metadata[i]);
    char *start = arena_alloc(arena, max), *at = start;
    if (name != NULL)
        at = wire_put_bytes(at, 1, *name);
    for (size_t i = 0; i < count; i++) {
        at = wire_put_head(at, metadata_field, pair_len(&metadata[i]));
        at = wire_put_bytes(at, 1, metadata[i].name);
        at = wire_put_bytes(at, 2, metadata[i].value);
    }
    assert((size_t)(at - start) <= max);
    return slice_of(start, (size_t)(at - start));
}

static bool
read_pair(struct slice bytes, struct secret_pair *ret_pair)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    *ret_pair = (struct secret_pair){ SLICE_EMPTY, SLICE_EMPTY };
    while (wire_next(&r, &f)) {
        if (f.field == 1)
            ret_pair->name = wire_bytes(&r, &f);
        else if (f.field == 2)
            ret_pair->value = wire_bytes(&r, &f);
    }
    return !r.is_bad;
}

/* Field 2 holds the pairs, in both messages; field 1 is the reader's. `room` bounds them. */
static bool
read_pairs(struct arena *arena, struct slice bytes, size_t *room, struct secret *ret_secret)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    size_t count = wire_count(bytes, 2);
    bool ok = count <= *room;
    if (!ok)
        return false;
    *room -= count;
    ret_secret->pairs = ARENA_ARRAY(arena, struct secret_pair, count);
    ret_secret->pair_count = 0;
    while (ok && wire_next(&r, &f))
        if (f.field == 2)
            ok = read_pair(wire_bytes(&r, &f), &ret_secret->pairs[ret_secret->pair_count++]);
    return ok && !r.is_bad;
}

bool
secret_read_one(struct arena *arena, struct slice message, bool *ret_found,
                struct secret *ret_secret)
{
    struct wire_reader r = wire_reader(message);
    struct wire_field f;
    size_t room = LIMIT_secret_pairs_max;
    *ret_secret = (struct secret){ .name = SLICE_EMPTY };
    *ret_found = false;
    while (wire_next(&r, &f))
        if (f.field == 1)
            *ret_found = wire_number(&r, &f) != 0;
    return !r.is_bad && read_pairs(arena, message, &room, ret_secret);
}

static bool
read_secret(struct arena *arena, struct slice bytes, size_t *room, struct secret *ret_secret)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    *ret_secret = (struct secret){ .name = SLICE_EMPTY };
    while (wire_next(&r, &f))
        if (f.field == 1)
            ret_secret->name = wire_bytes(&r, &f);
    return !r.is_bad && read_pairs(arena, bytes, room, ret_secret);
}

bool
secret_read_all(struct arena *arena, struct slice message, struct secret **ret_secrets,
                size_t *ret_count)
{
    struct wire_reader r = wire_reader(message);
    struct wire_field f;
    size_t room = LIMIT_secret_pairs_max, at = 0;
    const size_t count = wire_count(message, 1);
    bool ok = count <= LIMIT_secret_pairs_max;
    if (!ok)
        return false;
    struct secret *secrets = ARENA_ARRAY(arena, struct secret, count);
    while (ok && wire_next(&r, &f))
        if (f.field == 1)
            ok = read_secret(arena, wire_bytes(&r, &f), &room, &secrets[at++]);
    *ret_secrets = secrets;
    *ret_count = at;
    return ok && !r.is_bad;
}
