/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spawning, watching and ending one process. posix_spawn() and not fork(): the kernel has threads,
 * and page tables of a busy one take long to copy. What is spawned is remora-exec, which becomes a
 * monitor that ends exactly as the plugin does; SIGUSR1 tells it to kill whatever the plugin
 * started, SIGTERM it leaves to the plugin.
 */
#include "supervisor/process.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/macros.h"

enum { PROCESS_MAGIC = 0x50524f43, TOKEN_FD = 3, SPARE_FD_MIN = 10 };

enum stopping { RUNNING, TERMINATING, KILLING, KILLED };

struct process {
    unsigned magic;
    struct ev_loop *loop;
    struct process_hooks hooks;
    pid_t pid; /* also the group's number */
    int output_fd;
    bool output_ended;
    enum stopping stopping;
    struct process_delays delays;
    ev_child child;
    ev_io output;
    ev_timer timer;
};

/* ------------------------------------------------------------------------------ events */

/* At most one turn's worth, or all there is. */
static void
read_output(struct process *process, bool all)
{
    char *bytes = malloc(LIMIT_plugin_output_bytes_per_turn);
    if (bytes == NULL)
        abort();
    /* After the exit only what the pipe can hold is left; a stray writer must not keep us here. */
    for (int rounds = all ? 8 : 1; rounds > 0; rounds--) {
        ssize_t len = read(process->output_fd, bytes, LIMIT_plugin_output_bytes_per_turn);
        if (len > 0) {
            process->hooks.output(process->hooks.arg, slice_of(bytes, (size_t)len));
            continue;
        }
        if (len == 0 || (errno != EAGAIN && errno != EINTR)) {
            process->output_ended = true;
            ev_io_stop(process->loop, &process->output);
        }
        break;
    }
    free(bytes);
}

static void
on_output(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    read_output(container_of(watcher, struct process, output), false);
}

static void
on_exit_status(struct ev_loop *loop, ev_child *watcher, int events)
{
    (void)events;
    struct process *process = container_of(watcher, struct process, child);
    assert(process->magic == PROCESS_MAGIC);
    int status = watcher->rstatus;
    ev_child_stop(loop, &process->child);
    ev_timer_stop(loop, &process->timer);
    read_output(process, true);
    ev_io_stop(loop, &process->output);
    process->pid = 0; /* the number may be somebody else's from now on */
    process->hooks.exited(process->hooks.arg, status);
}

static void
arm(struct process *process, uint32_t delay_ms)
{
    ev_timer_stop(process->loop, &process->timer);
    ev_timer_set(&process->timer, delay_ms / 1e3, 0);
    ev_now_update(process->loop);
    ev_timer_start(process->loop, &process->timer);
}

static void
on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct process *process = container_of(watcher, struct process, timer);
    if (process->stopping == TERMINATING) {
        process_kill(process, process->delays);
    } else if (process->stopping == KILLING) {
        process->stopping = KILLED;
        (void)kill(-process->pid, SIGKILL); /* not reaped yet, so the number is still ours */
    }
}

/* ------------------------------------------------------------------------------ spawning */

/* A close-on-exec descriptor that no number given to the child can collide with. */
static int
move_up(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, SPARE_FD_MIN);
    int saved = errno;
    (void)close(fd); /* a duplicate */
    errno = saved;
    return moved;
}

static bool
open_pipe(int ret_ends[2])
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    ret_ends[0] = move_up(ends[0]);
    ret_ends[1] = move_up(ends[1]);
    return ret_ends[0] >= 0 && ret_ends[1] >= 0;
}

static void
close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* pipes */
    *fd = -1;
}

/* The read end of a pipe that holds the token and nothing more. */
static bool
open_token(const char *token, int *ret_fd)
{
    int ends[2] = { -1, -1 };
    bool ok = open_pipe(ends) && write(ends[1], token, strlen(token)) == (ssize_t)strlen(token);
    close_fd(&ends[1]);
    if (ok)
        *ret_fd = ends[0];
    else
        close_fd(&ends[0]);
    return ok;
}

