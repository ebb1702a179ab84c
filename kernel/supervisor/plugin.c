/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one plugin, as supervisor.h draws it: each process generation has a token, a socket
 * path and a listener of its own, so nothing of an old one can be taken for the new.
 */
#include "supervisor/plugin.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define SCOPE "remora.supervisor"
#define REPORT "remora-exec: active="
#define REPORT_MISSING " missing="
#define REPORT_ERROR "remora-exec: error: "

enum { REASON_BYTES_MAX = 1024 };

static void start_process(struct plugin *plugin);

/* ------------------------------------------------------------------------------ state */

const char *
plugin_state_name(enum plugin_state state)
{
    static const char *const names[] = {
        [PLUGIN_STOPPED] = "stopped",   [PLUGIN_STARTING] = "starting",
        [PLUGIN_READY] = "ready",       [PLUGIN_HANDSHAKING] = "handshaking",
        [PLUGIN_DRAINING] = "draining", [PLUGIN_FAILED] = "failed",
    };
    return names[state];
}

static bool
is_legal(enum plugin_state from, enum plugin_state to)
{
    enum {
        STOPPED = 1 << PLUGIN_STOPPED,
        STARTING = 1 << PLUGIN_STARTING,
        HANDSHAKING = 1 << PLUGIN_HANDSHAKING,
        READY = 1 << PLUGIN_READY,
        DRAINING = 1 << PLUGIN_DRAINING,
        FAILED = 1 << PLUGIN_FAILED,
    };
    static const unsigned legal[] = {
        [PLUGIN_STOPPED] = STARTING,
        [PLUGIN_STARTING] = HANDSHAKING | READY | DRAINING | FAILED,
        [PLUGIN_HANDSHAKING] = READY | DRAINING | FAILED,
        [PLUGIN_READY] = DRAINING | FAILED,
        [PLUGIN_DRAINING] = STOPPED | FAILED,
        [PLUGIN_FAILED] = STARTING | STOPPED,
    };
    return (legal[from] & 1u << to) != 0;
}

/* Under the lock. */
static void
set_text(char **place, struct slice text)
{
    free(*place);
    *place = text.len == 0 ? NULL : slice_dup_str(text);
}

/* The only place that changes the state. `format` is NULL, or says why it is one for the worse. */
static void PRINTF_LIKE(3, 4)
    set_state(struct plugin *plugin, enum plugin_state to, const char *format, ...)
{
    char reason[REASON_BYTES_MAX] = "";
    enum plugin_state from = plugin->state;
    assert(plugin->magic == PLUGIN_MAGIC);
    assert(is_legal(from, to));
    if (format != NULL) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(reason, sizeof reason, format, args); /* cut if too long */
        va_end(args);
    }
    (void)pthread_mutex_lock(&plugin->lock);
    plugin->state = to;
    plugin->since_unix_ms = clock_unix_ms();
    if (format != NULL)
        set_text(&plugin->reason, slice_str(reason));
    (void)pthread_mutex_unlock(&plugin->lock);

    enum log_level level = to == PLUGIN_FAILED ? LOG_WARN : LOG_INFO;
    LOG_AT(level, SCOPE, "event=plugin_state plugin=%s state=%s was=%s generation=%u%s%s%s",
           plugin->name, plugin_state_name(to), plugin_state_name(from), plugin->generation,
           format == NULL ? "" : " reason=\"", reason, format == NULL ? "" : "\"");
    if (plugin->supervisor->hooks.changed != NULL)
        plugin->supervisor->hooks.changed(plugin->supervisor->hooks.arg, plugin, from);
}

static void
arm(struct plugin *plugin, uint32_t delay_ms)
{
    struct ev_loop *loop = plugin->supervisor->loop;
    ev_timer_stop(loop, &plugin->timer);
    ev_timer_set(&plugin->timer, delay_ms / 1e3, 0);
    ev_now_update(loop);
    ev_timer_start(loop, &plugin->timer);
}

