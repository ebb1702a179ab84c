/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets of a file; see file.h. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DETAIL_BYTES = 256 };

static bool
read_all(int fd, char *bytes, size_t room, size_t *ret_len)
{
    size_t len = 0;
    while (len < room) {
        const ssize_t got = read(fd, bytes + len, room - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if (got == 0)
            break;
        len += (size_t)got;
    }
    *ret_len = len;
    return true;
}

/* The secrets of the open file. */
static struct secrets *
read_secrets(const struct file *file, int fd, char *ret_error, size_t error_bytes)
{
    char detail[SECRETS_ERROR_BYTES];
    size_t len;
    const size_t room = SECRETS_FILE_BYTES_MAX + 1;
    char *bytes = malloc(room);
    if (bytes == NULL)
        abort();
    struct secrets *secrets = NULL;
    if (!read_all(fd, bytes, room, &len)) {
        (void)snprintf(ret_error, error_bytes, "read %s: %s", file->path, strerror(errno));
    } else if (len == room) {
        (void)snprintf(ret_error, error_bytes, "%s: larger than %d bytes", file->path,
                       SECRETS_FILE_BYTES_MAX);
    } else {
        const struct secrets_form form = { .separator = file->separator,
                                           .is_multi_valued = file->is_multi_valued };
        secrets = secrets_parse(bytes, len, &form, detail);
        if (secrets == NULL)
            (void)snprintf(ret_error, error_bytes, "%s: %s", file->path, detail);
        explicit_bzero(bytes, len);
    }
    free(bytes);
    return secrets;
}

static const char *
error_words(int error)
{
    return error == ENOENT ? "no such file or directory" : strerror(error);
}

/* Replaces the secrets by what the file holds now; false and the words if that fails. */
static bool
load(struct file *file, char *ret_error, size_t error_bytes)
{
    const int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        (void)snprintf(ret_error, error_bytes, "open %s: %s", file->path, error_words(errno));
        return false;
    }
    struct stat seen = { .st_size = -1 };
    if (fstat(fd, &seen) == 0)
        file->seen = seen;
    struct secrets *secrets = NULL;
    if (S_ISREG(seen.st_mode))
        secrets = read_secrets(file, fd, ret_error, error_bytes);
    else
        (void)snprintf(ret_error, error_bytes, "%s: not a file", file->path);
    (void)close(fd); /* nothing was written */
    if (secrets == NULL)
        return false;
    secrets_free(file->secrets);
    file->secrets = secrets;
    return true;
}

static bool
is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

const struct secrets *
file_secrets(struct file *file)
{
    struct stat now = { .st_size = 0 };
    char error[DETAIL_BYTES];
    if (stat(file->path, &now) != 0)
        now = (struct stat){ .st_size = 0 }; /* one look a disappearance */
    if (is_same(&now, &file->seen))
        return file->secrets;
    file->seen = now;
    if (load(file, error, sizeof error))
        remora_log(REMORA_INFO, "the secrets file has changed and was read again");
    else
        remora_log(REMORA_WARN, "%s; the secrets read before stay in use", error);
    return file->secrets;
}

static char *
text_of(const struct remora_pair *metadata, size_t count, const char *name, const char *otherwise)
{
    struct remora_slice value = { "", 0 };
    if (!remora_metadata_get(metadata, count, name, &value) || value.len == 0)
        value = (struct remora_slice){ otherwise, strlen(otherwise) };
    return remora_slice_dup(value);
}

struct file *
file_open(const struct remora_pair *metadata, size_t count, char *ret_error, size_t error_bytes)
{
    struct remora_slice multi = { "", 0 };
    struct file *file = calloc(1, sizeof *file);
    if (file == NULL)
        abort();
    file->path = text_of(metadata, count, "secretsFile", "");
    file->separator = text_of(metadata, count, "nestedSeparator", ":");
    bool ok = false;
    if (file->path == NULL || file->path[0] == '\0')
        (void)snprintf(ret_error, error_bytes, "missing local secrets file in metadata");
    else if (file->separator == NULL)
        (void)snprintf(ret_error, error_bytes, "nestedSeparator must not hold NUL");
    else if (remora_metadata_get(metadata, count, "multiValued", &multi) && multi.len > 0 &&
             !remora_parse_bool(multi, &file->is_multi_valued))
        (void)snprintf(ret_error, error_bytes, "multiValued must be true or false");
    else
        ok = load(file, ret_error, error_bytes);
    if (ok)
        return file;
    file_close(file);
    return NULL;
}

void
file_close(struct file *file)
{
    secrets_free(file->secrets);
    free(file->path);
    free(file->separator);
    free(file);
}
