/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small texts of the gRPC protocol: timeouts, and words for grpc-message, which must be printable
 * and say the same when they are decoded.
 */
#include <assert.h>
#include <stdint.h>

#include "base/arena.h"
#include "http/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned
digit(char c)
{
    assert((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'));
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A' + 10);
}

static void
encode(struct slice text)
{
    struct arena arena;
    arena_init(&arena);
    struct slice out = grpc_message_encode(&arena, text);
    size_t at = 0;
    for (size_t i = 0; i < text.len; i++) {
        assert(at < out.len);
        unsigned c = (unsigned char)out.data[at++];
        assert(c >= ' ' && c <= '~');
        if (c == '%') {
            assert(at + 2 <= out.len);
            c = digit(out.data[at]) << 4 | digit(out.data[at + 1]);
            at += 2;
        }
        assert(c == (unsigned char)text.data[i]);
    }
    assert(at == out.len);
    arena_fini(&arena);
}

static void
parse(struct slice text)
{
    enum { HOUR_MS = 3600000 };
    uint64_t ms;
    if (!grpc_timeout_parse(text, &ms))
        return;
    assert(text.len >= 2 && text.len <= 9 && ms <= UINT64_C(99999999) * HOUR_MS);
    for (size_t i = 0; i + 1 < text.len; i++)
        assert(text.data[i] >= '0' && text.data[i] <= '9');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of((const char *)data, size);
    parse(text);
    encode(text);
    return 0;
}
