/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process generation of a plugin, from spawn to the last of it being gone. Control thread, on
 * libev's default loop (child watchers work on no other).
 */
#ifndef SUPERVISOR_PROCESS_H
#define SUPERVISOR_PROCESS_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/slice.h"

struct process;

/* What to run; borrowed during process_spawn(). */
struct process_command {
    const char *path; /* remora-exec */
    char *const *argv;
    char *const *envp;
    const char *token; /* readable on descriptor 3; NULL: there is none */
};

struct process_hooks {
    void *arg;
    /* Bytes it printed. */
    void (*output)(void *arg, struct slice bytes);
    /* It is gone and reaped, all output was delivered; the process may be freed in here. */
    void (*exited)(void *arg, int wait_status);
};

struct process_delays {
    uint32_t term_ms; /* from SIGTERM to the order to kill everything */
    uint32_t kill_ms; /* from there to SIGKILL of the group */
};

/* Starts it as the leader of a process group of its own, standard input from /dev/null, standard
 * output and error into a pipe. The hooks are called from the loop only, never from in here. */
err_t process_spawn(struct ev_loop *loop, const struct process_command *command,
                    const struct process_hooks *hooks, struct process **ret_process,
                    struct diag *diag) WARN_UNUSED;

pid_t process_pid(const struct process *process);
/* Whether what it prints is left in the pipe, until the process has to wait. */
void process_hold_output(struct process *process, bool is_held);
/* SIGTERM to the group, then after delays.term_ms the order to its leader to kill all, then after
 * delays.kill_ms SIGKILL to the group. A second call changes nothing. */
void process_stop(struct process *process, struct process_delays delays);
/* The last two steps at once. */
void process_kill(struct process *process, struct process_delays delays);
bool process_is_stopping(const struct process *process);
/* Only after it has exited; accepts NULL. */
void process_free(struct process *process);

/* "exit code 3", "killed by SIGSEGV". */
struct slice process_status_text(int wait_status, char ret_text[48]);

#endif
