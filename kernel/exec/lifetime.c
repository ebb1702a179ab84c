/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin, and whatever it starts, ends with the kernel, however the kernel ends. Two shapes:
 *
 *   kernel ─ outer ─ init (pid 1) ─ plugin     a PID namespace: when its init dies, all in it die,
 *                                              also what forked away twice; the plugin sees and can
 *                                              signal nobody outside
 *   kernel ─ monitor ─ plugin                  where namespaces are forbidden: the monitor adopts
 *                                              what forks away and kills the tree
 *
 * Each process asks to be signalled when its parent dies, so a SIGKILL of the kernel runs down the
 * chain. The outer process or monitor ends exactly as the plugin did, so that the kernel reads the
 * true exit status. It ignores SIGTERM, which goes to the whole process group, but not before there
 * is a plugin to receive it, and takes SIGUSR1 as "kill everything now". A separate init is there
 * because as pid 1 the plugin itself would lose the default action of its signals.
 */
#include "exec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    KILL_TREE_ROUNDS_MAX = 500, /* times 10 ms: then the kernel's SIGKILL must do */
    NO_STATUS = -1,
};

/* What init tells the outer process, in memory both share. */
struct news {
    int setup_errno; /* init could not set itself up; nothing was started */
    int status;      /* wait status of the plugin */
};

/* From here on SIGTERM is the plugin's business, which waits for this before it goes on: a SIGTERM
 * that comes earlier ends us, and it. */
static void
leave_sigterm_to_the_plugin(int plugin_end)
{
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &term, NULL); /* cannot fail with these arguments */
    ssize_t ignored = write(plugin_end, "", 1);
    (void)ignored; /* it is gone, which shows soon */
}

/* In the plugin. */
static void
wait_for_go(int end)
{
    char byte;
    if (read(end, &byte, 1) != 1)
        _exit(EXEC_EXIT_SETUP);
    (void)close(end); /* a socket */
}

__attribute__((noreturn)) static void
end_like(int status)
{
    if (WIFEXITED(status))
        _exit(WEXITSTATUS(status));
    int number = WTERMSIG(status);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    (void)signal(number, SIG_DFL);
    (void)kill(getpid(), number);
    (void)sigprocmask(SIG_UNBLOCK, &one, NULL);
    _exit(128 + number); /* a signal whose default is to be ignored */
}

/* Asks for `number` when the parent dies; ends if that has happened already. */
static void
die_with(pid_t parent, int number)
{
    if (prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0)
        die(EXEC_EXIT_SETUP, "cannot ask for a parent-death signal", strerror(errno));
    if (getppid() != parent)
        _exit(EXEC_EXIT_SETUP);
}

/* ------------------------------------------------------------------------------ PID namespace */

static bool
write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    int saved = errno;
    (void)close(fd); /* nothing is buffered */
    errno = saved;
    return ok;
}

/* "65532 65532 1" */
static void
map_line(char text[48], unsigned id)
{
    char digits[12];
    int count = 0;
    do
        digits[count++] = (char)('0' + id % 10);
    while ((id /= 10) > 0);
    char *out = text;
    for (int twice = 0; twice < 2; twice++) {
        for (int i = count; i > 0; i--)
            *out++ = digits[i - 1];
        *out++ = ' ';
    }
    *out++ = '1';
    *out = '\0';
}

/* Outside and inside the user namespace the plugin has the same ids, and no others. */
static bool
map_ids(uid_t uid, gid_t gid)
{
    char text[48];
    map_line(text, uid);
    if (!write_file("/proc/self/uid_map", text))
        return false;
    if (!write_file("/proc/self/setgroups", "deny") && errno != ENOENT)
        return false;
    map_line(text, gid);
    return write_file("/proc/self/gid_map", text);
}

/* Runs as pid 1 until the plugin ends; what is still there then ends with the namespace. Returns in
 * the plugin. Only the outer process holds the other end of `outer`. */
static void
init_split(struct news *news, int outer)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 ||
        poll(&(struct pollfd){ .fd = outer, .events = POLLIN }, 1, 0) != 0)
        _exit(0); /* the outer process is gone: getppid() cannot tell, it is 0 here */
    pid_t plugin = fork();
    if (plugin < 0) {
        news->setup_errno = errno;
        _exit(0);
    }
    if (plugin == 0) {
        wait_for_go(outer);
        return;
    }
    if (write(outer, "", 1) != 1)
        _exit(0); /* gone: we shall be killed any moment */
    (void)close(outer);
    (void)close(3); /* the token is the plugin's */
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        if (pid == plugin) {
            __atomic_store_n(&news->status, status, __ATOMIC_RELEASE); /* read after our death */
            _exit(0);
        }
        if (pid < 0 && errno != EINTR)
            _exit(0);
    }
}

/* Until init has ended. */
static void
outer_wait(pid_t init, int init_end)
{
    char byte;
    if (read(init_end, &byte, 1) == 1)
        leave_sigterm_to_the_plugin(init_end);
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGUSR1);
    while (waitpid(init, NULL, WNOHANG) == 0) {
        if (sigwaitinfo(&wanted, NULL) == SIGUSR1)
            (void)kill(init, SIGKILL); /* gone already: then SIGCHLD follows */
    }
}

