/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis protocol: every type, every cut, and what a hostile server may send. */
#include "plugins/redis/resp.h"

#include "test.h"

/* A test runs on the stack of the process, which has room. */
#pragma GCC diagnostic ignored "-Wframe-larger-than="

struct parsed {
    enum resp_result result;
    size_t pos, count;
    struct resp_value values[64];
};

static struct parsed
parse(const char *data, size_t len)
{
    struct parsed parsed = { 0 };
    struct resp_scan scan = { 0 };
    parsed.result = resp_scan(&scan, data, len);
    parsed.pos = scan.pos;
    parsed.count = scan.values;
    if (parsed.result == RESP_COMPLETE && scan.values <= 64)
        resp_tree(data, parsed.values);
    return parsed;
}

#define PARSE(literal) parse(literal, sizeof(literal) - 1)

static bool
text_is(const struct resp_value *value, enum resp_type type, const char *text)
{
    return value->type == type && value->text.len == strlen(text) &&
           memcmp(value->text.data, text, value->text.len) == 0;
}

TEST(a_command_is_an_array_of_strings)
{
    struct resp_buf buf = { 0 };
    struct remora_slice args[] = { { "SET", 3 }, { "k\r\n", 3 }, { "", 0 } };
    resp_put_command(&buf, args, 3);
    CHECK_EQ_MEM(buf.data, buf.len, "*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\n", 28);
    resp_buf_consume(&buf, 4);
    CHECK_EQ_MEM(buf.data, buf.len, "$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\n", 24);
    resp_buf_fini(&buf);
}

TEST(a_command_may_be_long)
{
    struct resp_buf buf = { 0 };
    char *value = calloc(1, 1234567);
    struct remora_slice args[] = { { "A", 1 }, { value, 1234567 } };
    resp_put_command(&buf, args, 2);
    CHECK_EQ_MEM(buf.data, 21, "*2\r\n$1\r\nA\r\n$1234567\r\n", 21);
    CHECK_EQ_INT(buf.len, 21 + 1 + 1234567 + 2 - 1);
    free(value);
    resp_buf_fini(&buf);
}

TEST(every_simple_type_is_read)
{
    CHECK(text_is(PARSE("+OK\r\n").values, RESP_STATUS, "OK"));
    CHECK(text_is(PARSE("-ERR no\r\n").values, RESP_ERROR, "ERR no"));
    CHECK(text_is(PARSE("$3\r\na\0b\r\n").values, RESP_STRING, "a") == false);
    CHECK(text_is(PARSE("$0\r\n\r\n").values, RESP_STRING, ""));
    CHECK(text_is(PARSE("!5\r\nERR x\r\n").values, RESP_ERROR, "ERR x"));
    CHECK(text_is(PARSE("=7\r\ntxt:abc\r\n").values, RESP_STRING, "abc"));
    CHECK(text_is(PARSE(",1.5\r\n").values, RESP_NUMBER, "1.5"));
    CHECK(text_is(PARSE("(123\r\n").values, RESP_NUMBER, "123"));
    CHECK_EQ_INT(PARSE(":-9223372036854775808\r\n").values[0].integer, INT64_MIN);
    CHECK_EQ_INT(PARSE(":+5\r\n").values[0].integer, 5);
    CHECK_EQ_INT(PARSE("#t\r\n").values[0].integer, 1);
    CHECK_EQ_INT(PARSE("_\r\n").values[0].type, RESP_NIL);
    CHECK_EQ_INT(PARSE("$-1\r\n").values[0].type, RESP_NIL);
    CHECK_EQ_INT(PARSE("*-1\r\n").values[0].type, RESP_NIL);
}

