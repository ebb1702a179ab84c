/* SPDX-License-Identifier: Apache-2.0 */
/* The envelope codec: equal to protobuf-c byte by byte, bounded, and deaf to what it does not know.
 */
#include "bus/frame.h"

#include "base/pb.h"
#include "bus/sp.h"
#include "remora/plugin/v1/plugin.pb-c.h"
#include "test.h"

typedef Remora__Plugin__V1__Frame pb_frame;
typedef Remora__Plugin__V1__Status pb_status;

/* Small numbers, boundaries of the varint lengths, and large ones. */
static const uint64_t numbers[] = { 0,     1,     127,        128,        16383,
                                    16384, 65535, UINT32_MAX, UINT64_MAX, 1ull << 40 };

static uint64_t seed = 42;

static uint64_t
draw(uint64_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % below;
}

static uint64_t
draw_number(void)
{
    return numbers[draw(ARRAY_LEN(numbers))];
}

static struct slice
draw_text(size_t max)
{
    static const char text[] =
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 é, possible "
        "etag mismatch. error from state store: state etag not match for key";
    const size_t len = draw(4) == 0 ? 0 : draw((max < sizeof text ? max : sizeof text - 1) + 1);
    return slice_of(text, len);
}

static struct frame
draw_frame(void)
{
    struct frame frame = {
        .kind = (uint32_t)draw(12),
        .call = draw_number(),
        .epoch = (uint32_t)draw_number(),
        .method = (uint32_t)draw(300),
        .component = (uint32_t)draw_number(),
        .timeout_ms = draw_number(),
        .request_id = draw_text(FRAME_REQUEST_ID_MAX),
        .traceparent = draw_text(FRAME_TRACEPARENT_MAX),
        .tracestate = draw_text(FRAME_TRACESTATE_MAX),
        .depth = (uint32_t)draw(9),
        .message_bytes = (uint32_t)draw_number(),
        .payload_bytes = draw_number(),
        .open_ended = draw(2) == 1,
        .payload = draw_text(130),
        .credit_bytes = draw_number(),
        .has_status = draw(2) == 1,
    };
    if (frame.has_status)
        frame.status = (struct frame_status){ .code = (uint32_t)draw(17),
                                              .message = draw_text(130),
                                              .reason = draw_text(FRAME_STATUS_REASON_MAX),
                                              .effect = (uint32_t)draw(3) };
    return frame;
}

/* What protobuf-c makes of the same frame. */
static struct slice
pack_with_library(struct arena *arena, const struct frame *frame)
{
    pb_status status = REMORA__PLUGIN__V1__STATUS__INIT;
    status.code = (Remora__Plugin__V1__Code)frame->status.code;
    status.message = pb_string(arena, frame->status.message);
    status.reason = pb_string(arena, frame->status.reason);
    status.effect = (Remora__Plugin__V1__Effect)frame->status.effect;
    pb_frame message = REMORA__PLUGIN__V1__FRAME__INIT;
    message.kind = (Remora__Plugin__V1__Kind)frame->kind;
    message.call = frame->call;
    message.epoch = frame->epoch;
    message.method = (Remora__Plugin__V1__Method)frame->method;
    message.component = frame->component;
    message.timeout_ms = frame->timeout_ms;
    message.request_id = pb_bytes(frame->request_id);
    message.traceparent = pb_string(arena, frame->traceparent);
    message.tracestate = pb_string(arena, frame->tracestate);
    message.depth = frame->depth;
    message.message_bytes = frame->message_bytes;
    message.payload_bytes = frame->payload_bytes;
    message.open_ended = frame->open_ended;
    message.payload = pb_bytes(frame->payload);
    message.credit_bytes = frame->credit_bytes;
    message.status = frame->has_status ? &status : NULL;
    return pb_pack(arena, &message.base);
}

