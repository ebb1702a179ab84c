/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Components that wait for their secret store. One is held while the store it names is not there:
 * it is neither created nor failed, and the start does not wait for it once it is clear that the
 * store will not come by itself. As soon as the store serves, whoever waits for it is created, and
 * when its secrets change, whoever has taken some from it is exchanged.
 */
#include "base/log.h"
#include "component/host_internal.h"

#define SCOPE "dapr.runtime.processor.secret"

static struct member *
store_of(const struct member *member)
{
    const struct host *host = member->host;
    for (size_t i = 0; i < host->member_count; i++) {
        struct member *store = host->members[i];
        if (store != NULL && store->kind == COMPONENT_SECRETS && !store->is_leaving &&
            slice_eq(store->spec->name, member->spec->auth_secret_store))
            return store;
    }
    return NULL;
}

bool
member_is_held(const struct member *member)
{
    if (!member->spec->has_secrets)
        return false;
    const struct member *store = store_of(member);
    return store == NULL || store->standing != STANDING_READY;
}

bool
member_store_may_come(const struct member *member)
{
    const struct member *store = store_of(member);
    for (size_t steps = 0; store != NULL && steps <= member->host->member_count; steps++) {
        if (store->standing == STANDING_READY)
            return true;
        if (store->standing == STANDING_FAILED || store->ward == NULL)
            return false;
        if (!store->spec->has_secrets)
            return true;
        store = store_of(store);
    }
    return false;
}

bool
member_hold(struct member *member)
{
    if (!member_is_held(member))
        return false;
    if (member->is_settled || member_store_may_come(member))
        return true;
    struct slice name = member->spec->name, store = member->spec->auth_secret_store;
    log_warn(SCOPE,
             "Component " SLICE_FMT " references a secret store that isn't loaded: " SLICE_FMT,
             SLICE_ARG(name), SLICE_ARG(store));
    member_settle(member);
    return true;
}

/* What was asked for while its store was not there; it may have to wait for another one. */
static void
change_at_last(struct member *member)
{
    struct host_load *load = host_load_ref(member->next_load);
    member_change(member, load, member->next_spec);
    host_load_unref(load);
}

void
members_store_changed(const struct member *store)
{
    struct host *host = store->host;
    if (store->kind != COMPONENT_SECRETS)
        return;
    if (store->standing == STANDING_READY && host->config.on_secrets != NULL)
        host->config.on_secrets(host->config.arg, store->spec->name, false);
    for (size_t i = 0; i < host->member_count && !host->is_stopping; i++) {
        struct member *member = host->members[i];
        if (member == NULL || member->exchange != NULL)
            continue;
        if (member->is_waiting_to_change)
            change_at_last(member);
        else if (member->spec->has_secrets && member->standing == STANDING_WAITING &&
                 store_of(member) == store && !ev_is_active(&member->retry))
            member_init(member); /* created, or looked at once more */
    }
}

/* --- rotation ----------------------------------------------------------------------------------*/

static void
each_file_of(const struct member *store, host_secret_file_fn *fn, void *arg)
{
    const struct manifest *manifest = plugin_manifest(store->ward->plugin);
    struct arena scratch;
    arena_init(&scratch);
    for (size_t i = 0; i < manifest->file_count; i++) {
        const struct manifest_file *file = &manifest->files[i];
        const struct component_value *value = file->metadata == NULL
                                                  ? NULL
                                                  : component_value(store->spec,
                                                                    slice_str(file->metadata));
        const char *path = value == NULL ? NULL : manifest_file_of(file, value->value, &scratch);
        if (path != NULL)
            fn(arg, store->spec->name, path);
    }
    arena_fini(&scratch);
}

void
host_each_secret_file(struct host *host, host_secret_file_fn *fn, void *arg)
{
    for (size_t i = 0; i < host->member_count; i++) {
        const struct member *member = host->members[i];
        if (member != NULL && member->kind == COMPONENT_SECRETS && member->ward != NULL)
            each_file_of(member, fn, arg);
    }
}

void
host_secrets_changed(struct host *host, struct slice store)
{
    for (size_t i = 0; i < host->member_count && !host->is_stopping; i++) {
        struct member *member = host->members[i];
        if (member == NULL || member->is_leaving || !member->spec->has_secrets ||
            !slice_eq(member->spec->auth_secret_store, store))
            continue;
        log_info(SCOPE, "Component " SLICE_FMT ": the secrets of store " SLICE_FMT " have changed",
                 SLICE_ARG(member->spec->name), SLICE_ARG(store));
        member_renew(member);
    }
}
