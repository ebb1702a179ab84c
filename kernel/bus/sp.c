/* SPDX-License-Identifier: Apache-2.0 */
/* Greeting, header and decoder of SP over ipc; see sp.h. */
#include "bus/sp.h"

#include <assert.h>

enum { MESSAGE_TYPE = 1 };

void
sp_handshake(enum sp_protocol own, char ret_bytes[SP_HANDSHAKE_BYTES])
{
    const unsigned number = own;
    const char bytes[SP_HANDSHAKE_BYTES] = { 0, 'S', 'P', 0, (char)(number >> 8), (char)number };
    memcpy(ret_bytes, bytes, sizeof bytes);
}

void
sp_header(uint64_t len, char ret_bytes[SP_HEADER_BYTES])
{
    ret_bytes[0] = MESSAGE_TYPE;
    for (unsigned i = 0; i < 8; i++)
        ret_bytes[1 + i] = (char)(len >> (56 - 8 * i));
}

const char *
sp_status_name(enum sp_status status)
{
    switch (status) {
    case SP_MESSAGE:
        return "message";
    case SP_MORE:
        return "more";
    case SP_BAD_HANDSHAKE:
        return "bad handshake";
    case SP_BAD_TYPE:
        return "bad message type";
    case SP_TOO_LARGE:
        return "message too large";
    }
    return "?";
}

/* A wrong byte is refused as soon as it is seen, so that a stranger is not waited for. */
static enum sp_status
take_handshake(struct sp_decoder *decoder, struct buf *in)
{
    char expected[SP_HANDSHAKE_BYTES];
    sp_handshake(decoder->peer, expected);
    struct slice seen = slice_first(buf_slice(in), sizeof expected);
    if (!slice_eq(seen, slice_of(expected, seen.len)))
        return SP_BAD_HANDSHAKE;
    if (seen.len < sizeof expected)
        return SP_MORE;
    buf_consume(in, sizeof expected);
    decoder->has_greeted = true;
    return SP_MESSAGE;
}

enum sp_status
sp_decode(struct sp_decoder *decoder, struct buf *in, struct slice *ret_message)
{
    assert(decoder->message_bytes_max > 0);
    if (!decoder->has_greeted) {
        enum sp_status status = take_handshake(decoder, in);
        if (status != SP_MESSAGE)
            return status;
    }
    struct slice input = buf_slice(in);
    if (input.len > 0 && input.data[0] != MESSAGE_TYPE)
        return SP_BAD_TYPE;
    if (input.len < SP_HEADER_BYTES)
        return SP_MORE;
    uint64_t len = 0;
    for (unsigned i = 1; i < SP_HEADER_BYTES; i++)
        len = len << 8 | (unsigned char)input.data[i];
    if (len > decoder->message_bytes_max)
        return SP_TOO_LARGE;
    if (input.len - SP_HEADER_BYTES < len)
        return SP_MORE;
    *ret_message = slice_of(input.data + SP_HEADER_BYTES, (size_t)len);
    buf_consume(in, SP_HEADER_BYTES + (size_t)len);
    return SP_MESSAGE;
}
