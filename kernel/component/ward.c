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
#include "base/inject.h"
#include "base/limits.h"
#include "base/log.h"
#include "component/dock.h"
#include "component/host_internal.h"

#define SCOPE "remora.host"

/* --- making wards ------------------------------------------------------------------------------*/

static void on_idle(struct ev_loop *loop, ev_timer *timer, int events);

static struct ward *
ward_new(struct host *host, struct plugin *plugin, struct worker *worker)
{
    struct ward *ward = calloc(1, sizeof *ward);
    host->wards = realloc(host->wards, (host->ward_count + 1) * sizeof(struct ward *));
    if (ward == NULL || host->wards == NULL)
        abort();
    *ward = (struct ward){ .host = host, .plugin = plugin, .worker = worker };
    list_init(&ward->turns);
    host->wards[host->ward_count++] = ward;
    ev_timer_init(&ward->idle, on_idle, LIMIT_plugin_idle_ms / 1000.0, 0.);
    ward->idle.data = ward;
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

struct ward *
ward_heir(struct ward *ward)
{
    struct slice name = slice_str(plugin_name(ward->plugin));
    ptrdiff_t slash = slice_find_byte(name, '/');
    return ward_for(ward->host, plugin_manifest(ward->plugin),
                    slash < 0 ? SLICE_EMPTY : slice_from(name, (size_t)slash + 1));
}

static void
ward_free(struct ward *ward)
{
    ev_timer_stop(ward->host->config.loop, &ward->idle);
    link_unref(ward->link);
    manifest_unref(ward->next_manifest);
    free(ward);
}

void
wards_free(struct host *host)
{
    for (size_t i = 0; i < host->ward_count; i++)
        ward_free(host->wards[i]);
    free(host->wards);
}

/* --- members -----------------------------------------------------------------------------------*/

static bool
is_member_of(const struct member *member, const struct ward *ward)
{
    return member != NULL && member->ward == ward;
}

static bool
has_members(const struct ward *ward)
{
    for (size_t i = 0; i < ward->host->member_count; i++)
        if (is_member_of(ward->host->members[i], ward))
            return true;
    return false;
}

/* Whether a component is to move here once there is a link. */
static bool
is_awaited(const struct ward *ward)
{
    for (size_t i = 0; i < ward->host->member_count; i++) {
        const struct member *member = ward->host->members[i];
        if (member != NULL && member->next_ward == ward)
            return true;
    }
    return false;
}

/* --- the end of wards --------------------------------------------------------------------------*/

/* Nothing points to it any more, and nothing will be told to it. */
static bool
is_over(const struct ward *ward)
{
    return ward->is_retired && ward->docks_open == 0 && ward->exchange_count == 0 &&
           ward->successor == NULL && plugin_is_gone(ward->plugin);
}

/* Main thread, from the mailbox: in no hook, so that plugins may be freed. */
static void
on_collect(struct mail *mail)
{
    struct host *host = container_of(mail, struct host, collect_mail);
    host->is_collecting = false;
    if (host->is_stopping)
        return;
    size_t kept = 0, count = host->ward_count;
    for (size_t i = 0; i < count; i++) {
        struct ward *ward = host->wards[i];
        if (!is_over(ward)) {
            host->wards[kept++] = ward;
            continue;
        }
        supervisor_forget(host->supervisor, ward->plugin);
        ward_free(ward);
    }
    host->ward_count = kept;
}

static void
collect_soon(struct host *host)
{
    if (host->is_collecting)
        return;
    host->is_collecting = true;
    mailbox_post(host->config.control, &host->collect_mail, on_collect);
}

static void
retire_ward(struct ward *ward, const char *reason)
{
    ward->is_retired = true;
    plugin_retire(ward->plugin, reason);
    collect_soon(ward->host);
}

/* --- links -------------------------------------------------------------------------------------*/

/* Whether it moves when `ward` takes over: what serves, and what waits for that with files only the
 * new process may have. The others have nothing to move, and are created there afterwards. */
static bool
is_mover(const struct member *member, const struct ward *ward)
{
    if (member == NULL || member->standing != STANDING_READY)
        return false;
    return member->ward == ward->predecessor || member->next_to == ward;
}

/* All members of the old ward in one exchange: all or none. Exchanges under way come first. */
static void
take_over(struct ward *ward)
{
    struct host *host = ward->host;
    struct member **movers = calloc(host->member_count + 1, sizeof *movers);
    if (movers == NULL)
        abort();
    size_t count = 0;
    ward->is_due = false;
    for (size_t i = 0; i < host->member_count; i++) {
        struct member *member = host->members[i];
        if (is_member_of(member, ward->predecessor) && member->exchange != NULL)
            ward->is_due = true;
        if (is_mover(member, ward) && member->exchange == NULL)
            movers[count++] = member;
    }
    if (count > 0 && !ward->is_due)
        members_exchange(host, movers, count, ward);
    else if (!ward->is_due)
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
        if (is_member_of(member, ward) && member->standing != STANDING_READY &&
            !ev_is_active(&member->retry))
            member_init(member);
        else if (member != NULL && member->next_ward == ward)
            member_take_turn(member);
    }
}

