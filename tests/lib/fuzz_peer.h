/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of a connection under a fuzzer: says what the input says, as bare bytes or as
 * frames of HTTP/2 whose heads are well-formed and little else.
 */
#ifndef TESTS_FUZZ_PEER_H
#define TESTS_FUZZ_PEER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

static int peer = -1; /* its socket */

struct input {
    const uint8_t *at;
    const uint8_t *end;
};

static inline unsigned
take(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static inline void
give(const void *bytes, size_t len)
{
    ssize_t sent = send(peer, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent; /* what does not fit is lost, which makes a frame cut short */
}

static inline void
give_rest(struct input *in, size_t len)
{
    size_t left = (size_t)(in->end - in->at);
    len = len < left ? len : left;
    give(in->at, len);
    in->at += len;
}

static inline void
give_frame(struct input *in)
{
    unsigned type = take(in) % 12, flags = take(in), id = take(in);
    size_t len = take(in) | (take(in) & 3) << 8, left = (size_t)(in->end - in->at);
    len = len < left ? len : left;
    const unsigned char head[9] = {
        0,
        (unsigned char)(len >> 8),
        (unsigned char)len,
        (unsigned char)type,
        (unsigned char)flags,
        0,
        0,
        0,
        (unsigned char)id,
    };
    give(head, sizeof head);
    give_rest(in, len);
}

/* Reads and forgets what the other side has said. */
static inline void
hear(void)
{
    static char bytes[65536];
    ssize_t got = recv(peer, bytes, sizeof bytes, MSG_DONTWAIT);
    (void)got; /* whatever it is */
}

#endif
