/* SPDX-License-Identifier: Apache-2.0 */
/* What scalars mean, as the reference's YAML library has it. */
#include "config/node.h"

#include "base/macros.h"
#include "test.h"

static struct arena arena;

static const struct node *
value_of(const char *scalar)
{
    struct node *root = NULL;
    struct node_error error = { 0 };
    struct slice text = arena_printf(&arena, "v: %s\n", scalar);
    if (!CHECK(node_parse(&arena, text, 1, &root, &error)))
        fprintf(stderr, "%s: %s\n", scalar, error.text);
    return root == NULL ? NULL : root->items->value;
}

/* The metadata value, and what a string field would get. */
static void
check_value(const char *scalar, const char *value, const char *text)
{
    struct slice out = SLICE_EMPTY;
    const struct node *node = value_of(scalar);
    REQUIRE(node != NULL);
    CHECK(node_value(&arena, node, &out));
    if (!CHECK_SLICE_IS(out, value))
        fprintf(stderr, "  value of %s\n", scalar);
    CHECK(node_text(&arena, node, &out));
    if (!CHECK_SLICE_IS(out, text))
        fprintf(stderr, "  text of %s\n", scalar);
}

TEST(plain_words_are_bools_and_nulls)
{
    arena_init(&arena);
    check_value("true", "true", "true");
    check_value("True", "true", "true");
    check_value("yes", "true", "true");
    check_value("On", "true", "true");
    check_value("y", "true", "true");
    check_value("no", "false", "false");
    check_value("OFF", "false", "false");
    check_value("yEs", "yEs", "yEs");
    check_value("truest", "truest", "truest");
    check_value("~", "", "");
    check_value("null", "", "");
    check_value("", "", "");
    check_value("nil", "nil", "nil");
    arena_fini(&arena);
}

TEST(numbers_are_read_and_printed_again)
{
    arena_init(&arena);
    check_value("0", "0", "0");
    check_value("-0", "0", "0");
    check_value("6379", "6379", "6379");
    check_value("+5", "5", "5");
    check_value("0644", "420", "420");
    check_value("08", "8", "8");
    check_value("0x1F", "31", "31");
    check_value("0b101", "5", "5");
    check_value("0o17", "15", "15");
    check_value("1_000", "1000", "1000");
    check_value("18446744073709551615", "18446744073709551615", "18446744073709551615");
    check_value("18446744073709551616", "18446744073709552000", "1.8446744073709552e+19");
    check_value("1.0", "1", "1");
    check_value("1.10", "1.1", "1.1");
    check_value(".5", "0.5", "0.5");
    check_value("-1.5e3", "-1500", "-1500");
    check_value("1e6", "1000000", "1e+06");
    check_value("1e400", "1e400", "1e400");
    check_value("-0.0", "-0", "-0");
    check_value(".inf", ".inf", ".inf");
    check_value("1.2.3", "1.2.3", "1.2.3");
    check_value("127.0.0.1", "127.0.0.1", "127.0.0.1");
    check_value("10s", "10s", "10s");
    check_value("2020-01-01", "2020-01-01", "2020-01-01");
    check_value("+", "+", "+");
    check_value("0x", "0x", "0x");
    check_value("12:30:45", "12:30:45", "12:30:45");
    arena_fini(&arena);
}

TEST(quotes_and_tags_make_text)
{
    arena_init(&arena);
    check_value("\"0644\"", "0644", "0644");
    check_value("'true'", "true", "true");
    check_value("\"\"", "", "");
    check_value("!!str 1.0", "1.0", "1.0");
    check_value("! 010", "010", "010");
    check_value("!!int \"0x10\"", "16", "16");
    check_value("!custom 010", "010", "010");
    check_value("\"a\\nb\\u00e9\"", "a\nb\xC3\xA9", "a\nb\xC3\xA9");
    check_value("|\n  line 1\n  line 2", "line 1\nline 2\n", "line 1\nline 2\n");
    check_value(">-\n  folded\n  text", "folded text", "folded text");
    arena_fini(&arena);
}

TEST(lists_and_maps_become_sorted_json)
{
    arena_init(&arena);
    struct slice out;
    CHECK(node_value(&arena, value_of("{b: [1, yes, ~, \"x<y\"], a: {}, a: 2.50}"), &out));
    CHECK_SLICE_IS(out, "{\"a\":2.5,\"b\":[1,true,null,\"x\\u003cy\"]}");
    CHECK(!node_text(&arena, value_of("[1]"), &out));
    CHECK(!node_text(&arena, value_of("{a: 1}"), &out));
    arena_fini(&arena);
}

TEST(bools_may_be_quoted)
{
    arena_init(&arena);
    bool value = false;
    CHECK(node_bool(value_of("true"), &value) && value);
    CHECK(node_bool(value_of("off"), &value) && !value);
    CHECK(node_bool(value_of("\"true\""), &value) && value);
    CHECK(!node_bool(value_of("1"), &value));
    CHECK(!node_bool(value_of("maybe"), &value));
    CHECK(!node_bool(value_of("[true]"), &value));
    arena_fini(&arena);
}

TEST(a_node_can_be_named_in_a_message)
{
    arena_init(&arena);
    CHECK_EQ_STR(node_what(value_of("x")), "text");
    CHECK_EQ_STR(node_what(value_of("1")), "a number");
    CHECK_EQ_STR(node_what(value_of("1.5")), "a number");
    CHECK_EQ_STR(node_what(value_of("yes")), "a bool");
    CHECK_EQ_STR(node_what(value_of("~")), "null");
    CHECK_EQ_STR(node_what(value_of("[]")), "a list");
    CHECK_EQ_STR(node_what(value_of("{}")), "a map");
    arena_fini(&arena);
}
