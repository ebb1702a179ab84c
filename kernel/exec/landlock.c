/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files, TCP and signals by Landlock. Everything the running kernel can control is forbidden, then
 * the system's read-only parts, the plugin's own folder and the paths of the command line are
 * allowed again. The header of Debian 12 knows the first two of seven versions, so the constants
 * are defined here and the kernel is asked which version it has.
 */
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset /* the same on every architecture */
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

enum { RULESET_VERSION = 1, RULE_PATH_BENEATH = 1, ABI_KNOWN_MAX = 7 };

enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_REMOVE_DIR = 1 << 4,
    FS_REMOVE_FILE = 1 << 5,
    FS_MAKE_CHAR = 1 << 6,
    FS_MAKE_DIR = 1 << 7,
    FS_MAKE_REG = 1 << 8,
    FS_MAKE_SOCK = 1 << 9,
    FS_MAKE_FIFO = 1 << 10,
    FS_MAKE_BLOCK = 1 << 11,
    FS_MAKE_SYM = 1 << 12,
    FS_REFER = 1 << 13,     /* since ABI 2 */
    FS_TRUNCATE = 1 << 14,  /* 3 */
    FS_IOCTL_DEV = 1 << 15, /* 5 */

    FS_OF_ABI_1 = FS_REFER - 1,
    FS_OF_FILES = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV,

    FS_TO_READ = FS_READ_FILE | FS_READ_DIR,
    FS_TO_EXECUTE = FS_TO_READ | FS_EXECUTE,
    FS_TO_WRITE = FS_TO_READ | FS_WRITE_FILE | FS_TRUNCATE | FS_REFER | FS_REMOVE_DIR |
                  FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_SOCK | FS_MAKE_FIFO |
                  FS_MAKE_SYM,

    NET_BIND_AND_CONNECT = 3,           /* TCP, since ABI 4 */
    SCOPE_ABSTRACT_UNIX_AND_SIGNAL = 3, /* since ABI 6 */
};

struct ruleset_attr {
    uint64_t handled_access_fs;
    uint64_t handled_access_net; /* since ABI 4 */
    uint64_t scoped;             /* since ABI 6 */
};

struct path_beneath_attr {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));

struct ruleset {
    int fd;
    uint64_t handled_fs;
};

/* What a dynamically linked program in any language needs of the system; what is not there is
 * skipped. /proc shows nothing private of others: Landlock also keeps a process from looking into
 * those outside its own sandbox. */
static const struct {
    const char *path;
    unsigned access;
} system_paths[] = {
    { "/usr", FS_TO_EXECUTE },
    { "/lib", FS_TO_EXECUTE },
    { "/lib32", FS_TO_EXECUTE },
    { "/lib64", FS_TO_EXECUTE },
    { "/bin", FS_TO_EXECUTE },
    { "/sbin", FS_TO_EXECUTE },
    { "/nix/store", FS_TO_EXECUTE },
    { "/etc/alternatives", FS_TO_READ },
    { "/etc/ca-certificates", FS_TO_READ },
    { "/etc/crypto-policies", FS_TO_READ },
    { "/etc/gai.conf", FS_TO_READ },
    { "/etc/group", FS_TO_READ },
    { "/etc/host.conf", FS_TO_READ },
    { "/etc/hosts", FS_TO_READ },
    { "/etc/ld.so.cache", FS_TO_READ },
    { "/etc/ld.so.conf", FS_TO_READ },
    { "/etc/ld.so.conf.d", FS_TO_READ },
    { "/etc/ld.so.preload", FS_TO_READ },
    { "/etc/localtime", FS_TO_READ },
    { "/etc/mime.types", FS_TO_READ },
    { "/etc/nsswitch.conf", FS_TO_READ },
    { "/etc/os-release", FS_TO_READ },
    { "/etc/passwd", FS_TO_READ },
    { "/etc/pki", FS_TO_READ },
    { "/etc/protocols", FS_TO_READ },
    { "/etc/resolv.conf", FS_TO_READ },
    { "/etc/services", FS_TO_READ },
    { "/etc/ssl", FS_TO_READ },
    { "/etc/timezone", FS_TO_READ },
    { "/run/systemd/resolve", FS_TO_READ },
    { "/proc", FS_TO_READ },
    { "/sys/devices/system/cpu", FS_TO_READ },
    { "/sys/devices/system/node", FS_TO_READ },
    { "/sys/fs/cgroup", FS_TO_READ },
    { "/sys/kernel/mm/transparent_hugepage", FS_TO_READ },
    { "/dev/full", FS_READ_FILE | FS_WRITE_FILE },
    { "/dev/null", FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE },
    { "/dev/random", FS_READ_FILE },
    { "/dev/urandom", FS_READ_FILE },
    { "/dev/zero", FS_READ_FILE | FS_WRITE_FILE },
};

