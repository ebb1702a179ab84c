/* SPDX-License-Identifier: Apache-2.0 */
/* Hash map from byte strings to pointers; see map.h. */
#include "base/map.h"

#include <assert.h>
#include <stdlib.h>

enum { FIRST_SLOTS = 16 };

void
map_init(struct map *map)
{
    *map = (struct map){ 0 };
}

static char *
key_bytes(struct slice key)
{
    return (char *)(uintptr_t)key.data; /* ours: copied in map_put() */
}

void
map_fini(struct map *map)
{
    for (size_t i = 0; i < map->capacity; i++)
        free(key_bytes(map->slots[i].key));
    free(map->slots);
    map_init(map);
}

/* The slot that holds `key`, or the free one where it would go. Capacity must not be 0. */
static struct map_slot *
find_slot(const struct map *map, struct slice key, uint64_t hash)
{
    size_t at = hash & (map->capacity - 1);
    for (;;) {
        struct map_slot *slot = &map->slots[at];
        if (slot->key.data == NULL || (slot->hash == hash && slice_eq(slot->key, key)))
            return slot;
        at = (at + 1) & (map->capacity - 1);
    }
}

void *
map_get(const struct map *map, struct slice key)
{
    return map->capacity == 0 ? NULL : find_slot(map, key, slice_hash(key))->value;
}

static void
rehash(struct map *map)
{
    struct map old = *map;
    map->capacity = FIRST_SLOTS;
    while (map->capacity < old.count * 3)
        map->capacity *= 2;
    map->slots = calloc(map->capacity, sizeof *map->slots);
    if (map->slots == NULL)
        abort();
    map->used = map->count = old.count;
    for (size_t i = 0; i < old.capacity; i++) {
        struct map_slot *slot = &old.slots[i];
        if (slot->value != NULL)
            *find_slot(map, slot->key, slot->hash) = *slot;
        else
            free(key_bytes(slot->key));
    }
    free(old.slots);
}

void *
map_put(struct map *map, struct slice key, void *value)
{
    assert(value != NULL);
    if ((map->used + 1) * 3 > map->capacity * 2)
        rehash(map);
    uint64_t hash = slice_hash(key);
    struct map_slot *slot = find_slot(map, key, hash);
    if (slot->key.data == NULL) {
        char *copy = malloc(key.len + 1);
        if (copy == NULL)
            abort();
        if (key.len > 0)
            memcpy(copy, key.data, key.len);
        slot->key = slice_of(copy, key.len);
        slot->hash = hash;
        map->used++;
    }
    void *old = slot->value;
    slot->value = value;
    map->count += old == NULL;
    return old;
}

void *
map_remove(struct map *map, struct slice key)
{
    if (map->capacity == 0)
        return NULL;
    struct map_slot *slot = find_slot(map, key, slice_hash(key));
    void *old = slot->value;
    slot->value = NULL;
    map->count -= old != NULL;
    return old;
}

bool
map_next(const struct map *map, size_t *cursor, struct slice *ret_key, void **ret_value)
{
    while (*cursor < map->capacity) {
        const struct map_slot *slot = &map->slots[(*cursor)++];
        if (slot->value != NULL) {
            *ret_key = slot->key;
            *ret_value = slot->value;
            return true;
        }
    }
    return false;
}
