/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON cursor: what is valid, exact spans, decoding, and the words of encoding/json. */
#include "base/json.h"

#include "base/limits.h"
#include "base/macros.h"
#include "test.h"

TEST(well_formed_texts_are_accepted)
{
    static const char *const good[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1.5e+10",
        "1E400",
        "123456789012345678901234567890",
        "\"\"",
        "\"\\u00e9\\n\\/\"",
        "[]",
        "{}",
        " [ 1 , [ ] , { } ] ",
        "{\"a\":{\"b\":[1,2,{\"c\":null}]},\"a\":2}",
        "\t\r\n true \n",
        "\"\x7f\xC3\xA9\xFF\"",
        "[\"[\", \"{\", \"\\\"\"]",
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (!CHECK(json_is_valid(slice_str(good[i]))))
            fprintf(stderr, "  %s\n", good[i]);
}

/* What Go's encoding/json (a Decoder) says of each. */
static const struct {
    const char *text, *error;
} malformed[] = {
    { "", "EOF" },
    { "  \n", "EOF" },
    { "{", "unexpected EOF" },
    { "[1", "unexpected EOF" },
    { "[1,", "unexpected EOF" },
    { "{\"a\"", "unexpected EOF" },
    { "{\"a\":", "unexpected EOF" },
    { "\"abc", "unexpected EOF" },
    { "\"abc\\", "unexpected EOF" },
    { "\"\\u12", "unexpected EOF" },
    { "tru", "unexpected EOF" },
    { "-", "unexpected EOF" },
    { "1.", "unexpected EOF" },
    { "1e", "unexpected EOF" },
    { "{nope", "invalid character 'n' looking for beginning of object key string" },
    { "{1:2}", "invalid character '1' looking for beginning of object key string" },
    { "[{\"key\":\"a\",\"value\":1},]", "invalid character ']' looking for beginning of value" },
    { "{\"a\":1,}", "invalid character '}' looking for beginning of object key string" },
    { "[,1]", "invalid character ',' looking for beginning of value" },
    { "[1 2]", "invalid character '2' after array element" },
    { "[1}", "invalid character '}' after array element" },
    { "{\"a\" 1}", "invalid character '1' after object key" },
    { "{\"a\":1 \"b\":2}", "invalid character '\"' after object key:value pair" },
    { "{\"a\":1]", "invalid character ']' after object key:value pair" },
    { "{\"a\":}", "invalid character '}' looking for beginning of value" },
    { "1 2", "invalid character '2' after top-level value" },
    { "{}x", "invalid character 'x' after top-level value" },
    { "01", "invalid character '1' after top-level value" },
    { "-x", "invalid character 'x' in numeric literal" },
    { "1.x", "invalid character 'x' after decimal point in numeric literal" },
    { "1e+x", "invalid character 'x' in exponent of numeric literal" },
    { "trux", "invalid character 'x' in literal true (expecting 'e')" },
    { "nil", "invalid character 'i' in literal null (expecting 'u')" },
    { "False", "invalid character 'F' looking for beginning of value" },
    { "'a'", "invalid character '\\'' looking for beginning of value" },
    { "\\", "invalid character '\\\\' looking for beginning of value" },
    { "\"a\nb\"", "invalid character '\\n' in string literal" },
    { "\"a\x01\"", "invalid character '\\x01' in string literal" },
    { "\"a\v\"", "invalid character '\\v' in string literal" },
    { "\"\\x\"", "invalid character 'x' in string escape code" },
    { "\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape" },
    { "\xC3\xA9", "invalid character '\xC3\x83' looking for beginning of value" },
    { "\xEF\xBB\xBF{}", "invalid character '\xC3\xAF' looking for beginning of value" },
    { "\x85", "invalid character '\\u0085' looking for beginning of value" },
    { "\xA0", "invalid character '\\u00a0' looking for beginning of value" },
    { "#", "invalid character '#' looking for beginning of value" },
};

TEST(malformed_texts_are_refused_in_the_words_of_go)
{
    for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
        struct json json;
        struct slice raw;
        json_init(&json, slice_str(malformed[i].text));
        bool ok = json_skip(&json, &raw) && json_end(&json);
        if (!CHECK(!ok) || !CHECK_EQ_STR(json.error, malformed[i].error))
            fprintf(stderr, "  %s\n", malformed[i].text);
        CHECK(!json_is_valid(slice_str(malformed[i].text)));
    }
}