static uint64_t
handled_fs(int abi)
{
    uint64_t access = FS_OF_ABI_1;
    if (abi >= 2)
        access |= FS_REFER;
    if (abi >= 3)
        access |= FS_TRUNCATE;
    if (abi >= 5)
        access |= FS_IOCTL_DEV;
    return access;
}

/* False if the path is not there or its file system cannot be used in a rule: it stays forbidden.
 */
static bool
allow(const struct ruleset *rules, const char *path, uint64_t access)
{
    struct stat info;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fstat(fd, &info) == 0;
    access &= rules->handled_fs;
    if (!S_ISDIR(info.st_mode))
        access &= FS_OF_FILES;
    struct path_beneath_attr rule = { .allowed_access = access, .parent_fd = fd };
    ok = ok && syscall(SYS_landlock_add_rule, rules->fd, RULE_PATH_BENEATH, &rule, 0) == 0;
    (void)close(fd); /* O_PATH */
    return ok;
}

/* The directory a file is in. */
static void
allow_folder_of(const struct ruleset *rules, const char *path)
{
    static char folder[PATH_MAX];
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] != '/')
        len--;
    if (len >= sizeof folder)
        return;
    memcpy(folder, path, len);
    folder[len] = '\0';
    (void)allow(rules, folder, FS_TO_WRITE); /* or the plugin's own error will name the path */
}

/* A directory: all beneath it. A file, there or not yet: the directory it is in, because databases
 * create, rename and remove journals beside their file; the true one too, if the path is a link. */
static void
allow_writing(const struct ruleset *rules, const char *path)
{
    static char real[PATH_MAX];
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        (void)allow(rules, path, FS_TO_WRITE); /* as above */
        return;
    }
    allow_folder_of(rules, path);
    if (realpath(path, real) != NULL && strcmp(real, path) != 0)
        allow_folder_of(rules, real);
}

static void
allow_paths(const struct spec *spec, const struct ruleset *rules)
{
    for (size_t i = 0; i < sizeof system_paths / sizeof system_paths[0]; i++)
        (void)allow(rules, system_paths[i].path, system_paths[i].access); /* may not exist */
    for (int i = 0; i < spec->option_count; i++) {
        const char *option = spec->options[i], *path;
        if ((path = option_value(option, "--execute=")) != NULL)
            (void)allow(rules, path, FS_TO_EXECUTE); /* as in allow_folder_of */
        else if ((path = option_value(option, "--read=")) != NULL)
            (void)allow(rules, path, FS_TO_READ);
        else if ((path = option_value(option, "--write=")) != NULL)
            allow_writing(rules, path);
    }
}

static void
report_abi(struct report *report, int abi, bool has_network)
{
    char name[] = "landlock-0";
    name[sizeof name - 2] = (char)('0' + (abi > 9 ? 9 : abi));
    report_active(report, name);
    report->has_files = true;
    if (abi >= 6)
        report->has_signals = true;
    else
        report_missing(report, "landlock-signals", "since Linux 6.12");
    if (abi < 4 && !has_network)
        report_missing(report, "landlock-network", "since Linux 6.7");
}

void
landlock_apply(const struct spec *spec, struct report *report)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);
    if (abi < 1) {
        report_missing(report, "landlock",
                       errno == EOPNOTSUPP ? "disabled at boot" : strerror(errno));
        return;
    }
    if (abi > ABI_KNOWN_MAX)
        abi = ABI_KNOWN_MAX;
    struct ruleset_attr attr = {
        .handled_access_fs = handled_fs((int)abi),
        .handled_access_net = abi >= 4 && !spec->has_network ? NET_BIND_AND_CONNECT : 0,
        .scoped = abi >= 6 ? SCOPE_ABSTRACT_UNIX_AND_SIGNAL : 0,
    };
    size_t size = abi >= 6   ? sizeof attr
                  : abi >= 4 ? offsetof(struct ruleset_attr, scoped)
                             : offsetof(struct ruleset_attr, handled_access_net);
    struct ruleset rules = { .handled_fs = attr.handled_access_fs };
    rules.fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (rules.fd < 0) {
        report_missing(report, "landlock", strerror(errno));
        return;
    }
    allow_paths(spec, &rules);
    if (syscall(SYS_landlock_restrict_self, rules.fd, 0) == 0)
        report_abi(report, (int)abi, spec->has_network);
    else
        report_missing(report, "landlock", strerror(errno));
    (void)close(rules.fd); /* the rules are copied */
}