static int
spawn(const struct process_command *command, int output_fd, int token_fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0)
        return error;
    error = posix_spawnattr_init(&attributes);
    if (error != 0) {
        (void)posix_spawn_file_actions_destroy(&actions); /* cannot fail */
        return error;
    }
    short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    if ((error = posix_spawnattr_setflags(&attributes, flags)) == 0 &&
        (error = posix_spawnattr_setpgroup(&attributes, 0)) == 0 &&
        (error = posix_spawnattr_setsigmask(&attributes, &none)) == 0 &&
        (error = posix_spawnattr_setsigdefault(&attributes, &all)) == 0 &&
        (error = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)) == 0 &&
        (error = posix_spawn_file_actions_adddup2(&actions, output_fd, 1)) == 0 &&
        (error = posix_spawn_file_actions_adddup2(&actions, output_fd, 2)) == 0 &&
        (token_fd < 0 ||
         (error = posix_spawn_file_actions_adddup2(&actions, token_fd, TOKEN_FD)) == 0))
        error = posix_spawn(ret_pid, command->path, &actions, &attributes, command->argv,
                            command->envp);
    (void)posix_spawnattr_destroy(&attributes); /* cannot fail */
    (void)posix_spawn_file_actions_destroy(&actions);
    return error;
}

static struct process *
watch(struct ev_loop *loop, const struct process_hooks *hooks, pid_t pid, int output_fd)
{
    struct process *process = calloc(1, sizeof *process);
    if (process == NULL)
        abort();
    *process = (struct process){
        .magic = PROCESS_MAGIC,
        .loop = loop,
        .hooks = *hooks,
        .pid = pid,
        .output_fd = output_fd,
    };
    ev_child_init(&process->child, on_exit_status, pid, 0);
    ev_child_start(loop, &process->child);
    ev_io_init(&process->output, on_output, output_fd, EV_READ);
    ev_set_priority(&process->output, EV_MINPRI);
    ev_io_start(loop, &process->output);
    ev_timer_init(&process->timer, on_timer, 0., 0.);
    return process;
}

err_t
process_spawn(struct ev_loop *loop, const struct process_command *command,
              const struct process_hooks *hooks, struct process **ret_process, struct diag *diag)
{
    assert(ev_is_default_loop(loop));
    int output[2] = { -1, -1 }, token_fd = -1;
    pid_t pid = 0;
    err_t err = OK;
    int error = 0;
    if (!open_pipe(output) || fcntl(output[0], F_SETFL, O_NONBLOCK) != 0 ||
        (command->token != NULL && !open_token(command->token, &token_fd)))
        error = errno;
    if (error == 0)
        error = spawn(command, output[1], token_fd, &pid);
    if (error != 0) {
        close_fd(&output[0]);
        err = DIAG_FAIL(diag, ERR_IO, "cannot start %s: %s", command->path, strerror(error));
    } else {
        *ret_process = watch(loop, hooks, pid, output[0]);
    }
    close_fd(&output[1]);
    close_fd(&token_fd);
    return err;
}

/* ------------------------------------------------------------------------------ ending */

void
process_stop(struct process *process, struct process_delays delays)
{
    assert(process->magic == PROCESS_MAGIC);
    if (process->stopping != RUNNING || process->pid == 0)
        return;
    process->stopping = TERMINATING;
    process->delays = delays;
    (void)kill(-process->pid, SIGTERM); /* not reaped yet, so the number is still ours */
    arm(process, delays.term_ms);
}

void
process_kill(struct process *process, struct process_delays delays)
{
    assert(process->magic == PROCESS_MAGIC);
    if (process->stopping >= KILLING || process->pid == 0)
        return;
    process->stopping = KILLING;
    process->delays = delays;
    (void)kill(process->pid, SIGUSR1); /* as above */
    arm(process, delays.kill_ms);
}

bool
process_is_stopping(const struct process *process)
{
    return process->stopping != RUNNING;
}

pid_t
process_pid(const struct process *process)
{
    return process->pid;
}

void
process_hold_output(struct process *process, bool is_held)
{
    assert(process->magic == PROCESS_MAGIC);
    if (is_held)
        ev_io_stop(process->loop, &process->output);
    else if (!process->output_ended && process->pid != 0)
        ev_io_start(process->loop, &process->output);
}

void
process_free(struct process *process)
{
    if (process == NULL)
        return;
    assert(process->magic == PROCESS_MAGIC);
    assert(process->pid == 0);
    process->magic = 0;
    (void)close(process->output_fd); /* a pipe */
    free(process);
}

struct slice
process_status_text(int wait_status, char ret_text[48])
{
    int len;
    if (WIFEXITED(wait_status)) {
        len = snprintf(ret_text, 48, "exit code %d", WEXITSTATUS(wait_status));
    } else {
        const char *name = sigabbrev_np(WTERMSIG(wait_status));
        if (name != NULL)
            len = snprintf(ret_text, 48, "killed by SIG%s", name);
        else
            len = snprintf(ret_text, 48, "killed by signal %d", WTERMSIG(wait_status));
    }
    return slice_of(ret_text, (size_t)len);
}
