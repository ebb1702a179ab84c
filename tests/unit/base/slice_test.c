/* SPDX-License-Identifier: Apache-2.0 */
/* Reading borrowed bytes. */
#include "base/slice.h"

#include "test.h"

TEST(slices_compare_by_bytes_and_by_ascii_case)
{
    CHECK(slice_eq(SLICE("ab"), slice_str("ab")));
    CHECK(!slice_eq(SLICE("ab"), SLICE("abc")));
    CHECK(slice_eq(SLICE_EMPTY, slice_of(NULL, 0)));
    CHECK(slice_eq(slice_str(NULL), SLICE_EMPTY));
    CHECK(slice_eq(SLICE("a\0b"), slice_of("a\0b", 3)));
    CHECK(slice_cmp(SLICE("a"), SLICE("b")) < 0);
    CHECK(slice_cmp(SLICE("b"), SLICE("a")) > 0);
    CHECK(slice_cmp(SLICE("a"), SLICE("ab")) < 0);
    CHECK(slice_cmp(SLICE("ab"), SLICE("ab")) == 0);
    CHECK(slice_cmp(SLICE("\xff"), SLICE("a")) > 0);
    CHECK(slice_cmp(SLICE_EMPTY, SLICE("a")) < 0);
    CHECK(slice_eq_nocase(SLICE("Content-Type"), SLICE("content-TYPE")));
    CHECK(!slice_eq_nocase(SLICE("\xC3\x84"), SLICE("\xC3\xA4")));
    CHECK(!slice_eq_nocase(SLICE("[a"), SLICE("{a")));
}

TEST(a_name_is_looked_up_in_a_list_whatever_its_case)
{
    static const char *const names[] = { "te", "trailer" };
    CHECK(slice_is_one_of_nocase(SLICE("Trailer"), names, 2));
    CHECK(!slice_is_one_of_nocase(SLICE("trailer"), names, 1));
    CHECK(!slice_is_one_of_nocase(SLICE_EMPTY, names, 2));
}

TEST(parts_stay_inside)
{
    struct slice s = SLICE("hello");
    CHECK_SLICE_IS(slice_from(s, 2), "llo");
    CHECK_SLICE_IS(slice_from(s, 5), "");
    CHECK_SLICE_IS(slice_from(s, 500), "");
    CHECK_SLICE_IS(slice_first(s, 2), "he");
    CHECK_SLICE_IS(slice_first(s, 500), "hello");
    CHECK(slice_has_prefix(s, SLICE("he")) && slice_has_prefix(s, SLICE_EMPTY));
    CHECK(!slice_has_prefix(s, SLICE("hello!")) && !slice_has_prefix(s, SLICE("el")));
    CHECK(slice_has_prefix_nocase(s, SLICE("HE")));
    CHECK(slice_has_suffix(s, SLICE("lo")) && slice_has_suffix(s, SLICE_EMPTY));
    CHECK(!slice_has_suffix(s, SLICE("hell")) && !slice_has_suffix(s, SLICE("hhello")));
}

TEST(finding_gives_the_first_place)
{
    CHECK_EQ_INT(slice_find(SLICE("a||b||c"), SLICE("||")), 1);
    CHECK_EQ_INT(slice_find(SLICE("abc"), SLICE("x")), -1);
    CHECK_EQ_INT(slice_find(SLICE("abc"), SLICE("abcd")), -1);
    CHECK_EQ_INT(slice_find(SLICE("abc"), SLICE_EMPTY), 0);
    CHECK_EQ_INT(slice_find(SLICE_EMPTY, SLICE("a")), -1);
    CHECK_EQ_INT(slice_find_byte(SLICE("a\0b"), '\0'), 1);
    CHECK_EQ_INT(slice_find_byte(SLICE_EMPTY, 'a'), -1);
    CHECK_EQ_INT(slice_find_byte(slice_of(NULL, 0), 'a'), -1);
}

TEST(trimming_takes_blanks_from_both_ends)
{
    CHECK_SLICE_IS(slice_trim(SLICE(" \t\r\n a b \n")), "a b");
    CHECK_SLICE_IS(slice_trim(SLICE(" \t ")), "");
    CHECK_SLICE_IS(slice_trim(SLICE("")), "");
    CHECK_SLICE_IS(slice_trim(SLICE("\va")), "\va");
}

/* The parts in brackets. */
static const char *
split(const char *text)
{
    static char out[100];
    struct slice rest = slice_str(text), part;
    size_t len = 0;
    out[0] = '\0';
    while (slice_split(&rest, ',', &part))
        len += (size_t)snprintf(out + len, sizeof out - len, "[" SLICE_FMT "]", SLICE_ARG(part));
    return out;
}

TEST(splitting_delivers_empty_parts_too)
{
    CHECK_EQ_STR(split("a,b"), "[a][b]");
    CHECK_EQ_STR(split("a,"), "[a][]");
    CHECK_EQ_STR(split(","), "[][]");
    CHECK_EQ_STR(split("a"), "[a]");
    CHECK_EQ_STR(split(""), "[]");
}

