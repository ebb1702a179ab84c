/* SPDX-License-Identifier: Apache-2.0 */
/* Go's number syntax. */
#include "config/number.h"

#include "base/macros.h"
#include "test.h"

static int64_t
i64(const char *text)
{
    int64_t value = -77;
    return number_to_i64(slice_str(text), &value) == NUMBER_OK ? value : -77;
}

TEST(prefixes_name_the_base)
{
    CHECK_EQ_INT(i64("0"), 0);
    CHECK_EQ_INT(i64("-0"), 0);
    CHECK_EQ_INT(i64("10"), 10);
    CHECK_EQ_INT(i64("+10"), 10);
    CHECK_EQ_INT(i64("0644"), 420);
    CHECK_EQ_INT(i64("0o17"), 15);
    CHECK_EQ_INT(i64("0x1F"), 31);
    CHECK_EQ_INT(i64("-0b11"), -3);
    CHECK_EQ_INT(i64("9223372036854775807"), INT64_MAX);
    CHECK(i64("-9223372036854775808") == INT64_MIN);
}

TEST(leftovers_are_refused)
{
    static const char *const bad[] = {
        "", "-", "+", "08", "0x", "1x", "1 ", " 1", "0b2", "1.0", "a"
    };
    int64_t value = 4;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_EQ_INT(number_to_i64(slice_str(bad[i]), &value), NUMBER_SYNTAX);
    CHECK_EQ_INT(number_to_i64(SLICE("9223372036854775808"), &value), NUMBER_RANGE);
    CHECK_EQ_INT(number_to_i64(SLICE("-9223372036854775809"), &value), NUMBER_RANGE);
    CHECK_EQ_INT(number_to_i64(SLICE("99999999999999999999999"), &value), NUMBER_RANGE);
    CHECK_EQ_INT(value, 4);
    uint64_t u64 = 0;
    CHECK_EQ_INT(number_to_u64(SLICE("18446744073709551615"), &u64), NUMBER_OK);
    CHECK(u64 == UINT64_MAX);
    CHECK_EQ_INT(number_to_u64(SLICE("-1"), &u64), NUMBER_SYNTAX);
}

TEST(floats_follow_a_grammar_of_their_own)
{
    static const char *const bad[] = { "",      ".",  "e5", "1e",    "1e+",   "nan", "inf",
                                       "0x1p3", " 1", "1 ", "1.2.3", "1e400", "--1" };
    double value = 0.25;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(!number_to_double(slice_str(bad[i]), &value));
    CHECK(value == 0.25);
    CHECK(number_to_double(SLICE("-1.5e3"), &value) && value == -1500);
    CHECK(number_to_double(SLICE(".5"), &value) && value == 0.5);
    CHECK(number_to_double(SLICE("5."), &value) && value == 5);
}

TEST(floats_print_shortest_in_two_styles)
{
    static const struct {
        double value;
        const char *json, *g;
    } rows[] = {
        { 0, "0", "0" },
        { 1, "1", "1" },
        { -1.5, "-1.5", "-1.5" },
        { 0.1, "0.1", "0.1" },
        { 100000, "100000", "100000" },
        { 1000000, "1000000", "1e+06" },
        { 1234567.5, "1234567.5", "1.2345675e+06" },
        { 1e20, "100000000000000000000", "1e+20" },
        { 1e21, "1e+21", "1e+21" },
        { 1.5e300, "1.5e+300", "1.5e+300" },
        { 0.000001, "0.000001", "1e-06" },
        { 0.00012, "0.00012", "0.00012" },
        { 1e-7, "1e-7", "1e-07" },
        { 1.25e-10, "1.25e-10", "1.25e-10" },
        { 5e-324, "5e-324", "5e-324" },
        { 1.7976931348623157e308, "1.7976931348623157e+308", "1.7976931348623157e+308" },
        { 0.30000000000000004, "0.30000000000000004", "0.30000000000000004" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[NUMBER_TEXT_BYTES];
        CHECK_SLICE_IS(number_print_json(rows[i].value, text), rows[i].json);
        CHECK_SLICE_IS(number_print_g(rows[i].value, text), rows[i].g);
    }
}
