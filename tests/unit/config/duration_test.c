/* SPDX-License-Identifier: Apache-2.0 */
/* Go's durations, both ways. */
#include "config/duration.h"

#include "base/macros.h"
#include "test.h"

static int64_t
parsed(const char *text)
{
    int64_t ns = -999;
    char error[DURATION_ERROR_BYTES] = "";
    if (!duration_parse(slice_str(text), &ns, error))
        fprintf(stderr, "%s\n", error);
    return ns;
}

static void
check_refused(const char *text, const char *expected)
{
    int64_t ns = 77;
    char error[DURATION_ERROR_BYTES] = "";
    CHECK(!duration_parse(slice_str(text), &ns, error));
    CHECK_EQ_STR(error, expected);
    CHECK_EQ_INT(ns, 77);
}

TEST(every_unit_is_read)
{
    CHECK_EQ_INT(parsed("0"), 0);
    CHECK_EQ_INT(parsed("+0"), 0);
    CHECK_EQ_INT(parsed("5s"), 5000000000);
    CHECK_EQ_INT(parsed("30s"), 30000000000);
    CHECK_EQ_INT(parsed("1478s"), 1478000000000);
    CHECK_EQ_INT(parsed("-5s"), -5000000000);
    CHECK_EQ_INT(parsed("+5s"), 5000000000);
    CHECK_EQ_INT(parsed("5.0s"), 5000000000);
    CHECK_EQ_INT(parsed("5.6s"), 5600000000);
    CHECK_EQ_INT(parsed("5.s"), 5000000000);
    CHECK_EQ_INT(parsed(".5s"), 500000000);
    CHECK_EQ_INT(parsed("1.004s"), 1004000000);
    CHECK_EQ_INT(parsed("100.00100s"), 100001000000);
    CHECK_EQ_INT(parsed("10ns"), 10);
    CHECK_EQ_INT(parsed("11us"), 11000);
    CHECK_EQ_INT(parsed("12\xC2\xB5s"), 12000);
    CHECK_EQ_INT(parsed("12\xCE\xBCs"), 12000);
    CHECK_EQ_INT(parsed("13ms"), 13000000);
    CHECK_EQ_INT(parsed("15m"), 900000000000);
    CHECK_EQ_INT(parsed("16h"), 57600000000000);
    CHECK_EQ_INT(parsed("3h30m"), 12600000000000);
    CHECK_EQ_INT(parsed("-1.5h"), -5400000000000);
    CHECK_EQ_INT(parsed("1h15m30.918273645s"), 4530918273645);
}

TEST(the_ends_of_the_range_are_read)
{
    CHECK_EQ_INT(parsed("9223372036854775807ns"), INT64_MAX);
    CHECK(parsed("-9223372036854775808ns") == INT64_MIN);
    CHECK_EQ_INT(parsed("0.3333333333333333333h"), 1200000000000);
    check_refused("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\"");
    check_refused("3000000h", "time: invalid duration \"3000000h\"");
}

TEST(errors_have_the_words_of_go)
{
    check_refused("", "time: invalid duration \"\"");
    check_refused("3", "time: missing unit in duration \"3\"");
    check_refused("-", "time: invalid duration \"-\"");
    check_refused("s", "time: invalid duration \"s\"");
    check_refused(".", "time: invalid duration \".\"");
    check_refused(".s", "time: invalid duration \".s\"");
    check_refused("+.s", "time: invalid duration \"+.s\"");
    check_refused("1d", "time: unknown unit \"d\" in duration \"1d\"");
    check_refused("1s ", "time: unknown unit \"s \" in duration \"1s \"");
}

TEST(printing_is_as_short_as_in_go)
{
    static const struct {
        int64_t ns;
        const char *text;
    } rows[] = {
        { 0, "0s" },
        { 1, "1ns" },
        { 1100, "1.1\xC2\xB5s" },
        { 2200000, "2.2ms" },
        { 2000000000, "2s" },
        { 3300000000, "3.3s" },
        { 60000000000, "1m0s" },
        { 180000000000, "3m0s" },
        { 245000000000, "4m5s" },
        { 245001000000, "4m5.001s" },
        { 18367001000000, "5h6m7.001s" },
        { 480000000001, "8m0.000000001s" },
        { -1000000, "-1ms" },
        { INT64_MAX, "2562047h47m16.854775807s" },
        { INT64_MIN, "-2562047h47m16.854775808s" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[DURATION_TEXT_BYTES];
        CHECK_SLICE_IS(duration_print(rows[i].ns, text), rows[i].text);
    }
}
