/* SPDX-License-Identifier: Apache-2.0 */
/* State requests as messages of the plugin contract; see state_pack.h. */
#include "api/state_pack.h"

#include "api/operation.h"
#include "base/pb.h"
#include "remora/plugin/v1/plugin.pb-c.h"

typedef Remora__Plugin__V1__StateGet pb_get;
typedef Remora__Plugin__V1__StateSetItem pb_set;
typedef Remora__Plugin__V1__StateDeleteItem pb_delete;

/* protobuf-c wants C strings: a key with a NUL is cut, which check_key() of the surface forbids. */
static char *
full_key(struct arena *arena, const struct component *store, struct slice key, bool is_bare)
{
    struct slice prefix = is_bare ? SLICE_EMPTY : store->facts->key_prefix;
    char *text = arena_alloc(arena, prefix.len + key.len + 1);
    if (prefix.len > 0)
        memcpy(text, prefix.data, prefix.len);
    if (key.len > 0)
        memcpy(text + prefix.len, key.data, key.len);
    text[prefix.len + key.len] = '\0';
    return text;
}

bool
state_consistency_from(struct slice text, enum state_consistency *ret_value)
{
    if (text.len == 0)
        *ret_value = CONSISTENCY_DEFAULT;
    else if (slice_eq(text, SLICE("eventual")))
        *ret_value = CONSISTENCY_EVENTUAL;
    else if (slice_eq(text, SLICE("strong")))
        *ret_value = CONSISTENCY_STRONG;
    else
        return false;
    return true;
}

bool
state_concurrency_from(struct slice text, enum state_concurrency *ret_value)
{
    if (text.len == 0)
        *ret_value = CONCURRENCY_DEFAULT;
    else if (slice_eq(text, SLICE("first-write")))
        *ret_value = CONCURRENCY_FIRST_WRITE;
    else if (slice_eq(text, SLICE("last-write")))
        *ret_value = CONCURRENCY_LAST_WRITE;
    else
        return false;
    return true;
}

static Remora__Plugin__V1__Consistency
consistency_of(struct slice text)
{
    enum state_consistency value = CONSISTENCY_DEFAULT;
    (void)state_consistency_from(text, &value); /* checked before */
    return (Remora__Plugin__V1__Consistency)value;
}

static Remora__Plugin__V1__Concurrency
concurrency_of(struct slice text)
{
    enum state_concurrency value = CONCURRENCY_DEFAULT;
    (void)state_concurrency_from(text, &value); /* checked before */
    return (Remora__Plugin__V1__Concurrency)value;
}

static void
fill_get(struct arena *arena, const struct component *store, const struct state_get *in,
         pb_get *message)
{
    remora__plugin__v1__state_get__init(message);
    message->key = full_key(arena, store, in->key, in->is_bare);
    message->consistency = (Remora__Plugin__V1__Consistency)in->consistency;
    message->metadata = operation_pack_pairs(arena, in->metadata, in->metadata_count);
    message->n_metadata = in->metadata_count;
}

struct packed
state_pack_get(struct arena *arena, const struct component *store, const struct state_get *in)
{
    pb_get message;
    fill_get(arena, store, in, &message);
    return (struct packed){ .message = pb_pack(arena, &message.base) };
}

struct packed
state_pack_bulk_get(struct arena *arena, const struct component *store,
                    const struct state_get *gets, size_t count, uint32_t parallelism)
{
    Remora__Plugin__V1__StateBulkGet message = REMORA__PLUGIN__V1__STATE_BULK_GET__INIT;
    message.items = ARENA_ARRAY(arena, pb_get *, count);
    message.n_items = count;
    message.parallelism = parallelism;
    pb_get *items = ARENA_ARRAY(arena, pb_get, count);
    for (size_t i = 0; i < count; i++) {
        message.items[i] = &items[i];
        fill_get(arena, store, &gets[i], &items[i]);
    }
    return (struct packed){ .message = pb_pack(arena, &message.base) };
}

/* A time to live that is not a number is left to the store, which has its own words for it. */
static void
fill_ttl(const struct state_item *item, pb_set *message)
{
    for (size_t i = 0; i < item->metadata_count; i++) {
        int64_t seconds;
        if (!slice_eq(item->metadata[i].name, SLICE("ttlInSeconds")) ||
            !slice_to_i64(item->metadata[i].value, &seconds))
            continue;
        message->_ttl_seconds_case = REMORA__PLUGIN__V1__STATE_SET_ITEM___TTL_SECONDS_TTL_SECONDS;
        message->ttl_seconds = seconds;
    }
}

