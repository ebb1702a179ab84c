/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a configuration file whole. */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include <stddef.h>

#include "base/arena.h"

/* The content of a regular file of at most resource_file_bytes_max in a heap block that the caller
 * frees. On failure NULL, and the system's words in the arena, in lower case as Go has them. */
char *file_read(struct arena *arena, const char *path, size_t *ret_len, const char **ret_words);

/* strerror() in Go's spelling. */
const char *file_error_words(struct arena *arena, int code);

#endif
