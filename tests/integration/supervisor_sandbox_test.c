/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a plugin cannot do, tried by one: as whoever runs the tests, as an ordinary user, where
 * namespaces are forbidden, where nothing can be had. Each in a process of its own, since there is
 * no way back from any of them.
 */
#include "supervisor_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

enum { USER = 65532 };

/* ------------------------------------------------------------------------------ in the plugin */

/* "name ok" or "name EPERM". */
static void
tell(const char *name, long result)
{
    say("%s %s\n", name, result >= 0 ? "ok" : strerrorname_np(errno));
}

static const char *
in_dir(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", getenv("TEST_DIR"), name);
    return path;
}

static void
try_files(void)
{
    tell("read-mine", open(in_dir("mine/data"), O_RDONLY));
    tell("write-mine", open(in_dir("mine/new"), O_CREAT | O_RDWR, 0600));
    char from[1024];
    snprintf(from, sizeof from, "%s", in_dir("mine/new"));
    tell("rename-mine", rename(from, in_dir("mine/newer")));
    tell("unlink-mine", unlink(in_dir("mine/newer")));
    tell("write-linked", open(in_dir("mine/linked"), O_RDWR));
    tell("write-beside-linked", open(in_dir("true/new"), O_CREAT | O_RDWR, 0600));
    tell("read-other", open(in_dir("other"), O_RDONLY));
    tell("truncate-other", truncate(in_dir("other"), 0));
    tell("write-beside", open(in_dir("new"), O_CREAT | O_RDWR, 0600));
    tell("list-beside", open(in_dir("."), O_RDONLY | O_DIRECTORY));
    tell("read-shadow", open("/etc/shadow", O_RDONLY));
    tell("write-tmp", open("/tmp/remora-test-escape", O_CREAT | O_RDWR, 0600));
    tell("write-usr", open("/usr/remora-test-escape", O_CREAT | O_RDWR, 0600));
    tell("read-ca", open("/etc/ssl", O_RDONLY));
    tell("write-null", open("/dev/null", O_WRONLY));
    tell("read-memory", open("/dev/mem", O_RDONLY));
}

static void
try_processes(void)
{
    char path[64];
    uint64_t number = 0;
    const char *text = getenv("KERNEL");
    REQUIRE(text != NULL && slice_to_u64(slice_str(text), &number));
    const pid_t kernel = (pid_t)number;
    tell("signal-kernel", kill(kernel, 0));
    tell("trace-kernel", ptrace(PTRACE_ATTACH, kernel, NULL, NULL));
    tell("trace-me", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    snprintf(path, sizeof path, "/proc/%d/environ", kernel);
    tell("read-kernel-environment", open(path, O_RDONLY));
    snprintf(path, sizeof path, "/proc/%d/mem", kernel);
    tell("read-kernel-memory", open(path, O_RDONLY));
    tell("read-self", open("/proc/self/maps", O_RDONLY));
}

static void
try_network(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    tell("socket-unix", socket(AF_UNIX, SOCK_STREAM, 0));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    tell("socket-inet", fd);
    tell("bind-inet", bind(fd, (void *)&address, sizeof address));
    tell("socket-inet6", socket(AF_INET6, SOCK_DGRAM, 0));
    tell("socket-packet", socket(AF_PACKET, SOCK_RAW, 0));
    tell("socket-netlink", socket(AF_NETLINK, SOCK_RAW, 0));
    struct sockaddr_un abstract = { .sun_family = AF_UNIX };
    snprintf(abstract.sun_path + 1, 100, "remora-test-%s", getenv("KERNEL"));
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                                strlen(abstract.sun_path + 1));
    tell("connect-abstract", connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&abstract, len));
}

