/* SPDX-License-Identifier: Apache-2.0 */
/* A file's content; see file.h. */
#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"

/* Only regular files: a FIFO would hang the start. */
static char *
read_regular(const char *path, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    char *data = NULL;
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) != 0)
        goto out;
    if (!S_ISREG(st.st_mode) || st.st_size > LIMIT_resource_file_bytes_max) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : S_ISREG(st.st_mode) ? EFBIG : EINVAL;
        goto out;
    }
    data = malloc((size_t)st.st_size + 1);
    if (data == NULL)
        abort();
    size_t len = 0;
    ssize_t n = 1;
    /* A file that grows meanwhile is cut at the size it had. */
    while (len < (size_t)st.st_size && n > 0) {
        n = read(fd, data + len, (size_t)st.st_size - len);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            len += (size_t)n;
    }
    if (n < 0) {
        free(data);
        data = NULL;
    }
    *ret_len = len;
out:
    (void)close(fd); /* opened for reading: nothing can be lost, and errno is for the caller */
    return data;
}

const char *
file_error_words(struct arena *arena, int code)
{
    char text[128];
    const char *words = strerror_r(code, text, sizeof text);
    char *copy = arena_str(arena, slice_str(words));
    if (copy[0] >= 'A' && copy[0] <= 'Z' && copy[1] >= 'a' && copy[1] <= 'z')
        copy[0] = (char)(copy[0] | 0x20);
    return copy;
}

char *
file_read(struct arena *arena, const char *path, size_t *ret_len, const char **ret_words)
{
    char *data = read_regular(path, ret_len);
    if (data == NULL)
        *ret_words = file_error_words(arena, errno);
    return data;
}