TEST(aggregates_nest)
{
    struct parsed parsed = PARSE(
        "*4\r\n:1\r\n*2\r\n+a\r\n*0\r\n%1\r\n+k\r\n~1\r\n:7\r\n$1\r\nz\r\n");
    const struct resp_value *top = parsed.values;
    REQUIRE(parsed.result == RESP_COMPLETE);
    CHECK_EQ_INT(top->count, 4);
    CHECK_EQ_INT(top->items[0].integer, 1);
    CHECK_EQ_INT(top->items[1].count, 2);
    CHECK(text_is(&top->items[1].items[0], RESP_STATUS, "a"));
    CHECK_EQ_INT(top->items[1].items[1].count, 0);
    CHECK_EQ_INT(top->items[2].type, RESP_MAP);
    CHECK_EQ_INT(top->items[2].count, 2);
    CHECK_EQ_INT(top->items[2].items[1].items[0].integer, 7);
    CHECK(text_is(&top->items[3], RESP_STRING, "z"));
    CHECK_EQ_INT(PARSE(">1\r\n+x\r\n").values[0].type, RESP_PUSH);
}

TEST(a_reply_may_arrive_in_any_pieces)
{
    static const char reply[] = "*3\r\n$5\r\nhello\r\n%1\r\n+k\r\n$-1\r\n:12\r\n+NEXT\r\n";
    size_t whole = sizeof reply - 1 - 7;
    struct resp_scan scan = { 0 };
    for (size_t len = 0; len < whole; len++)
        CHECK_EQ_INT(resp_scan(&scan, reply, len), RESP_MORE);
    CHECK_EQ_INT(resp_scan(&scan, reply, sizeof reply - 1), RESP_COMPLETE);
    CHECK_EQ_INT(scan.pos, whole);
    CHECK_EQ_INT(scan.values, 6);
}

TEST(what_is_no_reply_is_refused)
{
    static const char *const broken[] = {
        "hello\r\n",
        "\r\n",
        "+OK\n",
        ":\r\n",
        ":1x\r\n",
        ":99999999999999999999\r\n",
        "$x\r\n",
        "$-2\r\n",
        "$3\r\nabcd\r\n",
        "$1\r\na\n\n",
        "*-2\r\n",
        "*x\r\n",
        "#x\r\n",
        "_x\r\n",
        "=3\r\nabc\r\n",
        "=4\r\nabcd\r\n",
        "*1\r\n>1\r\n:1\r\n",
        "|1\r\n+a\r\n+b\r\n",
        "$?\r\n",
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        if (!CHECK_EQ_INT(parse(broken[i], strlen(broken[i])).result, RESP_BROKEN))
            fprintf(stderr, "  case %zu\n", i);
}

TEST(lengths_counts_and_nesting_are_bounded)
{
    CHECK_EQ_INT(PARSE("$536870912\r\n").result, RESP_MORE);
    CHECK_EQ_INT(PARSE("$536870913\r\n").result, RESP_BROKEN);
    CHECK_EQ_INT(PARSE("*1048575\r\n").result, RESP_MORE);
    CHECK_EQ_INT(PARSE("*1048576\r\n").result, RESP_BROKEN);
    CHECK_EQ_INT(PARSE("*2\r\n*524288\r\n").result, RESP_MORE);
    CHECK_EQ_INT(PARSE("%524288\r\n").result, RESP_BROKEN);
    CHECK_EQ_INT(PARSE("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n").result,
                 RESP_COMPLETE);
    CHECK_EQ_INT(PARSE("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n").result,
                 RESP_BROKEN);
    char *line = malloc(RESP_LINE_BYTES_MAX + 2);
    memset(line, '+', RESP_LINE_BYTES_MAX + 2);
    CHECK_EQ_INT(parse(line, RESP_LINE_BYTES_MAX).result, RESP_MORE);
    CHECK_EQ_INT(parse(line, RESP_LINE_BYTES_MAX + 1).result, RESP_BROKEN);
    free(line);
}

TEST(an_error_is_known_by_its_first_word)
{
    struct resp_value value = PARSE("-WRONGTYPE x\r\n").values[0];
    CHECK(resp_is_error(&value, "WRONGTYPE"));
    CHECK(!resp_is_error(&value, "WRONG"));
    value = PARSE("-LOADING\r\n").values[0];
    CHECK(resp_is_error(&value, "LOADING"));
    value = PARSE("+LOADING\r\n").values[0];
    CHECK(!resp_is_error(&value, "LOADING"));
}
