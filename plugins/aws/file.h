/* SPDX-License-Identifier: Apache-2.0 */
/* Files that a request may name: the one that the component names, or those beneath that. */
#ifndef AWS_PLUGIN_FILE_H
#define AWS_PLUGIN_FILE_H

#include <stddef.h>

/* The whole of `path`, from malloc(). 0, or an errno: EACCES if the component (`root`, or NULL) has
 * not opened it, EFBIG if it is longer than that. */
int
file_read(const char *root, const char *path, size_t bytes_max, char **ret_bytes, size_t *ret_len);

#endif
