/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files; see file.h. Whoever can invoke the binding is not to read what else the sidecar's user
 * can: beneath the component's folder neither ".." nor a symbolic link leads out of it, which the
 * system itself sees to.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../shared/memory.h"

/* 0 or an errno. */
static int
open_beneath(const char *root, const char *rest, int *ret_fd)
{
    struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    const int folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    long fd;
    if (folder < 0)
        return errno;
    do
        fd = syscall(SYS_openat2, folder, rest, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || errno == EAGAIN)); /* EAGAIN: something was renamed */
    const int failed = fd < 0 ? errno : 0;
    (void)close(folder); /* nothing was read through it */
    *ret_fd = (int)fd;
    return failed == EXDEV ? EACCES : failed;
}

static int
open_file(const char *root, const char *path, int *ret_fd)
{
    size_t len = root == NULL ? 0 : strlen(root);
    while (len > 1 && root[len - 1] == '/')
        len--;
    if (len == 0 || strncmp(path, root, len) != 0)
        return EACCES;
    const char *rest = path + len;
    if (*rest == '/' || (len == 1 && root[0] == '/')) {
        rest += strspn(rest, "/");
        return open_beneath(root, *rest == '\0' ? "." : rest, ret_fd);
    }
    if (*rest != '\0')
        return EACCES;
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return *ret_fd < 0 ? errno : 0;
}

static int
check(int fd, size_t bytes_max, size_t *ret_len)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return errno;
    if (S_ISDIR(st.st_mode))
        return EISDIR;
    if (!S_ISREG(st.st_mode))
        return EINVAL;
    *ret_len = (size_t)st.st_size;
    return *ret_len > bytes_max ? EFBIG : 0;
}

int
file_read(const char *root, const char *path, size_t bytes_max, char **ret_bytes, size_t *ret_len)
{
    int fd = -1;
    size_t size = 0, len = 0;
    int failed = open_file(root, path, &fd);
    if (failed != 0)
        return failed;
    failed = check(fd, bytes_max, &size);
    char *bytes = failed == 0 ? memory_new(size + 1) : NULL;
    while (failed == 0 && len < size) {
        const ssize_t got = read(fd, bytes + len, size - len);
        if (got < 0 && errno != EINTR)
            failed = errno;
        else if (got == 0)
            break; /* it has become shorter */
        len += got > 0 ? (size_t)got : 0;
    }
    (void)close(fd); /* it was only read */
    if (failed != 0) {
        free(bytes);
        return failed;
    }
    *ret_bytes = bytes;
    *ret_len = len;
    return 0;
}
