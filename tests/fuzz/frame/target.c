/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: what our decoder accepts, protobuf-c accepts with the same meaning; what protobuf-c
 * packs, ours accepts; and what ours writes is what it read. */
#include "bus/frame.h"

#include <assert.h>

#include "base/pb.h"
#include "bus/sp.h"
#include "remora/plugin/v1/plugin.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef Remora__Plugin__V1__Frame pb_frame;

static bool
is_text(struct slice ours, const char *theirs)
{
    return ours.len == strlen(theirs) && memcmp(ours.data, theirs, ours.len) == 0;
}

static void
assert_same(const struct frame *ours, const pb_frame *theirs)
{
    assert(ours->kind == (uint32_t)theirs->kind);
    assert(ours->call == theirs->call);
    assert(ours->epoch == theirs->epoch);
    assert(ours->method == (uint32_t)theirs->method);
    assert(ours->component == theirs->component);
    assert(ours->timeout_ms == theirs->timeout_ms);
    assert(slice_eq(ours->request_id, pb_slice(theirs->request_id)));
    assert(is_text(ours->traceparent, theirs->traceparent));
    assert(is_text(ours->tracestate, theirs->tracestate));
    assert(ours->depth == theirs->depth);
    assert(ours->message_bytes == theirs->message_bytes);
    assert(ours->payload_bytes == theirs->payload_bytes);
    assert(ours->open_ended == (theirs->open_ended != 0));
    assert(slice_eq(ours->payload, pb_slice(theirs->payload)));
    assert(ours->credit_bytes == theirs->credit_bytes);
    assert(ours->has_status == (theirs->status != NULL));
    if (ours->has_status) {
        assert(ours->status.code == (uint32_t)theirs->status->code);
        assert(is_text(ours->status.message, theirs->status->message));
        assert(is_text(ours->status.reason, theirs->status->reason));
        assert(ours->status.effect == (uint32_t)theirs->status->effect);
    }
}

/* Writes the frame and reads it back. */
static void
assert_round_trip(const struct frame *frame)
{
    struct buf out;
    struct frame again;
    buf_init(&out, (size_t)LIMIT_frame_bytes_max * 2);
    if (frame_append(&out, frame, NULL, 0)) {
        const err_t err = frame_decode(slice_from(buf_slice(&out), SP_HEADER_BYTES), &again);
        assert(err == OK);
        assert(again.call == frame->call);
        assert(slice_eq(again.payload, frame->payload));
        assert(slice_eq(again.status.message, frame->status.message));
    }
    buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_of((const char *)data, size);
    struct frame ours;
    struct arena arena;
    arena_init(&arena);
    const err_t err = frame_decode(input, &ours);
    const pb_frame *theirs = pb_unpack(&arena, &remora__plugin__v1__frame__descriptor, input, 16,
                                       1 << 24);
    if (err == OK) {
        assert_round_trip(&ours);
        /* protobuf-c cannot hold a NUL in a string, so pb_unpack() refuses it. */
        if (theirs != NULL)
            assert_same(&ours, theirs);
    } else if (theirs != NULL) {
        struct slice packed = pb_pack(&arena, &theirs->base);
        assert(!slice_eq(packed, input));
    }
    arena_fini(&arena);
    return 0;
}