/* Returns in the plugin with 0, or with an errno here if this shape cannot be had. */
static int
namespace_split(void)
{
    /* Without privileges a user namespace comes first; both are made by one call, which fails as a
     * whole and leaves this process as it was. */
    uid_t uid = geteuid();
    gid_t gid = getegid();
    struct news *news = mmap(NULL, sizeof *news, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                             -1, 0);
    int ends[2];
    if (news == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return errno;
    *news = (struct news){ .status = NO_STATUS };

    bool has_user_ns = false;
    pid_t init = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (init < 0) {
        has_user_ns = true;
        init = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    }
    int error = errno;
    if (init == 0) {
        (void)close(ends[1]);
        if (has_user_ns && !map_ids(uid, gid)) {
            news->setup_errno = errno;
            _exit(0);
        }
        init_split(news, ends[0]);
        return 0;
    }
    (void)close(ends[0]);
    if (init < 0) {
        (void)close(ends[1]);
        (void)munmap(news, sizeof *news);
        return error;
    }
    outer_wait(init, ends[1]);
    if (news->setup_errno != 0) {
        error = news->setup_errno;
        (void)close(ends[1]);
        (void)munmap(news, sizeof *news);
        return error;
    }
    int status = __atomic_load_n(&news->status, __ATOMIC_ACQUIRE);
    end_like(status == NO_STATUS ? SIGKILL : status);
}

/* ------------------------------------------------------------------------------ monitor */

/* The parent's pid of /proc/<name>, 0 if that is not a process. */
static pid_t
parent_of(int proc, const char *name)
{
    char path[32] = "", text[512];
    if (name[0] < '0' || name[0] > '9' || strlen(name) > 12)
        return 0;
    memcpy(path, name, strlen(name));
    memcpy(path + strlen(name), "/stat", 6);
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t len = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (len <= 0)
        return 0;
    text[len] = '\0';
    char *end_of_name = strrchr(text, ')'); /* ") S 123 ": the name itself may hold anything */
    pid_t parent = 0;
    if (end_of_name != NULL && strlen(end_of_name) > 4)
        for (const char *p = end_of_name + 4; *p >= '0' && *p <= '9'; p++)
            parent = parent * 10 + (*p - '0');
    return parent;
}

static pid_t
pid_of_name(const char *name)
{
    pid_t pid = 0;
    for (; *name >= '0' && *name <= '9'; name++)
        pid = pid * 10 + (*name - '0');
    return pid;
}

static void
kill_children(void)
{
    char entries[2048] __attribute__((aligned(8)));
    pid_t self = getpid();
    int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (proc < 0)
        return;
    ssize_t len;
    while ((len = syscall(SYS_getdents64, proc, entries, sizeof entries)) > 0) {
        for (ssize_t at = 0; at < len;) {
            const struct dirent64 *entry = (const void *)(entries + at);
            if (parent_of(proc, entry->d_name) == self)
                (void)kill(pid_of_name(entry->d_name), SIGKILL);
            at += entry->d_reclen;
        }
    }
    (void)close(proc);
}

/* Children of the killed become ours, since we are the subreaper: round by round nothing is left.
 */
static void
kill_tree(void)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (int round = 0; round < KILL_TREE_ROUNDS_MAX; round++) {
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (pid < 0)
            return;
        kill_children();
        (void)sigtimedwait(&child, NULL, &(struct timespec){ .tv_nsec = 10000000 });
    }
}

__attribute__((noreturn)) static void
monitor(pid_t plugin)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGUSR1);
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == plugin) {
            kill_tree();
            end_like(status);
        }
        if (pid > 0)
            continue;
        if (sigwaitinfo(&wanted, NULL) == SIGUSR1) {
            (void)kill(plugin, SIGKILL); /* still ours: not waited for */
            kill_tree();
            end_like(SIGKILL);
        }
    }
}

static void
monitor_split(const struct spec *spec)
{
    die_with(spec->parent, SIGUSR1);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
        die(EXEC_EXIT_SETUP, "cannot adopt what forks away", strerror(errno));
    pid_t self = getpid();
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        die(EXEC_EXIT_SETUP, "cannot make a pair of sockets", strerror(errno));
    pid_t plugin = fork();
    if (plugin < 0)
        die(EXEC_EXIT_SETUP, "cannot fork", strerror(errno));
    if (plugin > 0) {
        leave_sigterm_to_the_plugin(ends[1]);
        (void)close(ends[0]);
        (void)close(ends[1]);
        (void)close(3); /* the token is the plugin's */
        monitor(plugin);
    }
    (void)close(ends[1]);
    die_with(self, SIGKILL);
    wait_for_go(ends[0]);
}

void
lifetime_split(const struct spec *spec, struct report *report)
{
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGTERM);
    (void)sigprocmask(SIG_SETMASK, &all, NULL); /* cannot fail with these arguments */
    (void)signal(SIGCHLD, SIG_DFL); /* ignored ones are inherited and reap by themselves */
    die_with(spec->parent, SIGKILL);
    if (spec->sandbox != SANDBOX_OFF) {
        int error = namespace_split();
        if (error == 0) {
            report_active(report, "pid-namespace");
            report->has_signals = true;
            return;
        }
        report_missing(report, "pid-namespace", strerror(error));
    }
    monitor_split(spec);
}
