/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory and what is beneath it. Names are taken as if the directory were the root of the file
 * system, by the system itself (openat2 with RESOLVE_IN_ROOT): neither "..", an absolute name nor a
 * symbolic link leads out of it, also if somebody exchanges files meanwhile. Functions return 0 or
 * an errno.
 */
#ifndef LOCALSTORAGE_PLUGIN_ROOT_H
#define LOCALSTORAGE_PLUGIN_ROOT_H

#include <remora_plugin.h>

enum { ROOT_NAME_MAX = 2048 };

struct root {
    int fd;
    char *path; /* absolute, without a "/" at the end unless it is "/" */
};

/* `path` is what the user wrote; it is made if it does not exist. On failure *ret_error are words
 * from malloc(). */
bool root_open(const char *path, struct root *ret_root, char **ret_error);
void root_close(struct root *root);

/* The name without "." and "..", none of which climbs above the root: "a/b", or empty for the root
 * itself. False if it is too long or holds a NUL. */
bool root_clean_name(struct remora_slice name, char ret_name[ROOT_NAME_MAX]);

/* `name` is clean. */
int root_open_file(const struct root *root, const char *name, int flags, int *ret_fd);
/* The directories above it are made. */
int root_create_file(const struct root *root, const char *name, int *ret_fd);
/* A file, or an empty directory; not the root itself. */
int root_remove(const struct root *root, const char *name);

#endif
