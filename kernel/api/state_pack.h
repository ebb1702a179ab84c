/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State requests as messages of the plugin contract. Values are not copied: they become parts of
 * the body, in order. Pure; everything is in the arena.
 */
#ifndef API_STATE_PACK_H
#define API_STATE_PACK_H

#include "api/state.h"

struct packed {
    struct slice message;
    const struct slice *parts; /* the values */
    size_t part_count;
};

struct packed
state_pack_get(struct arena *arena, const struct component *store, const struct state_get *in);
struct packed state_pack_bulk_get(struct arena *arena, const struct component *store,
                                  const struct state_get *gets, size_t count, uint32_t parallelism);
/* The options' words must have been checked. */
struct packed state_pack_set(struct arena *arena, const struct component *store,
                             const struct state_item *items, size_t count);
struct packed state_pack_delete(struct arena *arena, const struct component *store,
                                const struct state_item *item);
struct packed state_pack_transact(struct arena *arena, const struct component *store,
                                  const struct state_operation *operations, size_t count,
                                  const struct pair *metadata, size_t metadata_count);
struct packed
state_pack_query(struct arena *arena, const struct component *store, struct slice query,
                 const struct pair *metadata, size_t metadata_count);

#endif
