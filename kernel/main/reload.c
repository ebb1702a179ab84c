/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done about files that change. Events only say that something happened: what it was is
 * found by reading again and comparing, after things have been quiet for a moment, because editors
 * and deployment tools write in several steps.
 */
#include "main/reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "main/runtime.h"

#define SCOPE "dapr.runtime.hotreload"

enum {
    QUIET_RESOURCES_MS = 100,
    QUIET_PLUGINS_MS = 300, /* a large program takes a while to be copied */
    QUIET_MS_MAX = 2000,    /* something that never ends is acted upon after this */
    RECONCILE_S = 60,
};

static const char manifest_name[] = "plugin.yaml";

/* --- what is watched ---------------------------------------------------------------------------*/

static void
watch_secret_file(void *arg, struct slice store, const char *path)
{
    char folder[WATCH_FOLDER_BYTES];
    (void)store;
    if (watch_folder_of(path, folder))
        watch_folder(arg, folder, WATCH_SECRETS, false);
}

static void
watch_plugin_folder(void *arg, const char *folder)
{
    watch_folder(arg, folder, WATCH_PLUGIN, true); /* a file there is no plugin */
}

void
reload_watch_plugins(struct reload *reload)
{
    struct runtime *runtime = reload->runtime;
    struct plugin *plugin;
    if (runtime == NULL || reload->watch.fd < 0)
        return; /* off, or stopped: the start may have failed at once */
    for (size_t i = 0; i < runtime->catalogue.folders.count; i++)
        watch_folder(&reload->watch, runtime->catalogue.folders.items[i].data, WATCH_PLUGINS, true);
    catalogue_each_folder(&runtime->catalogue, watch_plugin_folder, &reload->watch);
    for (size_t i = 0; (plugin = host_plugin_at(runtime->host, i)) != NULL; i++)
        watch_folder(&reload->watch, plugin_manifest(plugin)->folder, WATCH_PLUGIN, true);
    host_each_secret_file(runtime->host, watch_secret_file, &reload->watch);
}

static void
watch_configuration(struct reload *reload)
{
    const struct text_list *files = &reload->runtime->options.config;
    char folder[WATCH_FOLDER_BYTES];
    for (size_t i = 0; i < files->count; i++)
        if (watch_folder_of(files->items[i].data, folder))
            watch_folder(&reload->watch, folder, WATCH_CONFIGURATION, false);
}

/* --- what happened -----------------------------------------------------------------------------*/

static void
restart_timer(struct reload *reload, ev_timer *timer, unsigned quiet_ms)
{
    uint64_t now_ms = clock_now_ms();
    if (!ev_is_active(timer))
        reload->restless_ms = now_ms;
    else if (now_ms - reload->restless_ms > QUIET_MS_MAX)
        return;
    ev_timer_stop(reload->runtime->loop, timer);
    ev_timer_set(timer, quiet_ms / 1000.0, 0.);
    ev_timer_start(reload->runtime->loop, timer);
}

/* The part behind the last slash. */
static const char *
base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* Kubernetes swaps the folder behind a link named "..data". */
static bool
is_swapped_folder(const char *name)
{
    return strncmp(name, "..", 2) == 0;
}

static void
on_plugin_file(struct reload *reload, int id, const char *file)
{
    struct plugin *plugin;
    for (size_t i = 0; (plugin = host_plugin_at(reload->runtime->host, i)) != NULL; i++) {
        const struct manifest *manifest = plugin_manifest(plugin);
        if (strcmp(file, base_name(manifest->program)) != 0 &&
            strcmp(file, base_name(manifest->file)) != 0)
            continue;
        if (!watch_is_folder(&reload->watch, id, manifest->folder))
            continue; /* a file of that name in another plugin's folder */
        (void)map_put(&reload->dirty, slice_str(plugin_name(plugin)), reload);
        restart_timer(reload, &reload->plugins, QUIET_PLUGINS_MS);
    }
}