static void
fill_set(struct arena *arena, const struct component *store, const struct state_item *item,
         pb_set *message)
{
    remora__plugin__v1__state_set_item__init(message);
    message->key = full_key(arena, store, item->key, item->is_bare);
    message->value_bytes = item->value.len;
    message->json = item->is_json;
    message->concurrency = concurrency_of(item->concurrency);
    message->consistency = consistency_of(item->consistency);
    message->metadata = operation_pack_pairs(arena, item->metadata, item->metadata_count);
    message->n_metadata = item->metadata_count;
    fill_ttl(item, message);
    if (item->has_etag) {
        message->_etag_case = REMORA__PLUGIN__V1__STATE_SET_ITEM___ETAG_ETAG;
        message->etag = pb_string(arena, item->etag);
    }
}

static void
fill_delete(struct arena *arena, const struct component *store, const struct state_item *item,
            pb_delete *message)
{
    remora__plugin__v1__state_delete_item__init(message);
    message->key = full_key(arena, store, item->key, item->is_bare);
    message->concurrency = concurrency_of(item->concurrency);
    message->consistency = consistency_of(item->consistency);
    message->metadata = operation_pack_pairs(arena, item->metadata, item->metadata_count);
    message->n_metadata = item->metadata_count;
    if (item->has_etag) {
        message->_etag_case = REMORA__PLUGIN__V1__STATE_DELETE_ITEM___ETAG_ETAG;
        message->etag = pb_string(arena, item->etag);
    }
}

struct packed
state_pack_set(struct arena *arena, const struct component *store, const struct state_item *items,
               size_t count)
{
    Remora__Plugin__V1__StateSet message = REMORA__PLUGIN__V1__STATE_SET__INIT;
    message.items = ARENA_ARRAY(arena, pb_set *, count);
    message.n_items = count;
    pb_set *sets = ARENA_ARRAY(arena, pb_set, count);
    struct slice *parts = ARENA_ARRAY(arena, struct slice, count);
    for (size_t i = 0; i < count; i++) {
        message.items[i] = &sets[i];
        fill_set(arena, store, &items[i], &sets[i]);
        parts[i] = items[i].value;
    }
    return (struct packed){ .message = pb_pack(arena, &message.base),
                            .parts = parts,
                            .part_count = count };
}

struct packed
state_pack_delete(struct arena *arena, const struct component *store, const struct state_item *item)
{
    Remora__Plugin__V1__StateDelete message = REMORA__PLUGIN__V1__STATE_DELETE__INIT;
    pb_delete del;
    pb_delete *list[1] = { &del };
    fill_delete(arena, store, item, &del);
    message.items = list;
    message.n_items = 1;
    return (struct packed){ .message = pb_pack(arena, &message.base) };
}

struct packed
state_pack_transact(struct arena *arena, const struct component *store,
                    const struct state_operation *operations, size_t count,
                    const struct pair *metadata, size_t metadata_count)
{
    typedef Remora__Plugin__V1__StateOperation pb_operation;
    Remora__Plugin__V1__StateTransact message = REMORA__PLUGIN__V1__STATE_TRANSACT__INIT;
    message.operations = ARENA_ARRAY(arena, pb_operation *, count);
    message.n_operations = count;
    message.metadata = operation_pack_pairs(arena, metadata, metadata_count);
    message.n_metadata = metadata_count;
    pb_operation *items = ARENA_ARRAY(arena, pb_operation, count);
    struct slice *parts = ARENA_ARRAY(arena, struct slice, count);
    size_t part_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct state_item *item = &operations[i].item;
        message.operations[i] = &items[i];
        remora__plugin__v1__state_operation__init(&items[i]);
        if (operations[i].is_delete) {
            items[i].operation_case = REMORA__PLUGIN__V1__STATE_OPERATION__OPERATION_DELETE;
            items[i].delete_ = ARENA_NEW(arena, pb_delete);
            fill_delete(arena, store, item, items[i].delete_);
            continue;
        }
        items[i].operation_case = REMORA__PLUGIN__V1__STATE_OPERATION__OPERATION_SET;
        items[i].set = ARENA_NEW(arena, pb_set);
        fill_set(arena, store, item, items[i].set);
        parts[part_count++] = item->value;
    }
    return (struct packed){ .message = pb_pack(arena, &message.base),
                            .parts = parts,
                            .part_count = part_count };
}

struct packed
state_pack_query(struct arena *arena, const struct component *store, struct slice query,
                 const struct pair *metadata, size_t metadata_count)
{
    Remora__Plugin__V1__StateQuery message = REMORA__PLUGIN__V1__STATE_QUERY__INIT;
    message.query = pb_string(arena, query);
    message.key_prefix = pb_string(arena, store->facts->key_prefix);
    message.metadata = operation_pack_pairs(arena, metadata, metadata_count);
    message.n_metadata = metadata_count;
    return (struct packed){ .message = pb_pack(arena, &message.base) };
}