TEST(numbers_refuse_leftovers_and_overflow)
{
    uint64_t u = 7;
    int64_t i = 7;
    static const char *const bad[] = { "", " 1", "1 ", "+", "-", "1a", "0x1", "1.0", "--1" };
    for (size_t k = 0; k < ARRAY_LEN(bad); k++)
        CHECK(!slice_to_u64(slice_str(bad[k]), &u) && !slice_to_i64(slice_str(bad[k]), &i));
    CHECK(!slice_to_u64(SLICE("-1"), &u) && !slice_to_u64(SLICE("+1"), &u));
    CHECK(!slice_to_u64(SLICE("18446744073709551616"), &u));
    CHECK(!slice_to_u64(SLICE("99999999999999999999999999"), &u));
    CHECK(!slice_to_i64(SLICE("9223372036854775808"), &i));
    CHECK(!slice_to_i64(SLICE("-9223372036854775809"), &i));
    CHECK(!slice_to_u64(SLICE("1\0"), &u));
    CHECK(u == 7 && i == 7);
    CHECK(slice_to_u64(SLICE("18446744073709551615"), &u) && u == UINT64_MAX);
    CHECK(slice_to_u64(SLICE("007"), &u) && u == 7);
    CHECK(slice_to_i64(SLICE("-9223372036854775808"), &i) && i == INT64_MIN);
    CHECK(slice_to_i64(SLICE("9223372036854775807"), &i) && i == INT64_MAX);
    CHECK(slice_to_i64(SLICE("+5"), &i) && i == 5);
    CHECK(slice_to_i64(SLICE("-0"), &i) && i == 0);
}

TEST(bools_are_go_s)
{
    bool b = false;
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
    static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
    static const char *const bad[] = { "", "yes", "tRUE", "2", "on", "true " };
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        CHECK(slice_to_bool(slice_str(yes[i]), &b) && b);
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        CHECK(slice_to_bool(slice_str(no[i]), &b) && !b);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(!slice_to_bool(slice_str(bad[i]), &b));
}

TEST(words_that_the_reference_takes_for_true)
{
    static const char *const yes[] = { "y", "YES", "true", "T", "on", "1", " True\n" };
    static const char *const no[] = { "", "n", "no", "false", "off", "0", "2", "tru", "yes!" };
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        CHECK(slice_is_truthy(slice_str(yes[i])));
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        CHECK(!slice_is_truthy(slice_str(no[i])));
}

TEST(utf8_is_checked_strictly)
{
    static const char *const good[] = { "",
                                        "abc",
                                        "\xC3\xA9",
                                        "\xE2\x82\xAC",
                                        "\xF0\x9F\x98\x80",
                                        "\xED\x9F\xBF",
                                        "\xEE\x80\x80",
                                        "\xF4\x8F\xBF\xBF",
                                        "\x7f" };
    static const char *const bad[] = { "\x80",
                                       "\xC3",
                                       "\xC0\x80",
                                       "\xC1\xBF",
                                       "\xE0\x9F\xBF",
                                       "\xED\xA0\x80",
                                       "\xF0\x8F\xBF\xBF",
                                       "\xF4\x90\x80\x80",
                                       "\xF5\x80\x80\x80",
                                       "\xE2\x82",
                                       "a\xFF",
                                       "\xC3\x28",
                                       "\xE2\x82\x28",
                                       "\xF0\x9F\x98" };
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        CHECK(slice_is_utf8(slice_str(good[i])));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(!slice_is_utf8(slice_str(bad[i])));
    CHECK_EQ_INT(slice_utf8_len(SLICE("\xE2\x82\xAC+")), 3);
    CHECK_EQ_INT(slice_utf8_len(SLICE("a\xFF")), 1);
    CHECK_EQ_INT(slice_utf8_len(SLICE("\xFF")), 0);
    CHECK_EQ_INT(slice_utf8_len(SLICE("\xE2\x82")), 0);
    CHECK_EQ_INT(slice_utf8_len(SLICE_EMPTY), 0);
    CHECK_EQ_INT(slice_utf8_len(SLICE("\0")), 1);
}

TEST(hashes_differ_where_it_matters)
{
    CHECK(slice_hash(SLICE("a")) == slice_hash(slice_str("a")));
    CHECK(slice_hash(SLICE("a")) != slice_hash(SLICE("b")));
    CHECK(slice_hash(SLICE("ab")) != slice_hash(SLICE("ba")));
    CHECK(slice_hash(SLICE_EMPTY) != slice_hash(SLICE("\0")));
}

TEST(a_c_string_holds_no_nul)
{
    char *copy = slice_dup_str(SLICE("abc"));
    CHECK_EQ_STR(copy, "abc");
    free(copy);
    CHECK(slice_dup_str(SLICE("a\0c")) == NULL);
    copy = slice_dup_str(slice_of(NULL, 0));
    CHECK_EQ_STR(copy, "");
    free(copy);
}