static void
try_calls(void)
{
    tell("unshare", unshare(CLONE_NEWUSER));
    tell("mount", mount("none", "/", NULL, MS_REMOUNT | MS_BIND, NULL));
    tell("chroot", chroot("/"));
    tell("bpf", syscall(SYS_bpf, 0, NULL, 0));
    tell("io_uring", syscall(425, 1, NULL));
    tell("keyctl", syscall(SYS_keyctl, 0, 0, 0, 0, 0));
    tell("userfaultfd", syscall(SYS_userfaultfd, 1));
    tell("perf", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
    tell("reboot", syscall(SYS_reboot, 0, 0, 0, NULL));
    tell("clone-namespace", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
    tell("clone3", syscall(435, NULL, 0));
    tell("tiocsti", ioctl(0, TIOCSTI, "x"));
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/true", "true", NULL);
        _exit(1);
    }
    int result = -1;
    waitpid(child, &result, 0);
    say("run-true %d\n", result);
    execl(in_dir("mine/data"), "data", NULL);
    tell("run-mine", -1);
    say("no-new-privs %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    say("user %d\n", geteuid());
}

static void
act(const char *name)
{
    if (strcmp(name, "files") == 0)
        try_files();
    else if (strcmp(name, "processes") == 0)
        try_processes();
    else if (strcmp(name, "network") == 0)
        try_network();
    else if (strcmp(name, "calls") == 0)
        try_calls();
#ifdef __x86_64__
    else if (strcmp(name, "int80") == 0)
        __asm__ volatile("int $0x80" : : "a"(20) : "memory", "cc"); /* getpid for 32 bits */
#endif
    say("done\n");
    for (;;)
        pause();
}

/* ------------------------------------------------------------------------------ the settings */

static char dir_path[200];

static void
write_secret(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0700);
    REQUIRE(fd >= 0);
    REQUIRE(write(fd, "secret", 6) == 6);
    close(fd);
}

/* dir/mine/data is the plugin's, and dir/mine/linked -> dir/true/data; dir/other is not. */
static void
make_files(uid_t owner)
{
    char path[300];
    snprintf(dir_path, sizeof dir_path, "/tmp/remora-sandbox-XXXXXX");
    REQUIRE(mkdtemp(dir_path) != NULL);
    snprintf(path, sizeof path, "%s/mine", dir_path);
    REQUIRE(mkdir(path, 0700) == 0);
    if (owner != geteuid()) {
        REQUIRE(chown(dir_path, owner, owner) == 0);
        REQUIRE(chown(path, owner, owner) == 0);
        REQUIRE(setresgid(owner, owner, owner) == 0 && setresuid(owner, owner, owner) == 0);
    }
    snprintf(path, sizeof path, "%s/mine/data", dir_path);
    write_secret(path);
    snprintf(path, sizeof path, "%s/other", dir_path);
    write_secret(path);
    snprintf(path, sizeof path, "%s/true", dir_path);
    REQUIRE(mkdir(path, 0700) == 0);
    snprintf(path, sizeof path, "%s/true/data", dir_path);
    write_secret(path);
    snprintf(path, sizeof path, "%s/mine/linked", dir_path);
    REQUIRE(symlink("../true/data", path) == 0);
    setenv("TMPDIR", dir_path, 1);
    fixture_test_dir = dir_path;
}

static void
remove_files(void)
{
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s'", dir_path);
    CHECK_EQ_INT(system(command), 0);
}

/* All later calls of this process and its children fail: `number`, if argument 0 has one of `bits`
 * set or `bits` is 0. */
static void
forbid(unsigned number, unsigned bits, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, bits == 0 ? 0 : 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = ARRAY_LEN(code), .filter = code };
    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void
run(struct fixture *f, const char *name, const char *network)
{
    char more[800];
    snprintf(more, sizeof more,
             ", network: %s, files: [{path: %s/mine/data, access: write}, {path: "
             "%s/mine/linked, access: write}]",
             network, dir_path, dir_path);
    fixture_init(f, name, more, SANDBOX_BEST_EFFORT);
    plugin_start(f->plugin);
    WAIT_FOR(f, has_printed(f, "done") || plugin_state(f->plugin) == PLUGIN_FAILED);
}

static void
check_printed(struct fixture *f, const char *line, const char *file, int at)
{
    struct plugin_status now = status(f);
    for (size_t i = 0; i < now.line_count; i++)
        if (slice_eq(now.lines[i], slice_str(line)))
            return;
    test_check(false, line, file, at);
    for (size_t i = 0; i < now.line_count; i++)
        fprintf(stderr, "    %.*s\n", SLICE_ARG(now.lines[i]));
}
#define CHECK_PRINTED(f, line) check_printed(f, line, __FILE__, __LINE__)

static void
check_files(void)
{
    struct fixture f;
    run(&f, "files", "no");
    CHECK_PRINTED(&f, "read-mine ok");
    CHECK_PRINTED(&f, "write-mine ok");
    CHECK_PRINTED(&f, "rename-mine ok");
    CHECK_PRINTED(&f, "unlink-mine ok");
    CHECK_PRINTED(&f, "write-linked ok");
    CHECK_PRINTED(&f, "write-beside-linked ok");
    CHECK_PRINTED(&f, "read-other EACCES");
    CHECK_PRINTED(&f, "truncate-other EACCES");
    CHECK_PRINTED(&f, "write-beside EACCES");
    CHECK_PRINTED(&f, "list-beside EACCES");
    CHECK_PRINTED(&f, "read-shadow EACCES");
    CHECK_PRINTED(&f, "write-tmp EACCES");
    CHECK_PRINTED(&f, "write-usr EACCES");
    CHECK_PRINTED(&f, "read-ca ok");
    CHECK_PRINTED(&f, "write-null ok");
    CHECK(!has_printed(&f, "read-memory ok"));
    fixture_fini(&f);
}

static void
check_processes(bool has_namespace)
{
    struct fixture f;
    run(&f, "processes", "no");
    CHECK_PRINTED(&f, has_namespace ? "signal-kernel ESRCH" : "signal-kernel EPERM");
    CHECK_PRINTED(&f, "trace-kernel EPERM");
    CHECK_PRINTED(&f, "trace-me EPERM");
    CHECK_PRINTED(&f, "read-kernel-environment EACCES");
    CHECK_PRINTED(&f, "read-kernel-memory EACCES");
    CHECK_PRINTED(&f, "read-self ok");
    fixture_fini(&f);
}

/* Somebody listens on an abstract address, which no file protects. */
static int
listen_abstract(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int len = snprintf(address.sun_path + 1, 100, "remora-test-%d", getpid());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(bind(fd, (void *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) == 0);
    REQUIRE(listen(fd, 1) == 0);
    return fd;
}

static void
check_network(void)
{
    struct fixture f;
    int listener = listen_abstract();
    run(&f, "network", "no");
    CHECK_PRINTED(&f, "socket-unix ok");
    CHECK_PRINTED(&f, "socket-inet EAFNOSUPPORT");
    CHECK_PRINTED(&f, "socket-inet6 EAFNOSUPPORT");
    CHECK_PRINTED(&f, "socket-packet EAFNOSUPPORT");
    CHECK_PRINTED(&f, "socket-netlink EAFNOSUPPORT");
    bool has_scope = slice_find(status(&f).sandbox_missing, SLICE("landlock-signals")) < 0;
    CHECK_PRINTED(&f, has_scope ? "connect-abstract EPERM" : "connect-abstract ok");
    fixture_fini(&f);
    run(&f, "network", "yes");
    CHECK_PRINTED(&f, "socket-inet ok");
    CHECK_PRINTED(&f, "bind-inet ok");
    CHECK_PRINTED(&f, "socket-inet6 ok");
    CHECK_PRINTED(&f, "socket-packet EAFNOSUPPORT");
    CHECK_PRINTED(&f, "socket-netlink ok");
    fixture_fini(&f);
    close(listener);
}

static void
check_calls(void)
{
    struct fixture f;
    static const char *const calls[] = { "unshare",  "mount",           "chroot", "bpf",
                                         "keyctl",   "userfaultfd",     "perf",   "reboot",
                                         "io_uring", "clone-namespace", "tiocsti" };
    char line[64];
    run(&f, "calls", "no");
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        snprintf(line, sizeof line, "%s EPERM", calls[i]);
        CHECK_PRINTED(&f, line);
    }
    CHECK_PRINTED(&f, "clone3 ENOSYS");
    CHECK_PRINTED(&f, "run-true 0");
    CHECK_PRINTED(&f, "run-mine EACCES");
    CHECK_PRINTED(&f, "no-new-privs 1");
    snprintf(line, sizeof line, "user %d", geteuid());
    CHECK_PRINTED(&f, line);
    fixture_fini(&f);
}

static void
check_all(bool has_namespace)
{
    check_files();
    check_processes(has_namespace);
    check_network();
    check_calls();
#ifdef __x86_64__
    struct fixture f;
    run(&f, "int80", "no");
    CHECK_SLICE_IS(status(&f).last_exit, "killed by SIGSYS");
    fixture_fini(&f);
#endif
}

static void
as_who_we_are(void)
{
    make_files(geteuid());
    check_all(true);
    remove_files();
}

static void
as_an_ordinary_user(void)
{
    make_files(USER);
    check_all(true);
    remove_files();
}

static void
without_namespaces(void)
{
    make_files(geteuid());
    forbid(SYS_clone, CLONE_NEWPID, EPERM);
    check_all(false);
    struct fixture f;
    run(&f, "calls", "no");
    CHECK(slice_find(status(&f).sandbox_missing, SLICE("pid-namespace(")) >= 0);
    fixture_fini(&f);
    remove_files();
}

/* As on a kernel without Landlock: it runs all the same, and says so; `require` refuses. */
static void
without_landlock(void)
{
    struct fixture f;
    make_files(geteuid());
    forbid(444, 0, ENOSYS);
    run(&f, "network", "no");
    CHECK_PRINTED(&f, "socket-inet EAFNOSUPPORT");
    CHECK_SLICE_IS(status(&f).sandbox_missing, "landlock(Function not implemented)");
    CHECK(slice_find(status(&f).sandbox_active, SLICE("seccomp,no-network")) >= 0);
    fixture_fini(&f);
    fixture_init(&f, "network", "", SANDBOX_REQUIRE);
    plugin_start(f.plugin);
    WAIT_FOR(&f, plugin_state(f.plugin) == PLUGIN_FAILED);
    CHECK_SLICE_IS(status(&f).reason,
                   "exit code 120: the sandbox is required, and not all of it can be had here: "
                   "landlock(Function not implemented) (before it was ready)");
    fixture_fini(&f);
    remove_files();
}

static void
with_it_required(void)
{
    struct fixture f;
    fixture_init(&f, "network", "", SANDBOX_REQUIRE);
    plugin_start(f.plugin);
    WAIT_FOR(&f, has_printed(&f, "done"));
    CHECK(slice_find(status(&f).sandbox_active, SLICE("landlock-")) >= 0);
    CHECK_SLICE_IS(status(&f).sandbox_missing, "");
    fixture_fini(&f);
}

static void
with_it_off(void)
{
    struct fixture f;
    fixture_init(&f, "network", "", SANDBOX_OFF);
    plugin_start(f.plugin);
    WAIT_FOR(&f, has_printed(&f, "done"));
    CHECK_PRINTED(&f, "socket-inet ok");
    CHECK_SLICE_IS(status(&f).sandbox_active, "");
    fixture_fini(&f);
}

/* ------------------------------------------------------------------------------ the tests */

static void
in_child(void (*body)(void))
{
    int result = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        body();
        fflush(NULL);
        _exit(atomic_load(&test_failures) > 0 ? 1 : 0);
    }
    REQUIRE(waitpid(child, &result, 0) == child);
    CHECK_EQ_INT(result, 0);
}

