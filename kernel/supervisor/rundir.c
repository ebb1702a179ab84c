/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes, locks and removes run directories. They lie in places others may write to, so nothing is
 * followed or removed that is not a real folder of our own user.
 */
#include "supervisor/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define SCOPE "remora.supervisor"
#define PREFIX "remora-"
#define LOCK_NAME "lock"

enum {
    NAME_BYTES = sizeof PREFIX - 1 + 8, /* remora-1a2b3c4d */
    BASE_BYTES_MAX = SOCKET_PATH_BYTES_MAX - 1 - NAME_BYTES - 1 - RUNDIR_NAME_BYTES_MAX - 1,
    ATTEMPTS_MAX = 16,
    UNLOCKED_GRACE_S = 60, /* a folder without a lock may be one that is being made */
};

/* ------------------------------------------------------------------------------ cleaning up */

/* To read the names in a folder that is open already. */
static DIR *
folder_of(int fd)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again < 0 ? NULL : fdopendir(again);
    if (dir == NULL && again >= 0)
        (void)close(again); /* only read from */
    return dir;
}

/* Everything in the folder but folders, then the folder itself. */
static void
remove_folder(int base, const char *name, int folder)
{
    DIR *dir = folder_of(folder);
    if (dir != NULL) {
        struct dirent *entry;
        while ((entry = readdir(dir)) != NULL)
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                (void)unlinkat(folder, entry->d_name, 0); /* what stays keeps the folder */
        (void)closedir(dir);
    }
    if (unlinkat(base, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        log_warn(SCOPE, "event=run_folder_stays name=%s error=\"%s\"", name, strerror(errno));
}

static int
lock_of(int folder, int flags)
{
    int fd = openat(folder, LOCK_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0600);
    if (fd < 0)
        return -1;
    struct stat info;
    bool is_locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (is_locked && fstat(fd, &info) == 0 && info.st_nlink > 0)
        return fd;
    /* Between opening and locking it somebody else may have locked, removed and left it. */
    int saved = is_locked ? ESTALE : errno;
    (void)close(fd); /* nothing was written */
    errno = saved;
    return -1;
}

static void
remove_if_stale(int base, const char *name)
{
    struct stat info;
    int folder = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return;
    if (fstat(folder, &info) == 0 && info.st_uid == geteuid()) {
        int lock = lock_of(folder, 0);
        bool is_stale = lock >= 0 ||
                        (errno == ENOENT && info.st_mtime + UNLOCKED_GRACE_S < time(NULL));
        if (is_stale) {
            log_info(SCOPE, "event=run_folder_removed name=%s", name);
            remove_folder(base, name, folder);
        }
        if (lock >= 0)
            (void)close(lock); /* also unlocks */
    }
    (void)close(folder); /* only read from */
}

/* Named as ours are: other programs' files are none of our business. */
static bool
is_run_folder_name(const char *name)
{
    return strncmp(name, PREFIX, sizeof PREFIX - 1) == 0 && strlen(name) == NAME_BYTES &&
           strspn(name + sizeof PREFIX - 1, "0123456789abcdef") == NAME_BYTES - sizeof PREFIX + 1;
}

static void
remove_stale(int base)
{
    DIR *dir = folder_of(base);
    if (dir == NULL)
        return;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL)
        if (is_run_folder_name(entry->d_name))
            remove_if_stale(base, entry->d_name);
    (void)closedir(dir);
}

/* ------------------------------------------------------------------------------ making one */

/* 0, or why this folder must not hold ours. Written by others without the sticky bit, or owned by
 * a third party, somebody could put his own in place of ours. */
static const char *
reason_against(int base)
{
    struct stat info;
    if (fstat(base, &info) != 0)
        return strerror(errno);
    if (info.st_uid != geteuid() && info.st_uid != 0)
        return "it belongs to another user";
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (info.st_mode & S_ISVTX) == 0)
        return "others may replace what is in it";
    return NULL;
}

