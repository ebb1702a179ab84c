/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What plugin.c (the life of one plugin) and supervisor.c (all of them) share. Fields below `lock`
 * are written by the control thread under it and read by any thread under it; the control thread
 * reads them without. The rest is the control thread's alone.
 */
#ifndef SUPERVISOR_PLUGIN_H
#define SUPERVISOR_PLUGIN_H

#include <ev.h>
#include <pthread.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "supervisor/command.h"
#include "supervisor/output.h"
#include "supervisor/process.h"
#include "supervisor/supervisor.h"

enum { PLUGIN_MAGIC = 0x504c5547, TOKEN_HEX_DIGITS = 64 };

struct plugin {
    unsigned magic;
    struct supervisor *supervisor;
    struct manifest *manifest; /* counted; changed under the lock */
    unsigned index;            /* in socket names */
    char *name;                /* owned, as what is a pointer to char below */
    char *scope;               /* of its output in the log */
    void *user;

    bool is_wanted;
    bool is_successor;    /* comes up beside another of the same name; not to be found by name */
    bool is_replaced;     /* that other one, once the successor has taken over */
    bool is_retired;      /* its time is over; freed by whoever retired it */
    bool is_asked_to_end; /* the running process ends because we want it, so it is no failure */
    bool was_ready;       /* of the running or last process */
    bool had_answered;
    bool has_printed;
    struct process *process; /* NULL if none runs */
    char socket_path[SOCKET_PATH_BYTES_MAX];
    uint32_t backoff_ms;                                   /* the next pause; 0: the first */
    uint64_t rapid_exits_ms[LIMIT_plugin_rapid_exits_max]; /* when the last ones were; a ring */
    unsigned rapid_exits_next;
    ev_timer timer; /* until ready, or until the next start */

    struct command_path *paths;
    size_t path_count;
    size_t path_count_started; /* those the running process has */
    struct map path_index;     /* path → itself, to find doubles */

    pthread_mutex_t lock;
    enum plugin_state state;
    int64_t since_unix_ms;
    uint32_t generation;
    uint64_t restarts;
    pid_t group;
    pid_t peer; /* of the group the one that connected; 0 before that */
    char *build;
    char *reason;
    char *last_exit;
    char *sandbox_active;
    char *sandbox_missing;
    struct output output;
};

struct supervisor {
    struct ev_loop *loop;
    struct supervisor_config config;
    struct supervisor_hooks hooks;
    pthread_mutex_t lock; /* of the three below */
    struct plugin **plugins;
    unsigned next_index; /* of socket names: never used twice */
    size_t count;
    size_t capacity;
    bool is_stopping;
    supervisor_stopped_fn *stopped;
    void *stopped_arg;
    ev_timer deadline;
    ev_timer done; /* calls back from the loop */
};

struct plugin *plugin_new(struct supervisor *supervisor, const struct manifest *manifest,
                          struct slice isolate, unsigned index);
void plugin_free(struct plugin *plugin);
/* Kills what runs without waiting for it to end by itself. */
void plugin_kill(struct plugin *plugin);
/* plugin.c tells when a plugin is gone. */
void supervisor_on_gone(struct supervisor *supervisor);

#endif