/* Reads everything through the walking calls. */
static void
walk(struct json *json, struct arena *arena)
{
    struct slice text;
    enum json_type type = json_peek(json);
    bool is_object = type == JSON_OBJECT;
    if (is_object || type == JSON_ARRAY) {
        json_enter(json);
        while (is_object ? json_object_next(json, arena, &text) : json_array_next(json))
            walk(json, arena);
    } else if (type == JSON_STRING) {
        CHECK(json_string(json, arena, &text) || json->failed);
    } else if (type != JSON_NONE) {
        CHECK(json_scalar(json, &text) || json->failed);
    }
}

TEST(walking_stumbles_over_the_same_things_as_skipping)
{
    struct arena arena;
    arena_init(&arena);
    for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
        struct json json;
        json_init(&json, slice_str(malformed[i].text));
        walk(&json, &arena);
        if (!CHECK(!json_end(&json)) || !CHECK_EQ_STR(json.error, malformed[i].error))
            fprintf(stderr, "  %s\n", malformed[i].text);
    }
    arena_fini(&arena);
}

TEST(the_first_error_stays)
{
    struct arena arena;
    arena_init(&arena);
    struct json json;
    struct slice text;
    json_init(&json, SLICE("[x, y]"));
    CHECK_EQ_INT(json_peek(&json), JSON_ARRAY);
    json_enter(&json);
    CHECK(json_array_next(&json));
    CHECK(!json_skip(&json, &text));
    CHECK(!json_string(&json, &arena, &text));
    CHECK(!json_scalar(&json, &text));
    CHECK(!json_array_next(&json));
    CHECK(!json_object_next(&json, &arena, &text));
    CHECK(!json_end(&json));
    CHECK_EQ_INT(json_peek(&json), JSON_NONE);
    CHECK_EQ_STR(json.error, "invalid character 'x' looking for beginning of value");
    arena_fini(&arena);
}

TEST(values_keep_their_exact_bytes)
{
    struct arena arena;
    arena_init(&arena);
    struct json json;
    struct slice name, raw;
    json_init(&json, SLICE(" { \"a\" : { \"x\" :1.0 ,\"y\":[ ]}  , \"\\u0062\":\"\\u00e9\", \"\" : "
                           "9007199254740993 } "));
    REQUIRE(json_peek(&json) == JSON_OBJECT);
    json_enter(&json);
    REQUIRE(json_object_next(&json, &arena, &name));
    CHECK_SLICE_IS(name, "a");
    CHECK_EQ_INT(json_peek(&json), JSON_OBJECT);
    REQUIRE(json_skip(&json, &raw));
    CHECK_SLICE_IS(raw, "{ \"x\" :1.0 ,\"y\":[ ]}");
    REQUIRE(json_object_next(&json, &arena, &name));
    CHECK_SLICE_IS(name, "b");
    REQUIRE(json_skip(&json, &raw));
    CHECK_SLICE_IS(raw, "\"\\u00e9\"");
    REQUIRE(json_object_next(&json, &arena, &name));
    CHECK_SLICE_IS(name, "");
    CHECK_EQ_INT(json_peek(&json), JSON_NUMBER);
    REQUIRE(json_scalar(&json, &raw));
    CHECK_SLICE_IS(raw, "9007199254740993");
    CHECK(!json_object_next(&json, &arena, &name));
    CHECK(json_end(&json));
    CHECK(!json.failed);
    arena_fini(&arena);
}

