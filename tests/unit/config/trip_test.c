/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions that open a circuit breaker (REFERENCE-BEHAVIOUR §16): what they say, and what is
 * refused with which words. */
#include "config/trip.h"

#include "base/limits.h"
#include "test.h"

static const struct trip_counts counts = { .requests = 10,
                                           .total_successes = 4,
                                           .total_failures = 6,
                                           .consecutive_successes = 0,
                                           .consecutive_failures = 5 };

static struct arena arena;
static char error[TRIP_ERROR_BYTES];

static bool
is_met(const char *text)
{
    struct trip trip = { 0 };
    arena_reset(&arena);
    if (!CHECK(trip_parse(&arena, slice_str(text), &trip, error))) {
        fprintf(stderr, "  %s: %s\n", text, error);
        return false;
    }
    return trip_is_met(&trip, &counts);
}

TEST(expressions_mean_what_they_say)
{
    static const struct {
        const char *text;
        bool is_met;
    } rows[] = {
        { "consecutiveFailures >= 5", true },
        { "consecutiveFailures > 5", false },
        { "consecutiveFailures>4", true },
        { "consecutiveFailures == 5 && requests != 10", false },
        { "requests > 5 && totalFailures > 5", true },
        { "requests > 100 || totalFailures > 5", true },
        { "false || true && false", false }, /* && binds tighter */
        { "(true || true) && false", false },
        { "true || (true && false)", true },
        { "!(requests < 10)", true },
        { "!true || !!true", true },
        { "requests - totalFailures - totalSuccesses == 0", true }, /* from the left */
        { "2 + 3 * 4 == 14", true },
        { "(2 + 3) * 4 == 20", true },
        { "100 / 10 / 5 == 2", true },
        { "totalFailures / requests == 0", true }, /* whole numbers */
        { "totalFailures * 100 / requests >= 60", true },
        { "double(totalFailures) / double(requests) >= 0.6", true },
        { "double(totalFailures) / requests > 0.6", false },
        { "totalFailures >= requests * 0.6", true },
        { "int(0.6 * requests) == 6", true },
        { "int(-1.9) == -1", true },
        { "7 % 4 == 3 && -7 % 4 == -3", true },
        { "- -1 == 1", true },
        { "0x10 == 16 && 1e1 == 10 && 1.5e+1 == 15.0 && .5 == 0.5", true },
        { "requests >= 20 ? totalFailures > 15 : consecutiveFailures > 4", true },
        { "requests >= 5 ? totalFailures > 15 : true", false },
        { "true ? false : true ? true : true", false }, /* the right one is of the second */
        { "(true == true) != (false == true)", true },
        { "consecutiveSuccesses < 1 && totalSuccesses <= 4", true },
        { "\t consecutiveFailures\n>=\r\n5 ", true },
        { "9223372036854775807 > requests", true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!CHECK_EQ_INT(is_met(rows[i].text), rows[i].is_met))
            fprintf(stderr, "  in %s\n", rows[i].text);
}

TEST(what_cannot_be_worked_out_does_not_trip_unless_it_does_not_matter)
{
    CHECK(!is_met("1 / consecutiveSuccesses > 0"));
    CHECK(!is_met("!(1 / consecutiveSuccesses > 0)"));
    CHECK(!is_met("1 % consecutiveSuccesses == 0"));
    CHECK(!is_met("1.0 / consecutiveSuccesses > 0"));
    CHECK(!is_met("9223372036854775807 + requests > 0"));
    CHECK(!is_met("9223372036854775807 * requests < 0"));
    CHECK(!is_met("-9223372036854775807 - requests < 0"));
    CHECK(!is_met("(-9223372036854775807 - 1) / (0 - 1) != 0"));
    CHECK(!is_met("-(-9223372036854775807 - 1) != 0"));
    CHECK(!is_met("int(1e30) != 0"));
    CHECK(!is_met("1 / consecutiveSuccesses > 0 && true"));
    CHECK(is_met("1 / consecutiveSuccesses > 0 || requests == 10"));
    CHECK(is_met("requests == 10 || 1 / consecutiveSuccesses > 0"));
    CHECK(is_met("!(1 / consecutiveSuccesses > 0 && requests != 10)"));
    CHECK(is_met("requests == 10 ? true : 1 / consecutiveSuccesses > 0"));
    CHECK(!is_met("1 / consecutiveSuccesses > 0 ? true : true"));
}

TEST(without_an_expression_more_than_five_failures_in_a_row_trip)
{
    const struct trip none = { 0 };
    struct trip_counts failures = { .consecutive_failures = 5, .total_failures = 100 };
    CHECK(!trip_is_met(&none, &failures));
    failures.consecutive_failures = 6;
    CHECK(trip_is_met(&none, &failures));
}

TEST(a_mistake_is_refused_and_its_column_named)
{
    static const struct {
        const char *text, *error;
    } rows[] = {
        { "", "column 1: the expression ends too soon" },
        { "consecutiveFailures >", "column 22: the expression ends too soon" },
        { "consecutiveFailures => 5", "column 21: unexpected '='" },
        { "consecutiveFailures = 5", "column 21: unexpected '='" },
        { "consecutivefailures > 5", "column 1: undeclared reference to 'consecutivefailures'" },
        { "requests > 5 && failures > 1", "column 17: undeclared reference to 'failures'" },
        { "consecutiveFailures", "column 1: the expression is no bool" },
        { "1 + 1", "column 1: the expression is no bool" },
        { "(requests > 5", "column 14: the expression ends too soon" },
        { "requests > 5)", "column 13: unexpected ')'" },
        { "requests > 5 5", "column 14: unexpected '5'" },
        { "requests && true", "column 10: '&&' does not take what stands around it" },
        { "true + 1 > 0", "column 6: '+' does not take what stands around it" },
        { "true < false", "column 6: '<' does not take what stands around it" },
        { "true == 1", "column 6: '==' does not take what stands around it" },
        { "1.5 % 2 == 1", "column 5: '%' does not take what stands around it" },
        { "!requests", "column 1: a bool is expected behind '!'" },
        { "-true", "column 1: a number is expected behind '-'" },
        { "double(true) > 1", "column 7: a number is expected" },
        { "double 1 > 1", "column 8: unexpected '1'" },
        { "requests ? true : false", "column 11: a bool is expected before '?'" },
        { "true ? 1 : 1.5", "column 7: both ends of '?' must be of one type" },
        { "true ? true", "column 12: the expression ends too soon" },
        { "requests > 12x", "column 12: 12x is no number" },
        { "requests > 0777", "column 12: 0777 is no number" },
        { "requests > 1.2.3", "column 12: 1.2.3 is no number" },
        { "requests > 9223372036854775808x", "column 12: 9223372036854775808x is no number" },
        { "requests > 0xfg", "column 12: 0xfg is no number" },
        { "'a' == 'a'", "column 1: unexpected '''" },
        { "requests > \x01", "column 12: unexpected byte 0x01" },
        { "requests > \xff", "column 12: unexpected byte 0xff" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct trip trip;
        arena_reset(&arena);
        bool ok = CHECK(!trip_parse(&arena, slice_str(rows[i].text), &trip, error))
        &&CHECK_EQ_STR(error, rows[i].error);
        if (!ok)
            fprintf(stderr, "  in %s\n", rows[i].text);
    }
}

/* `count` times `piece`, then `end`. */
static struct slice
many(const char *piece, size_t count, const char *end)
{
    struct arena_bytes bytes = { 0 };
    for (size_t i = 0; i < count; i++)
        arena_append(&arena, &bytes, slice_str(piece));
    arena_append(&arena, &bytes, slice_str(end));
    return arena_bytes_slice(&bytes);
}

TEST(length_and_nesting_are_bounded)
{
    static const char *const pieces[] = { "(",        "!",    "- ",      "true ? true : ",
                                          "true || ", "int(", "true ? (" };
    struct trip trip;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        CHECK(!trip_parse(&arena, many(pieces[i], 100000, "true"), &trip, error));
    CHECK(strstr(error, "nested too deeply") != NULL);
    CHECK(!trip_parse(&arena, many("true || ", LIMIT_trip_ops_max / 2, "true"), &trip, error));
    CHECK(strstr(error, "too long") != NULL);
    REQUIRE(trip_parse(&arena, many("true && ", LIMIT_trip_ops_max / 2 - 1, "true"), &trip, error));
    CHECK(trip_is_met(&trip, &counts));
    /* As deep a stack as there can be. */
    struct slice deep = many("true && (", LIMIT_trip_depth_max - 1, "true");
    struct slice whole = arena_printf(&arena, SLICE_FMT SLICE_FMT, SLICE_ARG(deep),
                                      SLICE_ARG(many(")", LIMIT_trip_depth_max - 1, "")));
    REQUIRE(trip_parse(&arena, whole, &trip, error));
    CHECK(trip_is_met(&trip, &counts));
}

TEST(a_copy_outlives_what_it_was_made_from)
{
    struct arena first;
    struct trip trip, copy;
    arena_init(&first);
    REQUIRE(trip_parse(&first, SLICE("totalFailures == 6"), &trip, error));
    trip_copy(&arena, &trip, &copy);
    arena_fini(&first);
    CHECK_SLICE_IS(copy.text, "totalFailures == 6");
    CHECK(trip_is_met(&copy, &counts));
}