static err_t
make_in(int base, const char *base_path, struct rundir *ret_rundir, struct diag *diag)
{
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        uint32_t random;
        if (getrandom(&random, sizeof random, 0) != sizeof random)
            return DIAG_FAIL(diag, ERR_CONFIG, "no random numbers: %s", strerror(errno));
        struct rundir rundir = { .lock_fd = -1 };
        int len = snprintf(rundir.path, sizeof rundir.path, "%s/" PREFIX "%08x",
                           strcmp(base_path, "/") == 0 ? "" : base_path, random);
        if (len < 0 || (size_t)len >= sizeof rundir.path)
            return DIAG_FAIL(diag, ERR_CONFIG, "%s: too long for sockets", base_path);
        const char *name = strrchr(rundir.path, '/') + 1;
        if (mkdirat(base, name, 0700) != 0) {
            if (errno == EEXIST)
                continue;
            return DIAG_FAIL(diag, ERR_CONFIG, "%s: %s", rundir.path, strerror(errno));
        }
        int folder = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (folder >= 0) {
            rundir.lock_fd = lock_of(folder, O_CREAT | O_EXCL);
            (void)close(folder); /* only read from */
        }
        if (rundir.lock_fd >= 0) {
            *ret_rundir = rundir;
            return OK;
        }
        if (errno == ENOSPC || errno == EROFS || errno == EMFILE || errno == ENFILE)
            return DIAG_FAIL(diag, ERR_CONFIG, "%s: %s", rundir.path, strerror(errno));
        /* Else another kernel that is starting took it for a stale one. */
    }
    return DIAG_FAIL(diag, ERR_CONFIG, "%s: no folder could be made in it", base_path);
}

/* One candidate. */
static err_t
try_base(const char *path, struct rundir *ret_rundir, struct diag *diag)
{
    int base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (base < 0)
        return DIAG_FAIL(diag, ERR_CONFIG, "run directory %s: %s", path, strerror(errno));
    err_t err = OK;
    const char *reason = reason_against(base);
    if (reason != NULL) {
        err = DIAG_FAIL(diag, ERR_CONFIG, "run directory %s: %s", path, reason);
    } else {
        remove_stale(base);
        err = make_in(base, path, ret_rundir, diag);
    }
    (void)close(base); /* only read from */
    return err;
}

/* `path` and its parents, as `mkdir -p` does; an error shows when it is opened. */
static void
make_folders(const char *path)
{
    char *part = strdup(path);
    if (part == NULL)
        abort();
    for (char *p = part; *p != '\0'; p++) {
        if (*p != '/' || p == part)
            continue;
        *p = '\0';
        (void)mkdir(part, 0700); /* most exist */
        *p = '/';
    }
    (void)mkdir(part, 0700); /* as above */
    free(part);
}

static err_t
open_default(const struct rundir_config *config, struct rundir *ret_rundir, struct diag *diag)
{
    const char *const candidates[] = { config->xdg_runtime_dir, "/run/remora", "/tmp" };
    (void)mkdir("/run/remora", 0755); /* only root may, and only root needs to */
    err_t err = ERR_CONFIG;
    for (size_t i = 0; i < ARRAY_LEN(candidates); i++) {
        const char *path = candidates[i];
        if (path == NULL || path[0] != '/' || strlen(path) > BASE_BYTES_MAX)
            continue;
        err = try_base(path, ret_rundir, diag);
        if (err == OK)
            return OK;
    }
    return err;
}

static err_t
open_wanted(const struct rundir_config *config, struct rundir *ret_rundir, struct diag *diag)
{
    make_folders(config->wanted);
    char *absolute = realpath(config->wanted, NULL);
    if (absolute == NULL)
        return DIAG_FAIL(diag, ERR_CONFIG, "run directory %s: %s", config->wanted, strerror(errno));
    err_t err;
    if (strlen(absolute) > BASE_BYTES_MAX) {
        log_warn(SCOPE, "event=run_dir_too_long path=%s bytes_max=%d", absolute, BASE_BYTES_MAX);
        err = open_default(config, ret_rundir, diag);
    } else {
        err = try_base(absolute, ret_rundir, diag);
    }
    free(absolute);
    return err;
}

err_t
rundir_open(const struct rundir_config *config, struct rundir *ret_rundir, struct diag *diag)
{
    bool is_wanted = config->wanted != NULL && config->wanted[0] != '\0';
    err_t err = is_wanted ? open_wanted(config, ret_rundir, diag)
                          : open_default(config, ret_rundir, diag);
    if (err == OK)
        log_debug(SCOPE, "event=run_dir path=%s", ret_rundir->path);
    return err;
}

void
rundir_close(struct rundir *rundir)
{
    if (rundir->lock_fd < 0)
        return;
    int folder = open(rundir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder >= 0) {
        remove_folder(AT_FDCWD, rundir->path, folder);
        (void)close(folder); /* only read from */
    }
    (void)close(rundir->lock_fd);
    rundir->lock_fd = -1;
}

bool
rundir_path(const struct rundir *rundir, const char *name, char ret_path[SOCKET_PATH_BYTES_MAX])
{
    int len = snprintf(ret_path, SOCKET_PATH_BYTES_MAX, "%s/%s", rundir->path, name);
    return len > 0 && len < SOCKET_PATH_BYTES_MAX;
}
