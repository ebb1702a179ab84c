/* SPDX-License-Identifier: Apache-2.0 */
/* Items of configuration stores; see configuration.h. */
#include "api/configuration.h"

#include <stdlib.h>

#include "api/configuration_seen.h"
#include "api/operation.h"
#include "base/limits.h"
#include "remora/plugin/v1/plugin.pb-c.h"

err_t
configuration_store_find(struct request *rq, struct slice name, struct component **ret_store)
{
    *ret_store = operation_component(rq, COMPONENT_CONFIGURATION, name); /* suspends */
    if (*ret_store == NULL)
        return rq->components->kind_count[COMPONENT_CONFIGURATION] == 0
                   ? fail(rq, ERR_CONFIGURATION_STORE_NOT_CONFIGURED,
                          "configuration stores not configured")
                   : fail(rq, ERR_CONFIGURATION_STORE_NOT_FOUND,
                          "configuration store " SLICE_FMT " not found", SLICE_ARG(name));
    return OK;
}

/* --- messages ----------------------------------------------------------------------------------*/

char **
configuration_pack_keys(struct arena *arena, const struct configuration_query *query)
{
    char **keys = ARENA_ARRAY(arena, char *, query->key_count + 1);
    for (size_t i = 0; i < query->key_count; i++)
        keys[i] = pb_string(arena, query->keys[i]);
    return keys;
}

static int
compare_keys(const void *a, const void *b)
{
    return slice_cmp(((const struct configuration_item *)a)->key,
                     ((const struct configuration_item *)b)->key);
}

bool
configuration_take_items(struct arena *arena, Remora__Plugin__V1__ConfigurationItem *const *from,
                         size_t count, struct configuration_item **ret_items)
{
    struct configuration_item *items = ARENA_ARRAY(arena, struct configuration_item, count + 1);
    for (size_t i = 0; i < count; i++) {
        struct pair *metadata = ARENA_ARRAY(arena, struct pair, from[i]->n_metadata + 1);
        for (size_t k = 0; k < from[i]->n_metadata; k++)
            metadata[k] = (struct pair){ slice_str(from[i]->metadata[k]->name),
                                         slice_str(from[i]->metadata[k]->value) };
        items[i] = (struct configuration_item){ .key = slice_str(from[i]->key),
                                                .value = pb_slice(from[i]->value),
                                                .version = slice_str(from[i]->version),
                                                .metadata = metadata,
                                                .metadata_count = from[i]->n_metadata };
    }
    if (count > 1)
        qsort(items, count, sizeof *items, compare_keys);
    for (size_t i = 0; i < count; i++)
        if (items[i].key.len == 0 || (i > 0 && slice_eq(items[i].key, items[i - 1].key)))
            return false;
    *ret_items = items;
    return true;
}

/* --- reading -----------------------------------------------------------------------------------*/

static struct slice
pack_get(struct arena *arena, const struct configuration_query *query)
{
    Remora__Plugin__V1__ConfigurationGet out = REMORA__PLUGIN__V1__CONFIGURATION_GET__INIT;
    out.keys = configuration_pack_keys(arena, query);
    out.n_keys = query->key_count;
    out.metadata = operation_pack_pairs(arena, query->metadata, query->metadata_count);
    out.n_metadata = query->metadata_count;
    return pb_pack(arena, &out.base);
}

err_t
configuration_read_items(struct request *rq, struct component *store,
                         const struct configuration_query *query,
                         struct configuration_item **ret_items, size_t *ret_count)
{
    struct component_call call;
    const struct operation operation = {
        .method = REMORA__PLUGIN__V1__METHOD__METHOD_CONFIGURATION_GET,
        .message = pack_get(rq->arena, query),
    };
    err_t err = operation_run(rq, store, &operation, &call); /* suspends */
    if (operation_has_failed(err, &call)) {
        struct slice words = operation_reason(rq, err, &call);
        err = DIAG_FAIL(task_diag(rq->task), err == OK ? ERR_PLUGIN_FAILED : err, SLICE_FMT,
                        SLICE_ARG(words));
    } else {
        /* What was unpacked owns its bytes. */
        const Remora__Plugin__V1__ConfigurationItems *in = operation_unpack(
            rq, &remora__plugin__v1__configuration_items__descriptor, LIMIT_configuration_items_max,
            &call);
        if (in != NULL && configuration_take_items(rq->arena, in->items, in->n_items, ret_items))
            *ret_count = in->n_items;
        else
            err = DIAG_FAIL(task_diag(rq->task), ERR_PLUGIN_PROTOCOL,
                            "the plugin's answer is malformed");
    }
    component_call_finish(rq->task, &call);
    return err;
}

struct slice
configuration_key_words(struct arena *arena, const struct configuration_query *query)
{
    struct arena_bytes words = { 0 };
    arena_append(arena, &words, SLICE("["));
    for (size_t i = 0; i < query->key_count; i++) {
        if (i > 0)
            arena_append(arena, &words, SLICE(" "));
        arena_append(arena, &words, query->keys[i]);
    }
    arena_append(arena, &words, SLICE("]"));
    return arena_bytes_slice(&words);
}

err_t
configuration_get(struct request *rq, struct component *store,
                  const struct configuration_query *query, struct configuration_item **ret_items,
                  size_t *ret_count)
{
    struct slice name = store->facts->name;
    err_t err = configuration_read_items(rq, store, query, ret_items, ret_count); /* suspends */
    if (err != OK) {
        struct slice words = configuration_key_words(rq->arena, query);
        return fail(rq, ERR_CONFIGURATION_GET,
                    "failed to get " SLICE_FMT " from Configuration store " SLICE_FMT
                    ": " SLICE_FMT,
                    SLICE_ARG(words), SLICE_ARG(name), SLICE_ARG(task_diag(rq->task)->message));
    }
    configuration_seen_note(name, query, *ret_items, *ret_count);
    return OK;
}
