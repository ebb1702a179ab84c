/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one worker knows of where applications are: addresses by app id and namespace, whose turn it
 * is, which of them could not be reached lately, and since when it is time to ask again. No input
 * or output happens here, and time is a parameter. Bounded by LIMIT_names_max; who has not been
 * asked for longest goes.
 */
#ifndef API_NAME_CACHE_H
#define API_NAME_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/slice.h"

struct name_address {
    char *text;             /* owned, "host:port" */
    size_t len;             /* of it */
    uint64_t shunned_until; /* ms; it could not be reached */
};

struct name_entry {
    struct list used;           /* of the cache, newest last */
    struct name_entry *sibling; /* of the same app id in another namespace */
    unsigned refs;              /* the cache's, and those of who asks and waits */
    struct slice app_id;        /* both belong to the entry */
    struct slice namespace_;
    struct name_address *addresses; /* owned */
    size_t count;
    size_t turn;
    uint64_t fresh_until; /* ms; from then on the resolver is to be asked */
    uint64_t stale_until; /* ms; from then on its answer is to be waited for */

    /* Of resolve.c. */
    bool is_asking;
    struct list waiters;
    char *unreachable; /* owned; an address that the resolver is to be told of. NULL without */
};

struct name_cache {
    struct map by_id; /* app id → first of its entries */
    struct list used;
    size_t count;
};

void name_cache_init(struct name_cache *cache);
void name_cache_fini(struct name_cache *cache);

/* NULL if there is none. */
struct name_entry *
name_cache_find(struct name_cache *cache, struct slice app_id, struct slice namespace_);
/* Makes one if there is none. NULL if it may not: all others are being asked for. */
struct name_entry *
name_cache_get(struct name_cache *cache, struct slice app_id, struct slice namespace_);
struct name_entry *name_entry_ref(struct name_entry *entry);
void name_entry_unref(struct name_entry *entry);

/* What the resolver says now; the turn goes on, and who is shunned stays so. */
void name_entry_set(struct name_entry *entry, const struct slice *addresses, size_t count);
/* From now on what is there counts so long. */
void name_entry_renew(struct name_entry *entry, uint64_t now, uint64_t ttl_ms);
/* Whose turn it is; those that are shunned only if all are. Empty if there is none. Borrowed until
 * the next change. */
struct slice name_entry_next(struct name_entry *entry, uint64_t now);
/* Shuns an address in all namespaces of the app, and makes it time to ask; if no other is left,
 * also to wait for the answer. */
void
name_cache_shun(struct name_cache *cache, struct slice app_id, struct slice address, uint64_t now);

#endif
