/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State operations from the wire into the header's structs, without a tree between: keys, values
 * and metadata are spans of the payload, which lives as long as the call. Lists are counted first,
 * so that their memory is bounded before it is asked for.
 */
#include "sdk.h"

#include "base/wire.h"

struct decoder {
    struct arena *arena;
    struct slice body;    /* values not yet handed out */
    size_t metadata_left; /* pairs this operation may still have */
    bool is_bad;
};

static struct decoder
decoder_of(struct remora_call *call)
{
    return (struct decoder){ .arena = &call->arena,
                             .body = call->body,
                             .metadata_left = SDK_METADATA_MAX };
}

static bool
is_sound(const struct decoder *d)
{
    return !d->is_bad && d->body.len == 0;
}

/* How often a field stands in a message; beyond `max` the decoder turns bad. */
static size_t
count_fields(struct decoder *d, struct slice bytes, unsigned field, size_t max)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    size_t count = 0;
    while (wire_next(&r, &f))
        count += f.field == field;
    d->is_bad = d->is_bad || r.is_bad || count > max;
    return d->is_bad ? 0 : count;
}

static struct remora_slice
text(struct wire_reader *r, const struct wire_field *f)
{
    return to_remora(wire_bytes(r, f));
}

static struct remora_pair
decode_pair(struct decoder *d, struct slice bytes)
{
    struct remora_pair pair = { .name = to_remora(SLICE_EMPTY), .value = to_remora(SLICE_EMPTY) };
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    while (wire_next(&r, &f)) {
        if (f.field == 1)
            pair.name = text(&r, &f);
        else if (f.field == 2)
            pair.value = text(&r, &f);
    }
    d->is_bad = d->is_bad || r.is_bad;
    return pair;
}

/* All Pair fields of that number. Callers know there is at least one. */
static struct remora_pair *
decode_metadata(struct decoder *d, struct slice bytes, unsigned field, size_t *ret_count)
{
    const size_t count = count_fields(d, bytes, field, d->metadata_left);
    struct remora_pair *pairs = arena_alloc(d->arena, count * sizeof *pairs);
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    size_t at = 0;
    while (at < count && wire_next(&r, &f))
        if (f.field == field)
            pairs[at++] = decode_pair(d, wire_bytes(&r, &f));
    d->is_bad = d->is_bad || r.is_bad;
    d->metadata_left -= at;
    *ret_count = at;
    return pairs;
}

static enum remora_consistency
consistency(uint64_t number)
{
    return number <= REMORA_STRONG ? (enum remora_consistency)number : REMORA_CONSISTENCY_DEFAULT;
}

static enum remora_concurrency
concurrency(uint64_t number)
{
    return number <= REMORA_LAST_WRITE ? (enum remora_concurrency)number
                                       : REMORA_CONCURRENCY_DEFAULT;
}

/* --- get ---------------------------------------------------------------------------------------*/

static void
decode_get(struct decoder *d, struct slice bytes, struct remora_state_get *ret_get)
{
    struct remora_state_get get = { .key = to_remora(SLICE_EMPTY) };
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    bool has_metadata = false;
    while (wire_next(&r, &f)) {
        if (f.field == 1)
            get.key = text(&r, &f);
        else if (f.field == 2)
            get.consistency = consistency(wire_number(&r, &f));
        else if (f.field == 3)
            has_metadata = true;
    }
    d->is_bad = d->is_bad || r.is_bad;
    if (has_metadata)
        get.metadata = decode_metadata(d, bytes, 3, &get.metadata_count);
    *ret_get = get;
}

bool
state_decode_get(struct remora_call *call, const struct remora_state_get **ret_get)
{
    struct decoder d = decoder_of(call);
    struct remora_state_get *get = arena_alloc(&call->arena, sizeof *get);
    decode_get(&d, call->message, get);
    *ret_get = get;
    return is_sound(&d);
}

