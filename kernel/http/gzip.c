/* SPDX-License-Identifier: Apache-2.0 */
/* See gzip.h. Output grows with what comes out, so that a short lie about sizes costs nothing. */
#include "http/gzip.h"

#include <limits.h>
#include <zlib.h>

enum { FIRST_BYTES = 4096, GZIP_WINDOW = 16 + MAX_WBITS };

struct output {
    struct arena *arena;
    char *data;
    size_t len;
    size_t capacity;
    size_t max;
};

static bool
grow(struct output *out)
{
    /* One byte more than allowed tells "just fits" from "too large". */
    size_t most = out->max + 1;
    if (out->capacity == most)
        return false;
    size_t capacity = out->capacity == 0 ? FIRST_BYTES : out->capacity * 2;
    if (capacity > most)
        capacity = most;
    out->data = arena_grow(out->arena, out->data, out->capacity, capacity);
    out->capacity = capacity;
    return true;
}

static err_t
inflate_all(z_stream *z, struct output *out)
{
    for (;;) {
        if (out->len == out->capacity && !grow(out))
            return ERR_TOO_LARGE;
        size_t room = out->capacity - out->len;
        z->next_out = (unsigned char *)out->data + out->len;
        z->avail_out = room > UINT_MAX ? UINT_MAX : (unsigned)room;
        unsigned before = z->avail_out;
        int got = inflate(z, Z_NO_FLUSH);
        out->len += before - z->avail_out;
        if (out->len > out->max)
            return ERR_TOO_LARGE;
        if (got == Z_STREAM_END)
            return z->avail_in == 0 ? OK : ERR_MALFORMED;
        if (got != Z_OK || (z->avail_in == 0 && z->avail_out > 0))
            return ERR_MALFORMED;
    }
}

err_t
gzip_decode(struct arena *arena, struct slice bytes, size_t bytes_max, struct slice *ret_bytes)
{
    if (bytes.len > UINT_MAX)
        return ERR_TOO_LARGE;
    /* zlib only reads the input; its struct just lacks the const. */
    z_stream z = { .next_in = (unsigned char *)(uintptr_t)bytes.data,
                   .avail_in = (unsigned)bytes.len };
    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return ERR_INTERNAL;
    struct output out = { .arena = arena, .max = bytes_max };
    err_t err = inflate_all(&z, &out);
    (void)inflateEnd(&z); /* a stream that was begun */
    if (err == OK)
        *ret_bytes = out.len == 0 ? SLICE_EMPTY : slice_of(out.data, out.len);
    return err;
}