static void
check_same(const struct frame *a, const struct frame *b)
{
    CHECK_EQ_U64(a->kind, b->kind);
    CHECK_EQ_U64(a->call, b->call);
    CHECK_EQ_U64(a->epoch, b->epoch);
    CHECK_EQ_U64(a->method, b->method);
    CHECK_EQ_U64(a->component, b->component);
    CHECK_EQ_U64(a->timeout_ms, b->timeout_ms);
    CHECK_EQ_SLICE(a->request_id, b->request_id);
    CHECK_EQ_SLICE(a->traceparent, b->traceparent);
    CHECK_EQ_SLICE(a->tracestate, b->tracestate);
    CHECK_EQ_U64(a->depth, b->depth);
    CHECK_EQ_U64(a->message_bytes, b->message_bytes);
    CHECK_EQ_U64(a->payload_bytes, b->payload_bytes);
    CHECK_EQ_INT(a->open_ended, b->open_ended);
    CHECK_EQ_SLICE(a->payload, b->payload);
    CHECK_EQ_U64(a->credit_bytes, b->credit_bytes);
    CHECK_EQ_INT(a->has_status, b->has_status);
    CHECK_EQ_U64(a->status.code, b->status.code);
    CHECK_EQ_SLICE(a->status.message, b->status.message);
    CHECK_EQ_SLICE(a->status.reason, b->status.reason);
    CHECK_EQ_U64(a->status.effect, b->status.effect);
}

TEST(ten_thousand_frames_are_what_protobuf_c_packs_and_come_back_equal)
{
    struct buf out;
    struct arena arena;
    buf_init(&out, (size_t)LIMIT_frame_bytes_max * 2);
    arena_init(&arena);
    for (unsigned i = 0; i < 10000; i++) {
        const struct frame frame = draw_frame();
        REQUIRE(frame_append(&out, &frame, NULL, 0));
        struct slice expected = pack_with_library(&arena, &frame);
        struct slice written = slice_from(buf_slice(&out), SP_HEADER_BYTES);
        char header[SP_HEADER_BYTES];
        sp_header(expected.len, header);
        REQUIRE(CHECK_EQ_MEM(out.data, SP_HEADER_BYTES, header, sizeof header));
        REQUIRE(CHECK_EQ_SLICE(written, expected));
        struct frame back;
        REQUIRE(CHECK_OK(frame_decode(written, &back)));
        check_same(&back, &frame);
        buf_clear(&out);
        arena_reset(&arena);
    }
    buf_fini(&out);
    arena_fini(&arena);
}

TEST(payload_parts_are_joined)
{
    struct buf out;
    buf_init(&out, 4096);
    const struct slice parts[] = { SLICE("one"), SLICE_EMPTY, SLICE("two"), SLICE("three") };
    const struct frame frame = { .kind = FRAME_DATA, .call = 7, .payload = SLICE("ignored") };
    REQUIRE(frame_append(&out, &frame, parts, ARRAY_LEN(parts)));
    struct frame back;
    REQUIRE_OK(frame_decode(slice_from(buf_slice(&out), SP_HEADER_BYTES), &back));
    CHECK_SLICE_IS(back.payload, "onetwothree");
    CHECK_EQ_U64(back.call, 7);
    buf_fini(&out);
}