static void
on_new_plugins(struct reload *reload)
{
    reload->has_new_plugins = true;
    restart_timer(reload, &reload->plugins, QUIET_PLUGINS_MS);
}

/* What on_secret_file() looks for. */
struct secret_event {
    struct reload *reload;
    int id;
    const char *file;
};

static void
on_secret_file(void *arg, struct slice store, const char *path)
{
    const struct secret_event *event = arg;
    char folder[WATCH_FOLDER_BYTES];
    if ((strcmp(event->file, base_name(path)) != 0 && !is_swapped_folder(event->file)) ||
        !watch_folder_of(path, folder) ||
        !watch_is_folder(&event->reload->watch, event->id, folder))
        return;
    (void)map_put(&event->reload->rotated, store, event->reload);
    restart_timer(event->reload, &event->reload->secrets, QUIET_RESOURCES_MS);
}

static bool
is_resource_file(const char *name)
{
    struct slice file = slice_str(name);
    return slice_has_suffix(file, SLICE(".yaml")) || slice_has_suffix(file, SLICE(".yml")) ||
           is_swapped_folder(name);
}

static bool
is_configuration_file(const struct reload *reload, const char *name)
{
    const struct text_list *files = &reload->runtime->options.config;
    for (size_t i = 0; i < files->count; i++)
        if (strcmp(name, base_name(files->items[i].data)) == 0)
            return true;
    return is_swapped_folder(name);
}

/* Anything may have happened. Programs are not looked at: who swaps by hand knows of one more. */
static void
on_lost_events(struct reload *reload)
{
    restart_timer(reload, &reload->resources, QUIET_RESOURCES_MS);
    restart_timer(reload, &reload->configuration, QUIET_RESOURCES_MS);
    on_new_plugins(reload);
}

static void
on_event(void *arg, unsigned kinds, int id, const char *name)
{
    struct reload *reload = arg;
    if (name == NULL) {
        on_lost_events(reload);
        return;
    }
    if ((kinds & WATCH_RESOURCES) != 0 && is_resource_file(name))
        restart_timer(reload, &reload->resources, QUIET_RESOURCES_MS);
    if ((kinds & WATCH_CONFIGURATION) != 0 && is_configuration_file(reload, name))
        restart_timer(reload, &reload->configuration, QUIET_RESOURCES_MS);
    if ((kinds & WATCH_PLUGINS) != 0 ||
        ((kinds & WATCH_PLUGIN) != 0 && strcmp(name, manifest_name) == 0))
        on_new_plugins(reload);
    if ((kinds & WATCH_PLUGIN) != 0)
        on_plugin_file(reload, id, name);
    struct secret_event secret = { reload, id, name };
    if ((kinds & WATCH_SECRETS) != 0)
        host_each_secret_file(reload->runtime->host, on_secret_file, &secret);
}

static void
on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct reload *reload = watcher->data;
    watch_read(&reload->watch, on_event, reload);
}

/* --- acting ------------------------------------------------------------------------------------*/

static bool
is_too_late(const struct reload *reload)
{
    return reload->runtime->ending.stage > STAGE_BLOCKING;
}

void
reload_resources(struct reload *reload)
{
    struct host_load *load = is_too_late(reload) ? NULL : read_resources(reload->runtime, true);
    if (load == NULL)
        return; /* what was wrong has been logged; everything stays as it is */
    host_reload(reload->runtime->host, load);
    host_load_unref(load);
    reload_watch_plugins(reload);
}

static void
read_catalogue(struct reload *reload)
{
    reload->has_new_plugins = false;
    reload_watch_plugins(reload); /* first: what comes while we read is an event then */
    if (catalogue_read_again(&reload->runtime->catalogue))
        host_plugins_changed(reload->runtime->host);
}

