/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 with padding (RFC 4648 section 4), and the form for URLs without (section 5). Pure. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/slice.h"

static inline size_t
base64_encoded_len(size_t bytes)
{
    return (bytes + 2) / 3 * 4;
}

/* Room that decoding needs at most. */
static inline size_t
base64_decoded_max(size_t chars)
{
    return chars / 4 * 3;
}

/* Writes base64_encoded_len() characters, no NUL. */
void base64_encode(struct slice bytes, char *ret_text);
/* False if the text is not exactly what encoding something gives. */
bool base64_decode(struct slice text, char *ret_bytes, size_t *ret_len) WARN_UNUSED;

/* Likewise, into the arena. */
bool
base64_decode_arena(struct arena *arena, struct slice text, struct slice *ret_bytes) WARN_UNUSED;

/* Room that the form for URLs needs, either way. */
static inline size_t
base64url_encoded_len(size_t bytes)
{
    return (bytes * 4 + 2) / 3;
}

static inline size_t
base64url_decoded_max(size_t chars)
{
    return chars * 3 / 4;
}

/* Writes base64url_encoded_len() characters, no NUL. */
void base64url_encode(struct slice bytes, char *ret_text);
/* False if the text is not exactly what encoding something gives. */
bool base64url_decode(struct slice text, char *ret_bytes, size_t *ret_len) WARN_UNUSED;
bool
base64url_decode_arena(struct arena *arena, struct slice text, struct slice *ret_bytes) WARN_UNUSED;

#endif