static void
disarm(struct plugin *plugin)
{
    ev_timer_stop(plugin->supervisor->loop, &plugin->timer);
}

/* ------------------------------------------------------------------------------ output */

/* The shim's first line says what the sandbox is; a plugin cannot forge it, it prints later. */
static bool
take_report(struct plugin *plugin, struct slice line)
{
    if (plugin->has_printed || !slice_has_prefix(line, SLICE(REPORT)))
        return false;
    struct slice active = slice_from(line, sizeof REPORT - 1);
    struct slice missing = SLICE_EMPTY;
    ptrdiff_t at = slice_find(active, SLICE(REPORT_MISSING));
    if (at >= 0) {
        missing = slice_from(active, (size_t)at + sizeof REPORT_MISSING - 1);
        active = slice_first(active, (size_t)at);
    }
    set_text(&plugin->sandbox_active, active);
    set_text(&plugin->sandbox_missing, missing);
    log_debug(SCOPE, "event=sandbox plugin=%s active=" SLICE_FMT " missing=\"" SLICE_FMT "\"",
              plugin->name, SLICE_ARG(active), SLICE_ARG(missing));
    return true;
}

static bool
on_line(void *arg, struct slice line, bool is_logged)
{
    struct plugin *plugin = arg;
    bool is_report = take_report(plugin, line);
    plugin->has_printed = true;
    if (is_report || !is_logged)
        return !is_report;
    if (plugin->output.suppressed > 0)
        log_warn(plugin->scope, "event=output_suppressed lines=%llu",
                 (unsigned long long)plugin->output.suppressed);
    plugin->output.suppressed = 0;
    log_info(plugin->scope, SLICE_FMT, SLICE_ARG(line));
    return true;
}

static void
on_output(void *arg, struct slice bytes)
{
    struct plugin *plugin = arg;
    (void)pthread_mutex_lock(&plugin->lock);
    output_feed(&plugin->output, bytes, on_line, plugin);
    (void)pthread_mutex_unlock(&plugin->lock);
}

/* ------------------------------------------------------------------------------ ending */

static struct process_delays
delays(const struct plugin *plugin)
{
    const struct supervisor_config *config = &plugin->supervisor->config;
    return (struct process_delays){ .term_ms = config->term_ms, .kill_ms = config->kill_ms };
}

static void
end_process(struct plugin *plugin, const char *reason)
{
    if (plugin->state != PLUGIN_DRAINING)
        set_state(plugin, PLUGIN_DRAINING, "%s", reason);
    disarm(plugin);
    process_stop(plugin->process, delays(plugin));
}

/* Whether this exit without an answered call is one too many for now. */
static bool
is_rapid(struct plugin *plugin)
{
    uint64_t now = clock_now_ms();
    uint64_t *oldest = &plugin->rapid_exits_ms[plugin->rapid_exits_next];
    bool rapid = *oldest != 0 && now - *oldest < plugin->supervisor->config.rapid_window_ms;
    *oldest = now;
    plugin->rapid_exits_next = (plugin->rapid_exits_next + 1) % LIMIT_plugin_rapid_exits_max;
    return rapid;
}

/* The pause before the next start. */
static uint32_t
next_pause(struct plugin *plugin)
{
    const struct supervisor_config *config = &plugin->supervisor->config;
    if (plugin->had_answered || (plugin->was_ready && !is_rapid(plugin))) {
        plugin->backoff_ms = 0;
        return 0;
    }
    uint32_t pause = plugin->backoff_ms == 0 ? config->backoff_ms : plugin->backoff_ms;
    plugin->backoff_ms = pause > config->backoff_ms_max / 2 ? config->backoff_ms_max : pause * 2;
    return pause;
}

static void
start_again(struct plugin *plugin, uint32_t pause_ms)
{
    (void)pthread_mutex_lock(&plugin->lock);
    plugin->restarts++;
    (void)pthread_mutex_unlock(&plugin->lock);
    if (pause_ms == 0)
        start_process(plugin);
    else
        arm(plugin, pause_ms);
}