/* Those of `names`, which is emptied. */
static void
swap_plugins(struct reload *reload, struct map *names)
{
    size_t cursor = 0;
    struct slice name;
    void *value;
    while (!is_too_late(reload) && map_next(names, &cursor, &name, &value)) {
        struct arena scratch;
        struct diag diag;
        arena_init(&scratch);
        diag_init(&diag, &scratch);
        (void)map_put(&reload->tried, name, reload);
        (void)map_remove(&reload->failed, name);
        if (host_swap(reload->runtime->host, name, NULL, &diag) != OK) {
            log_error(SCOPE, "plugin " SLICE_FMT " has changed and is not exchanged: " SLICE_FMT,
                      SLICE_ARG(name), SLICE_ARG(diag.message));
            (void)map_remove(&reload->tried, name); /* a file that is put right is an event */
        }
        arena_fini(&scratch);
    }
    map_fini(names);
}

void
reload_on_swap(struct reload *reload, struct slice plugin_name, bool has_taken_over)
{
    if (reload->runtime == NULL || map_remove(&reload->tried, plugin_name) == NULL ||
        has_taken_over)
        return; /* what an administrator asked for is told to him, and not tried again */
    (void)map_put(&reload->failed, plugin_name, reload); /* it is there, or is now */
}

void
reload_now(struct reload *reload)
{
    reload->is_wanted = !reload->is_started;
    if (reload->is_wanted || is_too_late(reload))
        return; /* too early or too late */
    configure_again(reload->runtime, true);
    read_catalogue(reload);
    reload_resources(reload);
}

static void
on_resources_quiet(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    ev_timer_stop(loop, timer);
    reload_resources(timer->data);
}

/* Nothing may follow: the Configuration may turn us off. */
static void
on_configuration_quiet(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct reload *reload = timer->data;
    ev_timer_stop(loop, timer);
    if (!is_too_late(reload))
        configure_again(reload->runtime, false);
}

static void
on_plugins_quiet(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct reload *reload = timer->data;
    ev_timer_stop(loop, timer);
    if (reload->has_new_plugins && !is_too_late(reload))
        read_catalogue(reload);
    swap_plugins(reload, &reload->dirty);
}

static void
on_secrets_quiet(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct reload *reload = timer->data;
    ev_timer_stop(loop, timer);
    size_t cursor = 0;
    struct slice store;
    void *value;
    while (map_next(&reload->rotated, &cursor, &store, &value)) {
        host_secrets_changed(reload->runtime->host, store);
        endpoints_rotated(reload->runtime, store, false);
    }
    map_fini(&reload->rotated);
}

/* A change that has failed differs from what is there still, so that comparing tries it again. */
static void
on_reconcile(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct reload *reload = timer->data;
    log_debug(SCOPE ".reconciler", "Running scheduled Component reconcile");
    struct runtime *runtime = reload->runtime;
    servers_set_metrics(runtime, runtime->settings->metrics != NULL); /* if it could not be had */
    struct map failed = reload->failed; /* one that fails at once is entered anew */
    map_init(&reload->failed);
    swap_plugins(reload, &failed);
    reload_resources(reload);
}

/* --- life --------------------------------------------------------------------------------------*/

static void
log_folders(const struct text_list *folders)
{
    struct buf list;
    bool fits = folders->count > 0;
    buf_init(&list, 16 * 1024);
    for (size_t i = 0; i < folders->count && fits; i++)
        fits = buf_printf(&list, "%s" SLICE_FMT, i == 0 ? "" : " ", SLICE_ARG(folders->items[i]));
    if (fits)
        log_info(SCOPE ".loader.disk", "Watching directories: [" SLICE_FMT "]",
                 SLICE_ARG(buf_slice(&list)));
    buf_fini(&list);
}

