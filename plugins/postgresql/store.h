/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state store: one configured component of type `state.postgresql`, of either version. store.c
 * has its life, migrate.c makes its tables, state_read.c and state_write.c have its operations,
 * cleanup.c removes what has expired. All on the plugin's thread.
 */
#ifndef POSTGRESQL_STORE_H
#define POSTGRESQL_STORE_H

#include <ev.h>

#include "layout.h"
#include "pool.h"

enum {
    VALUE_BYTES_MAX = 256 * 1024 * 1024,
    VALUE_COPIED_BYTES_MAX = 4096, /* above, a value is lent to the SDK instead of copied */
    RESULT_ROWS_MAX = 100000,
    RESULT_BYTES_MAX = 32 * 1024 * 1024,
    PATTERN_BYTES_MAX = 4096,
    REQUEST_BYTES = 512, /* what a waiting request weighs besides its value */
};

struct store {
    struct settings settings;
    struct table_settings tables;
    struct layout layout;
    char *greeting;
    struct pool *pool;
    struct cleanup *cleanup;
    remora_call *init; /* to be answered */
};

extern const struct remora_state_ops store_ops;

void store_init(remora_call *call, const struct remora_config *config);
void store_close(void *self);

/* Lives as long as the call. `prefix` goes before the text. */
struct remora_failure *
store_failure(remora_call *call, const struct trouble *trouble, const char *prefix);

/* Makes the tables, or what they lack; `done` follows once, with words if it failed. The pool must
 * have one connection only. */
void store_migrate(struct store *store, void (*done)(struct store *store, const char *why));

void cleanup_start(struct store *store);
void cleanup_stop(struct store *store);

/* --- operations --------------------------------------------------------------------------------*/

void state_get(remora_call *call, void *self, const struct remora_state_get *get);
void state_get_many(remora_call *call, void *self, const struct remora_state_get *gets,
                    size_t count, uint32_t parallelism);
void state_set(remora_call *call, void *self, const struct remora_state_set *set);
void
state_set_many(remora_call *call, void *self, const struct remora_state_set *sets, size_t count);
void state_delete(remora_call *call, void *self, const struct remora_state_delete *del);
void state_delete_many(remora_call *call, void *self, const struct remora_state_delete *dels,
                       size_t count);
void state_transact(remora_call *call, void *self, const struct remora_state_operation *ops,
                    size_t count, const struct remora_pair *metadata, size_t metadata_count);
void state_query(remora_call *call, void *self, struct remora_slice query,
                 struct remora_slice key_prefix, const struct remora_pair *metadata,
                 size_t metadata_count);
void state_keys_like(remora_call *call, void *self, struct remora_slice pattern, uint32_t page_size,
                     struct remora_slice token);

#endif