static void
link_down(struct ward *ward)
{
    struct host *host = ward->host;
    if (ward->link == NULL)
        return;
    link_unref(TAKE(ward->link));
    ward->is_due = false;
    for (size_t i = 0; i < host->member_count; i++) {
        struct member *member = host->members[i];
        if (!is_member_of(member, ward))
            continue;
        member_lost(member);
        if (ward->is_left && member->exchange == NULL && !host->is_stopping) {
            member->ward = ward_heir(ward);
            member_init(member);
        }
    }
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
    if (event->kind == DOCK_CLOSED) {
        ward->docks_open--;
        collect_soon(ward->host);
    } else if (ward->dock != NULL && ward->dock_epoch == event->epoch) {
        if (event->kind == DOCK_CONNECTED)
            plugin_set_peer(ward->plugin, event->pid);
        supervisor_link_event(ward->plugin, event->epoch, link_events[event->kind], event->reason);
        if (event->kind == DOCK_READY)
            plugin_set_build(ward->plugin, slice_str(event->build));
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
    ward->dock_epoch = generation;
    ward->docks_open++;
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
        if (member == NULL || member->next_ward != ward || member->exchange != NULL)
            continue;
        member_stays(member, cause);
        member_forget_change(member);
    }
    if (!has_members(ward) && !is_awaited(ward))
        plugin_stop(ward->plugin, "nothing needs it");
}

