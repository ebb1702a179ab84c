/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secretstores.local.file: the secrets of a JSON file, read again whenever the file is another one
 * or was written to. A file that cannot be read any more, or holds nonsense in the middle of being
 * written, changes nothing: the last good content goes on, and the log says so once.
 */
#ifndef LOCAL_SECRETS_FILE_H
#define LOCAL_SECRETS_FILE_H

#include <sys/stat.h>

#include "secrets.h"

struct file {
    char *path;
    char *separator;
    bool is_multi_valued;
    struct secrets *secrets;
    struct stat seen; /* the file when it was last looked into */
};

/* NULL if the metadata or the file is unusable; `ret_error` says why. */
struct file *
file_open(const struct remora_pair *metadata, size_t count, char *ret_error, size_t error_bytes);
void file_close(struct file *file);

/* The present secrets, valid until the next call. */
const struct secrets *file_secrets(struct file *file);

#endif
