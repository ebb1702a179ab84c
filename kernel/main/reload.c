/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching files. Events only say that something happened: what it was is found by reading again
 * and comparing, after things have been quiet for a moment, because editors and deployment tools
 * write in several steps.
 */
#include "main/reload.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "main/runtime.h"

#define SCOPE "dapr.runtime.hotreload"

enum {
    EVENTS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ONLYDIR,
    QUIET_RESOURCES_MS = 100,
    QUIET_PLUGINS_MS = 300, /* a large program takes a while to be copied */
    QUIET_MS_MAX = 2000,    /* something that never ends is acted upon after this */
    FOLDER_BYTES = 1024,    /* a longer path of secrets is not watched */
    EVENT_BYTES = 2048,     /* several events; the rest comes with the next turn */
};

/* A folder under watch. */
struct watched {
    int id;
    bool is_resources;
};

static const struct watched *
find_watched(const struct reload *reload, int id)
{
    for (size_t i = 0; i < reload->watched_count; i++)
        if (reload->watched[i].id == id)
            return &reload->watched[i];
    return NULL;
}

static void
watch(struct reload *reload, const char *folder, bool is_resources)
{
    int id = inotify_add_watch(reload->fd, folder, EVENTS);
    if (id < 0) {
        log_warn(SCOPE, "cannot watch %s (errno %d): changes in it are not seen", folder, errno);
        return;
    }
    if (find_watched(reload, id) != NULL)
        return;
    reload->watched = realloc(reload->watched,
                              (reload->watched_count + 1) * sizeof *reload->watched);
    if (reload->watched == NULL)
        abort();
    reload->watched[reload->watched_count++] = (struct watched){ id, is_resources };
}

/* The folder of a path, in `ret_folder`; false if it is too long. */
static bool
folder_of(const char *path, char ret_folder[FOLDER_BYTES])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    if (len == 0 || len >= FOLDER_BYTES)
        return false;
    memcpy(ret_folder, path, len);
    ret_folder[len] = '\0';
    return true;
}

static void
watch_secret_file(void *arg, struct slice store, const char *path)
{
    char folder[FOLDER_BYTES];
    (void)store;
    if (folder_of(path, folder))
        watch(arg, folder, false);
}

void
reload_watch_plugins(struct reload *reload)
{
    struct plugin *plugin;
    if (reload->fd < 0)
        return; /* off, or stopped: the start may have failed at once */
    for (size_t i = 0; (plugin = host_plugin_at(reload->runtime->host, i)) != NULL; i++)
        watch(reload, plugin_manifest(plugin)->folder, false);
    host_each_secret_file(reload->runtime->host, watch_secret_file, reload);
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

static void
on_plugin_file(struct reload *reload, int id, const char *file)
{
    struct plugin *plugin;
    for (size_t i = 0; (plugin = host_plugin_at(reload->runtime->host, i)) != NULL; i++) {
        const struct manifest *manifest = plugin_manifest(plugin);
        if (strcmp(file, base_name(manifest->program)) != 0 &&
            strcmp(file, base_name(manifest->file)) != 0)
            continue;
        if (inotify_add_watch(reload->fd, manifest->folder, EVENTS) != id)
            continue; /* a file of that name in another plugin's folder */
        (void)map_put(&reload->dirty, slice_str(plugin_name(plugin)), reload);
        restart_timer(reload, &reload->plugins, QUIET_PLUGINS_MS);
    }
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
    char folder[FOLDER_BYTES];
    bool is_swapped_folder = strncmp(event->file, "..", 2) == 0; /* as Kubernetes does it */
    if ((strcmp(event->file, base_name(path)) != 0 && !is_swapped_folder) ||
        !folder_of(path, folder) ||
        inotify_add_watch(event->reload->fd, folder, EVENTS) != event->id)
        return;
    (void)map_put(&event->reload->rotated, store, event->reload);
    restart_timer(event->reload, &event->reload->secrets, QUIET_RESOURCES_MS);
}

/* Resources are .yaml and .yml files; Kubernetes swaps the folder behind a link named "..data". */
static bool
is_resource_file(const struct inotify_event *event)
{
    struct slice name = slice_str(event->len > 0 ? event->name : NULL);
    return slice_has_suffix(name, SLICE(".yaml")) || slice_has_suffix(name, SLICE(".yml")) ||
           slice_has_prefix(name, SLICE(".."));
}

static void
on_event(struct reload *reload, const struct inotify_event *event)
{
    const struct watched *watched = find_watched(reload, event->wd);
    if ((event->mask & IN_Q_OVERFLOW) != 0 ||
        (watched != NULL && watched->is_resources && is_resource_file(event)))
        restart_timer(reload, &reload->resources, QUIET_RESOURCES_MS);
    if (watched == NULL || event->len == 0)
        return;
    on_plugin_file(reload, event->wd, event->name);
    struct secret_event secret = { reload, event->wd, event->name };
    host_each_secret_file(reload->runtime->host, on_secret_file, &secret);
}

static void
on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct reload *reload = watcher->data;
    _Alignas(struct inotify_event) char buffer[EVENT_BYTES];
    ssize_t got = read(reload->fd, buffer, sizeof buffer);
    for (ssize_t at = 0; at < got;) {
        const struct inotify_event *event = (const void *)(buffer + at);
        at += (ssize_t)(sizeof *event + event->len);
        on_event(reload, event);
    }
}

