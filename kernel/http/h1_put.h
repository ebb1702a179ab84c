/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads and chunk frames of HTTP/1.1, composed in place by h1_reply.c and h1_client.c: each
 * function writes at `at`, where its caller has reserved room, and returns the end.
 */
#ifndef HTTP_H1_PUT_H
#define HTTP_H1_PUT_H

#include <stdint.h>

#include "base/slice.h"

enum {
    H1_CHUNK_FRAME_BYTES = 24,  /* size line and the CRLF behind the data */
    H1_PIECE_BYTES = 16 * 1024, /* of a body, copied at a time */
};

static inline char *
h1_put(char *at, struct slice s)
{
    if (s.len > 0)
        memcpy(at, s.data, s.len);
    return at + s.len;
}

static inline char *
h1_put_u64(char *at, uint64_t n)
{
    char digits[20];
    size_t len = 0;
    do
        digits[len++] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    while (len > 0)
        *at++ = digits[--len];
    return at;
}

static inline char *
h1_put_hex(char *at, uint64_t n)
{
    unsigned shift = 60;
    while (shift > 0 && n >> shift == 0)
        shift -= 4;
    for (;; shift -= 4) {
        *at++ = "0123456789abcdef"[n >> shift & 15];
        if (shift == 0)
            return at;
    }
}

/* A chunk with its frame. */
static inline char *
h1_put_chunk(char *at, struct slice data)
{
    at = h1_put(h1_put_hex(at, data.len), SLICE("\r\n"));
    return h1_put(h1_put(at, data), SLICE("\r\n"));
}

#endif
