/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is configured and what has changed; see host.h. host_start() makes a member of each
 * component and starts the plugins they need; from there on ward.c brings links and member.c
 * components up. host_reload() compares, and changes only what is different.
 */
#include "component/host.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "component/host_internal.h"

#define SCOPE "dapr.runtime.processor"

/* --- loads -------------------------------------------------------------------------------------*/

struct host_load *
host_load_new(void)
{
    struct host_load *load = calloc(1, sizeof *load);
    if (load == NULL)
        abort();
    load->refs = 1;
    arena_init(&load->arena);
    return load;
}

struct host_load *
host_load_ref(struct host_load *load)
{
    load->refs++;
    return load;
}

void
host_load_unref(struct host_load *load)
{
    if (load == NULL || --load->refs > 0)
        return;
    arena_fini(&load->arena);
    free(load);
}

/* --- members -----------------------------------------------------------------------------------*/

static struct member *
find_member(struct host *host, struct slice name)
{
    return map_get(&host->by_name, name);
}

/* The newest of a name is found by it: one that is leaving may still be there. */
static void
keep_member(struct host *host, struct member *member)
{
    (void)map_put(&host->by_name, member->spec->name, member); /* whatever it replaces */
    for (size_t i = 0; i < host->member_count && host->free_places > 0; i++) {
        if (host->members[i] == NULL) { /* of one that was removed */
            host->members[i] = member;
            host->free_places--;
            return;
        }
    }
    host->members = realloc(host->members, (host->member_count + 1) * sizeof(struct member *));
    if (host->members == NULL)
        abort();
    host->members[host->member_count++] = member;
}

/* --- start and stop ----------------------------------------------------------------------------*/

struct host *
host_new(const struct host_config *config)
{
    struct host *host = calloc(1, sizeof *host);
    if (host == NULL)
        abort();
    host->config = *config;
    map_init(&host->by_name);
    host->routes = (struct routes){ .workers = config->workers,
                                    .tables = config->tables,
                                    .count = config->worker_count };
    arena_init(&host->arena);
    const struct supervisor_config supervisor_config = {
        .exec_path = config->exec_path,
        .rundir = config->rundir,
        .sandbox = config->sandbox,
        .environment = config->environment,
    };
    const struct supervisor_hooks hooks = ward_hooks(host);
    host->supervisor = supervisor_new(config->loop, &supervisor_config, &hooks);
    return host;
}

void
host_start(struct host *host, struct host_load *load)
{
    bool is_allowed;
    host->is_starting = true;
    rotation_start(host);
    host->unsettled = load->components.count + 1; /* one for ourselves, until all are assigned */
    for (size_t i = 0; i < load->components.count && !host->is_stopping; i++) {
        struct member *member = member_new(host, load, &load->components.items[i]);
        keep_member(host, member);
        (void)member_assign(member, &is_allowed); /* a failure has been reported */
    }
    for (size_t i = 0; i < host->ward_count && !host->is_stopping; i++)
        plugin_start(host->wards[i]->plugin);
    if (host->is_stopping || --host->unsettled > 0)
        return;
    host->is_starting = false;
    host->config.on_settled(host->config.arg);
}

static void
stop_plugins(void *arg, uint32_t left_ms)
{
    struct host *host = arg;
    supervisor_stop_all(host->supervisor, left_ms, host->stopped, host->stopped_arg);
}

void
host_stop(struct host *host, uint32_t deadline_ms, void (*stopped)(void *arg), void *arg)
{
    host->is_stopping = true;
    rotation_stop(host);
    host->stopped = stopped;
    host->stopped_arg = arg;
    for (size_t i = 0; i < host->member_count; i++)
        if (host->members[i] != NULL)
            ev_timer_stop(host->config.loop, &host->members[i]->retry);
    farewell_start(host, deadline_ms, stop_plugins, host);
}

void
host_free(struct host *host)
{
    rotation_stop(host);
    supervisor_free(host->supervisor);
    for (size_t i = 0; i < host->member_count; i++)
        member_free(host->members[i]);
    free(host->members);
    map_fini(&host->by_name);
    wards_free(host);
    arena_fini(&host->arena);
    free(host);
}

/* --- changes -----------------------------------------------------------------------------------*/

/* As written: what templates and secrets make of it does not count. */
static bool
same_spec(const struct component_spec *a, const struct component_spec *b)
{
    if (!slice_eq(a->type, b->type) || !slice_eq(a->version, b->version) ||
        a->ignore_errors != b->ignore_errors || a->init_timeout_ms != b->init_timeout_ms ||
        !slice_eq(a->auth_secret_store, b->auth_secret_store) ||
        !slice_eq(a->configuration, b->configuration) || a->value_count != b->value_count ||
        a->annotation_count != b->annotation_count)
        return false;
    for (size_t i = 0; i < a->value_count; i++)
        if (!value_is_same(&a->values[i], &b->values[i]))
            return false;
    for (size_t i = 0; i < a->annotation_count; i++)
        if (!slice_eq(a->annotations[i].name, b->annotations[i].name) ||
            !slice_eq(a->annotations[i].value, b->annotations[i].value))
            return false;
    return true;
}

