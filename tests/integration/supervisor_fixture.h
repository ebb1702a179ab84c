/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the supervisor with real processes. The test program is its own plugin: its manifest
 * names the program itself and lets the variable ACT through; with that set the program runs the
 * act of that name and never reaches main(). The bus is played by the test: it reports link events
 * as if a plugin had connected.
 */
#ifndef SUPERVISOR_FIXTURE_H
#define SUPERVISOR_FIXTURE_H

#include <ev.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "supervisor/supervisor.h"
#include "test.h"

/* Defined by the test: what the plugin does. Ends with _exit() or for ever. */
static void act(const char *name);

__attribute__((constructor(101))) static void
become_the_plugin(void)
{
    const char *name = getenv("ACT");
    if (name == NULL)
        return;
    act(name);
    _exit(99); /* no such act */
}

static inline void PRINTF_LIKE(1, 2) say(const char *format, ...)
{
    char line[1000];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    (void)!write(1, line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
}

struct fixture {
    struct ev_loop *loop;
    struct supervisor *supervisor;
    struct rundir rundir;
    struct manifest *manifest;
    struct plugin *plugin;
    struct arena arena;
    const char *act;
    char dir[200];
    char kernel[16]; /* our pid */
    char exec_path[600];
    bool auto_ready;    /* reports the link as ready as soon as a process is there */
    bool auto_answered; /* and a call as answered */
    int listened, spawned, closed, stopped;
    char token[80];
    char socket_path[SOCKET_PATH_BYTES_MAX];
    char states[400]; /* every one the plugin went through */
    ev_timer limit;
    bool is_late;
};

static const char *fixture_test_dir; /* set by a test that brings its own */
/* From SIGTERM to SIGKILL. Who ends by himself has long enough for it on any machine; a test whose
 * plugin does not end so makes it short, for itself. */
enum { FIXTURE_TERM_MS = 30000 };
static uint32_t fixture_term_ms = FIXTURE_TERM_MS;

static inline const char *
fixture_env(void *arg, const char *name)
{
    struct fixture *f = arg;
    if (strcmp(name, "ACT") == 0)
        return f->act;
    if (strcmp(name, "TEST_DIR") == 0)
        return fixture_test_dir != NULL ? fixture_test_dir : f->dir;
    if (strcmp(name, "KERNEL") == 0)
        return f->kernel;
    if (strstr(name, "SAN_OPTIONS") != NULL)
        return "detect_leaks=0"; /* the leak detector wants ptrace, which a plugin does not get */
    return NULL;
}

static inline void
fixture_listen(void *arg, struct plugin *plugin, const char *socket_path, const char *token,
               uint32_t generation)
{
    struct fixture *f = arg;
    (void)plugin;
    (void)generation;
    f->listened++;
    snprintf(f->token, sizeof f->token, "%s", token);
    snprintf(f->socket_path, sizeof f->socket_path, "%s", socket_path);
}

static inline void
fixture_spawned(void *arg, struct plugin *plugin, uint32_t generation, pid_t pid)
{
    struct fixture *f = arg;
    (void)pid;
    f->spawned++;
    if (!f->auto_ready)
        return;
    supervisor_link_event(plugin, generation, LINK_CONNECTED, NULL);
    supervisor_link_event(plugin, generation, LINK_READY, NULL);
    if (f->auto_answered)
        supervisor_link_event(plugin, generation, LINK_ANSWERED, NULL);
}

static inline void
fixture_closed(void *arg, struct plugin *plugin, uint32_t generation)
{
    struct fixture *f = arg;
    (void)plugin;
    (void)generation;
    f->closed++;
}

static inline void
fixture_changed(void *arg, struct plugin *plugin, enum plugin_state from)
{
    struct fixture *f = arg;
    size_t used = strlen(f->states);
    (void)from;
    snprintf(f->states + used, sizeof f->states - used, "%s ",
             plugin_state_name(plugin_state(plugin)));
}

static inline void
fixture_stopped(void *arg)
{
    struct fixture *f = arg;
    f->stopped++;
}

static inline void
fixture_late(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    container_of(watcher, struct fixture, limit)->is_late = true;
}

/* Turns the loop until `condition`, at most 60 s; a failed CHECK when that is not enough. */
#define WAIT_FOR(f, condition)                                                                     \
    do {                                                                                           \
        (f)->is_late = false;                                                                      \
        ev_now_update((f)->loop);                                                                  \
        ev_timer_set(&(f)->limit, 60., 0.);                                                        \
        ev_timer_start((f)->loop, &(f)->limit);                                                    \
        while (!(condition) && !(f)->is_late)                                                      \
            ev_run((f)->loop, EVRUN_ONCE);                                                         \
        ev_timer_stop((f)->loop, &(f)->limit);                                                     \
        test_check((condition), "in time: " #condition, __FILE__, __LINE__);                       \
    } while (0)

/* `more` is YAML flow text with a leading comma for the manifest. The program lies beside it, and
 * remora-exec of the same build not far. */
static inline void
fixture_manifest(struct fixture *f, const char *more)
{
    char self[500];
    struct diag diag;
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    REQUIRE(len > 0);
    self[len] = '\0';
    char *slash = strrchr(self, '/');
    *slash = '\0';
    snprintf(f->exec_path, sizeof f->exec_path, "%s/../../bin/remora-exec", self);
    REQUIRE(access(f->exec_path, X_OK) == 0);
    struct slice path = arena_printf(&f->arena, "%s/plugin.yaml", self);
    struct slice text = arena_printf(
        &f->arena,
        "{apiVersion: remora.io/v1, kind: Plugin, name: act, version: 1, exec: %s, "
        "environment: [ACT, TEST_DIR, KERNEL], types: [{type: state.act}]%s}",
        slash + 1, more);
    diag_init(&diag, &f->arena);
    REQUIRE_OK(manifest_parse(text, path.data, &f->manifest, &diag));
}

/* A supervisor with short delays and one plugin, not started. */
static inline void
fixture_init(struct fixture *f, const char *name, const char *more, enum sandbox_mode sandbox)
{
    *f = (struct fixture){ .act = name, .loop = ev_default_loop(0) };
    struct diag diag;
    arena_init(&f->arena);
    diag_init(&diag, &f->arena);
    log_threshold = LOG_FATAL; /* failures are what is tested */
    snprintf(f->dir, sizeof f->dir, "%s", test_dir());
    snprintf(f->kernel, sizeof f->kernel, "%d", getpid());
    REQUIRE_OK(rundir_open(&(struct rundir_config){ .wanted = f->dir }, &f->rundir, &diag));
    fixture_manifest(f, more);
    ev_init(&f->limit, fixture_late);
    f->supervisor = supervisor_new(f->loop,
                                   &(struct supervisor_config){
                                       .exec_path = f->exec_path,
                                       .rundir = &f->rundir,
                                       .sandbox = sandbox,
                                       .environment = { .get = fixture_env, .arg = f },
                                       .start_ms = 60000,
                                       .term_ms = fixture_term_ms,
                                       .kill_ms = 500,
                                       .backoff_ms = 20,
                                       .backoff_ms_max = 80,
                                       .rapid_window_ms = 60000,
                                   },
                                   &(struct supervisor_hooks){
                                       .arg = f,
                                       .listen = fixture_listen,
                                       .spawned = fixture_spawned,
                                       .closed = fixture_closed,
                                       .changed = fixture_changed,
                                   });
    f->plugin = supervisor_plugin(f->supervisor, f->manifest, SLICE_EMPTY);
}

/* Stops everything, and sees that nothing is left. */
static inline void
fixture_fini(struct fixture *f)
{
    if (f->stopped == 0) {
        supervisor_stop_all(f->supervisor, 2000, fixture_stopped, f);
        WAIT_FOR(f, f->stopped > 0);
    }
    CHECK_EQ_INT(f->closed, f->listened);
    CHECK_EQ_INT(waitpid(-1, NULL, WNOHANG), -1); /* no child, so no zombie */
    supervisor_free(f->supervisor);
    fixture_term_ms = FIXTURE_TERM_MS;
    manifest_unref(f->manifest);
    rundir_close(&f->rundir);
    arena_fini(&f->arena);
}

static inline struct plugin_status
status(struct fixture *f)
{
    return plugin_status(f->plugin, &f->arena);
}

/* Whether it has printed a line with `text` in it lately. */
static inline bool
has_printed(struct fixture *f, const char *text)
{
    struct plugin_status now = status(f);
    for (size_t i = 0; i < now.line_count; i++)
        if (slice_find(now.lines[i], slice_str(text)) >= 0)
            return true;
    return false;
}

#endif