bool
state_decode_gets(struct remora_call *call, struct remora_state_get **ret_gets, size_t *ret_count,
                  uint32_t *ret_parallelism)
{
    struct decoder d = decoder_of(call);
    const size_t count = count_fields(&d, call->message, 1, LIMIT_state_items_max);
    struct remora_state_get *gets = arena_alloc(&call->arena, count * sizeof *gets);
    struct wire_reader r = wire_reader(call->message);
    struct wire_field f;
    size_t at = 0;
    *ret_parallelism = 0;
    while (!d.is_bad && wire_next(&r, &f)) {
        if (f.field == 1)
            decode_get(&d, wire_bytes(&r, &f), &gets[at++]);
        else if (f.field == 2)
            *ret_parallelism = (uint32_t)wire_number(&r, &f);
    }
    d.is_bad = d.is_bad || r.is_bad;
    *ret_gets = gets;
    *ret_count = at;
    return is_sound(&d);
}

/* --- set ---------------------------------------------------------------------------------------*/

static void
decode_set_field(struct wire_reader *r, const struct wire_field *f, struct remora_state_set *set)
{
    switch (f->field) {
    case 1:
        set->key = text(r, f);
        break;
    case 3:
        set->json = wire_number(r, f) != 0;
        break;
    case 4:
        set->has_etag = true;
        set->etag = text(r, f);
        break;
    case 5:
        set->concurrency = concurrency(wire_number(r, f));
        break;
    case 6:
        set->consistency = consistency(wire_number(r, f));
        break;
    case 7:
        set->has_ttl = true;
        set->ttl_seconds = wire_unzigzag(wire_number(r, f));
        break;
    default:
        break;
    }
}

static void
decode_set(struct decoder *d, struct slice bytes, struct remora_state_set *ret_set)
{
    struct remora_state_set set = { .key = to_remora(SLICE_EMPTY), .etag = to_remora(SLICE_EMPTY) };
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    uint64_t value_bytes = 0;
    bool has_metadata = false;
    while (wire_next(&r, &f)) {
        if (f.field == 2)
            value_bytes = wire_number(&r, &f);
        else if (f.field == 8)
            has_metadata = true;
        else
            decode_set_field(&r, &f, &set);
    }
    d->is_bad = d->is_bad || r.is_bad || value_bytes > d->body.len;
    if (d->is_bad)
        return;
    set.value = to_remora(slice_first(d->body, (size_t)value_bytes));
    d->body = slice_from(d->body, (size_t)value_bytes);
    if (has_metadata)
        set.metadata = decode_metadata(d, bytes, 8, &set.metadata_count);
    *ret_set = set;
}

bool
state_decode_sets(struct remora_call *call, struct remora_state_set **ret_sets, size_t *ret_count)
{
    struct decoder d = decoder_of(call);
    const size_t count = count_fields(&d, call->message, 1, LIMIT_state_items_max);
    struct remora_state_set *sets = arena_alloc(&call->arena, count * sizeof *sets);
    struct wire_reader r = wire_reader(call->message);
    struct wire_field f;
    size_t at = 0;
    while (!d.is_bad && wire_next(&r, &f))
        if (f.field == 1)
            decode_set(&d, wire_bytes(&r, &f), &sets[at++]);
    d.is_bad = d.is_bad || r.is_bad;
    *ret_sets = sets;
    *ret_count = at;
    return is_sound(&d);
}

/* --- delete ------------------------------------------------------------------------------------*/

static void
decode_delete(struct decoder *d, struct slice bytes, struct remora_state_delete *ret_delete)
{
    struct remora_state_delete del = { .key = to_remora(SLICE_EMPTY),
                                       .etag = to_remora(SLICE_EMPTY) };
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    bool has_metadata = false;
    while (wire_next(&r, &f)) {
        if (f.field == 1) {
            del.key = text(&r, &f);
        } else if (f.field == 2) {
            del.has_etag = true;
            del.etag = text(&r, &f);
        } else if (f.field == 3) {
            del.concurrency = concurrency(wire_number(&r, &f));
        } else if (f.field == 4) {
            del.consistency = consistency(wire_number(&r, &f));
        } else if (f.field == 5) {
            has_metadata = true;
        }
    }
    d->is_bad = d->is_bad || r.is_bad;
    if (has_metadata)
        del.metadata = decode_metadata(d, bytes, 5, &del.metadata_count);
    *ret_delete = del;
}

