/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a component of type `state.postgresql`, and how its failures are told. */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"

static const uint32_t capabilities = REMORA_CAP_ETAG | REMORA_CAP_TRANSACTIONAL | REMORA_CAP_TTL |
                                     REMORA_CAP_KEYS_LIKE;

struct remora_failure *
store_failure(remora_call *call, const struct trouble *trouble, const char *prefix)
{
    struct remora_failure *failure = remora_call_alloc(call, sizeof *failure);
    size_t bytes = strlen(prefix) + strlen(trouble->why) + 1;
    char *message = remora_call_alloc(call, bytes);
    snprintf(message, bytes, "%s%s", prefix, trouble->why);
    *failure = (struct remora_failure){ .code = trouble->code,
                                        .effect = trouble->effect,
                                        .message = message };
    return failure;
}

static void
store_free(void *arg)
{
    struct store *store = arg;
    cleanup_stop(store);
    pool_free(store->pool);
    layout_fini(&store->layout);
    settings_fini(&store->settings);
    free(store->greeting);
    free(store);
}

void
store_close(void *self)
{
    store_free(self);
}

static void
on_migrated(struct store *store, const char *why)
{
    if (why != NULL) {
        remora_reply_error(store->init, REMORA_FAILED_PRECONDITION, "%s", why);
        remora_post(store_free, store); /* the pool is in use up the stack */
        return;
    }
    pool_probe(store->pool, false);
    cleanup_start(store);
    remora_reply_init(store->init, store,
                      capabilities | (store->layout.is_v2 ? 0 : REMORA_CAP_QUERY_API), 0);
    store->init = NULL;
}

static char *
greeting_of(const struct settings *settings)
{
    return memory_printf("SET statement_timeout = %lld", (long long)settings->timeout_ms);
}

void
store_init(remora_call *call, const struct remora_config *config)
{
    char why[SETTINGS_WHY_BYTES];
    bool is_v2 = remora_slice_eq(config->version, "v2");
    struct store *store = memory_new(sizeof *store);
    if (!settings_init(&store->settings, config, why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        free(store);
        return;
    }
    if (!settings_read_tables(&store->tables, config, is_v2, why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        settings_fini(&store->settings);
        free(store);
        return;
    }
    layout_init(&store->layout, &store->tables, is_v2);
    store->init = call;
    store->greeting = greeting_of(&store->settings);
    store->pool = pool_new(
        &(struct pool_options){ .settings = &store->settings,
                                .statements = (const char *const *)store->layout.statements,
                                .statement_count = LAYOUT_STATEMENTS,
                                .greeting = store->greeting });
    pool_probe(store->pool, true);
    store_migrate(store, on_migrated);
}

const struct remora_state_ops store_ops = {
    .get = state_get,
    .get_many = state_get_many,
    .set = state_set,
    .set_many = state_set_many,
    .del = state_delete,
    .delete_many = state_delete_many,
    .transact = state_transact,
    .query = state_query,
    .keys_like = state_keys_like,
};