TEST(arrays_are_walked_element_by_element)
{
    struct json json;
    struct slice raw;
    json_init(&json, SLICE("[1, [2,3] ,\"[\", [] , {}]"));
    static const char *const expected[] = { "1", "[2,3]", "\"[\"", "[]", "{}" };
    REQUIRE(json_peek(&json) == JSON_ARRAY);
    json_enter(&json);
    size_t count = 0;
    while (json_array_next(&json)) {
        REQUIRE(count < ARRAY_LEN(expected) && json_skip(&json, &raw));
        CHECK_SLICE_IS(raw, expected[count]);
        count++;
    }
    CHECK_EQ_INT(count, 5);
    CHECK(json_end(&json));
    json_init(&json, SLICE("[ \n ]"));
    REQUIRE(json_peek(&json) == JSON_ARRAY);
    json_enter(&json);
    CHECK(!json_array_next(&json) && !json.failed && json_end(&json));
}

static void
check_string(struct slice text, struct slice expected)
{
    struct arena arena;
    arena_init(&arena);
    struct json json;
    struct slice decoded;
    json_init(&json, text);
    REQUIRE(json_string(&json, &arena, &decoded));
    CHECK_EQ_SLICE(decoded, expected);
    CHECK(json_end(&json));
    arena_fini(&arena);
}

TEST(strings_are_decoded_as_go_decodes_them)
{
    check_string(SLICE("\"\""), SLICE(""));
    check_string(SLICE("\"plain\""), SLICE("plain"));
    check_string(SLICE("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), SLICE("\"\\/\b\f\n\r\t"));
    check_string(SLICE("\"\\u0041\\u00E9\\u20aC\""), SLICE("A\xC3\xA9\xE2\x82\xAC"));
    check_string(SLICE("\"\\ud83d\\ude00\""), SLICE("\xF0\x9F\x98\x80"));
    check_string(SLICE("\"\\u0000\""), SLICE("\0"));
    check_string(SLICE("\"\\ud83d\""), SLICE("\xEF\xBF\xBD"));
    check_string(SLICE("\"\\ude00x\""), SLICE("\xEF\xBF\xBDx"));
    check_string(SLICE("\"\\ud83d\\u0041\""), SLICE("\xEF\xBF\xBD"
                                                    "A"));
    check_string(SLICE("\"\\ud83d\\ud83d\\ude00\""), SLICE("\xEF\xBF\xBD\xF0\x9F\x98\x80"));
    check_string(SLICE("\"\xC3\xA9\xFF\xE2\x82\""),
                 SLICE("\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"));
    check_string(SLICE("\"\xED\xA0\x80\""), SLICE("\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"));
}

TEST(a_plain_string_is_a_span_of_the_input)
{
    struct arena arena;
    arena_init(&arena);
    struct json json;
    struct slice text = SLICE("\"h\xC3\xA9llo\""), decoded;
    json_init(&json, text);
    REQUIRE(json_string(&json, &arena, &decoded));
    CHECK_EQ_PTR(decoded.data, text.data + 1);
    CHECK_EQ_INT(arena.total_bytes, 0);
    arena_fini(&arena);
}

TEST(depth_is_bounded_without_recursion)
{
    static char text[200000];
    size_t half = LIMIT_json_depth_max;
    memset(text, '[', half);
    memset(text + half, ']', half);
    CHECK(json_is_valid(slice_of(text, half * 2)));
    memset(text, '[', sizeof text);
    struct json json;
    struct slice raw;
    json_init(&json, slice_of(text, sizeof text));
    CHECK(!json_skip(&json, &raw));
    CHECK_EQ_STR(json.error, "exceeded max depth");
    struct arena arena;
    arena_init(&arena);
    json_init(&json, slice_of(text, sizeof text));
    walk(&json, &arena);
    CHECK_EQ_STR(json.error, "exceeded max depth");
    /* Depth counts from the outside also when a value inside is skipped. */
    memset(text, '[', half);
    memset(text + half, ']', half);
    text[half] = '[';
    json_init(&json, slice_of(text, half * 2));
    for (int i = 0; i < 10; i++) {
        REQUIRE(json_peek(&json) == JSON_ARRAY);
        json_enter(&json);
        REQUIRE(json_array_next(&json));
    }
    CHECK(!json_skip(&json, &raw));
    CHECK_EQ_STR(json.error, "exceeded max depth");
    arena_fini(&arena);
}

