/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration, for every surface: items of a store read by their keys. Subscriptions are in
 * configuration_watch.h. Functions that take a request suspend, results live in its arena.
 */
#ifndef API_CONFIGURATION_H
#define API_CONFIGURATION_H

#include "api/request.h"

struct configuration_item {
    struct slice key;
    struct slice value;
    struct slice version; /* empty if the store has none */
    const struct pair *metadata;
    size_t metadata_count;
};

struct configuration_query {
    const struct slice *keys; /* each one that is there; none: all */
    size_t key_count;
    const struct pair *metadata;
    size_t metadata_count;
};

/* The store of that name, held until the request ends, or the error for it recorded. */
err_t configuration_store_find(struct request *rq, struct slice name,
                               struct component **ret_store) WARN_UNUSED;

/* Those that are there, in byte order of their keys. What an application has been given is
 * remembered until it subscribes, see configuration_seen.h. */
err_t configuration_get(struct request *rq, struct component *store,
                        const struct configuration_query *query,
                        struct configuration_item **ret_items, size_t *ret_count) WARN_UNUSED;

/* The same for the kernel itself: not remembered, and a failure is only in the diag. */
err_t
configuration_read_items(struct request *rq, struct component *store,
                         const struct configuration_query *query,
                         struct configuration_item **ret_items, size_t *ret_count) WARN_UNUSED;

/* "[a b]", as errors name keys. */
struct slice configuration_key_words(struct arena *arena, const struct configuration_query *query);

/* --- the contract's messages -------------------------------------------------------------------*/

char **configuration_pack_keys(struct arena *arena, const struct configuration_query *query);

struct Remora__Plugin__V1__ConfigurationItem;
/* Points into what was unpacked. False: two items of one key, or one without. */
bool configuration_take_items(struct arena *arena,
                              struct Remora__Plugin__V1__ConfigurationItem *const *from,
                              size_t count, struct configuration_item **ret_items) WARN_UNUSED;

#endif