/* --- acting ------------------------------------------------------------------------------------*/

void
reload_now(struct reload *reload)
{
    reload->is_wanted = !reload->is_started;
    if (reload->is_wanted || reload->runtime->ending.stage > STAGE_BLOCKING)
        return; /* too early or too late */
    struct host_load *load = read_resources(reload->runtime, true);
    if (load == NULL)
        return; /* what was wrong has been logged; everything stays as it is */
    host_reload(reload->runtime->host, load);
    host_load_unref(load);
    reload_watch_plugins(reload);
}

static void
on_resources_quiet(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    ev_timer_stop(loop, timer);
    reload_now(timer->data);
}

static void
on_plugins_quiet(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct reload *reload = timer->data;
    ev_timer_stop(loop, timer);
    size_t cursor = 0;
    struct slice name;
    void *value;
    while (map_next(&reload->dirty, &cursor, &name, &value)) {
        struct arena scratch;
        struct diag diag;
        arena_init(&scratch);
        diag_init(&diag, &scratch);
        if (host_swap(reload->runtime->host, name, &diag) != OK)
            log_error(SCOPE, "plugin " SLICE_FMT " has changed and is not exchanged: " SLICE_FMT,
                      SLICE_ARG(name), SLICE_ARG(diag.message));
        arena_fini(&scratch);
    }
    map_fini(&reload->dirty);
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
    while (map_next(&reload->rotated, &cursor, &store, &value))
        host_secrets_changed(reload->runtime->host, store);
    map_fini(&reload->rotated);
}

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

void
reload_open(struct reload *reload, struct runtime *runtime)
{
    const struct text_list *folders = &runtime->options.resources;
    *reload = (struct reload){ .runtime = runtime, .fd = -1 };
    map_init(&reload->dirty);
    map_init(&reload->rotated);
    ev_timer_init(&reload->resources, on_resources_quiet, 0., 0.);
    ev_timer_init(&reload->plugins, on_plugins_quiet, 0., 0.);
    ev_timer_init(&reload->secrets, on_secrets_quiet, 0., 0.);
    reload->resources.data = reload->plugins.data = reload->watcher.data = reload;
    reload->secrets.data = reload;
    if (runtime->hot_reload_is_off)
        return;
    reload->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (reload->fd < 0)
        log_warn(SCOPE, "cannot watch files (errno %d): hot reload is off", errno);
    for (size_t i = 0; i < folders->count && reload->fd >= 0; i++)
        watch(reload, folders->items[i].data, true);
    log_folders(folders);
}

void
reload_start(struct reload *reload)
{
    reload->is_started = true;
    reload_watch_plugins(reload);
    if (reload->fd >= 0) {
        log_info(SCOPE, "Hot reloading enabled. Daprd will reload 'Component' resources when they "
                        "are added, updated or deleted.");
        log_info(SCOPE ".reconciler", "Starting to watch Component updates");
        ev_io_init(&reload->watcher, on_readable, reload->fd, EV_READ);
        ev_io_start(reload->runtime->loop, &reload->watcher);
    }
    if (reload->is_wanted)
        reload_now(reload);
}

void
reload_stop(struct reload *reload)
{
    if (reload->runtime == NULL)
        return;
    ev_timer_stop(reload->runtime->loop, &reload->resources);
    ev_timer_stop(reload->runtime->loop, &reload->plugins);
    ev_timer_stop(reload->runtime->loop, &reload->secrets);
    if (reload->fd >= 0) {
        if (reload->is_started)
            ev_io_stop(reload->runtime->loop, &reload->watcher);
        (void)close(reload->fd); /* nothing was written to it */
    }
    free(TAKE(reload->watched));
    map_fini(&reload->dirty);
    map_fini(&reload->rotated);
    *reload = (struct reload){ .runtime = NULL, .fd = -1 };
}