static void
on_failed(struct plugin *plugin, const char *how)
{
    uint32_t pause = next_pause(plugin);
    set_state(plugin, PLUGIN_FAILED, "%s", how);
    if (plugin->state != PLUGIN_FAILED)
        return; /* the hook has decided otherwise */
    if (plugin->is_wanted)
        start_again(plugin, pause);
    else
        set_state(plugin, PLUGIN_STOPPED, NULL);
}

/* "exit code 1", with the lost link's reason or the shim's complaint. */
static void
describe_end(struct plugin *plugin, const char *exit_text, char *ret_text, size_t bytes)
{
    const char *last = output_last(&plugin->output);
    const char *cause = NULL;
    if (strncmp(last, REPORT_ERROR, sizeof REPORT_ERROR - 1) == 0)
        cause = last + sizeof REPORT_ERROR - 1;
    else if (plugin->state == PLUGIN_DRAINING && plugin->reason != NULL)
        cause = plugin->reason;
    (void)snprintf(ret_text, bytes, "%s%s%s%s", exit_text, cause == NULL ? "" : ": ",
                   cause == NULL ? "" : cause, plugin->was_ready ? "" : " (before it was ready)");
}

static void
forget_process(struct plugin *plugin, const char *exit_text)
{
    struct supervisor *s = plugin->supervisor;
    disarm(plugin);
    process_free(TAKE(plugin->process));
    (void)pthread_mutex_lock(&plugin->lock);
    plugin->group = plugin->peer = 0;
    output_flush(&plugin->output, on_line, plugin);
    if (exit_text != NULL)
        set_text(&plugin->last_exit, slice_str(exit_text));
    (void)pthread_mutex_unlock(&plugin->lock);
    s->hooks.closed(s->hooks.arg, plugin, plugin->generation);
    (void)unlink(plugin->socket_path); /* the listener may have done so */
}

static void
on_exited(void *arg, int wait_status)
{
    struct plugin *plugin = arg;
    char text[48], how[REASON_BYTES_MAX];
    struct slice status = process_status_text(wait_status, text);
    forget_process(plugin, text);
    describe_end(plugin, text, how, sizeof how);
    bool is_asked = plugin->is_asked_to_end;
    plugin->is_asked_to_end = false;
    if (is_asked && plugin->state == PLUGIN_DRAINING) {
        set_state(plugin, PLUGIN_STOPPED, NULL);
        if (plugin->is_wanted && plugin->state == PLUGIN_STOPPED)
            start_process(plugin);
    } else {
        log_debug(SCOPE, "event=plugin_exit plugin=%s status=\"" SLICE_FMT "\"", plugin->name,
                  SLICE_ARG(status));
        on_failed(plugin, how);
    }
    if (plugin_is_gone(plugin))
        supervisor_on_gone(plugin->supervisor);
}

/* ------------------------------------------------------------------------------ starting */

static bool
make_token(char ret_token[TOKEN_HEX_DIGITS + 1])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char random[TOKEN_HEX_DIGITS / 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return false;
    for (size_t i = 0; i < sizeof random; i++) {
        ret_token[2 * i] = digits[random[i] >> 4];
        ret_token[2 * i + 1] = digits[random[i] & 15];
    }
    ret_token[TOKEN_HEX_DIGITS] = '\0';
    return true;
}

static err_t
spawn(struct plugin *plugin, const char *token, struct diag *diag)
{
    const struct supervisor *s = plugin->supervisor;
    struct command_args args = {
        .manifest = plugin->manifest,
        .exec_path = s->config.exec_path,
        .sandbox = s->config.sandbox,
        .environment = s->config.environment,
        .paths = plugin->paths,
        .path_count = plugin->path_count,
        .socket_path = plugin->socket_path,
        .token = token,
        .parent = getpid(),
    };
    struct command command = command_build(&args, diag->arena);
    return process_spawn(
        s->loop,
        &(struct process_command){
            .path = s->config.exec_path,
            .argv = command.argv,
            .envp = command.envp,
            .token = plugin->manifest->token_in_environment ? NULL : token,
        },
        &(struct process_hooks){ .arg = plugin, .output = on_output, .exited = on_exited },
        &plugin->process, diag);
}

