/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing a plugin starts outlives the plugin, and no plugin outlives the kernel, killed in
 * whatever way. Everything a plugin starts shares one open file with a lock on it, so the lock is
 * free when, and only when, all of it is dead.
 */
#include "supervisor_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

/* A second of a machine that has time; in one that has none these looks are as late as everything
 * else. A process with a sanitizer's memory takes longer to end. */
#ifdef REMORA_SANITIZE
enum { GONE_WITHIN_LOOKS = 10000 };
#else
enum { GONE_WITHIN_LOOKS = 1000 };
#endif

/* ------------------------------------------------------------------------------ the plugin */

/* Twice forked, in a session of its own, deaf to what can be ignored. */
static void
fork_away(int depth)
{
    for (int i = 0; i < depth; i++) {
        if (fork() != 0) {
            if (i == 0)
                return;
            _exit(0); /* leaves an orphan */
        }
        setsid();
        signal(SIGTERM, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        signal(SIGUSR1, SIG_IGN);
        prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
    }
    say("away %d\n", depth);
    for (;;)
        pause();
}

static void
act(const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/lock", getenv("TEST_DIR"));
    int lock = open(path, O_CREAT | O_RDWR, 0600);
    if (lock < 0 || flock(lock, LOCK_SH) != 0)
        _exit(98);
    say("locked\n");
    if (strcmp(name, "fork-away") == 0 || strcmp(name, "fork-away-and-exit") == 0) {
        for (int depth = 1; depth <= 3; depth++)
            fork_away(depth);
        signal(SIGTERM, SIG_IGN);
        prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
    }
    if (strcmp(name, "fork-away-and-exit") == 0) {
        char go;
        snprintf(path, sizeof path, "%s/go", getenv("TEST_DIR"));
        int fifo = open(path, O_RDONLY);
        (void)!read(fifo, &go, 1); /* until all are away */
        _exit(7);
    }
    for (;;)
        pause();
}

/* ------------------------------------------------------------------------------ the tests */

static char lock_path[300];

static bool
is_all_gone(void)
{
    int fd = open(lock_path, O_RDWR | O_CLOEXEC);
    bool gone = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
    return gone;
}

/* Whether all is gone within the second that is promised. */
static bool
is_soon_all_gone(void)
{
    for (int i = 0; i < GONE_WITHIN_LOOKS; i++) {
        if (is_all_gone())
            return true;
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return is_all_gone();
}

static void
forbid_namespaces(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_NEWPID, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = ARRAY_LEN(code), .filter = code };
    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

struct setting {
    bool has_namespaces;
    enum sandbox_mode sandbox;
};

static void
begin(struct fixture *f, const char *name, struct setting setting)
{
    char more[300];
    if (!setting.has_namespaces)
        forbid_namespaces();
    snprintf(more, sizeof more, ", files: [{path: %s, access: write}]", fixture_test_dir);
    fixture_term_ms = 100;
    fixture_init(f, name, more, setting.sandbox);
    f->auto_ready = true;
    plugin_start(f->plugin);
    if (strncmp(name, "fork-away", 9) == 0)
        WAIT_FOR(f,
                 has_printed(f, "away 1") && has_printed(f, "away 2") && has_printed(f, "away 3"));
    else
        WAIT_FOR(f, has_printed(f, "locked"));
}

/* A child plays the kernel and is killed; tells through a pipe when its plugin is up. */
static void
kernel_dies(const char *name, struct setting setting, int number)
{
    int ready[2];
    char byte;
    REQUIRE(pipe2(ready, O_CLOEXEC) == 0);
    fflush(NULL);
    pid_t kernel = fork();
    if (kernel == 0) {
        struct fixture f;
        begin(&f, name, setting);
        (void)!write(ready[1], "x", 1);
        ev_run(f.loop, 0);
        _exit(1);
    }
    close(ready[1]);
    CHECK_EQ_INT(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    CHECK(!is_all_gone());
    kill(kernel, number);
    CHECK(is_soon_all_gone());
    waitpid(kernel, NULL, 0);
}

static void
plugin_ends(const char *name, struct setting setting, const char *how)
{
    int status_of_child = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct fixture f;
        char path[300];
        snprintf(path, sizeof path, "%s/go", fixture_test_dir);
        begin(&f, name, setting);
        CHECK(!is_all_gone());
        int go = open(path, O_RDWR | O_CLOEXEC);
        if (strcmp(how, "exit") == 0)
            (void)!write(go, "x", 1);
        else if (strcmp(how, "kill") == 0)
            kill(-status(&f).group, SIGKILL);
        else
            plugin_stop(f.plugin, "test");
        f.act = "sleep"; /* what is started again stays until it is stopped */
        WAIT_FOR(&f, f.closed == 1);
        plugin_stop(f.plugin, "test");
        if (strcmp(how, "exit") == 0)
            CHECK_SLICE_IS(status(&f).last_exit, "exit code 7");
        WAIT_FOR(&f, plugin_state(f.plugin) == PLUGIN_STOPPED);
        CHECK(is_soon_all_gone());
        close(go);
        fixture_fini(&f);
        _exit(atomic_load(&test_failures) > 0 ? 1 : 0);
    }
    REQUIRE(waitpid(child, &status_of_child, 0) == child);
    CHECK_EQ_INT(status_of_child, 0);
}

static bool
has_namespaces(void)
{
    pid_t child = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(0);
    return child > 0 && waitpid(child, NULL, 0) == child;
}

/* Each kind of shelter. */
static void
in_each_setting(void (*body)(struct setting))
{
    char path[300];
    static char dir[200];
    snprintf(dir, sizeof dir, "%s", test_dir());
    fixture_test_dir = dir;
    snprintf(lock_path, sizeof lock_path, "%s/lock", fixture_test_dir);
    snprintf(path, sizeof path, "%s/go", fixture_test_dir);
    REQUIRE(mkfifo(path, 0600) == 0);
    if (has_namespaces()) {
        fprintf(stderr, "  with namespaces\n");
        body((struct setting){ .has_namespaces = true, .sandbox = SANDBOX_BEST_EFFORT });
    }
    fprintf(stderr, "  without namespaces\n");
    body((struct setting){ .has_namespaces = false, .sandbox = SANDBOX_BEST_EFFORT });
    fprintf(stderr, "  without a sandbox\n");
    body((struct setting){ .has_namespaces = true, .sandbox = SANDBOX_OFF });
}

static void
plain_kill(struct setting setting)
{
    kernel_dies("sleep", setting, SIGKILL);
}

TEST(a_plugin_dies_with_a_killed_kernel)
{
    in_each_setting(plain_kill);
}

static void
kill_with_strays(struct setting setting)
{
    kernel_dies("fork-away", setting, SIGKILL);
}

TEST(what_forked_away_dies_with_a_killed_kernel)
{
    in_each_setting(kill_with_strays);
}

static void
crash_with_strays(struct setting setting)
{
    kernel_dies("fork-away", setting, SIGSEGV);
}

TEST(what_forked_away_dies_with_a_crashed_kernel)
{
    in_each_setting(crash_with_strays);
}

static void
exit_with_strays(struct setting setting)
{
    plugin_ends("fork-away-and-exit", setting, "exit");
}

TEST(what_forked_away_dies_with_its_plugin)
{
    in_each_setting(exit_with_strays);
}

static void
stop_with_strays(struct setting setting)
{
    plugin_ends("fork-away", setting, "stop");
}

TEST(what_forked_away_dies_when_the_plugin_is_stopped)
{
    in_each_setting(stop_with_strays);
}
