/* SPDX-License-Identifier: Apache-2.0 */
/* Growing buffers with a maximum. */
#include "base/buf.h"

#include "test.h"

TEST(appending_grows_up_to_the_maximum_and_not_beyond)
{
    struct buf buf;
    buf_init(&buf, 1000);
    for (int i = 0; i < 1000; i++)
        REQUIRE(buf_append_byte(&buf, (char)('a' + i % 26)));
    CHECK(!buf_append_byte(&buf, 'x'));
    CHECK(!buf_append(&buf, SLICE("xyz")));
    CHECK(!buf_printf(&buf, "%d", 1));
    CHECK(buf_append(&buf, SLICE_EMPTY));
    CHECK_EQ_INT(buf.len, 1000);
    CHECK(buf.capacity <= 1000);
    for (size_t i = 0; i < buf.len; i++)
        REQUIRE(buf_slice(&buf).data[i] == (char)('a' + i % 26));
    buf_fini(&buf);
}

TEST(printing_may_fill_the_buffer_to_its_last_byte)
{
    struct buf buf;
    buf_init(&buf, 10);
    CHECK(buf_printf(&buf, "%s-%d", "abcdefg", 12));
    CHECK_SLICE_IS(buf_slice(&buf), "abcdefg-12");
    CHECK(!buf_printf(&buf, "x"));
    CHECK(buf_printf(&buf, "%s", ""));
    CHECK_SLICE_IS(buf_slice(&buf), "abcdefg-12");
    buf_fini(&buf);
}

TEST(consumed_bytes_make_room_again)
{
    struct buf buf;
    buf_init(&buf, 300);
    unsigned char next_in = 0, next_out = 0;
    for (int round = 0; round < 1000; round++) {
        for (int i = 0; i < 100; i++, next_in++)
            REQUIRE(buf_append_byte(&buf, (char)next_in));
        for (int i = 0; i < 100; i++, next_out++)
            REQUIRE((unsigned char)buf_slice(&buf).data[i] == next_out);
        buf_consume(&buf, 100);
        CHECK_EQ_INT(buf.len, 0);
    }
    for (int i = 0; i < 250; i++, next_in++)
        REQUIRE(buf_append_byte(&buf, (char)next_in));
    for (int round = 0; round < 1000; round++) {
        buf_consume(&buf, 50);
        next_out = (unsigned char)(next_out + 50);
        for (int i = 0; i < 50; i++, next_in++)
            REQUIRE(buf_append_byte(&buf, (char)next_in));
        for (size_t i = 0; i < buf.len; i++)
            REQUIRE((unsigned char)buf_slice(&buf).data[i] == (unsigned char)(next_out + i));
    }
    CHECK(buf.capacity <= 300);
    buf_fini(&buf);
}

TEST(reserved_room_is_committed_as_far_as_used)
{
    struct buf buf;
    buf_init(&buf, 100);
    char *at = buf_reserve(&buf, 100);
    REQUIRE(at != NULL);
    memset(at, 'z', 100);
    buf_commit(&buf, 3);
    CHECK_SLICE_IS(buf_slice(&buf), "zzz");
    CHECK(buf_reserve(&buf, 98) == NULL);
    CHECK(buf_reserve(&buf, SIZE_MAX) == NULL);
    CHECK(buf_reserve(&buf, 97) != NULL);
    buf_fini(&buf);
}

TEST(memory_is_kept_by_clear_and_given_back_by_release)
{
    struct buf buf;
    buf_init(&buf, 100);
    CHECK_SLICE_IS(buf_slice(&buf), "");
    REQUIRE(buf_append(&buf, SLICE("abc")));
    buf_release(&buf);
    CHECK(buf.data != NULL);
    buf_clear(&buf);
    CHECK(buf.data != NULL && buf.len == 0);
    buf_release(&buf);
    CHECK(buf.data == NULL && buf.max == 100);
    REQUIRE(buf_append(&buf, SLICE("again")));
    CHECK_SLICE_IS(buf_slice(&buf), "again");
    buf_fini(&buf);
}

