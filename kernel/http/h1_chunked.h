/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoder of the chunked transfer coding (RFC 9112 section 7.1), strict: sizes are 1 to 16 hex
 * digits and fit int64_t, lines end in CRLF and nothing else, chunk data is followed by CRLF.
 * Extensions and trailers are checked for control bytes, bounded and dropped. Framing that costs
 * far more than the data it carries is refused. Pure: data comes out as parts of the input.
 */
#ifndef HTTP_H1_CHUNKED_H
#define HTTP_H1_CHUNKED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum h1_chunked_state {
    CHUNKED_SIZE_FIRST, /* at least one digit must come */
    CHUNKED_SIZE,
    CHUNKED_SIZE_BLANK, /* between size and extension */
    CHUNKED_EXTENSION,
    CHUNKED_SIZE_LF,
    CHUNKED_DATA,
    CHUNKED_DATA_CR,
    CHUNKED_DATA_LF,
    CHUNKED_TRAILER_FIRST, /* start of a line */
    CHUNKED_TRAILER,
    CHUNKED_TRAILER_LF,
    CHUNKED_LAST_LF,
    CHUNKED_ENDED,
    CHUNKED_BROKEN,
};

struct h1_chunked {
    enum h1_chunked_state state;
    uint64_t left;        /* of the chunk */
    unsigned digits;      /* of its size */
    uint32_t line_bytes;  /* of the size line; of all trailers */
    uint64_t waste_bytes; /* framing not yet paid for by data */
};

enum h1_got { H1_GOT_DATA, H1_GOT_MORE, H1_GOT_END, H1_GOT_BROKEN };

/* Consumes from `in`. DATA: *ret_data is a non-empty part of it. MORE: all consumed. END and BROKEN
 * are final and leave what follows in `in`. A zeroed decoder is at the start. */
enum h1_got h1_chunked_next(struct h1_chunked *c, struct slice *in, struct slice *ret_data);

/* Framing of one body, by length or chunked. */
struct h1_body {
    bool is_chunked;
    bool is_ended;
    bool is_broken;
    uint64_t left; /* bytes not taken yet; with a length */
    struct h1_chunked chunked;
};

/* Takes body bytes off `in`; as h1_chunked_next(). */
enum h1_got h1_body_next(struct h1_body *body, struct slice *in, struct slice *ret_data);

#endif
