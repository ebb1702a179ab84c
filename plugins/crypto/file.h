/* SPDX-License-Identifier: Apache-2.0 */
/* A file of keys, read whole. */
#ifndef CRYPTO_FILE_H
#define CRYPTO_FILE_H

#include <stddef.h>

/* 0, or the errno: EISDIR if it is no ordinary file, EFBIG beyond `bytes_max`. The bytes, which are
 * followed by a NUL, are for file_wipe() whatever comes back. */
int file_read(int fd, size_t bytes_max, char **ret_bytes, size_t *ret_len);
/* Wipes and frees them; NULL is nothing. */
void file_wipe(char *bytes, size_t len);

#endif
