/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol's packets: written byte for byte, read whole, in pieces, and not at all. */
#include "plugins/mqtt/packet.h"

#include "test.h"

static struct bytes out;

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* Compares and empties what was put. */
#define CHECK_PUT(text)                                                                            \
    do {                                                                                           \
        CHECK_EQ_MEM(out.data, out.len, (text), sizeof(text) - 1);                                 \
        bytes_fini(&out);                                                                          \
    } while (0)

TEST(connect_says_who_and_how)
{
    struct packet_connect connect = { .client_id = "shop", .keepalive_s = 30 };
    packet_put_connect(&out, &connect);
    CHECK_PUT("\x10\x10\0\4MQTT\4\0\0\x1e\0\4shop");
    connect = (struct packet_connect){ .client_id = "s",
                                       .username = "u",
                                       .password = "pw",
                                       .clean_session = true,
                                       .keepalive_s = 258 };
    packet_put_connect(&out, &connect);
    CHECK_PUT("\x10\x14\0\4MQTT\4\xc2\1\2\0\1s\0\1u\0\2pw");
}

TEST(a_password_without_a_name_is_left_out)
{
    struct packet_connect connect = { .client_id = "s", .password = "pw" };
    packet_put_connect(&out, &connect);
    CHECK_PUT("\x10\x0d\0\4MQTT\4\0\0\0\0\1s");
}

TEST(publish_carries_flags_and_an_identifier_above_qos_0)
{
    struct packet_publish publish = { .topic = slice("a/b"), .payload = slice("xy") };
    CHECK(packet_put_publish(&out, &publish));
    CHECK_PUT("\x30\7\0\3a/bxy");
    publish = (struct packet_publish){
        .topic = slice("t"), .id = 0x1234, .qos = 2, .is_again = true, .is_retained = true
    };
    CHECK(packet_put_publish(&out, &publish));
    CHECK_PUT("\x3d\5\0\1t\x12\x34");
}

TEST(lengths_have_as_many_digits_as_they_need)
{
    static const size_t edges[] = { 124, 125, 16380, 16381, 2097148, 2097149 };
    static const size_t heads[] = { 2, 3, 3, 4, 4, 5 };
    static char payload[2097149];
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        struct packet_publish publish = { .topic = slice("t"), .payload = { payload, edges[i] } };
        struct packet packet;
        REQUIRE(packet_put_publish(&out, &publish));
        CHECK_EQ_U64(out.len, heads[i] + 3 + edges[i]);
        CHECK_EQ_INT(packet_read(out.data, out.len - 1, &packet), PACKET_MORE);
        REQUIRE(packet_read(out.data, out.len, &packet) == PACKET_COMPLETE);
        CHECK_EQ_U64(packet.bytes, out.len);
        CHECK_EQ_U64(packet.payload.len, edges[i]);
        bytes_fini(&out);
    }
}

TEST(what_is_too_long_is_not_written)
{
    struct packet_publish publish = { .topic = slice("t"), .payload = { "", PACKET_BYTES_MAX } };
    CHECK(!packet_put_publish(&out, &publish));
    CHECK_EQ_U64(out.len, 0);
}

TEST(the_small_ones_are_what_the_protocol_says)
{
    packet_put_answer(&out, PACKET_PUBACK, 7);
    packet_put_answer(&out, PACKET_PUBREL, 0x0102);
    CHECK_PUT("\x40\2\0\7\x62\2\1\2");
    packet_put_subscribe(&out, 3, slice("a/#"), 1);
    CHECK_PUT("\x82\x08\0\3\0\3a/#\1");
    packet_put_unsubscribe(&out, 3, slice("a/#"));
    CHECK_PUT("\xa2\7\0\3\0\3a/#");
    packet_put_bare(&out, PACKET_PINGREQ);
    packet_put_bare(&out, PACKET_DISCONNECT);
    CHECK_PUT("\xc0\0\xe0\0");
}

#define READ(text, ret) packet_read((text), sizeof(text) - 1, (ret))

TEST(a_message_is_read)
{
    struct packet packet;
    REQUIRE(READ("\x3b\x0a\0\3a/b\0\x09xyz+", &packet) == PACKET_COMPLETE);
    CHECK_EQ_INT(packet.type, PACKET_PUBLISH);
    CHECK(packet.is_again && packet.is_retained);
    CHECK_EQ_INT(packet.qos, 1);
    CHECK_EQ_INT(packet.id, 9);
    CHECK_EQ_MEM(packet.topic.data, packet.topic.len, "a/b", 3);
    CHECK_EQ_MEM(packet.payload.data, packet.payload.len, "xyz", 3);
    CHECK_EQ_U64(packet.bytes, 12);
}

TEST(answers_are_read)
{
    struct packet packet;
    REQUIRE(READ("\x20\2\1\0", &packet) == PACKET_COMPLETE);
    CHECK(packet.session_present && packet.code == 0);
    REQUIRE(READ("\x20\2\0\5", &packet) == PACKET_COMPLETE);
    CHECK(!packet.session_present && packet.code == 5);
    REQUIRE(READ("\x90\3\0\2\x80", &packet) == PACKET_COMPLETE);
    CHECK(packet.id == 2 && packet.code == PACKET_REFUSED);
    REQUIRE(READ("\x62\2\xff\xff", &packet) == PACKET_COMPLETE);
    CHECK_EQ_INT(packet.id, 65535);
    REQUIRE(READ("\xd0\0", &packet) == PACKET_COMPLETE);
}

TEST(what_is_not_whole_is_waited_for)
{
    static const char whole[] = "\x32\x85\0\0\1t\0\1";
    struct packet packet;
    for (size_t len = 0; len < 8; len++) {
        char *part = malloc(len + 1); /* so that a look behind it is seen */
        memcpy(part, whole, len);
        CHECK_EQ_INT(packet_read(part, len, &packet), PACKET_MORE);
        free(part);
    }
    CHECK_EQ_INT(READ("\x32\x85\0\0\1t\0\1", &packet), PACKET_COMPLETE); /* a digit too many */
}

TEST(what_no_server_may_send_is_refused)
{
    struct packet packet;
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
#define BAD(text) { text, sizeof(text) - 1 }
        BAD("\x10\0"),       BAD("\0\0"),
        BAD("\xf0\0"),       BAD("\x82\0"),
        BAD("\xc0\0"),       BAD("\xe0\0"),
        BAD("\x36\3\0\1t"),  BAD("\x30\1\0"),
        BAD("\x30\2\0\0"),   BAD("\x30\3\0\2t"),
        BAD("\x32\3\0\1t"),  BAD("\x32\5\0\1t\0\0"),
        BAD("\x20\1\0"),     BAD("\x20\2\2\0"),
        BAD("\x21\2\0\0"),   BAD("\x40\2\0\0"),
        BAD("\x41\2\0\1"),   BAD("\x60\2\0\1"),
        BAD("\x40\3\0\1\0"), BAD("\x90\2\0\1"),
        BAD("\x90\3\0\1\3"), BAD("\x90\4\0\1\0\0"),
        BAD("\x90\3\0\0\1"), BAD("\xd0\1\0"),
        BAD("\xb0\2\0\0"),   BAD("\x30\xff\xff\xff\xff"),
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (packet_read(cases[i].bytes, cases[i].len, &packet) != PACKET_BROKEN)
            CHECK_EQ_U64(i, SIZE_MAX); /* tells which */
    CHECK_EQ_INT(READ("\x30\xff\xff\xff\x7f", &packet), PACKET_TOO_LONG);
}
