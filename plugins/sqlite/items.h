/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items of configuration as they are read from their table, whose triggers number what changes.
 * Each function is one read on the thread that has the connection; nothing is written.
 */
#ifndef SQLITE_PLUGIN_ITEMS_H
#define SQLITE_PLUGIN_ITEMS_H

#include "connection.h"

/* Texts are in the same piece of memory. */
struct item {
    struct item *next;
    struct remora_configuration_item base;
    int64_t number; /* of its change; with items_changed() only */
};

struct items {
    struct item *first, **tail;
    size_t count, bytes;
    bool is_partial;     /* there are more changes */
    int64_t last_number; /* of the latest change of all */
};

void items_init(struct items *items);
void items_fini(struct items *items);
/* As the SDK takes them; free() it. NULL if there are none. */
struct remora_configuration_item *items_flatten(const struct items *items);

/* Those of the keys that are there; with no key all. An error beyond the bounds of an answer. */
struct failure *items_read(struct connection *connection, const char *table,
                           const struct remora_slice *keys, size_t key_count, struct items *items);

/* What has changed behind a number, as it is now: what is gone has neither value nor version. */
struct failure *items_changed(struct connection *connection, const char *table, int64_t number,
                              struct items *items);

/* Only last_number. */
struct failure *items_last(struct connection *connection, const char *table, int64_t *ret_number);

#endif
