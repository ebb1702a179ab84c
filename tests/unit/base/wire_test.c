/* SPDX-License-Identifier: Apache-2.0 */
/* Wire format primitives; whole messages are compared with protobuf-c in bus/frame_test and sdk/.
 */
#include "base/wire.h"

#include "test.h"

static const uint64_t numbers[] = {
    0,          1,          127,        128,        16383,          16384,
    UINT32_MAX, 1ull << 35, 1ull << 56, 1ull << 63, UINT64_MAX - 1, UINT64_MAX
};

TEST(numbers_come_back_and_have_the_length_that_was_told)
{
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        char bytes[WIRE_VARINT_MAX];
        const char *end = wire_put_varint(bytes, numbers[i]);
        const size_t len = (size_t)(end - bytes);
        CHECK_EQ_INT(len, wire_varint_len(numbers[i]));
        struct wire_reader r = wire_reader(slice_of(bytes, len));
        uint64_t value = 0;
        CHECK(wire_get_varint(&r, &value));
        CHECK_EQ_U64(value, numbers[i]);
        CHECK(r.at == r.end);
        r = wire_reader(slice_of(bytes, len - 1));
        CHECK(!wire_get_varint(&r, &value));
    }
}

TEST(zigzag_keeps_small_numbers_small)
{
    static const int64_t values[] = { 0, -1, 1, -2, 2, INT32_MIN, INT64_MAX, INT64_MIN };
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        CHECK_EQ_INT(wire_unzigzag(wire_zigzag(values[i])), values[i]);
    CHECK_EQ_U64(wire_zigzag(-1), 1);
    CHECK_EQ_U64(wire_zigzag(1), 2);
}

TEST(fields_are_read_in_turn_and_a_bad_one_ends_it)
{
    struct wire_reader r = wire_reader(SLICE("\x08\x05\x12\x02hi\x1b"));
    struct wire_field f;
    CHECK(wire_next(&r, &f));
    CHECK_EQ_INT(f.field, 1);
    CHECK_EQ_U64(wire_number(&r, &f), 5);
    CHECK(wire_next(&r, &f));
    CHECK_SLICE_IS(wire_bytes(&r, &f), "hi");
    CHECK(!r.is_bad);
    CHECK(!wire_next(&r, &f));
    CHECK(r.is_bad);
}

TEST(a_field_of_the_wrong_type_makes_the_reader_bad)
{
    struct wire_reader r = wire_reader(SLICE("\x08\x05\x12\x02hi"));
    struct wire_field f;
    CHECK(wire_next(&r, &f));
    CHECK_EQ_INT(wire_bytes(&r, &f).len, 0);
    CHECK(r.is_bad);
    CHECK(!wire_next(&r, &f));
}

TEST(absent_is_not_written_and_present_is)
{
    char bytes[32];
    CHECK(wire_put_number(bytes, 3, 0) == bytes);
    CHECK(wire_put_bytes(bytes, 3, SLICE_EMPTY) == bytes);
    CHECK_EQ_INT(wire_put_present_number(bytes, 3, 0) - bytes, 2);
    CHECK_EQ_INT(wire_put_present_bytes(bytes, 3, SLICE_EMPTY) - bytes, 2);
    CHECK_EQ_INT(wire_bytes_len(16, SLICE("abc")), 6);
    CHECK_EQ_INT(wire_number_len(16, 1), 3);
}