bool
state_decode_deletes(struct remora_call *call, struct remora_state_delete **ret_deletes,
                     size_t *ret_count)
{
    struct decoder d = decoder_of(call);
    const size_t count = count_fields(&d, call->message, 1, LIMIT_state_items_max);
    struct remora_state_delete *deletes = arena_alloc(&call->arena, count * sizeof *deletes);
    struct wire_reader r = wire_reader(call->message);
    struct wire_field f;
    size_t at = 0;
    while (!d.is_bad && wire_next(&r, &f))
        if (f.field == 1)
            decode_delete(&d, wire_bytes(&r, &f), &deletes[at++]);
    d.is_bad = d.is_bad || r.is_bad;
    *ret_deletes = deletes;
    *ret_count = at;
    return is_sound(&d);
}

/* --- transact ----------------------------------------------------------------------------------*/

/* The last member of the oneof counts; none is an error. */
static void
decode_operation(struct decoder *d, struct slice bytes, struct remora_state_operation *ret_op)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f, chosen = { .field = 0 };
    while (wire_next(&r, &f))
        if (f.field == 1 || f.field == 2)
            chosen = f;
    d->is_bad = d->is_bad || r.is_bad || chosen.field == 0;
    if (d->is_bad)
        return;
    ret_op->is_delete = chosen.field == 2;
    if (ret_op->is_delete)
        decode_delete(d, wire_bytes(&r, &chosen), &ret_op->del);
    else
        decode_set(d, wire_bytes(&r, &chosen), &ret_op->set);
    d->is_bad = d->is_bad || r.is_bad;
}

bool
state_decode_transact(struct remora_call *call, struct state_transact *ret_transact)
{
    struct decoder d = decoder_of(call);
    const size_t count = count_fields(&d, call->message, 1, LIMIT_state_items_max);
    *ret_transact = (struct state_transact){
        .operations = arena_alloc(&call->arena, count * sizeof(struct remora_state_operation)),
    };
    struct wire_reader r = wire_reader(call->message);
    struct wire_field f;
    bool has_metadata = false;
    while (!d.is_bad && wire_next(&r, &f)) {
        if (f.field == 1)
            decode_operation(&d, wire_bytes(&r, &f),
                             &ret_transact->operations[ret_transact->count++]);
        else if (f.field == 2)
            has_metadata = true;
    }
    d.is_bad = d.is_bad || r.is_bad;
    if (has_metadata)
        ret_transact->metadata = decode_metadata(&d, call->message, 2,
                                                 &ret_transact->metadata_count);
    return is_sound(&d);
}

/* --- the rest ----------------------------------------------------------------------------------*/

bool
state_decode_query(struct remora_call *call, struct state_query *ret_query)
{
    struct decoder d = decoder_of(call);
    struct state_query query = { .query = to_remora(SLICE_EMPTY),
                                 .key_prefix = to_remora(SLICE_EMPTY) };
    struct wire_reader r = wire_reader(call->message);
    struct wire_field f;
    bool has_metadata = false;
    while (wire_next(&r, &f)) {
        if (f.field == 1)
            query.query = text(&r, &f);
        else if (f.field == 2)
            query.key_prefix = text(&r, &f);
        else if (f.field == 3)
            has_metadata = true;
    }
    d.is_bad = r.is_bad;
    if (has_metadata)
        query.metadata = decode_metadata(&d, call->message, 3, &query.metadata_count);
    *ret_query = query;
    return is_sound(&d);
}

bool
state_decode_prefix(struct remora_call *call, struct remora_slice *ret_prefix)
{
    struct wire_reader r = wire_reader(call->message);
    struct wire_field f;
    *ret_prefix = to_remora(SLICE_EMPTY);
    while (wire_next(&r, &f))
        if (f.field == 1)
            *ret_prefix = text(&r, &f);
    return !r.is_bad;
}

bool
state_decode_like(struct remora_call *call, struct state_like *ret_like)
{
    struct state_like like = { .pattern = to_remora(SLICE_EMPTY), .token = to_remora(SLICE_EMPTY) };
    struct wire_reader r = wire_reader(call->message);
    struct wire_field f;
    while (wire_next(&r, &f)) {
        if (f.field == 1)
            like.pattern = text(&r, &f);
        else if (f.field == 2)
            like.page_size = (uint32_t)wire_number(&r, &f);
        else if (f.field == 3)
            like.token = text(&r, &f);
    }
    *ret_like = like;
    return !r.is_bad;
}
