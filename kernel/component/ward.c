/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin in the host's care: the supervisor's hooks, the dock of each process, and the successor
 * that a changed plugin is brought up beside it. A ward swaps by making another ward: when that one
 * has a link, the members move there in one exchange, and the old plugin is stopped once nothing of
 * it is in use.
 */
#include <errno.h>
#include <stdlib.h>

#include "async/listener.h"
#include "base/log.h"
#include "component/dock.h"
#include "component/host_internal.h"

#define SCOPE "remora.host"

/* --- making wards ------------------------------------------------------------------------------*/

static struct ward *
ward_new(struct host *host, struct plugin *plugin, struct worker *worker)
{
    struct ward *ward = calloc(1, sizeof *ward);
    host->wards = realloc(host->wards, (host->ward_count + 1) * sizeof(struct ward *));
    if (ward == NULL || host->wards == NULL)
        abort();
    *ward = (struct ward){ .host = host, .plugin = plugin, .worker = worker };
    host->wards[host->ward_count++] = ward;
    plugin_set_user(plugin, ward);
    return ward;
}

struct ward *
ward_for(struct host *host, const struct manifest *manifest, struct slice isolate)
{
    struct plugin *plugin = supervisor_plugin(host->supervisor, manifest, isolate);
    struct ward *ward = plugin_user(plugin);
    if (ward != NULL)
        return ward;
    return ward_new(host, plugin,
                    host->config.workers[host->ward_count % host->config.worker_count]);
}

void
wards_free(struct host *host)
{
    for (size_t i = 0; i < host->ward_count; i++) {
        link_unref(host->wards[i]->link);
        free(host->wards[i]);
    }
    free(host->wards);
}

/* --- links -------------------------------------------------------------------------------------*/

static bool
is_member_of(const struct member *member, const struct ward *ward)
{
    return member != NULL && member->ward == ward;
}

/* All members of the old ward in one exchange: all or none. */
static void
take_over(struct ward *ward)
{
    struct host *host = ward->host;
    struct member **movers = calloc(host->member_count + 1, sizeof *movers);
    if (movers == NULL)
        abort();
    size_t count = 0;
    for (size_t i = 0; i < host->member_count; i++) {
        struct member *member = host->members[i];
        if (is_member_of(member, ward->predecessor) && member->exchange == NULL &&
            !member_is_held(member))
            movers[count++] = member;
    }
    if (count > 0)
        members_exchange(host, movers, count, ward);
    else
        ward_swapped(ward, NULL);
    free(movers);
}

static void
link_up(struct ward *ward, struct link *link)
{
    struct host *host = ward->host;
    ward->link = link_ref(link);
    if (ward->predecessor != NULL) {
        take_over(ward);
        return;
    }
    for (size_t i = 0; i < host->member_count; i++) {
        struct member *member = host->members[i];
        if (is_member_of(member, ward) && !ev_is_active(&member->retry))
            member_init(member);
        else if (member != NULL && member->next_ward == ward && member->exchange == NULL)
            members_exchange(host, &member, 1, ward);
    }
}

static void
link_down(struct ward *ward)
{
    struct host *host = ward->host;
    if (ward->link == NULL)
        return;
    link_unref(TAKE(ward->link));
    for (size_t i = 0; i < host->member_count; i++)
        if (is_member_of(host->members[i], ward))
            member_lost(host->members[i]);
}

/* Main thread, from the mailbox. */
static void
on_dock_event(struct mail *mail)
{
    static const enum link_event link_events[] = {
        [DOCK_CONNECTED] = LINK_CONNECTED, [DOCK_READY] = LINK_READY, [DOCK_FAILED] = LINK_FAILED,
        [DOCK_ANSWERED] = LINK_ANSWERED,   [DOCK_LOST] = LINK_LOST,
    };
    struct dock_event *event = container_of(mail, struct dock_event, mail);
    struct ward *ward = event->user;
    if (ward->dock == event->dock) {
        supervisor_link_event(ward->plugin, plugin_generation(ward->plugin),
                              link_events[event->kind], event->reason);
        if (event->kind == DOCK_READY)
            link_up(ward, event->link);
        if (event->kind == DOCK_LOST)
            link_down(ward);
    }
    link_unref(event->link);
    free(event);
}

/* --- the supervisor's hooks --------------------------------------------------------------------*/

static void
on_listen(void *arg, struct plugin *plugin, const char *socket_path, const char *token,
          uint32_t generation)
{
    struct host *host = arg;
    struct ward *ward = plugin_user(plugin);
    const struct manifest *manifest = plugin_manifest(plugin);
    int fd = listener_bind_unix(socket_path, 0600);
    if (fd < 0)
        log_error(SCOPE, "cannot listen for plugin %s (errno %d)", plugin_name(plugin), errno);
    const struct dock_config config = {
        .worker = ward->worker,
        .control = host->config.control,
        .on_event = on_dock_event,
        .listen_fd = fd,
        .token = token,
        .epoch = generation,
        .plugin_name = manifest->name,
        .kernel_version = host->config.version,
        .app_id = host->config.app_id.data,
        .namespace_ = host->config.namespace_.data,
        .host_services = manifest->host_services.items,
        .host_service_count = manifest->host_services.count,
        .on_host_call = host->config.on_host_call,
        .user = ward,
    };
    ward->dock = dock_new(&config);
}

static void
on_spawned(void *arg, struct plugin *plugin, uint32_t generation, pid_t pid)
{
    (void)arg;
    (void)generation;
    struct ward *ward = plugin_user(plugin);
    dock_open(ward->dock, pid);
}

static void
on_closed(void *arg, struct plugin *plugin, uint32_t generation)
{
    (void)arg;
    (void)generation;
    struct ward *ward = plugin_user(plugin);
    link_down(ward);
    dock_close(TAKE(ward->dock));
}

