/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a sidecar in a process of its own; see greet.h. */
#include "greet.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "http.h"
#include "processes.h"
#include "say.h"

enum { WAIT_MS = 60000, ASK_MS = 2000, TELL_MS = 10000, PAUSE_MS_MIN = 5, PAUSE_MS_MAX = 100 };

/* As fork(), with a child that ends with its parent, is out of reach of the terminal's signals and
 * does not run the launcher's handlers. */
static pid_t
fork_child(void)
{
    sigset_t all, before;
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before); /* cannot fail with these arguments */
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        for (int number = 1; number < SIGRTMIN; number++)
            (void)signal(number, SIG_DFL); /* two of them cannot be set, nor have been */
        (void)setpgid(0, 0);               /* cannot fail for a new process */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent)
            _exit(1);
    }
    int saved = errno;
    (void)sigprocmask(SIG_SETMASK, &before, NULL); /* as above */
    errno = saved;
    if (pid < 0)
        complain("cannot start a process: %s", strerror(errno));
    return pid;
}

static bool
is_up(const struct plan *plan)
{
    struct arena arena;
    struct http_reply reply;
    const char *error;
    arena_init(&arena);
    bool ok = http_call(&arena,
                        &(struct http_request){ .socket = plan->http_socket,
                                                .port = plan->options.http_port,
                                                .method = "GET",
                                                .target = "/v1.0/healthz/outbound",
                                                .timeout_ms = ASK_MS },
                        &reply, &error) &&
              reply.status == 204;
    arena_fini(&arena);
    return ok;
}

pid_t
greet_wait(const struct plan *plan)
{
    pid_t pid = fork_child();
    if (pid != 0)
        return pid;
    uint64_t deadline_ms = clock_now_ms() + WAIT_MS;
    int pause_ms = PAUSE_MS_MIN;
    while (!is_up(plan)) {
        if (clock_now_ms() > deadline_ms)
            _exit(1);
        (void)poll(NULL, 0, pause_ms); /* a pause, whatever ends it */
        pause_ms = pause_ms * 2 > PAUSE_MS_MAX ? PAUSE_MS_MAX : pause_ms * 2;
    }
    _exit(0);
}

/* One attribute. */
static bool
put(const struct plan *plan, const char *name, const char *value)
{
    struct arena arena;
    struct http_reply reply;
    const char *error;
    if (value == NULL || value[0] == '\0')
        return true;
    arena_init(&arena);
    bool ok = http_call(&arena,
                        &(struct http_request){
                            .socket = plan->http_socket,
                            .port = plan->options.http_port,
                            .method = "PUT",
                            .target = arena_printf(&arena, "/v1.0/metadata/%s", name).data,
                            .content_type = "text/plain",
                            .body = slice_str(value),
                            .timeout_ms = TELL_MS },
                        &reply, &error) &&
              reply.status == 204;
    arena_fini(&arena);
    return ok;
}

static bool
put_pid(const struct plan *plan, const char *name, pid_t pid)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%d", (int)pid); /* fits */
    return pid <= 0 || put(plan, name, text);
}

pid_t
greet_tell(const struct plan *plan, pid_t app_keeper, const char *app_log, const char *sidecar_log)
{
    pid_t launcher = getpid();
    pid_t pid = fork_child();
    if (pid != 0)
        return pid;
    const char *template = plan->wish.template;
    const char *name = template == NULL ? NULL : strrchr(template, '/') + 1;
    bool ok = put_pid(plan, "cliPID", launcher) && put(plan, "appCommand", plan->app_command) &&
              put_pid(plan, "appPID", app_keeper <= 0 ? 0 : process_child_of(app_keeper)) &&
              put(plan, "runTemplatePath", template) && put(plan, "runTemplateName", name) &&
              put(plan, "appLogPath", app_log) && put(plan, "daprdLogPath", sidecar_log);
    _exit(ok ? 0 : 1);
}