TEST(a_string_or_scalar_of_another_type_is_an_error)
{
    struct arena arena;
    arena_init(&arena);
    struct json json;
    struct slice text;
    json_init(&json, SLICE("5"));
    CHECK(!json_string(&json, &arena, &text) && json.failed);
    json_init(&json, SLICE("\"x\""));
    CHECK(!json_scalar(&json, &text) && json.failed);
    arena_fini(&arena);
}

static void
check_written(struct slice text, bool escape_html, const char *expected)
{
    struct buf out;
    buf_init(&out, 200);
    CHECK(json_write_string(&out, text, escape_html));
    CHECK_SLICE_IS(buf_slice(&out), expected);
    CHECK(json_is_valid(buf_slice(&out)));
    buf_fini(&out);
}

TEST(strings_are_written_as_go_writes_them)
{
    check_written(SLICE(""), true, "\"\"");
    check_written(SLICE("a\"\\/\b\f\n\r\t"), true, "\"a\\\"\\\\/\\b\\f\\n\\r\\t\"");
    check_written(SLICE("\0\x1f\x7f"), true, "\"\\u0000\\u001f\x7f\"");
    check_written(SLICE("<a&b>"), true, "\"\\u003ca\\u0026b\\u003e\"");
    check_written(SLICE("<a&b>"), false, "\"<a&b>\"");
    check_written(SLICE("\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAA"), true,
                  "\"\\u2028\\u2029\xE2\x80\xAA\"");
    check_written(SLICE("\xC3\xA9\xF0\x9F\x98\x80"), true, "\"\xC3\xA9\xF0\x9F\x98\x80\"");
    check_written(SLICE("a\xFF\xC3"), true, "\"a\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST(writing_into_a_full_buffer_fails)
{
    struct buf out;
    for (size_t max = 0; max < 8; max++) {
        buf_init(&out, max);
        CHECK(!json_write_string(&out, SLICE("ab\n<"), false) == (max < 7));
        buf_fini(&out);
    }
}

TEST(types_have_go_s_names)
{
    CHECK_EQ_STR(json_type_name(JSON_OBJECT), "object");
    CHECK_EQ_STR(json_type_name(JSON_ARRAY), "array");
    CHECK_EQ_STR(json_type_name(JSON_STRING), "string");
    CHECK_EQ_STR(json_type_name(JSON_NUMBER), "number");
    CHECK_EQ_STR(json_type_name(JSON_BOOL), "bool");
    CHECK_EQ_STR(json_type_name(JSON_NULL), "null");
}

/* Strings are read eight bytes at a time: no place in the eight may be overlooked. */
TEST(every_byte_is_judged_alike_wherever_it_stands_in_a_string)
{
    for (size_t before = 0; before < 20; before++) {
        for (unsigned c = 0; c < 256; c++) {
            char text[40];
            memset(text, 'a', sizeof text);
            text[0] = text[sizeof text - 1] = '"';
            text[1 + before] = (char)c;
            bool is_fine = c >= 0x20 && c != '"' && c != '\\';
            CHECK_EQ_INT(json_is_valid(slice_of(text, sizeof text)), is_fine);
        }
    }
}

TEST(bytes_outside_ascii_are_found_wherever_they_stand)
{
    for (size_t before = 0; before < 20; before++) {
        char text[30];
        memset(text, 'a', sizeof text);
        text[before] = (char)0xC3;
        CHECK(!slice_is_utf8(slice_of(text, sizeof text)));
        text[before + 1] = (char)0xA4;
        CHECK(slice_is_utf8(slice_of(text, sizeof text)));
        CHECK(!slice_is_utf8(slice_of(text, before + 1)));
    }
}
