/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a component of type `state.sqlite`.
 */
#include "store.h"

#include <stdlib.h>

#include "allocate.h"
#include "opening.h"

static const uint32_t capabilities = REMORA_CAP_ETAG | REMORA_CAP_TRANSACTIONAL |
                                     REMORA_CAP_QUERY_API | REMORA_CAP_TTL | REMORA_CAP_KEYS_LIKE;

void
store_free_if_done(struct store *store)
{
    if (!store->is_closed || store->is_cleaning)
        return;
    database_release(store->database);
    store_config_fini(&store->config);
    free(store);
}

void
store_close(void *self)
{
    struct store *store = self;
    cleanup_stop(store);
    store->is_closed = true;
    store_free_if_done(store);
}

void
store_start(remora_call *call, void *self)
{
    cleanup_start(self);
    remora_reply_ok(call);
}

struct initialising {
    remora_call *call;
    struct store *store;
};

static void
on_opened(void *arg, struct failure *failure)
{
    struct initialising *initialising = arg;
    if (failure != NULL) {
        remora_reply_failure(initialising->call, &failure->base);
        failure_free(failure);
        store_close(initialising->store);
    } else {
        remora_reply_init(initialising->call, initialising->store, capabilities, 0);
    }
    free(initialising);
}

static const struct store_defaults defaults = {
    .table = "state",
    .invalid_table = "invalid identifier",
    .invalid_metadata_table = "invalid identifier",
    .timeout_ms = 20000,
    .busy_timeout_ms = 2000,
};

void
store_init(remora_call *call, const struct remora_config *config)
{
    char error[FAILURE_BYTES_MAX];
    struct store *store = allocate(sizeof(*store));
    if (!store_config_init(&store->config, &defaults, config, error)) {
        free(store);
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
        return;
    }
    if (*store->config.warning != '\0')
        remora_log(REMORA_WARN, "component %.*s: %s", (int)config->name.len, config->name.data,
                   store->config.warning);
    store->database = database_take(&store->config.database);

    struct initialising *initialising = allocate(sizeof(*initialising));
    *initialising = (struct initialising){ .call = call, .store = store };
    database_open(store->database,
                  &(struct tables){ .schema = &schema_state,
                                    .table = store->config.table,
                                    .metadata_table = store->config.metadata_table },
                  on_opened, initialising);
}
