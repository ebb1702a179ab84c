/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugins as processes: started, watched, restarted, ended. The supervisor knows neither links nor
 * workers nor components: what it needs of them it asks through `struct supervisor_hooks`, and what
 * happens to a link is reported to it with supervisor_link_event(). All of it is for the control
 * thread (the one that called posix_spawn must live as long as the plugins do), except
 * plugin_status() and supervisor_statuses(), which any thread may call.
 *
 * A plugin's life:
 *
 *   stopped ──► starting ──► handshaking ──► ready ──► draining ──► stopped
 *                  ▲              │            │           │
 *                  └── failed ◄───┴────────────┴───────────┘
 *
 *   starting     a process was spawned; nobody has connected yet
 *   handshaking  its link is connected
 *   ready        its hello was accepted
 *   draining     it was told to end (stop, or its link was lost) and has not yet
 *   failed       it ended unasked and will be started again after a pause
 *   stopped      not running, not wanted
 *
 * A process that was ready and had answered a call is replaced at once. One that ends before it is
 * ready, or for the sixth time in 10 s without having answered, is replaced after a pause that
 * doubles from 100 ms to 30 s. A process that is not ready after 15 s is ended.
 */
#ifndef SUPERVISOR_SUPERVISOR_H
#define SUPERVISOR_SUPERVISOR_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "config/cli.h"
#include "config/env.h"
#include "supervisor/manifest.h"
#include "supervisor/rundir.h"

struct supervisor;
struct plugin;

enum plugin_state {
    PLUGIN_STOPPED,
    PLUGIN_STARTING,
    PLUGIN_HANDSHAKING,
    PLUGIN_READY,
    PLUGIN_DRAINING,
    PLUGIN_FAILED,
};

const char *plugin_state_name(enum plugin_state state);

/* All are called on the control thread. None may be NULL except `changed`. */
struct supervisor_hooks {
    void *arg;
    /* A process is about to be spawned: when this returns, a listener is bound to `socket_path`
     * (a path nobody used before), expecting `token`. The plugin dials once. */
    void (*listen)(void *arg, struct plugin *plugin, const char *socket_path, const char *token,
                   uint32_t generation);
    /* It runs. `pid` leads a process group of the same number, and the plugin is in that group but
     * is not its leader: check getpgid() of the peer's SO_PEERCRED, not what hello says, since the
     * plugin may see itself in another PID namespace. Not called if it could not be spawned. */
    void (*spawned)(void *arg, struct plugin *plugin, uint32_t generation, pid_t pid);
    /* Nothing of it is left: close its listener and its links. Follows each `listen`, once. The
     * socket file is removed afterwards. */
    void (*closed)(void *arg, struct plugin *plugin, uint32_t generation);
    /* plugin_state() is another one. The plugin may be told to start or stop in here, not freed. */
    void (*changed)(void *arg, struct plugin *plugin, enum plugin_state from);
};

struct supervisor_config {
    const char *exec_path; /* of remora-exec; borrowed like all here, until supervisor_free() */
    const struct rundir *rundir;
    enum sandbox_mode sandbox;
    struct env environment;
    /* 0: the row of limits.def of that name. Tests shorten them. */
    uint32_t start_ms;
    uint32_t term_ms;
    uint32_t kill_ms;
    uint32_t backoff_ms;
    uint32_t backoff_ms_max;
    uint32_t rapid_window_ms;
};

/* `loop` is libev's default loop. */
struct supervisor *supervisor_new(struct ev_loop *loop, const struct supervisor_config *config,
                                  const struct supervisor_hooks *hooks);
/* After supervisor_stop_all() has called back, or when nothing was started. */
void supervisor_free(struct supervisor *supervisor);

/* The plugin of a manifest, made at the first call. `isolate` names the one component it shall host
 * ("" for the process that all components share). It counts the manifest. */
struct plugin *supervisor_plugin(struct supervisor *supervisor, const struct manifest *manifest,
                                 struct slice isolate);
/* A plugin that is gone starts with this manifest the next time, unless it has a program that was
 * named by hand. */
void plugin_renew_manifest(struct plugin *plugin, const struct manifest *manifest);
/* Another plugin of the same name, not started yet, whose generations count on from `plugin`'s:
 * what is to take its place. It is hidden: supervisor_plugin() does not find it. The manifest may
 * be another one; it is counted. */
struct plugin *supervisor_successor(struct supervisor *supervisor, struct plugin *plugin,
                                    const struct manifest *manifest);
