/* SPDX-License-Identifier: Apache-2.0 */
/* Every schedule of retries (REFERENCE-BEHAVIOUR §16). */
#include "resiliency/backoff.h"

#include "test.h"

static const struct retry_policy exponential = {
    .is_exponential = true, .delay_ms_max = 60000, .elapsed_ms_max = 900000, .retries_max = -1
};

TEST(a_constant_delay_never_changes_and_ends_after_so_many_retries)
{
    const struct retry_policy policy = { .delay_ms = 100, .delay_ms_max = 7, .retries_max = 3 };
    struct backoff backoff;
    uint64_t delay_ms;
    backoff_start(&backoff, &policy, 0, 1);
    for (unsigned i = 0; i < 3; i++) {
        REQUIRE(backoff_next(&backoff, i * 1000000000u, &delay_ms));
        CHECK_EQ_U64(delay_ms, 100);
    }
    CHECK(!backoff_next(&backoff, 0, &delay_ms));
}

TEST(none_is_none_and_without_a_limit_there_is_always_one_more)
{
    const struct retry_policy none = { .retries_max = 0 }, all = { .retries_max = -1 };
    struct backoff backoff;
    uint64_t delay_ms;
    backoff_start(&backoff, &none, 0, 1);
    CHECK(!backoff_next(&backoff, 0, &delay_ms));
    backoff_start(&backoff, &all, 0, 1);
    for (unsigned i = 0; i < 100000; i++)
        REQUIRE(backoff_next(&backoff, 0, &delay_ms) && delay_ms == 0);
}

TEST(an_exponential_delay_grows_by_half_and_is_drawn_from_half_to_one_and_a_half)
{
    static const uint64_t intervals_ms[] = { 500,  750,   1125,  1687,  2530,  3795,  5692,
                                             8538, 12807, 19210, 28815, 43222, 60000, 60000 };
    enum { COUNT = sizeof intervals_ms / sizeof intervals_ms[0], SEEDS = 2000 };
    uint64_t least[COUNT], most[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        least[i] = UINT64_MAX, most[i] = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct backoff backoff;
        backoff_start(&backoff, &exponential, 0, seed * 977);
        for (size_t i = 0; i < COUNT; i++) {
            uint64_t delay_ms;
            REQUIRE(backoff_next(&backoff, 0, &delay_ms));
            least[i] = delay_ms < least[i] ? delay_ms : least[i];
            most[i] = delay_ms > most[i] ? delay_ms : most[i];
        }
    }
    for (size_t i = 0; i < COUNT; i++) {
        bool ok = CHECK(least[i] >= intervals_ms[i] / 2)
        &&CHECK(most[i] <= intervals_ms[i] * 3 / 2 + 1)
        &&CHECK(least[i] < intervals_ms[i] * 6 / 10)
        &&/* all of the range is drawn from */
            CHECK(most[i] > intervals_ms[i] * 14 / 10);
        if (!ok)
            fprintf(stderr, "  retry %zu: %llu to %llu\n", i + 1, (unsigned long long)least[i],
                    (unsigned long long)most[i]);
    }
}

TEST(an_exponential_delay_is_capped_before_it_is_drawn)
{
    struct retry_policy policy = exponential;
    policy.delay_ms_max = 100;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct backoff backoff;
        uint64_t delay_ms;
        backoff_start(&backoff, &policy, 0, seed);
        for (unsigned i = 0; i < 50; i++)
            REQUIRE(backoff_next(&backoff, 0, &delay_ms) && delay_ms >= 50 && delay_ms <= 150);
    }
}

TEST(an_exponential_one_gives_up_after_a_quarter_of_an_hour)
{
    struct backoff backoff;
    uint64_t delay_ms;
    backoff_start(&backoff, &exponential, 5000, 1);
    CHECK(backoff_next(&backoff, 905000, &delay_ms));
    CHECK(!backoff_next(&backoff, 905001, &delay_ms));
}

TEST(its_retries_are_limited_too_and_huge_delays_do_not_overflow)
{
    struct retry_policy policy = exponential;
    struct backoff backoff;
    uint64_t delay_ms = 0;
    policy.retries_max = 2;
    backoff_start(&backoff, &policy, 0, 1);
    CHECK(backoff_next(&backoff, 0, &delay_ms) && backoff_next(&backoff, 0, &delay_ms));
    CHECK(!backoff_next(&backoff, 0, &delay_ms));
    policy.retries_max = -1;
    policy.delay_ms_max = INT64_MAX / 1000000;
    backoff_start(&backoff, &policy, 0, 1);
    for (unsigned i = 0; i < 1000; i++)
        REQUIRE(backoff_next(&backoff, 0, &delay_ms) &&
                delay_ms <= policy.delay_ms_max * 3 / 2 + 1);
    CHECK(delay_ms >= policy.delay_ms_max / 2);
    policy.delay_ms_max = 0;
    backoff_start(&backoff, &policy, 0, 1);
    CHECK(backoff_next(&backoff, 0, &delay_ms) && delay_ms == 0);
}
