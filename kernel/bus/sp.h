/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The framing of Scalability Protocols over `ipc://`, as stock NNG, mangos and pynng speak it: each
 * side greets with eight bytes, then every message is one byte 01, its length as a 64-bit
 * big-endian number, and its bytes. Pure: no sockets, no allocation; used by the kernel's links,
 * the admin socket and the plugin SDK.
 */
#ifndef BUS_SP_H
#define BUS_SP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

enum { SP_HANDSHAKE_BYTES = 8, SP_HEADER_BYTES = 9 };

/* Protocol numbers as the handshake carries them. */
enum sp_protocol {
    SP_PAIR0 = 0x0010,
    SP_PUB0 = 0x0020,
    SP_SUB0 = 0x0021,
    SP_REQ0 = 0x0030,
    SP_REP0 = 0x0031,
};

/* The greeting of a peer that speaks `own`. */
void sp_handshake(enum sp_protocol own, char ret_bytes[SP_HANDSHAKE_BYTES]);
/* What stands before a message of `len` bytes. */
void sp_header(uint64_t len, char ret_bytes[SP_HEADER_BYTES]);

enum sp_status {
    SP_MESSAGE,       /* one message was delivered */
    SP_MORE,          /* nothing whole is there: read on */
    SP_BAD_HANDSHAKE, /* not this protocol */
    SP_BAD_TYPE,      /* a message that does not begin with 01 */
    SP_TOO_LARGE,     /* longer than the limit */
};

/* "message", "more", "bad handshake", ... for logs. */
const char *sp_status_name(enum sp_status status);

/* One direction of one connection. Embedded in its owner; needs no fini. */
struct sp_decoder {
    enum sp_protocol peer;    /* what the other side must greet with */
    size_t message_bytes_max; /* longer messages are refused from their header alone */
    bool has_greeted;
};

/* Takes the next whole message off the front of `in`. The span stays valid until bytes are added to
 * `in`. Errors are final: close the connection. */
enum sp_status sp_decode(struct sp_decoder *decoder, struct buf *in, struct slice *ret_message);

#endif
