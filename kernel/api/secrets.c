/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets; see secrets.h. */
#include "api/secrets.h"

#include <stdlib.h>

#include "api/operation.h"
#include "remora/plugin/v1/plugin.pb-c.h"

err_t
secret_store_find(struct request *rq, struct slice name, struct component **ret_store)
{
    *ret_store = operation_component(rq, COMPONENT_SECRETS, name); /* suspends */
    if (*ret_store == NULL)
        return rq->components->kind_count[COMPONENT_SECRETS] == 0
                   ? fail(rq, ERR_SECRET_STORES_NOT_CONFIGURED, "secret store is not configured")
                   : fail(rq, ERR_SECRET_STORE_NOT_FOUND,
                          "failed finding secret store with key " SLICE_FMT, SLICE_ARG(name));
    return OK;
}

/* Metadata in the codec's own struct: the same two slices. */
static const struct secret_pair *
pairs_of(struct request *rq, const struct pair *metadata, size_t count)
{
    struct secret_pair *pairs = ARENA_ARRAY(rq->arena, struct secret_pair, count);
    for (size_t i = 0; i < count; i++)
        pairs[i] = (struct secret_pair){ metadata[i].name, metadata[i].value };
    return pairs;
}

static err_t
call_store(struct request *rq, struct component *store, uint32_t method, struct slice message,
           struct component_call *ret_call)
{
    const struct operation operation = { .method = method, .message = message };
    return operation_run(rq, store, &operation, ret_call);
}

/* --- get ---------------------------------------------------------------------------------------*/

static err_t
fail_get(struct request *rq, const struct component *store, struct slice name, struct slice reason)
{
    struct slice store_name = store->facts->name;
    return fail(rq, ERR_SECRET_GET,
                "failed getting secret with key " SLICE_FMT " from secret store " SLICE_FMT
                ": " SLICE_FMT,
                SLICE_ARG(name), SLICE_ARG(store_name), SLICE_ARG(reason));
}

err_t
secret_get(struct request *rq, struct component *store, struct slice name,
           const struct pair *metadata, size_t metadata_count, struct secret *ret_secret)
{
    struct slice store_name = store->facts->name;
    if (!secret_scopes_allow(&settings_of(rq->task)->secret_scopes, store_name, name))
        return fail(rq, ERR_PERMISSION_DENIED,
                    "access denied by policy to get \"" SLICE_FMT "\" from \"" SLICE_FMT "\"",
                    SLICE_ARG(name), SLICE_ARG(store_name));
    struct component_call call;
    bool found = false;
    struct slice message = secret_pack_request(
        rq->arena, &name, pairs_of(rq, metadata, metadata_count), metadata_count);
    err_t err = call_store(rq, store, REMORA__PLUGIN__V1__METHOD__METHOD_SECRET_GET, message,
                           &call);
    if (operation_has_failed(err, &call))
        err = fail_get(rq, store, name, operation_reason(rq, err, &call));
    else if (!secret_read_one(rq->arena, arena_dup(rq->arena, call.bus.call.message), &found,
                              ret_secret))
        err = fail_get(rq, store, name, SLICE("the plugin's answer is malformed"));
    else if (!found)
        err = fail_get(rq, store, name,
                       arena_printf(rq->arena, "secret " SLICE_FMT " not found", SLICE_ARG(name)));
    component_call_finish(rq->task, &call);
    ret_secret->name = name;
    return err;
}

/* --- all ---------------------------------------------------------------------------------------*/

static int
compare_names(const void *a, const void *b)
{
    return slice_cmp(((const struct secret *)a)->name, ((const struct secret *)b)->name);
}

/* Only what may be seen, in order. */
static size_t
select_allowed(struct request *rq, const struct component *store, struct secret *secrets,
               size_t count)
{
    const struct secret_scopes *scopes = &settings_of(rq->task)->secret_scopes;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (secret_scopes_allow(scopes, store->facts->name, secrets[i].name))
            secrets[kept++] = secrets[i];
    if (kept > 1)
        qsort(secrets, kept, sizeof *secrets, compare_names);
    return kept;
}

static err_t
fail_all(struct request *rq, const struct component *store, struct slice reason)
{
    struct slice store_name = store->facts->name;
    return fail(rq, ERR_SECRET_GET,
                "failed getting secrets from secret store " SLICE_FMT ": " SLICE_FMT,
                SLICE_ARG(store_name), SLICE_ARG(reason));
}

err_t
secret_get_all(struct request *rq, struct component *store, const struct pair *metadata,
               size_t metadata_count, struct secret **ret_secrets, size_t *ret_count)
{
    struct component_call call;
    struct slice message = secret_pack_request(
        rq->arena, NULL, pairs_of(rq, metadata, metadata_count), metadata_count);
    err_t err = call_store(rq, store, REMORA__PLUGIN__V1__METHOD__METHOD_SECRET_BULK_GET, message,
                           &call);
    if (operation_has_failed(err, &call))
        err = fail_all(rq, store, operation_reason(rq, err, &call));
    else if (!secret_read_all(rq->arena, arena_dup(rq->arena, call.bus.call.message), ret_secrets,
                              ret_count))
        err = fail_all(rq, store, SLICE("the plugin's answer is malformed"));
    else
        *ret_count = select_allowed(rq, store, *ret_secrets, *ret_count);
    component_call_finish(rq->task, &call);
    return err;
}