TEST(the_longest_envelope_leaves_room_for_the_promised_payload)
{
    struct buf out;
    buf_init(&out, (size_t)LIMIT_frame_bytes_max * 2);
    char *payload = calloc(1, LIMIT_frame_bytes_max + 1);
    static char text[FRAME_STATUS_MESSAGE_MAX];
    struct frame frame = {
        .kind = UINT32_MAX,
        .call = UINT64_MAX,
        .epoch = UINT32_MAX,
        .method = UINT32_MAX,
        .component = UINT32_MAX,
        .timeout_ms = UINT64_MAX,
        .request_id = slice_of(text, FRAME_REQUEST_ID_MAX),
        .traceparent = slice_of(text, FRAME_TRACEPARENT_MAX),
        .tracestate = slice_of(text, FRAME_TRACESTATE_MAX),
        .depth = UINT32_MAX,
        .message_bytes = UINT32_MAX,
        .payload_bytes = UINT64_MAX,
        .open_ended = true,
        .payload = slice_of(payload, FRAME_PAYLOAD_MAX),
        .credit_bytes = UINT64_MAX,
        .has_status = true,
        .status = { .code = UINT32_MAX,
                    .message = slice_of(text, FRAME_STATUS_MESSAGE_MAX),
                    .reason = slice_of(text, FRAME_STATUS_REASON_MAX),
                    .effect = UINT32_MAX },
    };
    CHECK(frame_append(&out, &frame, NULL, 0));
    CHECK(out.len <= LIMIT_frame_bytes_max + SP_HEADER_BYTES);
    const size_t before = out.len;
    frame.payload.len = LIMIT_frame_bytes_max;
    CHECK(!frame_append(&out, &frame, NULL, 0));
    frame.payload.len = LIMIT_frame_bytes_max + 1;
    CHECK(!frame_append(&out, &frame, NULL, 0));
    CHECK_EQ_INT(out.len, before);
    free(payload);
    buf_fini(&out);
}

TEST(a_full_buffer_and_long_strings_are_refused)
{
    struct buf out;
    buf_init(&out, 600);
    static char text[FRAME_STATUS_MESSAGE_MAX + 1];
    struct frame frame = { .kind = FRAME_DATA, .payload = slice_of(text, 500) };
    CHECK(!frame_append(&out, &frame, NULL, 0));
    frame.payload = SLICE_EMPTY;
    frame.request_id = slice_of(text, FRAME_REQUEST_ID_MAX + 1);
    CHECK(!frame_append(&out, &frame, NULL, 0));
    frame = (struct frame){ .kind = FRAME_RESPONSE, .has_status = true };
    frame.status.message = slice_of(text, sizeof text);
    CHECK(!frame_append(&out, &frame, NULL, 0));
    CHECK_EQ_INT(out.len, 0);
    frame.has_status = false;
    CHECK(frame_append(&out, &frame, NULL, 0));
    buf_fini(&out);
}

TEST(unknown_fields_are_skipped)
{
    /* 17: varint, 18: 64 bit, 19: bytes, 20: 32 bit, then call = 5. */
    struct frame frame;
    CHECK_OK(frame_decode(slice_of("\x88\x01\x07\x91\x01"
                                   "12345678\x9a\x01\x02hi\xa5\x01wxyz\x10\x05",
                                   26),
                          &frame));
    CHECK_EQ_U64(frame.call, 5);
}

TEST(malformed_frames_are_refused)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        { "\x08", 1 },                                              /* number missing */
        { "\x08\x80", 2 },                                          /* number cut */
        { "\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12 }, /* number too long */
        { "\x72\x05hell", 6 },                                      /* bytes cut */
        { "\x72\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 },     /* absurd length */
        { "\x00\x01", 2 },                                          /* field 0 */
        { "\x0b\x0c", 2 },                                          /* a group */
        { "\x70\x05", 2 },                                          /* payload as a number */
        { "\x0a\x01x", 3 },                                         /* kind as bytes */
        { "\x0d"
          "1234",
          5 },                                 /* kind as fixed32 */
        { "\x82\x01\x02\x0a\x00", 5 },         /* status code as bytes */
        { "\x82\x01\x01\x08", 4 },             /* status cut inside */
        { "\x82\x01\x00\x82\x01\x00", 6 },     /* two statuses */
        { "\xf8\xff\xff\xff\xff\x01\x01", 7 }, /* field number beyond 29 bits */
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct frame frame = { .call = 99 };
        if (!CHECK_EQ_INT(frame_decode(slice_of(bad[i].bytes, bad[i].len), &frame), ERR_MALFORMED))
            fprintf(stderr, "  case %zu\n", i);
        CHECK_EQ_U64(frame.call, 99);
    }
}

TEST(the_empty_message_is_a_frame_of_no_kind)
{
    struct frame frame;
    CHECK_OK(frame_decode(SLICE_EMPTY, &frame));
    CHECK_EQ_U64(frame.kind, 0);
    CHECK(!frame.has_status);
}