/* Why the process ended, with its last words. */
static struct slice
last_words(struct plugin *plugin, struct arena *arena)
{
    struct plugin_status status = plugin_status(plugin, arena);
    struct slice cause = status.last_exit.len > 0 ? status.last_exit : status.reason;
    struct slice line = status.line_count > 0 ? status.lines[status.line_count - 1] : SLICE_EMPTY;
    return arena_printf(arena, "plugin %s ended (" SLICE_FMT ")%s" SLICE_FMT, plugin_name(plugin),
                        SLICE_ARG(cause), line.len > 0 ? ": " : "", SLICE_ARG(line));
}

/* A plugin that cannot even say hello takes its components down with it while we start. */
static void
failed_at_start(struct ward *ward, struct slice cause)
{
    struct host *host = ward->host;
    for (size_t i = 0; i < host->member_count && host->is_starting && !host->is_stopping; i++)
        if (is_member_of(host->members[i], ward) && !host->members[i]->is_settled)
            member_init_failed(host->members[i], cause);
}

static void
drop_changes(struct ward *ward, struct slice cause)
{
    struct host *host = ward->host;
    for (size_t i = 0; i < host->member_count; i++) {
        struct member *member = host->members[i];
        if (member == NULL || member->next_ward != ward)
            continue;
        log_error(SCOPE, "component " SLICE_FMT " stays as it was: " SLICE_FMT,
                  SLICE_ARG(member->spec->name), SLICE_ARG(cause));
        member_forget_change(member);
    }
}

static void
on_changed(void *arg, struct plugin *plugin, enum plugin_state from)
{
    struct host *host = arg;
    struct ward *ward = plugin_user(plugin);
    if (host->config.on_plugin != NULL)
        host->config.on_plugin(host->config.arg, plugin, from);
    if (plugin_state(plugin) != PLUGIN_FAILED || host->is_stopping || ward == NULL)
        return;
    struct arena scratch;
    arena_init(&scratch);
    struct slice cause = last_words(plugin, &scratch);
    if (ward->predecessor != NULL)
        ward_swapped(ward, cause.data); /* one try: the old one serves on */
    else if (host->is_starting)
        failed_at_start(ward, cause);
    else
        drop_changes(ward, cause);
    arena_fini(&scratch);
}

struct supervisor_hooks
ward_hooks(struct host *host)
{
    return (struct supervisor_hooks){ .arg = host,
                                      .listen = on_listen,
                                      .spawned = on_spawned,
                                      .closed = on_closed,
                                      .changed = on_changed };
}

/* --- swapping ----------------------------------------------------------------------------------*/

/* Files of all members, those of changes included. */
static void
allow_all(struct ward *from, struct plugin *plugin)
{
    struct host *host = from->host;
    for (size_t i = 0; i < host->member_count; i++) {
        const struct member *member = host->members[i];
        if (!is_member_of(member, from))
            continue;
        const struct component_spec *specs[] = { member->spec, member->next_spec };
        for (size_t s = 0; s < ARRAY_LEN(specs); s++)
            for (size_t v = 0; specs[s] != NULL && v < specs[s]->value_count; v++)
                if (!plugin_allow_metadata(plugin, specs[s]->values[v].name,
                                           specs[s]->values[v].value))
                    log_debug(SCOPE, "plugin %s has too many files",
                              plugin_name(plugin)); /* not started: it fits */
    }
}

void
ward_swap(struct ward *ward, const struct manifest *manifest)
{
    struct host *host = ward->host;
    if (ward->predecessor != NULL || ward->successor != NULL) {
        ward->swap_again = true; /* when the one under way is over */
        return;
    }
    struct plugin *plugin = supervisor_successor(host->supervisor, ward->plugin, manifest);
    struct ward *successor = ward_new(host, plugin, ward->worker);
    successor->predecessor = ward;
    ward->successor = successor;
    allow_all(ward, plugin);
    log_info(SCOPE, "plugin %s: another process is started to take over", plugin_name(plugin));
    plugin_start(plugin);
}

static bool
has_members(const struct ward *ward)
{
    for (size_t i = 0; i < ward->host->member_count; i++)
        if (is_member_of(ward->host->members[i], ward))
            return true;
    return false;
}

static void
retire_ward(struct ward *ward, const char *reason)
{
    ward->is_retired = true;
    plugin_retire(ward->plugin, reason);
}

void
ward_swapped(struct ward *ward, const char *error)
{
    struct ward *old = TAKE(ward->predecessor);
    if (old == NULL)
        return; /* an exchange within one process */
    old->successor = NULL;
    bool again = old->swap_again || ward->swap_again;
    old->swap_again = ward->swap_again = false;
    struct ward *kept = ward;
    if (error != NULL)
        log_error(SCOPE, "plugin %s: the exchange of its process has failed: %s",
                  plugin_name(ward->plugin), error);
    if (has_members(ward) || error == NULL) {
        log_info(SCOPE, "plugin %s: generation %u has taken over", plugin_name(ward->plugin),
                 plugin_generation(ward->plugin));
        plugin_promote(ward->plugin);
        members_move_held(old, ward);
        if (!has_members(old))
            retire_ward(old, "another process has taken over");
    } else {
        kept = old;
        retire_ward(ward, "it could not take over");
        for (size_t i = 0; i < old->host->member_count; i++)
            if (is_member_of(old->host->members[i], old))
                member_forget_change(old->host->members[i]);
    }
    if (ward->host->config.on_swap != NULL)
        ward->host->config.on_swap(ward->host->config.arg, ward->plugin, kept == ward, error);
    if (again)
        ward_swap(kept, plugin_manifest(kept->plugin));
}