/* From now on `successor` is found by the name, and `plugin` is not. */
void plugin_promote(struct plugin *successor, struct plugin *plugin);
/* Stops it for good. */
void plugin_retire(struct plugin *plugin, const char *reason);
/* Neither running nor wanted. */
bool plugin_is_gone(const struct plugin *plugin);
/* Frees a retired plugin that is gone. Not from within a hook. */
void supervisor_forget(struct supervisor *supervisor, struct plugin *plugin);
/* All of them, in the order they were made: index from 0, NULL beyond the last. */
struct plugin *supervisor_plugin_at(struct supervisor *supervisor, size_t index);

/* Ends every plugin, and calls back (not from in here) when the last one is gone. At the deadline
 * what is left is killed. Nothing can be started afterwards. */
typedef void supervisor_stopped_fn(void *arg);
void supervisor_stop_all(struct supervisor *supervisor, uint32_t deadline_ms,
                         supervisor_stopped_fn *stopped, void *arg);

/* What the bus sees of a link. `reason` is for people; it may be NULL with CONNECTED, READY and
 * ANSWERED. Reports about a generation that is not the running one are ignored. */
enum link_event {
    LINK_CONNECTED, /* somebody dialled */
    LINK_READY,     /* and its hello was accepted */
    LINK_ANSWERED,  /* a call was answered: report the first of a generation */
    LINK_FAILED,    /* the handshake failed: wrong token, version, ... */
    LINK_LOST,      /* it closed, or broke the protocol */
};
void supervisor_link_event(struct plugin *plugin, uint32_t generation, enum link_event event,
                           const char *reason);

/* Wanted from now on: starts it if it does not run. */
void plugin_start(struct plugin *plugin);
/* Not wanted any more: ends what runs. */
void plugin_stop(struct plugin *plugin, const char *reason);
/* Ends what runs and starts it again, at once when it is gone. */
void plugin_restart(struct plugin *plugin, const char *reason);

/* Opens a path (absolute) to the plugin's sandbox from its next process on. False if the running
 * one was started without it, so that it takes a plugin_restart() to have it; also false, and
 * logged, beyond LIMIT_plugin_paths_max. */
bool plugin_allow(struct plugin *plugin, const char *path, enum manifest_access access) WARN_UNUSED;
/* The same for every file the manifest declares, given one component's metadata. */
bool
plugin_allow_metadata(struct plugin *plugin, struct slice name, struct slice value) WARN_UNUSED;

/* Several of one name live side by side during a swap. */
enum plugin_role {
    PLUGIN_SERVES,
    PLUGIN_SUCCESSOR, /* not promoted yet */
    PLUGIN_RETIRED,
};

enum plugin_state plugin_state(const struct plugin *plugin);
enum plugin_role plugin_role(const struct plugin *plugin);
const struct manifest *plugin_manifest(const struct plugin *plugin);
/* "redis", or "redis/orders" with isolation. */
const char *plugin_name(const struct plugin *plugin);
uint32_t plugin_generation(const struct plugin *plugin);
/* Which build the running process says it is. */
void plugin_set_build(struct plugin *plugin, struct slice build);
/* Who has connected, for people: of the group's processes the one that is the plugin. As the system
 * says, not the plugin. */
void plugin_set_peer(struct plugin *plugin, pid_t pid);
/* For the owner of the hooks; NULL at first. */
void plugin_set_user(struct plugin *plugin, void *user);
void *plugin_user(const struct plugin *plugin);

/* What metadata shows. Copied into the arena. */
struct plugin_status {
    struct slice name;
    struct slice version;
    struct slice build; /* of the running or last process, as it says; empty if it does not */
    enum plugin_state state;
    struct slice reason;          /* of the last change for the worse; empty if there was none */
    struct slice last_exit;       /* "killed by SIGSEGV"; empty if none has ended yet */
    struct slice sandbox_active;  /* "pid-namespace,landlock-7,…"; empty before it is known */
    struct slice sandbox_missing; /* "landlock(reason),…" */
    pid_t group;                  /* its process group, led by the shim; 0 if none runs */
    pid_t pid;                    /* of the plugin itself; 0 before it has connected */
    uint32_t generation;          /* of processes: how many were started */
    uint64_t restarts;            /* of them, those that replaced one that ended unasked */
    int64_t since_unix_ms;        /* of the state */
    struct slice *lines;          /* last output, oldest first */
    size_t line_count;
};

struct plugin_status plugin_status(struct plugin *plugin, struct arena *arena);
/* Of all; the count through `ret_count`. */
struct plugin_status *
supervisor_statuses(struct supervisor *supervisor, struct arena *arena, size_t *ret_count);

#endif