TEST(content_can_be_taken_out)
{
    struct buf buf;
    buf_init(&buf, 100);
    REQUIRE(buf_append(&buf, SLICE("abcdef")));
    buf_consume(&buf, 2);
    size_t len;
    char *data = buf_take(&buf, &len);
    CHECK_EQ_MEM(data, len, "cdef", 4);
    free(data);
    CHECK(buf.data == NULL && buf.len == 0 && buf.start == 0);
    data = buf_take(&buf, &len);
    CHECK_EQ_INT(len, 0);
    free(data);
    buf_fini(&buf);
}

TEST(a_buffer_of_no_bytes_takes_none)
{
    struct buf buf;
    buf_init(&buf, 0);
    CHECK(buf_append(&buf, SLICE_EMPTY));
    CHECK(!buf_append_byte(&buf, 'x'));
    CHECK(buf_printf(&buf, "%s", ""));
    buf_fini(&buf);
}

TEST(swapped_buffers_keep_their_maximum)
{
    struct buf a, b;
    buf_init(&a, 100);
    buf_init(&b, 10);
    REQUIRE(buf_append(&a, SLICE("xabc")));
    buf_consume(&a, 1);
    buf_swap(&a, &b);
    CHECK_EQ_U64(a.len, 0);
    CHECK_SLICE_IS(buf_slice(&b), "abc");
    CHECK(!buf_append(&b, SLICE("12345678")));
    CHECK(buf_append(&a, SLICE("12345678901234567890")));
    buf_fini(&a);
    buf_fini(&b);
}

TEST(large_blocks_are_used_again_with_any_content)
{
    struct buf buf;
    static char bytes[70000];
    for (int i = 0; i < 100; i++) {
        memset(bytes, i, sizeof bytes);
        buf_init(&buf, 1 << 20);
        for (int k = 0; k < 5; k++)
            REQUIRE(buf_append(&buf, slice_of(bytes, sizeof bytes)));
        CHECK_EQ_U64(buf.len, 5 * sizeof bytes);
        CHECK_EQ_MEM(buf.data + 4 * sizeof bytes, sizeof bytes, bytes, sizeof bytes);
        buf_fini(&buf);
    }
}

TEST(a_secret_buffer_keeps_nothing_of_what_has_passed)
{
    struct buf buf, other;
    buf_init(&buf, 1000);
    buf.is_secret = true;
    REQUIRE(buf_append(&buf, SLICE("a key")));
    buf_wipe(&buf); /* it is still needed */
    CHECK_SLICE_IS(buf_slice(&buf), "a key");
    buf_consume(&buf, 5);
    buf_wipe(&buf);
    for (size_t i = 0; i < 5; i++)
        CHECK_EQ_INT(buf.data[i], 0);
    REQUIRE(buf_append(&buf, SLICE("another")));
    buf_init(&other, 1000);
    buf_swap(&buf, &other);
    CHECK(other.is_secret);
    CHECK_SLICE_IS(buf_slice(&other), "another");
    buf_fini(&buf);
    buf_fini(&other);
    CHECK(other.is_secret); /* until it is initialised again */
}

TEST(a_power_of_two_behind_a_head_needs_no_block_of_twice_its_size)
{
    static const char bytes[64 * 1024];
    struct buf buf;
    buf_init(&buf, 4 * sizeof bytes);
    REQUIRE(buf_append(&buf, slice_of(bytes, sizeof bytes - 9)));
    const char *memory = buf.data;
    REQUIRE(buf_append(&buf, slice_of(bytes, 9 + 5)));
    CHECK_EQ_PTR(buf.data, memory);
    CHECK(buf.capacity < sizeof bytes * 5 / 4);
    buf_fini(&buf);
}