/* One try: the old one serves on. An exchange under way tells by itself how it ended. */
static void
successor_failed(struct ward *ward, struct slice cause)
{
    if (ward->exchange_count > 0)
        plugin_stop(ward->plugin, "it failed while it took over");
    else
        ward_swapped(ward, cause.data);
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
        successor_failed(ward, cause);
    else if (host->is_starting)
        failed_at_start(ward, cause);
    else if (!ward->is_left)
        drop_changes(ward, cause);
    else
        plugin_stop(plugin, "another process has taken over");
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

/* Files of all that is to be there, changes included. */
static void
allow_all(struct ward *from, struct ward *to)
{
    struct host *host = from->host;
    for (size_t i = 0; i < host->member_count; i++) {
        struct member *member = host->members[i];
        if (member == NULL || (member->ward != from && member->next_ward != from))
            continue;
        if (member->next_ward == from)
            member->next_to = to;
        const struct component_spec *specs[] = { member->ward == from ? member->spec : NULL,
                                                 member->next_to == to ? member->next_spec : NULL };
        for (size_t s = 0; s < ARRAY_LEN(specs); s++)
            for (size_t v = 0; specs[s] != NULL && v < specs[s]->value_count; v++)
                if (!plugin_allow_metadata(to->plugin, specs[s]->values[v].name,
                                           specs[s]->values[v].value))
                    log_debug(SCOPE, "plugin %s has too many files", plugin_name(to->plugin));
    }
}

void
ward_swap(struct ward *ward, const struct manifest *manifest)
{
    struct host *host = ward->host;
    if (ward->predecessor != NULL || ward->successor != NULL) {
        struct ward *place = ward->predecessor != NULL ? ward->predecessor : ward;
        place->swap_again = true; /* when the one under way is over */
        if (manifest != NULL) {
            manifest_unref(place->next_manifest);
            place->next_manifest = manifest_ref(manifest);
        }
        return;
    }
    struct plugin *plugin = supervisor_successor(host->supervisor, ward->plugin,
                                                 manifest != NULL ? manifest
                                                                  : plugin_manifest(ward->plugin));
    struct ward *successor = ward_new(host, plugin, ward->worker);
    successor->predecessor = ward;
    ward->successor = successor;
    allow_all(ward, successor);
    log_info(SCOPE, "plugin %s: another process is started to take over", plugin_name(plugin));
    plugin_start(plugin);
}

/* What was not served has nothing to move; what waited for the old ward waits for the new one. */
static void
follow(struct ward *old, struct ward *ward)
{
    struct host *host = old->host;
    for (size_t i = 0; i < host->member_count; i++) {
        struct member *member = host->members[i];
        if (member == NULL)
            continue;
        if (member->next_ward == old) {
            member->next_ward = ward;
            member->next_to = NULL;
        }
        if (member->ward != old || member->exchange != NULL)
            continue;
        if (member->standing == STANDING_READY) {
            member_retry(member); /* left behind: the exchange has failed halfway */
            continue;
        }
        member->ward = ward;
        if (!old->swap_again)
            member->waits_for_swap = false;
        if (!ev_is_active(&member->retry))
            member_init(member);
    }
}

/* The old ward goes on. */
static void
stay(struct ward *old, struct ward *ward, struct slice cause)
{
    struct host *host = old->host;
    for (size_t i = 0; i < host->member_count; i++) {
        struct member *member = host->members[i];
        if (member == NULL)
            continue;
        if (member->next_to == ward) {
            member_stays(member, cause);
            member_forget_change(member);
        }
        if (member->ward == old && member->waits_for_swap && !old->swap_again) {
            member->waits_for_swap = false;
            member_init(member);
        }
    }
}

static void
has_taken_over(struct ward *ward, struct ward *old)
{
    log_info(SCOPE, "plugin %s: generation %u has taken over", plugin_name(ward->plugin),
             plugin_generation(ward->plugin));
    plugin_promote(ward->plugin, old->plugin);
    plugin_start(ward->plugin); /* it may have failed in the last moment */
    follow(old, ward);
    old->is_left = true; /* until nothing of it is in use */
    wards_look(old->host);
}

void
ward_swapped(struct ward *ward, const char *error)
{
    struct host *host = ward->host;
    struct ward *old = TAKE(ward->predecessor);
    if (old == NULL)
        return; /* an exchange within one process */
    old->successor = NULL;
    ward->is_due = false;
    bool again = old->swap_again;
    struct manifest *manifest = TAKE(old->next_manifest);
    if (error != NULL)
        log_error(SCOPE, "plugin %s: the exchange of its process has failed: %s",
                  plugin_name(ward->plugin), error);
    bool has_moved = error == NULL || has_members(ward);
    if (host->config.on_swap != NULL)
        host->config.on_swap(host->config.arg, ward->plugin, has_moved, error);
    if (has_moved) {
        has_taken_over(ward, old);
    } else {
        retire_ward(ward, "it could not take over");
        stay(old, ward, slice_str(error));
    }
    old->swap_again = false;
    if (again)
        ward_swap(ward->is_retired ? old : ward, manifest);
    manifest_unref(manifest);
}

static bool
is_needed(const struct ward *ward)
{
    return has_members(ward) || is_awaited(ward) || ward->exchange_count > 0 ||
           ward->predecessor != NULL || ward->successor != NULL;
}

static void
on_idle(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct ward *ward = timer->data;
    ev_timer_stop(loop, timer);
    if (!ward->host->is_stopping && !is_needed(ward))
        plugin_stop(ward->plugin, "no component needs it");
}

static void
watch_need(struct ward *ward)
{
    struct ev_loop *loop = ward->host->config.loop;
    if (is_needed(ward) || ward->is_retired) {
        ev_timer_stop(loop, &ward->idle);
    } else if (!ev_is_active(&ward->idle) && plugin_state(ward->plugin) == PLUGIN_READY) {
        unsigned idle_ms = inject(INJECT_plugin_idle) ? 10 : LIMIT_plugin_idle_ms;
        ev_timer_set(&ward->idle, idle_ms / 1000.0, 0.);
        ev_timer_start(loop, &ward->idle);
    }
}

/* --- turns -------------------------------------------------------------------------------------*/

bool
ward_has_turn(struct ward *ward, struct member *member)
{
    bool has_room = ward->exchange_count < LIMIT_ward_exchanges_max;
    if (has_room && list_is_linked(&member->turn))
        list_remove(&member->turn);
    else if (!has_room && !list_is_linked(&member->turn))
        list_append(&ward->turns, &member->turn);
    return has_room;
}

static void
next_turns(struct ward *ward)
{
    while (!list_is_empty(&ward->turns) && ward->exchange_count < LIMIT_ward_exchanges_max)
        member_take_turn(LIST_ENTRY(list_take_first(&ward->turns), struct member, turn));
}

void
wards_look(struct host *host)
{
    for (size_t i = 0; i < host->ward_count; i++) {
        struct ward *ward = host->wards[i];
        next_turns(ward);
        watch_need(ward);
        if (ward->is_due)
            take_over(ward);
        else if (ward->is_left && !ward->is_retired && ward->exchange_count == 0 &&
                 !has_members(ward))
            retire_ward(ward, "another process has taken over");
    }
}
