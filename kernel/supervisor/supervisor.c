/* SPDX-License-Identifier: Apache-2.0 */
/* All plugins of a kernel: found by manifest, and ended together. The life of one is plugin.c. */
#include "supervisor/supervisor.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "supervisor/plugin.h"

static void
set_default(uint32_t *value, uint32_t standard)
{
    if (*value == 0)
        *value = standard;
}

/* What has not ended by its own will by now is killed. */
static void
on_deadline(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct supervisor *s = container_of(watcher, struct supervisor, deadline);
    for (size_t i = 0; i < s->count; i++)
        plugin_kill(s->plugins[i]);
}

static void
on_done(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    struct supervisor *s = container_of(watcher, struct supervisor, done);
    ev_timer_stop(loop, &s->deadline);
    supervisor_stopped_fn *stopped = TAKE(s->stopped);
    if (stopped != NULL)
        stopped(s->stopped_arg);
}

struct supervisor *
supervisor_new(struct ev_loop *loop, const struct supervisor_config *config,
               const struct supervisor_hooks *hooks)
{
    struct supervisor *s = calloc(1, sizeof *s);
    if (s == NULL)
        abort();
    s->loop = loop;
    s->config = *config;
    s->hooks = *hooks;
    set_default(&s->config.start_ms, LIMIT_plugin_start_ms);
    set_default(&s->config.term_ms, LIMIT_plugin_term_ms);
    set_default(&s->config.kill_ms, LIMIT_plugin_kill_ms);
    set_default(&s->config.backoff_ms, LIMIT_plugin_backoff_ms);
    set_default(&s->config.backoff_ms_max, LIMIT_plugin_backoff_ms_max);
    set_default(&s->config.rapid_window_ms, LIMIT_plugin_rapid_window_ms);
    (void)pthread_mutex_init(&s->lock, NULL); /* cannot fail with these arguments */
    ev_timer_init(&s->deadline, on_deadline, 0., 0.);
    ev_timer_init(&s->done, on_done, 0., 0.);
    return s;
}

void
supervisor_free(struct supervisor *supervisor)
{
    if (supervisor == NULL)
        return;
    ev_timer_stop(supervisor->loop, &supervisor->deadline);
    ev_timer_stop(supervisor->loop, &supervisor->done);
    for (size_t i = 0; i < supervisor->count; i++)
        plugin_free(supervisor->plugins[i]);
    free(supervisor->plugins);
    (void)pthread_mutex_destroy(&supervisor->lock); /* unlocked */
    free(supervisor);
}

static void keep(struct supervisor *s, struct plugin *plugin);

/* Few plugins, asked for at start and reload only: no index is worth it. */
static struct plugin *
find(struct supervisor *s, const struct manifest *manifest, struct slice isolate)
{
    for (size_t i = 0; i < s->count; i++) {
        struct plugin *plugin = s->plugins[i];
        if (plugin_role(plugin) != PLUGIN_SERVES ||
            strcmp(plugin->manifest->name, manifest->name) != 0)
            continue;
        struct slice rest = slice_from(slice_str(plugin->name), strlen(manifest->name));
        bool is_same = isolate.len == 0
                           ? rest.len == 0
                           : rest.len == isolate.len + 1 && slice_eq(slice_from(rest, 1), isolate);
        if (is_same)
            return plugin;
    }
    return NULL;
}

struct plugin *
supervisor_plugin(struct supervisor *supervisor, const struct manifest *manifest,
                  struct slice isolate)
{
    struct supervisor *s = supervisor;
    struct plugin *plugin = find(s, manifest, isolate);
    if (plugin != NULL)
        return plugin;
    plugin = plugin_new(s, manifest, isolate, s->next_index++);
    keep(s, plugin);
    return plugin;
}

