/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 as keys come in: the ordinary alphabet or the one for URLs, with padding or without. */
#ifndef CRYPTO_BASE64_ANY_H
#define CRYPTO_BASE64_ANY_H

#include <stdbool.h>
#include <stddef.h>

/* Room that decoding needs at most. */
static inline size_t
base64_any_decoded_max(size_t chars)
{
    return chars / 4 * 3 + 3;
}

/* False if a character is of neither alphabet, both are mixed, or the length is nobody's. */
bool base64_any_decode(const char *text, size_t len, unsigned char *ret_bytes, size_t *ret_len);

/* The alphabet for URLs, without padding; `ret_text` takes (len * 4 + 2) / 3 characters and a
 * NUL. */
void base64url_encode(const unsigned char *bytes, size_t len, char *ret_text);

#endif