static void
init_timers(struct reload *reload)
{
    int64_t interval_ns = reload->runtime->options.hot_reload_interval_ns;
    double interval_s = interval_ns > 0 ? (double)interval_ns / 1e9 : (double)RECONCILE_S;
    ev_timer_init(&reload->resources, on_resources_quiet, 0., 0.);
    ev_timer_init(&reload->configuration, on_configuration_quiet, 0., 0.);
    ev_timer_init(&reload->plugins, on_plugins_quiet, 0., 0.);
    ev_timer_init(&reload->secrets, on_secrets_quiet, 0., 0.);
    ev_timer_init(&reload->reconcile, on_reconcile, interval_s, interval_s);
    reload->resources.data = reload->configuration.data = reload->plugins.data = reload;
    reload->secrets.data = reload->reconcile.data = reload->watcher.data = reload;
}

void
reload_open(struct reload *reload, struct runtime *runtime)
{
    const struct text_list *folders = &runtime->options.resources;
    *reload = (struct reload){ .runtime = runtime, .watch = { .fd = -1 } };
    map_init(&reload->dirty);
    map_init(&reload->tried);
    map_init(&reload->failed);
    map_init(&reload->rotated);
    init_timers(reload);
    if (!hot_reload_is_on(&runtime->configuration))
        return;
    if (!watch_open(&reload->watch))
        log_warn(SCOPE, "cannot watch files (errno %d): hot reload is off", errno);
    for (size_t i = 0; i < folders->count; i++)
        watch_folder(&reload->watch, folders->items[i].data, WATCH_RESOURCES, false);
    watch_configuration(reload);
    log_folders(folders);
}

void
reload_start(struct reload *reload)
{
    struct ev_loop *loop = reload->runtime->loop;
    reload->is_started = true;
    reload_watch_plugins(reload);
    if (reload->watch.fd >= 0) {
        log_info(SCOPE, "Hot reloading enabled. Daprd will reload 'Component', 'Configuration', "
                        "'HTTPEndpoint' and 'Resiliency' resources when they are added, updated or "
                        "deleted.");
        log_info(SCOPE ".reconciler", "Starting to watch Component updates");
        log_info(SCOPE ".reconciler", "Starting to watch Configuration updates for SIGHUP reload");
        log_info(SCOPE ".reconciler", "Starting to watch HTTPEndpoint updates for SIGHUP reload");
        log_info(SCOPE ".reconciler", "Starting to watch Resiliency updates for SIGHUP reload");
        ev_io_init(&reload->watcher, on_readable, reload->watch.fd, EV_READ);
        ev_io_start(loop, &reload->watcher);
        ev_timer_start(loop, &reload->reconcile);
    }
    if (reload->is_wanted)
        reload_now(reload);
}

void
reload_switch(struct reload *reload)
{
    struct runtime *runtime = reload->runtime;
    if (runtime == NULL || !reload->is_started)
        return; /* it will be opened, or is stopped for good */
    reload_stop(reload);
    reload_open(reload, runtime);
    reload_start(reload);
    if (reload->watch.fd >= 0)
        reload_resources(reload); /* what has changed while it was off */
}

void
reload_stop(struct reload *reload)
{
    if (reload->runtime == NULL)
        return;
    struct ev_loop *loop = reload->runtime->loop;
    ev_timer *timers[] = { &reload->resources, &reload->configuration, &reload->plugins,
                           &reload->secrets, &reload->reconcile };
    for (size_t i = 0; i < ARRAY_LEN(timers); i++)
        ev_timer_stop(loop, timers[i]);
    if (reload->watch.fd >= 0 && reload->is_started)
        ev_io_stop(loop, &reload->watcher);
    watch_close(&reload->watch);
    map_fini(&reload->dirty);
    map_fini(&reload->tried);
    map_fini(&reload->failed);
    map_fini(&reload->rotated);
    *reload = (struct reload){ .runtime = NULL, .watch = { .fd = -1 } };
}

/* The words of the reference, which restarts its runtime then. */
void
reload_log_event(const char *kind, const char *event, struct slice name)
{
    log_info(SCOPE ".reconciler", "Received %s %s event: " SLICE_FMT " - triggering SIGHUP reload",
             kind, event, SLICE_ARG(name));
}