/* Takes away what the load does not have; as long as a document is broken it just says so. */
static void
remove_missing(struct host *host, const struct host_load *load)
{
    struct map wanted;
    map_init(&wanted);
    for (size_t i = 0; i < load->components.count; i++)
        (void)map_put(&wanted, load->components.items[i].name, host); /* names are unique */
    for (size_t i = 0; i < host->member_count; i++) {
        struct member *member = host->members[i];
        if (member == NULL || map_get(&wanted, member->spec->name) != NULL)
            continue;
        if (load->first_broken.len == 0)
            member_remove(member);
        else if (!slice_eq(slice_str(member->error), load->first_broken))
            member_stays(member, load->first_broken);
    }
    map_fini(&wanted);
}

static void
add(struct host *host, struct host_load *load, struct component_spec *spec)
{
    bool is_allowed;
    struct member *member = member_new(host, load, spec);
    keep_member(host, member);
    log_info(SCOPE, "Adding Component for processing: " SLICE_FMT " (" SLICE_FMT "/" SLICE_FMT ")",
             SLICE_ARG(spec->name), SLICE_ARG(spec->type), SLICE_ARG(spec->version));
    if (!member_assign(member, &is_allowed))
        return;
    member_bring_up(member, is_allowed);
}

void
host_reload(struct host *host, struct host_load *load)
{
    assert(!host->is_starting && !host->is_stopping);
    remove_missing(host, load);
    for (size_t i = 0; i < load->components.count; i++) {
        struct component_spec *spec = &load->components.items[i];
        struct member *member = find_member(host, spec->name);
        if (member == NULL || member->is_leaving)
            add(host, load, spec);
        else if (!same_spec(member->next_spec != NULL ? member->next_spec : member->spec, spec))
            member_change(member, load, spec);
        else if (member->standing == STANDING_READY && member->next_spec == NULL)
            free(TAKE(member->error)); /* a change that failed was taken back */
    }
    wards_look(host);
}

static struct ward *
find_ward(struct host *host, struct slice plugin_name_wanted)
{
    for (size_t i = 0; i < host->ward_count; i++) {
        struct ward *ward = host->wards[i];
        if (!ward->is_retired && !ward->is_left && ward->predecessor == NULL &&
            slice_eq(slice_str(plugin_name(ward->plugin)), plugin_name_wanted))
            return ward;
    }
    return NULL;
}

/* The manifest of a plugin as it is now, with another program if one is named. */
static err_t
read_manifest(const struct manifest *present, const char *executable,
              struct manifest **ret_manifest, struct diag *diag)
{
    struct manifest *manifest = NULL;
    err_t err = manifest_load(present->file, &manifest, diag);
    if (err == OK && strcmp(manifest->name, present->name) != 0)
        err = DIAG_FAIL(diag, ERR_CONFIG, "%s is now of another plugin, %s", present->file,
                        manifest->name);
    if (err == OK && executable != NULL && executable[0] != '\0')
        err = manifest_set_program(manifest, slice_str(executable), diag);
    if (err == OK)
        *ret_manifest = TAKE(manifest);
    manifest_unref(manifest);
    return err;
}

err_t
host_swap(struct host *host, struct slice plugin_name_wanted, const char *executable,
          struct diag *diag)
{
    struct ward *ward = find_ward(host, plugin_name_wanted);
    struct manifest *manifest;
    if (ward == NULL)
        return DIAG_FAIL(diag, ERR_CONFIG, "there is no plugin " SLICE_FMT,
                         SLICE_ARG(plugin_name_wanted));
    if (host->is_starting || host->is_stopping)
        return DIAG_FAIL(diag, ERR_CONFIG, "the sidecar is %s",
                         host->is_stopping ? "shutting down" : "starting");
    err_t err = read_manifest(plugin_manifest(ward->plugin), executable, &manifest, diag);
    if (err != OK)
        return err;
    ward_swap(ward, manifest);
    manifest_unref(manifest); /* whoever needs it has counted it */
    return OK;
}

void
host_plugins_changed(struct host *host)
{
    for (size_t i = 0; i < host->member_count && !host->is_starting && !host->is_stopping; i++) {
        struct member *member = host->members[i];
        if (member == NULL || member->ward != NULL || member->exchange != NULL ||
            catalogue_find(host->config.catalogue, member->spec->type, member->spec->version) ==
                NULL)
            continue;
        struct host_load *load = host_load_ref(member->load);
        member_change(member, load, member->spec);
        host_load_unref(load); /* it was held: the member gives up its own before it counts again */
    }
}