/* A fresh generation: its number, socket path, and nothing known of it yet. */
static bool
begin_generation(struct plugin *plugin, char ret_token[TOKEN_HEX_DIGITS + 1])
{
    char name[RUNDIR_NAME_BYTES_MAX + 1];
    plugin->was_ready = plugin->had_answered = plugin->has_printed = false;
    plugin->path_count_started = plugin->path_count;
    (void)pthread_mutex_lock(&plugin->lock);
    plugin->generation++;
    set_text(&plugin->build, SLICE_EMPTY);
    set_text(&plugin->sandbox_active, SLICE_EMPTY);
    set_text(&plugin->sandbox_missing, SLICE_EMPTY);
    (void)pthread_mutex_unlock(&plugin->lock);
    (void)snprintf(name, sizeof name, "p%u.%u", plugin->index, plugin->generation); /* fits */
    return make_token(ret_token) &&
           rundir_path(plugin->supervisor->config.rundir, name, plugin->socket_path);
}

static void
start_process(struct plugin *plugin)
{
    struct supervisor *s = plugin->supervisor;
    char token[TOKEN_HEX_DIGITS + 1];
    struct arena arena;
    struct diag diag;
    assert(plugin->process == NULL);
    disarm(plugin);
    arena_init(&arena);
    diag_init(&diag, &arena);
    bool ok = begin_generation(plugin, token);
    set_state(plugin, PLUGIN_STARTING, NULL);
    if (!ok) {
        on_failed(plugin, "no random numbers, or the run directory's path is too long");
        goto out;
    }
    s->hooks.listen(s->hooks.arg, plugin, plugin->socket_path, token, plugin->generation);
    if (spawn(plugin, token, &diag) != OK) {
        forget_process(plugin, NULL);
        on_failed(plugin, diag.message.data);
        goto out;
    }
    (void)pthread_mutex_lock(&plugin->lock);
    plugin->group = process_pid(plugin->process);
    (void)pthread_mutex_unlock(&plugin->lock);
    arm(plugin, s->config.start_ms);
    s->hooks.spawned(s->hooks.arg, plugin, plugin->generation, plugin->group);
    if (!plugin->is_wanted)
        plugin_stop(plugin, "stopped while it was started");
out:
    explicit_bzero(token, sizeof token);
    arena_fini(&arena);
}

/* Not ready in time, or the pause before a start is over. */
static void
on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct plugin *plugin = container_of(watcher, struct plugin, timer);
    if (plugin->process != NULL)
        end_process(plugin, "not ready in time");
    else if (plugin->is_wanted)
        start_process(plugin);
}

/* ------------------------------------------------------------------------------ orders */

void
plugin_start(struct plugin *plugin)
{
    assert(plugin->magic == PLUGIN_MAGIC);
    if (plugin->supervisor->is_stopping || plugin->is_wanted)
        return;
    plugin->is_wanted = true;
    if (plugin->process == NULL) /* else it is draining, and starts again when it is gone */
        start_process(plugin);
}

void
plugin_stop(struct plugin *plugin, const char *reason)
{
    assert(plugin->magic == PLUGIN_MAGIC);
    plugin->is_wanted = false;
    if (plugin->process != NULL) {
        plugin->is_asked_to_end = true;
        end_process(plugin, reason);
    } else {
        disarm(plugin);
        if (plugin->state == PLUGIN_FAILED)
            set_state(plugin, PLUGIN_STOPPED, NULL);
    }
}

void
plugin_restart(struct plugin *plugin, const char *reason)
{
    assert(plugin->magic == PLUGIN_MAGIC);
    if (plugin->supervisor->is_stopping)
        return;
    plugin->is_wanted = true;
    plugin->backoff_ms = 0;
    if (plugin->process != NULL) {
        plugin->is_asked_to_end = true;
        end_process(plugin, reason);
    } else {
        start_process(plugin);
    }
}