struct plugin *
supervisor_successor(struct supervisor *supervisor, struct plugin *plugin,
                     const struct manifest *manifest)
{
    struct supervisor *s = supervisor;
    ptrdiff_t slash = slice_find_byte(slice_str(plugin->name), '/');
    struct slice isolate = slash < 0 ? SLICE_EMPTY
                                     : slice_from(slice_str(plugin->name), (size_t)slash + 1);
    struct plugin *successor = plugin_new(s, manifest, isolate, s->next_index++);
    successor->is_successor = true;
    successor->generation = plugin->generation; /* the next one counts on */
    successor->restarts = plugin->restarts;
    keep(s, successor);
    return successor;
}

void
plugin_promote(struct plugin *successor, struct plugin *plugin)
{
    successor->is_successor = false;
    plugin->is_replaced = true;
}

void
plugin_retire(struct plugin *plugin, const char *reason)
{
    plugin->is_retired = true;
    plugin_stop(plugin, reason);
}

void
supervisor_forget(struct supervisor *supervisor, struct plugin *plugin)
{
    struct supervisor *s = supervisor;
    assert(plugin->is_retired && plugin_is_gone(plugin));
    size_t kept = 0;
    (void)pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->count; i++)
        if (s->plugins[i] != plugin)
            s->plugins[kept++] = s->plugins[i];
    s->count = kept;
    (void)pthread_mutex_unlock(&s->lock);
    plugin_free(plugin);
}

enum plugin_role
plugin_role(const struct plugin *plugin)
{
    if (plugin->is_retired || plugin->is_replaced)
        return PLUGIN_RETIRED;
    return plugin->is_successor ? PLUGIN_SUCCESSOR : PLUGIN_SERVES;
}

static void
keep(struct supervisor *s, struct plugin *plugin)
{
    (void)pthread_mutex_lock(&s->lock);
    if (s->count == s->capacity) {
        s->capacity = s->capacity == 0 ? 8 : s->capacity * 2;
        s->plugins = realloc(s->plugins, s->capacity * sizeof(void *));
        if (s->plugins == NULL)
            abort();
    }
    s->plugins[s->count++] = plugin;
    (void)pthread_mutex_unlock(&s->lock);
}

struct plugin *
supervisor_plugin_at(struct supervisor *supervisor, size_t index)
{
    return index < supervisor->count ? supervisor->plugins[index] : NULL;
}

void
supervisor_on_gone(struct supervisor *supervisor)
{
    if (!supervisor->is_stopping)
        return;
    for (size_t i = 0; i < supervisor->count; i++)
        if (!plugin_is_gone(supervisor->plugins[i]))
            return;
    ev_timer_start(supervisor->loop, &supervisor->done);
}

void
supervisor_stop_all(struct supervisor *supervisor, uint32_t deadline_ms,
                    supervisor_stopped_fn *stopped, void *arg)
{
    struct supervisor *s = supervisor;
    assert(!s->is_stopping);
    s->is_stopping = true;
    s->stopped = stopped;
    s->stopped_arg = arg;
    for (size_t i = 0; i < s->count; i++)
        plugin_stop(s->plugins[i], "the sidecar is shutting down");
    ev_now_update(s->loop);
    ev_timer_set(&s->deadline, deadline_ms / 1e3, 0);
    ev_timer_start(s->loop, &s->deadline);
    supervisor_on_gone(s);
}

struct plugin_status *
supervisor_statuses(struct supervisor *supervisor, struct arena *arena, size_t *ret_count)
{
    (void)pthread_mutex_lock(&supervisor->lock);
    size_t count = 0;
    struct plugin_status *statuses = ARENA_ARRAY(arena, struct plugin_status,
                                                 supervisor->count + 1);
    for (size_t i = 0; i < supervisor->count; i++)
        if (!supervisor->plugins[i]->is_retired || !plugin_is_gone(supervisor->plugins[i]))
            statuses[count++] = plugin_status(supervisor->plugins[i], arena);
    (void)pthread_mutex_unlock(&supervisor->lock);
    *ret_count = count;
    return statuses;
}
