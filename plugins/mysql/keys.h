/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing keys by a pattern, in pages. Functions run on a thread with a connection.
 */
#ifndef MYSQL_PLUGIN_KEYS_H
#define MYSQL_PLUGIN_KEYS_H

#include "table.h"

struct keys {
    struct remora_slice *list; /* each in memory of its own */
    size_t count, bytes;
    bool is_partial; /* there are more: the last one is where the next page begins */
};

/* SQL's LIKE, with \ as its escape. *keys is the caller's, empty before, and also after a failure
 * to be given up. */
struct failure *
keys_like(struct session *session, const struct table *table, struct remora_slice pattern,
          uint32_t page_size, struct remora_slice token, struct keys *keys);
void keys_fini(struct keys *keys);

#endif
