/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between sidecars: whatever the bytes are, reading ends, and what was read comes back
 * the same once written. */
#include <assert.h>
#include <stdint.h>

#include "base/limits.h"
#include "peer/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
try_request(struct arena *arena, struct slice bytes)
{
    struct peer_request a, b;
    if (!peer_request_unpack(arena, bytes, &a))
        return;
    bool is_ok = peer_request_unpack(arena, peer_request_pack(arena, &a), &b);
    /* An odd verb takes a header more on its way. */
    assert(is_ok || a.header_count == LIMIT_http_headers_max);
    if (!is_ok)
        return;
    assert(slice_eq(a.method, b.method) && slice_eq(a.query, b.query));
    assert(slice_eq(a.data, b.data) && slice_eq(a.type_url, b.type_url));
    assert(slice_eq(a.verb, b.verb) && slice_eq(a.content_type, b.content_type));
    assert(a.header_count == b.header_count);
}

static void
try_answer(struct arena *arena, struct slice bytes)
{
    struct peer_answer a, b;
    if (!peer_answer_unpack(arena, bytes, &a))
        return;
    bool is_ok = peer_answer_unpack(arena, peer_answer_pack(arena, &a), &b);
    assert(is_ok);
    assert(slice_eq(a.data, b.data) && slice_eq(a.content_type, b.content_type));
    assert(a.header_count == b.header_count && a.trailer_count == b.trailer_count);
}

struct source {
    struct slice bytes;
    size_t step;
};

static err_t
read_source(void *arg, struct slice *ret_piece)
{
    struct source *source = arg;
    *ret_piece = slice_first(source->bytes, source->step);
    source->bytes = slice_from(source->bytes, ret_piece->len);
    return OK;
}

static void
try_stream(struct slice bytes, size_t step)
{
    struct source source = { bytes, step };
    struct peer_reader reader = { .read = read_source, .arg = &source, .message_bytes_max = 4096 };
    struct slice message;
    struct peer_part part;
    bool has = true;
    while (has && peer_reader_next(&reader, &message, &has) == OK)
        if (has && peer_part_unpack(message, &part))
            assert(part.piece.len <= message.len && part.head.len <= message.len);
    peer_reader_fini(&reader);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena arena;
    if (size == 0)
        return 0;
    struct slice bytes = slice_of(data + 1, size - 1);
    arena_init(&arena);
    if (data[0] % 3 == 0)
        try_request(&arena, bytes);
    else if (data[0] % 3 == 1)
        try_answer(&arena, bytes);
    else
        try_stream(bytes, data[0] / 3 + 1u);
    arena_fini(&arena);
    return 0;
}
