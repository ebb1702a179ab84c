/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real plugin process with a link to it, on a worker that the test turns: the bus without
 * supervisor and components. Time is real; every wait has a deadline.
 */
#ifndef PLUGIN_PROCESS_H
#define PLUGIN_PROCESS_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "async/worker.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/pb.h"
#include "bus/link.h"
#include "remora/plugin/v1/plugin.pb-c.h"
#include "test.h"

enum { PROCESS_WAIT_MS = 20000, PROCESS_COMPONENT = 1 };

struct process {
    pid_t pid;
    int status; /* of waitpid(), once it ended */
    struct worker worker;
    struct link *link;
    int lost_count;
    const char *lost_reason;
    char token[65];
};

static struct process process;
/* NAME=value, handed to the next process that is started; NULL: none. */
static const char *process_variable;

static inline void
process_turn(int wait_ms)
{
    worker_turn(&process.worker, (uint64_t)wait_ms);
}

#define PROCESS_UNTIL(condition)                                                                   \
    do {                                                                                           \
        uint64_t until_ms_ = clock_now_ms() + PROCESS_WAIT_MS;                                     \
        while (!(condition)) {                                                                     \
            process_turn(10);                                                                      \
            if (clock_now_ms() > until_ms_)                                                        \
                REQUIRE(!"came true in time: " #condition);                                        \
        }                                                                                          \
    } while (0)

/* --- the events of the link --------------------------------------------------------------------*/

static inline const char *
process_on_hello(struct link *link, const struct Remora__Plugin__V1__Hello *hello)
{
    (void)link;
    return hello->pid == (uint32_t)process.pid ? NULL : "another process";
}

static inline void
process_on_ready(struct link *link)
{
    (void)link;
}

static inline void
process_on_lost(struct link *link, const char *reason)
{
    (void)link;
    process.lost_count++;
    process.lost_reason = reason;
}

static inline void
process_on_log(struct link *link, int level, struct slice message)
{
    (void)link;
    fprintf(stderr, "plugin log %d: " SLICE_FMT "\n", level, SLICE_ARG(message));
}

static inline void
process_on_host_call(struct task *t, struct host_call *call)
{
    host_call_reply(t, call, NULL, SLICE_EMPTY, host_call_body(call));
}

static const struct link_events process_events = { .on_hello = process_on_hello,
                                                   .on_ready = process_on_ready,
                                                   .on_lost = process_on_lost,
                                                   .on_log = process_on_log,
                                                   .on_host_call = process_on_host_call };

/* --- starting ----------------------------------------------------------------------------------*/

static inline const char *
process_path(const char *name)
{
    static char path[400];
    const char *build = getenv("REMORA_BUILD");
    snprintf(path, sizeof path, "%s/tests/plugins/%s/%s", build == NULL ? "build" : build, name,
             name);
    return path;
}

/* In a process group of its own, the token on descriptor 3. */
static inline void
process_spawn(const char *path, const char *url)
{
    int token[2];
    REQUIRE(pipe2(token, O_CLOEXEC) == 0);
    REQUIRE(write(token[1], process.token, 64) == 64);
    close(token[1]);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    REQUIRE(posix_spawn_file_actions_init(&actions) == 0);
    REQUIRE(posix_spawnattr_init(&attributes) == 0);
    int high = fcntl(token[0], F_DUPFD_CLOEXEC, 10); /* a descriptor dup2'ed to itself is closed */
    REQUIRE(high >= 0);
    REQUIRE(posix_spawn_file_actions_adddup2(&actions, high, 3) == 0);
    REQUIRE(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP) == 0);
    char variable[300];
    snprintf(variable, sizeof variable, "REMORA_URL=%s", url);
    char *const argv[] = { (char *)(uintptr_t)path, NULL };
    char *const env[] = { variable, (char *)(uintptr_t)process_variable, NULL };
    int failed = posix_spawn(&process.pid, path, &actions, &attributes, argv, env);
    if (failed != 0)
        fprintf(stderr, "%s: %s\n", path, strerror(failed));
    REQUIRE(failed == 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    close(token[0]);
    close(high);
}

/* A socket the plugin can dial; its connection. */
static inline int
process_connect(const char *path)
{
    char url[250];
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *dir = test_dir();
    REQUIRE(strlen(dir) + sizeof "/link" <= sizeof address.sun_path);
    (void)stpcpy(stpcpy(address.sun_path, dir), "/link");
    snprintf(url, sizeof url, "ipc://%s", address.sun_path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    REQUIRE(listen(listener, 1) == 0);
    process_spawn(path, url);
    struct pollfd poll_fd = { .fd = listener, .events = POLLIN };
    REQUIRE(poll(&poll_fd, 1, PROCESS_WAIT_MS) == 1);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    REQUIRE(fd >= 0);
    close(listener);
    unlink(address.sun_path);
    return fd;
}

/* The process is up and its hello is on the way; nothing is decided yet. */
static inline void
process_start(const char *path)
{
    (void)signal(SIGPIPE, SIG_IGN); /* a number known to exist */
    process = (struct process){ .status = -1 };
    memset(process.token, 'a', 64);
    REQUIRE_OK(worker_init(&process.worker, 0));
    int fd = process_connect(path);
    REQUIRE(link_peer_is(fd, process.pid));
    process.link = link_new(&process.worker, fd,
                            &(struct link_config){ .events = &process_events,
                                                   .token = process.token,
                                                   .process_group = process.pid,
                                                   .epoch = 1,
                                                   .kernel_version = "1.0",
                                                   .app_id = "app",
                                                   .namespace_ = "" });
}

/* --- tasks -------------------------------------------------------------------------------------*/

struct process_call {
    struct link_args args;
    uint64_t timeout_ms;
    err_t err;
    uint32_t code;
    uint64_t body_bytes;
    char body[64]; /* how it begins */
    bool is_done;
};

static inline void
process_call_main(struct task *t, void *arg)
{
    struct process_call *p = arg;
    struct link_call call;
    (void)task_deadline_push(t, p->timeout_ms);
    p->err = link_call(t, process.link, &p->args, &call);
    p->code = call.status.code;
    struct slice chunk = SLICE_EMPTY;
    do {
        if (p->err == OK)
            p->err = link_call_body(t, &call, &chunk);
        if (p->body_bytes == 0)
            snprintf(p->body, sizeof p->body, SLICE_FMT, SLICE_ARG(chunk));
        p->body_bytes += p->err == OK ? chunk.len : 0;
    } while (p->err == OK && chunk.len > 0);
    link_call_finish(&call);
    p->is_done = true;
}

static inline void
process_call_start(struct process_call *p)
{
    if (p->timeout_ms == 0)
        p->timeout_ms = PROCESS_WAIT_MS;
    REQUIRE(task_spawn(&process.worker, "call", process_call_main, p) != NULL);
}

static inline struct slice
process_echo_request(struct arena *arena, uint32_t delay_ms, const char *fault)
{
    Remora__Plugin__V1__EchoRequest request = REMORA__PLUGIN__V1__ECHO_REQUEST__INIT;
    request.note = pb_string(arena, SLICE("note"));
    request.delay_ms = delay_ms;
    request.fault = pb_string(arena, slice_str(fault));
    return pb_pack(arena, &request.base);
}

/* Brings the link up and one component of that type to life. */
static inline void
process_open(const char *type)
{
    PROCESS_UNTIL(link_is_ready(process.link) || process.lost_count > 0);
    REQUIRE(link_is_ready(process.link));
    struct arena arena;
    arena_init(&arena);
    Remora__Plugin__V1__InitRequest init = REMORA__PLUGIN__V1__INIT_REQUEST__INIT;
    init.name = pb_string(&arena, SLICE("one"));
    init.type = pb_string(&arena, slice_str(type));
    init.version = pb_string(&arena, SLICE("v1"));
    struct process_call first = { .args = { .method = REMORA__PLUGIN__V1__METHOD__METHOD_INIT,
                                            .component = PROCESS_COMPONENT,
                                            .message = pb_pack(&arena, &init.base) } };
    process_call_start(&first);
    PROCESS_UNTIL(first.is_done);
    REQUIRE_OK(first.err);
    REQUIRE(first.code == 0);
    struct process_call second = { .args = { .method = REMORA__PLUGIN__V1__METHOD__METHOD_START,
                                             .component = PROCESS_COMPONENT,
                                             .message = SLICE_EMPTY } };
    process_call_start(&second);
    PROCESS_UNTIL(second.is_done);
    REQUIRE_OK(second.err);
    REQUIRE(second.code == 0);
    arena_fini(&arena);
}

/* --- the end -----------------------------------------------------------------------------------*/

/* Waits for it to end by itself. */
static inline void
process_reap(void)
{
    uint64_t until_ms = clock_now_ms() + PROCESS_WAIT_MS;
    while (process.pid > 0) {
        pid_t ended = waitpid(process.pid, &process.status, WNOHANG);
        if (ended == process.pid)
            process.pid = 0;
        else if (clock_now_ms() > until_ms)
            REQUIRE(!"the process ends");
        else
            process_turn(5);
    }
}

/* The kernel's side lets go; the process must end by itself. */
static inline void
process_stop(void)
{
    link_close(process.link, "end of the test");
    PROCESS_UNTIL(process.worker.tasks.count == 0);
    CHECK_EQ_INT(process.link->call_count, 0);
    CHECK_EQ_INT(process.link->host_call_count, 0);
    CHECK_EQ_INT(atomic_load(&process.link->refs), 1);
    CHECK_EQ_INT(process.lost_count, 1);
    process_reap();
    link_unref(process.link);
    worker_fini(&process.worker);
}

/* --- what it costs -----------------------------------------------------------------------------*/

/* VmRSS or VmHWM in KiB; 0 means this process. */
static inline long
process_kib(pid_t pid, const char *field)
{
    char path[64], line[256];
    snprintf(path, sizeof path, pid == 0 ? "/proc/self/status" : "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    REQUIRE(file != NULL);
    long kib = -1;
    size_t len = strlen(field);
    while (fgets(line, sizeof line, file) != NULL) {
        uint64_t value = 0;
        struct slice rest = slice_str(line);
        if (strncmp(line, field, len) != 0 || line[len] != ':')
            continue;
        rest = slice_trim(slice_from(rest, len + 1));
        if (slice_to_u64(slice_first(rest, (size_t)slice_find_byte(rest, ' ')), &value))
            kib = (long)value;
    }
    fclose(file);
    REQUIRE(kib >= 0);
    return kib;
}

/* Makes VmHWM, the peak, what is resident now: what came before does not count. */
static inline void
process_reset_peak(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, pid == 0 ? "/proc/self/clear_refs" : "/proc/%d/clear_refs",
             (int)pid);
    FILE *file = fopen(path, "w");
    REQUIRE(file != NULL);
    fputs("5", file);
    REQUIRE(fclose(file) == 0);
}

/* CPU time a process has used, in nanoseconds; 0 means this one. */
static inline uint64_t
process_cpu_ns(pid_t pid)
{
    clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
    struct timespec used;
    REQUIRE(pid == 0 || clock_getcpuclockid(pid, &clock) == 0);
    REQUIRE(clock_gettime(clock, &used) == 0);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

#endif
