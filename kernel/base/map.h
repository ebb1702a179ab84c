/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash map from byte strings to pointers. Keys are copied, values are borrowed. Open addressing
 * with linear probing; grows at two thirds; iteration order is unspecified. One thread at a time;
 * a map that is no longer changed may be read by many.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>

#include "base/slice.h"

struct map_slot {
    struct slice key; /* owned copy; data NULL: never used */
    uint64_t hash;
    void *value; /* NULL with a key: removed */
};

struct map {
    struct map_slot *slots;
    size_t capacity; /* 0 or a power of two */
    size_t used;     /* slots with a key, removed ones included */
    size_t count;    /* live entries */
};

void map_init(struct map *map);
void map_fini(struct map *map);
/* NULL if absent. */
void *map_get(const struct map *map, struct slice key);
/* `value` must not be NULL. Returns the value it replaced, or NULL. */
void *map_put(struct map *map, struct slice key, void *value);
/* Returns what was removed, or NULL. */
void *map_remove(struct map *map, struct slice key);
/* Next live entry from *cursor (start with 0); false at the end. The map must not change meanwhile,
 * except that the entry just delivered may be removed. */
bool map_next(const struct map *map, size_t *cursor, struct slice *ret_key, void **ret_value);

#endif
