/* SPDX-License-Identifier: Apache-2.0 */
/* Chunked decoder; see h1_chunked.h. */
#include "http/h1_chunked.h"

#include "base/limits.h"
#include "http/chars.h"

enum {
    SIZE_DIGITS_MAX = 16,
    FREE_BYTES = 16, /* framing a chunk may cost without being waste */
};

/* After a digit, a blank, a ';' or the CR of a size line. */
static enum h1_chunked_state
after_size(char byte)
{
    if (byte == '\r')
        return CHUNKED_SIZE_LF;
    if (byte == ';')
        return CHUNKED_EXTENSION;
    return byte == ' ' || byte == '\t' ? CHUNKED_SIZE_BLANK : CHUNKED_BROKEN;
}

static enum h1_chunked_state
on_size_byte(struct h1_chunked *c, char byte)
{
    int digit = char_hex(byte);
    if (digit < 0)
        return c->state == CHUNKED_SIZE ? after_size(byte) : CHUNKED_BROKEN;
    if (++c->digits > SIZE_DIGITS_MAX || c->left > (uint64_t)INT64_MAX >> 4)
        return CHUNKED_BROKEN;
    c->left = c->left << 4 | (uint64_t)digit;
    return CHUNKED_SIZE;
}

static enum h1_chunked_state
on_size_line_end(struct h1_chunked *c)
{
    uint64_t paid = FREE_BYTES + (c->left > UINT32_MAX ? UINT32_MAX : c->left) * 2;
    c->waste_bytes += c->line_bytes;
    c->waste_bytes = c->waste_bytes > paid ? c->waste_bytes - paid : 0;
    if (c->waste_bytes > LIMIT_http_chunk_waste_bytes)
        return CHUNKED_BROKEN;
    c->line_bytes = 0;
    c->digits = 0;
    return c->left > 0 ? CHUNKED_DATA : CHUNKED_TRAILER_FIRST;
}

static enum h1_chunked_state
expect(char byte, char wanted, enum h1_chunked_state then)
{
    return byte == wanted ? then : CHUNKED_BROKEN;
}

/* One byte of framing. */
static enum h1_chunked_state
step(struct h1_chunked *c, char byte)
{
    switch (c->state) {
    case CHUNKED_SIZE_FIRST:
    case CHUNKED_SIZE:
        return on_size_byte(c, byte);
    case CHUNKED_SIZE_BLANK:
        return after_size(byte);
    case CHUNKED_EXTENSION:
        if (byte == '\r')
            return CHUNKED_SIZE_LF;
        return char_is(byte, CHAR_VALUE) ? CHUNKED_EXTENSION : CHUNKED_BROKEN;
    case CHUNKED_SIZE_LF:
        return byte == '\n' ? on_size_line_end(c) : CHUNKED_BROKEN;
    case CHUNKED_DATA_CR:
        return expect(byte, '\r', CHUNKED_DATA_LF);
    case CHUNKED_DATA_LF:
        c->line_bytes = 0;
        return expect(byte, '\n', CHUNKED_SIZE_FIRST);
    case CHUNKED_TRAILER_FIRST:
        if (byte == '\r')
            return CHUNKED_LAST_LF;
        return char_is(byte, CHAR_TOKEN) ? CHUNKED_TRAILER : CHUNKED_BROKEN;
    case CHUNKED_TRAILER:
        if (byte == '\r')
            return CHUNKED_TRAILER_LF;
        return char_is(byte, CHAR_VALUE) ? CHUNKED_TRAILER : CHUNKED_BROKEN;
    case CHUNKED_TRAILER_LF:
        return expect(byte, '\n', CHUNKED_TRAILER_FIRST);
    case CHUNKED_LAST_LF:
        return expect(byte, '\n', CHUNKED_ENDED);
    case CHUNKED_DATA:
    case CHUNKED_ENDED:
    case CHUNKED_BROKEN:
        break;
    }
    return CHUNKED_BROKEN;
}

static enum h1_got
take_data(struct h1_chunked *c, struct slice *in, struct slice *ret_data)
{
    *ret_data = c->left < in->len ? slice_first(*in, (size_t)c->left) : *in;
    *in = slice_from(*in, ret_data->len);
    c->left -= ret_data->len;
    if (c->left == 0)
        c->state = CHUNKED_DATA_CR;
    return H1_GOT_DATA;
}

enum h1_got
h1_chunked_next(struct h1_chunked *c, struct slice *in, struct slice *ret_data)
{
    while (c->state != CHUNKED_ENDED && c->state != CHUNKED_BROKEN) {
        if (in->len == 0)
            return H1_GOT_MORE;
        if (c->state == CHUNKED_DATA)
            return take_data(c, in, ret_data);
        c->state = step(c, in->data[0]);
        *in = slice_from(*in, 1);
        if (++c->line_bytes > LIMIT_http_chunk_line_bytes && c->state != CHUNKED_ENDED)
            c->state = CHUNKED_BROKEN;
    }
    return c->state == CHUNKED_ENDED ? H1_GOT_END : H1_GOT_BROKEN;
}

enum h1_got
h1_body_next(struct h1_body *body, struct slice *in, struct slice *ret_data)
{
    if (body->is_broken)
        return H1_GOT_BROKEN;
    if (body->is_ended)
        return H1_GOT_END;
    if (body->is_chunked) {
        enum h1_got got = h1_chunked_next(&body->chunked, in, ret_data);
        body->is_ended = got == H1_GOT_END;
        body->is_broken = got == H1_GOT_BROKEN;
        return got;
    }
    if (in->len == 0)
        return H1_GOT_MORE;
    *ret_data = body->left < in->len ? slice_first(*in, (size_t)body->left) : *in;
    *in = slice_from(*in, ret_data->len);
    body->left -= ret_data->len;
    body->is_ended = body->left == 0;
    return H1_GOT_DATA;
}
