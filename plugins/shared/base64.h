/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standard base64 with padding: the form of bytes that others write as text.
 */
#ifndef PLUGINS_SHARED_BASE64_H
#define PLUGINS_SHARED_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Length of `len` bytes once encoded; there is no terminating NUL. */
static inline size_t
base64_encoded_len(size_t len)
{
    return (len + 2) / 3 * 4;
}

void base64_encode(const void *data, size_t len, char *out);

/* `out` has room for len / 4 * 3 bytes and may be `text` itself. Line ends are skipped, everything
 * else must be canonical. False if it is not. */
bool base64_decode(const char *text, size_t len, void *out, size_t *ret_len);

#endif
