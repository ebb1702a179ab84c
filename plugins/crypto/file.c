/* SPDX-License-Identifier: Apache-2.0 */
/* Files of keys; see file.h. */
#include "file.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory.h"

int
file_read(int fd, size_t bytes_max, char **ret_bytes, size_t *ret_len)
{
    struct stat seen;
    *ret_bytes = NULL;
    *ret_len = 0;
    if (fstat(fd, &seen) != 0)
        return errno;
    if (!S_ISREG(seen.st_mode))
        return EISDIR;
    char *bytes = memory_new(bytes_max + 2);
    size_t len = 0;
    ssize_t got = 1;
    while (got != 0 && len <= bytes_max) {
        got = read(fd, bytes + len, bytes_max + 1 - len);
        if (got < 0 && errno != EINTR)
            break;
        len += got > 0 ? (size_t)got : 0;
    }
    const int error = got < 0 ? errno : len > bytes_max ? EFBIG : 0;
    bytes[len] = '\0';
    *ret_bytes = bytes;
    *ret_len = len;
    return error;
}

void
file_wipe(char *bytes, size_t len)
{
    if (bytes != NULL)
        OPENSSL_cleanse(bytes, len);
    free(bytes);
}