/* What this machine has; the newest Landlock here decides which promises can be tested. */
static long
landlock_abi(void)
{
    return syscall(444, NULL, 0, 1);
}

static bool
has_namespaces(void)
{
    pid_t child = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(0);
    return child > 0 && waitpid(child, NULL, 0) == child;
}

TEST(a_plugin_is_confined)
{
    if (landlock_abi() < 3 || !has_namespaces())
        SKIP("needs Landlock of Linux 6.2 and user namespaces");
    in_child(as_who_we_are);
}

TEST(a_plugin_of_an_ordinary_user_is_confined)
{
    if (geteuid() != 0)
        SKIP("needs root to become somebody else");
    if (landlock_abi() < 3 || !has_namespaces())
        SKIP("needs Landlock of Linux 6.2 and user namespaces");
    in_child(as_an_ordinary_user);
}

TEST(a_plugin_is_confined_where_namespaces_are_forbidden)
{
    if (landlock_abi() < 6)
        SKIP("needs Landlock of Linux 6.12");
    in_child(without_namespaces);
}

TEST(what_is_missing_is_said_or_refused)
{
    in_child(without_landlock);
}

TEST(a_required_sandbox_is_whole)
{
    if (landlock_abi() < 6 || !has_namespaces())
        SKIP("needs Landlock of Linux 6.12 and user namespaces");
    in_child(with_it_required);
}

TEST(the_sandbox_can_be_off)
{
    in_child(with_it_off);
}
