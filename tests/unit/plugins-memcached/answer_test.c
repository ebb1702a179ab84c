/* SPDX-License-Identifier: Apache-2.0 */
/* What servers say, in pieces and out of turn, and which keys and times can be said to them. */
#include "plugins/memcached/answer.h"
#include "test.h"

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static struct answer
read_text(enum command command, const char *text)
{
    return answer_read(command, slice("key"), text, strlen(text));
}

TEST(each_command_has_its_answers_and_no_others)
{
    static const struct {
        enum command command;
        const char *text;
        enum answer_kind kind;
    } cases[] = {
        { COMMAND_GET, "END\r\n", ANSWER_MISSING },
        { COMMAND_GET, "VALUE key 0 0\r\n\r\nEND\r\n", ANSWER_VALUE },
        { COMMAND_GET, "VALUE key 4294967295 3 77\r\na\r\n\r\nEND\r\n", ANSWER_VALUE },
        { COMMAND_GET, "STORED\r\n", ANSWER_BAD },
        { COMMAND_GET, "VALUE kez 0 1\r\na\r\nEND\r\n", ANSWER_BAD },
        { COMMAND_GET, "VALUE keyy 0 1\r\na\r\nEND\r\n", ANSWER_BAD },
        { COMMAND_GET, "VALUE key 0\r\n", ANSWER_BAD },
        { COMMAND_GET, "VALUE key x 1\r\na\r\nEND\r\n", ANSWER_BAD },
        { COMMAND_GET, "VALUE key 0 -1\r\n", ANSWER_BAD },
        { COMMAND_GET, "VALUE key 0 99999999999\r\n", ANSWER_BAD },
        { COMMAND_GET, "VALUE key 0 1\r\nab\r\nEND\r\n", ANSWER_BAD },
        { COMMAND_GET, "VALUE key 0 1\r\na\r\nVALUE key", ANSWER_BAD },
        { COMMAND_SET, "STORED\r\n", ANSWER_DONE },
        { COMMAND_SET, "NOT_STORED\r\n", ANSWER_REFUSED },
        { COMMAND_SET, "SERVER_ERROR object too large for cache\r\n", ANSWER_TOO_LARGE },
        { COMMAND_SET, "SERVER_ERROR out of memory storing object\r\n", ANSWER_REFUSED },
        { COMMAND_SET, "ERROR\r\n", ANSWER_REFUSED },
        { COMMAND_SET, "DELETED\r\n", ANSWER_BAD },
        { COMMAND_DELETE, "DELETED\r\n", ANSWER_DONE },
        { COMMAND_DELETE, "NOT_FOUND\r\n", ANSWER_MISSING },
        { COMMAND_DELETE, "END\r\n", ANSWER_BAD },
        { COMMAND_VERSION, "VERSION 1.6.18\r\n", ANSWER_DONE },
        { COMMAND_VERSION, "-ERR unknown command\r\n", ANSWER_BAD },
        { COMMAND_VERSION, "\n", ANSWER_BAD },
        { COMMAND_VERSION, "VERSION 1\n", ANSWER_BAD },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct answer answer = read_text(cases[i].command, cases[i].text);
        CHECK_EQ_INT(answer.kind, cases[i].kind);
        if (answer.kind != ANSWER_BAD)
            CHECK_EQ_INT(answer.bytes, strlen(cases[i].text));
    }
}

TEST(an_answer_in_pieces_is_waited_for)
{
    static const char text[] = "VALUE key 0 8\r\n1\r\nEND\r\n\r\nEND\r\nSTORED\r\n";
    size_t whole = sizeof(text) - 1 - 8;
    for (size_t len = 0; len < whole; len++)
        CHECK_EQ_INT(answer_read(COMMAND_GET, slice("key"), text, len).kind, ANSWER_MORE);
    struct answer answer = answer_read(COMMAND_GET, slice("key"), text, sizeof(text) - 1);
    CHECK_EQ_INT(answer.kind, ANSWER_VALUE);
    CHECK_EQ_INT(answer.bytes, whole);
    CHECK(answer.value.len == 8 && memcmp(answer.value.data, "1\r\nEND\r\n", 8) == 0);
}

TEST(a_line_without_an_end_is_not_waited_for)
{
    char text[LINE_BYTES_MAX + 2];
    memset(text, 'a', sizeof text);
    CHECK_EQ_INT(answer_read(COMMAND_GET, slice("key"), text, LINE_BYTES_MAX).kind, ANSWER_MORE);
    CHECK_EQ_INT(answer_read(COMMAND_GET, slice("key"), text, sizeof text).kind, ANSWER_BAD);
}

TEST(only_keys_that_are_a_word_are_sent)
{
    char longest[KEY_BYTES_MAX + 2];
    memset(longest, 'k', sizeof longest);
    CHECK(key_is_legal(slice("shop||key")) && key_is_legal(slice("ü")));
    CHECK(key_is_legal((struct remora_slice){ longest, KEY_BYTES_MAX }));
    CHECK(!key_is_legal((struct remora_slice){ longest, KEY_BYTES_MAX + 1 }));
    CHECK(!key_is_legal(slice("")) && !key_is_legal(slice("a b")));
    CHECK(!key_is_legal(slice("a\r\nflush_all")) && !key_is_legal(slice("a\x7f")));
    CHECK(!key_is_legal((struct remora_slice){ "a\0b", 3 }));
}

/* CRC-32 of "123456789" is cbf43926, of "a" e8b7be43. */
TEST(a_key_has_its_place_by_its_checksum)
{
    CHECK_EQ_INT(key_place(slice("123456789"), 1), 0);
    CHECK_EQ_INT(key_place(slice("123456789"), 3), 0xcbf43926u % 3);
    CHECK_EQ_INT(key_place(slice("a"), 5), 0xe8b7be43u % 5);
}

TEST(long_times_are_points_in_time_until_2038)
{
    int64_t expiry;
    CHECK(expiry_of(0, 1000, &expiry) && expiry == 0);
    CHECK(expiry_of(-1, 1000, &expiry) && expiry == 0);
    CHECK(expiry_of(EXPIRY_RELATIVE_MAX_S - 1, 1000, &expiry));
    CHECK_EQ_INT(expiry, EXPIRY_RELATIVE_MAX_S - 1);
    CHECK(expiry_of(EXPIRY_RELATIVE_MAX_S, 1000, &expiry));
    CHECK_EQ_INT(expiry, EXPIRY_RELATIVE_MAX_S + 1000);
    CHECK(expiry_of(INT32_MAX - 1000, 1000, &expiry) && expiry == INT32_MAX);
    CHECK(!expiry_of(INT32_MAX - 999, 1000, &expiry) && !expiry_of(INT64_MAX, 1000, &expiry));
}
