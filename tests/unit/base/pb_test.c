/* SPDX-License-Identifier: Apache-2.0 */
/* protobuf-c behind a depth scan and a budget. */
#include "base/pb.h"

#include "base/macros.h"
#include "remora/plugin/v1/plugin.pb-c.h"
#include "test.h"

static const ProtobufCMessageDescriptor *
transact(void)
{
    return &remora__plugin__v1__state_transact__descriptor;
}

static void *
unpack(struct arena *arena, struct slice bytes)
{
    return pb_unpack(arena, transact(), bytes, 16, 1 << 20);
}

TEST(what_was_packed_is_unpacked_again)
{
    struct arena arena;
    arena_init(&arena);
    Remora__Plugin__V1__Status status;
    remora__plugin__v1__status__init(&status);
    status.code = REMORA__PLUGIN__V1__CODE__CODE_ABORTED;
    status.message = pb_string(&arena, SLICE("etag mismatch"));
    struct slice bytes = pb_pack(&arena, &status.base);
    const Remora__Plugin__V1__Status *again = pb_unpack(
        &arena, &remora__plugin__v1__status__descriptor, bytes, 4, 4096);
    REQUIRE(again != NULL);
    CHECK_EQ_INT(again->code, status.code);
    CHECK_EQ_STR(again->message, "etag mismatch");
    CHECK_EQ_STR(again->reason, "");
    Remora__Plugin__V1__Frame frame;
    remora__plugin__v1__frame__init(&frame);
    frame.payload = pb_bytes(SLICE("a\0b"));
    bytes = pb_pack(&arena, &frame.base);
    const Remora__Plugin__V1__Frame *f = pb_unpack(&arena, &remora__plugin__v1__frame__descriptor,
                                                   bytes, 4, 4096);
    REQUIRE(f != NULL);
    CHECK_EQ_SLICE(pb_slice(f->payload), SLICE("a\0b"));
    CHECK_SLICE_IS(pb_slice(f->request_id), "");
    arena_fini(&arena);
}

TEST(optional_fields_say_whether_they_are_there)
{
    struct arena arena;
    arena_init(&arena);
    static const char empty_etag[] = "\x12\x00"; /* field 2, no bytes */
    const Remora__Plugin__V1__StateValue *v = pb_unpack(
        &arena, &remora__plugin__v1__state_value__descriptor, slice_of(empty_etag, 2), 4, 4096);
    REQUIRE(v != NULL);
    CHECK(v->_etag_case != 0);
    CHECK_EQ_STR(v->etag, "");
    v = pb_unpack(&arena, &remora__plugin__v1__state_value__descriptor, SLICE_EMPTY, 4, 4096);
    REQUIRE(v != NULL);
    CHECK_EQ_INT(v->_etag_case, 0);
    arena_fini(&arena);
}

TEST(malformed_bytes_are_refused)
{
    struct arena arena;
    arena_init(&arena);
    static const struct slice bad[] = {
        { "\x0A", 1 },                                          /* length missing */
        { "\x0A\x05\x0A", 3 },                                  /* length beyond the end */
        { "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11 }, /* length of 2^64-1 */
        { "\x0A\xFF\xFF\xFF\xFF\x0F", 6 },
        { "\x00", 1 },                                              /* field 0 */
        { "\x0B", 1 },                                              /* group */
        { "\x0F", 1 },                                              /* no such type */
        { "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12 }, /* endless varint */
        { "\x08", 1 },                                              /* varint missing */
        { "\x09\x01", 2 },                                          /* 64 bits missing */
        { "\x0D\x01", 2 },                                          /* 32 bits missing */
        { "\x0A\x04\x0A\x02\x08\x01", 6 },                          /* key is no varint */
        { "\x0A\x05\x0A\x03\x0A\x01\x00", 7 },                      /* NUL in a string */
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (!CHECK(unpack(&arena, bad[i]) == NULL))
            fprintf(stderr, "  vector %zu\n", i);
    CHECK(unpack(&arena, SLICE_EMPTY) != NULL);
    CHECK(unpack(&arena, slice_of("\x0A\x05\x0A\x03\x0A\x01z", 7)) != NULL);
    CHECK(unpack(&arena, slice_of("\xF8\x07\x01", 3)) != NULL); /* unknown field */
    arena_fini(&arena);
}

TEST(depth_is_bounded_before_anything_is_unpacked)
{
    struct arena arena;
    arena_init(&arena);
    /* transact → operation → set → metadata pair */
    struct slice deep = slice_of("\x0A\x04\x0A\x02\x42\x00", 6);
    CHECK(pb_unpack(&arena, transact(), deep, 3, 1 << 16) != NULL);
    CHECK(pb_unpack(&arena, transact(), deep, 2, 1 << 16) == NULL);
    CHECK(pb_unpack(&arena, transact(), deep, 0, 1 << 16) == NULL);
    CHECK(pb_unpack(&arena, transact(), SLICE_EMPTY, 0, 1 << 16) != NULL);
    arena_fini(&arena);
}

TEST(memory_stays_within_the_budget)
{
    struct arena arena;
    arena_init(&arena);
    enum { ITEMS = 100000 };
    char *bytes = arena_alloc(&arena, ITEMS * 2);
    for (size_t i = 0; i < ITEMS; i++)
        memcpy(bytes + i * 2, "\x0A", 2); /* an empty operation */
    size_t before = arena.total_bytes;
    CHECK(unpack(&arena, slice_of(bytes, ITEMS * 2)) == NULL);
    CHECK_EQ_U64(arena.total_bytes, before); /* it was seen before any was taken */
    CHECK(pb_unpack(&arena, transact(), slice_of(bytes, ITEMS * 2), 16, 64 << 20) != NULL);
    arena_fini(&arena);
}

TEST(many_tiny_strings_pay_for_their_padding)
{
    struct arena arena;
    arena_init(&arena);
    enum { ITEMS = 10000, BUDGET = 200000 };
    char *bytes = arena_alloc(&arena, ITEMS * 3);
    for (size_t i = 0; i < ITEMS; i++)
        memcpy(bytes + i * 3, "\x0A\x01k", 3);
    size_t before = arena.total_bytes;
    CHECK(pb_unpack(&arena, &remora__plugin__v1__state_keys_like_reply__descriptor,
                    slice_of(bytes, ITEMS * 3), 4, BUDGET) == NULL);
    CHECK(arena.total_bytes - before <= BUDGET + 8192);
    arena_fini(&arena);
}