void
plugin_kill(struct plugin *plugin)
{
    if (plugin->process != NULL)
        process_kill(plugin->process, delays(plugin));
}

void
supervisor_link_event(struct plugin *plugin, uint32_t generation, enum link_event event,
                      const char *reason)
{
    assert(plugin->magic == PLUGIN_MAGIC);
    if (generation != plugin->generation || plugin->process == NULL)
        return;
    bool is_new = plugin->state == PLUGIN_STARTING || plugin->state == PLUGIN_HANDSHAKING;
    switch (event) {
    case LINK_CONNECTED:
        if (plugin->state == PLUGIN_STARTING)
            set_state(plugin, PLUGIN_HANDSHAKING, NULL);
        break;
    case LINK_READY:
        if (!is_new)
            break;
        disarm(plugin);
        plugin->was_ready = true;
        set_state(plugin, PLUGIN_READY, NULL);
        break;
    case LINK_ANSWERED:
        plugin->had_answered = true;
        plugin->backoff_ms = 0;
        break;
    case LINK_FAILED:
    case LINK_LOST:
        end_process(plugin, reason == NULL ? "link lost" : reason);
        break;
    }
}

/* ------------------------------------------------------------------------------ sandbox paths */

bool
plugin_allow(struct plugin *plugin, const char *path, enum manifest_access access)
{
    struct arena arena;
    arena_init(&arena);
    struct slice key = arena_printf(&arena, "%d%s", (int)access, path);
    uintptr_t place = (uintptr_t)map_get(&plugin->path_index, key); /* index + 1 */
    if (place == 0 && plugin->path_count < LIMIT_plugin_paths_max) {
        struct command_path *paths = realloc(plugin->paths,
                                             (plugin->path_count + 1) * sizeof *paths);
        char *copy = strdup(path);
        if (paths == NULL || copy == NULL)
            abort();
        paths[plugin->path_count++] = (struct command_path){ .path = copy, .access = access };
        plugin->paths = paths;
        place = plugin->path_count;
        (void)map_put(&plugin->path_index, key, (void *)place); /* there was none */
    } else if (place == 0) {
        log_error(SCOPE, "event=too_many_paths plugin=%s path=%s", plugin->name, path);
    }
    arena_fini(&arena);
    if (place == 0)
        return false;
    return plugin->process == NULL || place <= plugin->path_count_started;
}

bool
plugin_allow_metadata(struct plugin *plugin, struct slice name, struct slice value)
{
    const struct manifest *m = plugin->manifest;
    struct arena arena;
    bool has_all = true;
    arena_init(&arena);
    for (size_t i = 0; i < m->file_count; i++) {
        const struct manifest_file *file = &m->files[i];
        if (file->metadata == NULL || !slice_eq_nocase(name, slice_str(file->metadata)))
            continue;
        const char *path = manifest_path_of(file, value, &arena);
        if (path != NULL && !plugin_allow(plugin, path, file->access))
            has_all = false;
    }
    arena_fini(&arena);
    return has_all;
}

/* ------------------------------------------------------------------------------ the object */

struct plugin *
plugin_new(struct supervisor *supervisor, const struct manifest *manifest, struct slice isolate,
           unsigned index)
{
    struct plugin *plugin = calloc(1, sizeof *plugin);
    char *name = NULL, *scope = NULL;
    if (plugin == NULL ||
        asprintf(&name, "%s%s" SLICE_FMT, manifest->name, isolate.len > 0 ? "/" : "",
                 SLICE_ARG(isolate)) < 0 ||
        asprintf(&scope, "remora.plugin.%s", name) < 0)
        abort();
    plugin->magic = PLUGIN_MAGIC;
    plugin->supervisor = supervisor;
    plugin->manifest = manifest_ref(manifest);
    plugin->index = index;
    plugin->name = name;
    plugin->scope = scope;
    plugin->since_unix_ms = clock_unix_ms();
    map_init(&plugin->path_index);
    output_init(&plugin->output);
    (void)pthread_mutex_init(&plugin->lock, NULL); /* cannot fail with these arguments */
    ev_timer_init(&plugin->timer, on_timer, 0., 0.);
    return plugin;
}

