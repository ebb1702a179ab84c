/* SPDX-License-Identifier: Apache-2.0 */
/* SP framing: the greeting, the header, and messages cut anywhere. */
#include "bus/sp.h"

#include "test.h"

static struct sp_decoder
decoder_for_test(void)
{
    return (struct sp_decoder){ .peer = SP_PAIR0, .message_bytes_max = 1000 };
}

static void
append_message(struct buf *buf, const char *text)
{
    char header[SP_HEADER_BYTES];
    sp_header(strlen(text), header);
    REQUIRE(buf_append(buf, slice_of(header, sizeof header)));
    REQUIRE(buf_append(buf, slice_str(text)));
}

static void
append_greeting(struct buf *buf)
{
    char greeting[SP_HANDSHAKE_BYTES];
    sp_handshake(SP_PAIR0, greeting);
    REQUIRE(buf_append(buf, slice_of(greeting, sizeof greeting)));
}

TEST(the_greeting_is_what_nng_sends)
{
    char greeting[SP_HANDSHAKE_BYTES];
    sp_handshake(SP_PAIR0, greeting);
    CHECK_EQ_MEM(greeting, sizeof greeting, "\0SP\0\0\x10\0\0", 8);
    sp_handshake(SP_REP0, greeting);
    CHECK_EQ_MEM(greeting, sizeof greeting, "\0SP\0\0\x31\0\0", 8);
}

TEST(the_header_is_a_one_and_a_big_endian_length)
{
    char header[SP_HEADER_BYTES];
    sp_header(0x0102030405060708, header);
    CHECK_EQ_MEM(header, sizeof header, "\1\1\2\3\4\5\6\7\10", 9);
}

TEST(messages_come_out_whole_when_bytes_arrive_one_by_one)
{
    struct buf all, in;
    buf_init(&all, 4096);
    buf_init(&in, 4096);
    append_greeting(&all);
    append_message(&all, "first");
    append_message(&all, "");
    append_message(&all, "third");
    struct sp_decoder decoder = decoder_for_test();
    const char *expected[] = { "first", "", "third" };
    size_t seen = 0;
    for (size_t i = 0; i < all.len; i++) {
        struct slice message;
        REQUIRE(buf_append(&in, slice_of(buf_slice(&all).data + i, 1)));
        enum sp_status status = sp_decode(&decoder, &in, &message);
        CHECK(status == SP_MORE || status == SP_MESSAGE);
        if (status == SP_MESSAGE && CHECK(seen < 3)) {
            CHECK_SLICE_IS(message, expected[seen]);
            seen++;
        }
    }
    CHECK_EQ_INT(seen, 3);
    CHECK_EQ_INT(in.len, 0);
    buf_fini(&all);
    buf_fini(&in);
}

TEST(a_wrong_greeting_is_refused_at_its_first_wrong_byte)
{
    struct buf in;
    buf_init(&in, 100);
    struct sp_decoder decoder = decoder_for_test();
    struct slice message;
    REQUIRE(buf_append(&in, slice_of("\0S", 2)));
    CHECK_EQ_INT(sp_decode(&decoder, &in, &message), SP_MORE);
    REQUIRE(buf_append(&in, SLICE("X")));
    CHECK_EQ_INT(sp_decode(&decoder, &in, &message), SP_BAD_HANDSHAKE);
    buf_fini(&in);
}

TEST(another_protocol_is_refused)
{
    struct buf in;
    buf_init(&in, 100);
    append_greeting(&in);
    struct sp_decoder decoder = { .peer = SP_REQ0, .message_bytes_max = 10 };
    struct slice message;
    CHECK_EQ_INT(sp_decode(&decoder, &in, &message), SP_BAD_HANDSHAKE);
    buf_fini(&in);
}

TEST(a_wrong_message_type_is_refused_at_once)
{
    struct buf in;
    buf_init(&in, 100);
    struct sp_decoder decoder = decoder_for_test();
    struct slice message;
    append_greeting(&in);
    REQUIRE(buf_append(&in, SLICE("\2")));
    CHECK_EQ_INT(sp_decode(&decoder, &in, &message), SP_BAD_TYPE);
    buf_fini(&in);
}

TEST(a_length_beyond_the_limit_is_refused_from_the_header)
{
    const uint64_t lengths[] = { 1001, UINT64_C(1) << 40, UINT64_MAX };
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct buf in;
        buf_init(&in, 100);
        struct sp_decoder decoder = decoder_for_test();
        struct slice message;
        char header[SP_HEADER_BYTES];
        append_greeting(&in);
        sp_header(lengths[i], header);
        REQUIRE(buf_append(&in, slice_of(header, sizeof header)));
        CHECK_EQ_INT(sp_decode(&decoder, &in, &message), SP_TOO_LARGE);
        CHECK_EQ_STR(sp_status_name(SP_TOO_LARGE), "message too large");
        buf_fini(&in);
    }
}

TEST(a_message_of_exactly_the_limit_is_accepted)
{
    struct buf in;
    buf_init(&in, 4096);
    struct sp_decoder decoder = decoder_for_test();
    struct slice message;
    char header[SP_HEADER_BYTES], body[1000] = { 'x' };
    append_greeting(&in);
    sp_header(sizeof body, header);
    REQUIRE(buf_append(&in, slice_of(header, sizeof header)));
    REQUIRE(buf_append(&in, slice_of(body, sizeof body)));
    CHECK_EQ_INT(sp_decode(&decoder, &in, &message), SP_MESSAGE);
    CHECK_EQ_MEM(message.data, message.len, body, sizeof body);
    CHECK_EQ_INT(sp_decode(&decoder, &in, &message), SP_MORE);
    buf_fini(&in);
}
