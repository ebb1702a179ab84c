/* SPDX-License-Identifier: Apache-2.0 */
/* A directory and what is beneath it; see root.h. */
#include "root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- the root ----------------------------------------------------------------------------------*/

static char *words(const char *format, ...) __attribute__((format(printf, 1, 2)));

static char *
words(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0)
        abort();
    return text;
}

/* What nobody keeps files in, links resolved (BIND: the reference refuses the same). */
static bool
is_disallowed(const char *path)
{
    static const char *const places[] = { "/proc", "/sys", "/boot", "/var/run/secrets",
                                          "/run/secrets" };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        size_t len = strlen(places[i]);
        if (strncmp(path, places[i], len) == 0 && (path[len] == '\0' || path[len] == '/'))
            return true;
    }
    return false;
}

/* Like mkdir -p; what is there already is no failure. `path` is put back as it was. */
static int
make_directories(char *path)
{
    for (char *at = path + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        int failed = mkdir(path, 0777) != 0 && errno != EEXIST ? errno : 0;
        *at = '/';
        if (failed == EROFS || failed == EACCES)
            continue; /* perhaps it is there: the last one tells */
        if (failed != 0)
            return failed;
    }
    return mkdir(path, 0777) == 0 || errno == EEXIST ? 0 : errno;
}

static char *
absolute(const char *path)
{
    char *cwd = path[0] == '/' ? NULL : getcwd(NULL, 0);
    char *full = words("%s%s%s", cwd == NULL ? "" : cwd, cwd == NULL ? "" : "/", path);
    free(cwd);
    for (size_t len = strlen(full); len > 1 && full[len - 1] == '/'; len--)
        full[len - 1] = '\0';
    return full;
}

bool
root_open(const char *path, struct root *ret_root, char **ret_error)
{
    char *full = absolute(path), *real = NULL;
    int fd = -1, failed = make_directories(full);
    struct stat st;
    if (stat(full, &st) == 0 && !S_ISDIR(st.st_mode))
        *ret_error = words("property rootPath represents a file and not a directory");
    else if (failed != 0)
        *ret_error = words("unable to create directory specified by 'rootPath' %s: %s", full,
                           strerror(failed));
    else if ((real = realpath(full, NULL)) == NULL)
        *ret_error = words("failed to evaluate symlinks in rootPath: %s", strerror(errno));
    else if (is_disallowed(real))
        *ret_error = words("property rootPath points to a disallowed location");
    else if ((fd = open(real, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
        *ret_error = words("error opening path %s: %s", real, strerror(errno));
    free(full);
    if (fd < 0) {
        free(real);
        return false;
    }
    *ret_root = (struct root){ .fd = fd, .path = real };
    return true;
}

void
root_close(struct root *root)
{
    (void)close(root->fd); /* nothing was written through it */
    free(root->path);
}

/* --- names -------------------------------------------------------------------------------------*/

/* Takes the last part off. */
static size_t
climb(const char *name, size_t len)
{
    while (len > 0 && name[len - 1] != '/')
        len--;
    return len > 0 ? len - 1 : 0;
}

bool
root_clean_name(struct remora_slice name, char ret_name[ROOT_NAME_MAX])
{
    size_t len = 0;
    if (name.len >= ROOT_NAME_MAX || memchr(name.data, '\0', name.len) != NULL)
        return false;
    for (size_t i = 0; i < name.len;) {
        size_t end = i;
        while (end < name.len && name.data[end] != '/')
            end++;
        size_t part = end - i;
        if (part == 2 && name.data[i] == '.' && name.data[i + 1] == '.') {
            len = climb(ret_name, len);
        } else if (part > 0 && !(part == 1 && name.data[i] == '.')) {
            if (len > 0)
                ret_name[len++] = '/';
            memcpy(ret_name + len, name.data + i, part);
            len += part;
        }
        i = end + 1;
    }
    ret_name[len] = '\0';
    return true;
}

/* --- files -------------------------------------------------------------------------------------*/

static int
open_in(int root, const char *name, int flags, mode_t mode, int *ret_fd)
{
    struct open_how how = { .flags = (unsigned long long)flags | O_CLOEXEC,
                            .mode = mode,
                            .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
    long fd;
    do
        fd = syscall(SYS_openat2, root, name[0] == '\0' ? "." : name, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || errno == EAGAIN)); /* EAGAIN: something was renamed */
    *ret_fd = (int)fd;
    return fd < 0 ? errno : 0;
}

int
root_open_file(const struct root *root, const char *name, int flags, int *ret_fd)
{
    /* Not to wait for a FIFO that somebody has put there. */
    return open_in(root->fd, name, flags | O_NONBLOCK | O_NOCTTY, 0, ret_fd);
}

/* The directory that holds `name`; *ret_last is its last part. */
static int
open_parent(const struct root *root, const char *name, int *ret_fd, const char **ret_last)
{
    char prefix[ROOT_NAME_MAX];
    const char *slash = strrchr(name, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - name);
    *ret_last = slash == NULL ? name : slash + 1;
    memcpy(prefix, name, len);
    prefix[len] = '\0';
    return open_in(root->fd, prefix, O_PATH | O_DIRECTORY, 0, ret_fd);
}

/* Of the directories above `name`, those that are missing. */
static int
make_parents(const struct root *root, const char *name)
{
    char prefix[ROOT_NAME_MAX];
    for (const char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        const char *last;
        int parent;
        memcpy(prefix, name, (size_t)(slash - name));
        prefix[slash - name] = '\0';
        int failed = open_parent(root, prefix, &parent, &last);
        if (failed != 0)
            return failed;
        failed = mkdirat(parent, last, 0777) != 0 && errno != EEXIST ? errno : 0;
        (void)close(parent); /* O_PATH: nothing was written through it */
        if (failed != 0)
            return failed;
    }
    return 0;
}

int
root_create_file(const struct root *root, const char *name, int *ret_fd)
{
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY;
    int failed = open_in(root->fd, name, flags, 0666, ret_fd);
    if (failed != ENOENT)
        return failed;
    failed = make_parents(root, name);
    return failed != 0 ? failed : open_in(root->fd, name, flags, 0666, ret_fd);
}

int
root_remove(const struct root *root, const char *name)
{
    int parent;
    const char *last;
    if (name[0] == '\0')
        return EBUSY;
    int failed = open_parent(root, name, &parent, &last);
    if (failed != 0)
        return failed;
    if (unlinkat(parent, last, 0) != 0)
        failed = errno == EISDIR && unlinkat(parent, last, AT_REMOVEDIR) == 0 ? 0 : errno;
    (void)close(parent); /* as above */
    return failed;
}