void
plugin_free(struct plugin *plugin)
{
    if (plugin == NULL)
        return;
    assert(plugin->process == NULL);
    plugin->magic = 0;
    disarm(plugin);
    for (size_t i = 0; i < plugin->path_count; i++)
        free((char *)(uintptr_t)plugin->paths[i].path); /* ours, const for its readers */
    free(plugin->paths);
    map_fini(&plugin->path_index);
    output_fini(&plugin->output);
    (void)pthread_mutex_destroy(&plugin->lock); /* unlocked */
    free(plugin->name);
    free(plugin->scope);
    free(plugin->build);
    free(plugin->reason);
    free(plugin->last_exit);
    free(plugin->sandbox_active);
    free(plugin->sandbox_missing);
    manifest_unref(plugin->manifest);
    free(plugin);
}

void
plugin_renew_manifest(struct plugin *plugin, const struct manifest *manifest)
{
    struct manifest *old = plugin->manifest;
    if (!plugin_is_gone(plugin) || old == manifest || old->has_other_program)
        return;
    (void)pthread_mutex_lock(&plugin->lock);
    plugin->manifest = manifest_ref(manifest);
    (void)pthread_mutex_unlock(&plugin->lock);
    manifest_unref(old);
}

bool
plugin_is_gone(const struct plugin *plugin)
{
    return plugin->process == NULL && !plugin->is_wanted;
}

enum plugin_state
plugin_state(const struct plugin *plugin)
{
    return plugin->state;
}

const struct manifest *
plugin_manifest(const struct plugin *plugin)
{
    return plugin->manifest;
}

const char *
plugin_name(const struct plugin *plugin)
{
    return plugin->name;
}

uint32_t
plugin_generation(const struct plugin *plugin)
{
    return plugin->generation;
}

void
plugin_set_build(struct plugin *plugin, struct slice build)
{
    (void)pthread_mutex_lock(&plugin->lock);
    set_text(&plugin->build, build);
    (void)pthread_mutex_unlock(&plugin->lock);
}

void
plugin_set_peer(struct plugin *plugin, pid_t pid)
{
    (void)pthread_mutex_lock(&plugin->lock);
    plugin->peer = plugin->group == 0 ? 0 : pid;
    (void)pthread_mutex_unlock(&plugin->lock);
}

void
plugin_set_user(struct plugin *plugin, void *user)
{
    plugin->user = user;
}

void *
plugin_user(const struct plugin *plugin)
{
    return plugin->user;
}

struct plugin_status
plugin_status(struct plugin *plugin, struct arena *arena)
{
    (void)pthread_mutex_lock(&plugin->lock);
    struct plugin_status status = {
        .name = slice_str(plugin->name),
        .version = arena_dup(arena, slice_str(plugin->manifest->version)),
        .build = arena_dup(arena, slice_str(plugin->build)),
        .state = plugin->state,
        .reason = arena_dup(arena, slice_str(plugin->reason)),
        .last_exit = arena_dup(arena, slice_str(plugin->last_exit)),
        .sandbox_active = arena_dup(arena, slice_str(plugin->sandbox_active)),
        .sandbox_missing = arena_dup(arena, slice_str(plugin->sandbox_missing)),
        .group = plugin->group,
        .pid = plugin->peer,
        .generation = plugin->generation,
        .restarts = plugin->restarts,
        .since_unix_ms = plugin->since_unix_ms,
        .lines = ARENA_ARRAY(arena, struct slice, LIMIT_stderr_lines_kept),
    };
    const char *line;
    while ((line = output_line(&plugin->output, (unsigned)status.line_count)) != NULL)
        status.lines[status.line_count++] = arena_dup(arena, slice_str(line));
    (void)pthread_mutex_unlock(&plugin->lock);
    return status;
}
