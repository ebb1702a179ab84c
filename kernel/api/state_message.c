/* SPDX-License-Identifier: Apache-2.0 */
/* Items of state as protobuf has them; see state_message.h. */
#include "api/state_message.h"

typedef Dapr__Proto__Common__V1__StateItem item_t;

struct slice
state_concurrency_word(const Dapr__Proto__Common__V1__StateOptions *options)
{
    int value = options == NULL ? 0 : (int)options->concurrency;
    return value == 1 ? SLICE("first-write") : value == 2 ? SLICE("last-write") : SLICE_EMPTY;
}

struct slice
state_consistency_word(const Dapr__Proto__Common__V1__StateOptions *options)
{
    int value = options == NULL ? 0 : (int)options->consistency;
    return value == 1 ? SLICE("eventual") : value == 2 ? SLICE("strong") : SLICE_EMPTY;
}

static bool
says_json(const struct state_item *item)
{
    for (size_t i = 0; i < item->metadata_count; i++)
        if (slice_eq_nocase(item->metadata[i].name, SLICE("contentType")))
            return slice_eq_nocase(item->metadata[i].value, SLICE("application/json"));
    return false;
}

struct state_item
state_item_of(struct arena *arena, const item_t *from)
{
    struct state_item item = { .key = slice_str(from->key),
                               .value = pb_slice(from->value),
                               .has_etag = from->etag != NULL && from->etag->value[0] != '\0',
                               .etag = from->etag == NULL ? SLICE_EMPTY
                                                          : slice_str(from->etag->value),
                               .concurrency = state_concurrency_word(from->options),
                               .consistency = state_consistency_word(from->options),
                               .metadata_count = from->n_metadata };
    struct pair *pairs = ARENA_ARRAY(arena, struct pair, from->n_metadata + 1);
    for (size_t i = 0; i < from->n_metadata; i++)
        pairs[i] = (struct pair){ slice_str(from->metadata[i]->key),
                                  slice_str(from->metadata[i]->value) };
    item.metadata = pairs;
    item.is_json = says_json(&item);
    return item;
}

struct state_item *
state_items_of(struct arena *arena, item_t *const *from, size_t count)
{
    struct state_item *items = ARENA_ARRAY(arena, struct state_item, count + 1);
    for (size_t i = 0; i < count; i++)
        items[i] = state_item_of(arena, from[i]);
    return items;
}
