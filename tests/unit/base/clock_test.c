/* SPDX-License-Identifier: Apache-2.0 */
/* Time and its stand-in. */
#include "base/clock.h"

#include "test.h"

TEST(real_time_goes_forward)
{
    uint64_t before = clock_now_ns();
    uint64_t after = clock_now_ns();
    CHECK(after >= before && before > 0);
    CHECK(clock_now_ms() >= before / 1000000u);
    CHECK(clock_unix_ms() > 1700000000000);
}

TEST(fake_time_stands_until_moved)
{
    clock_fake(5000000, 1000);
    CHECK_EQ_U64(clock_now_ns(), 5000000);
    CHECK_EQ_U64(clock_now_ms(), 5);
    CHECK_EQ_INT(clock_unix_ms(), 1000);
    clock_advance_ms(20);
    CHECK_EQ_U64(clock_now_ms(), 25);
    CHECK_EQ_INT(clock_unix_ms(), 1020);
    clock_use_real();
    CHECK(clock_unix_ms() > 1700000000000);
}

TEST(rfc3339_shows_milliseconds_only_if_there_are_any)
{
    char text[CLOCK_RFC3339_BYTES];
    CHECK_SLICE_IS(clock_rfc3339(0, text), "1970-01-01T00:00:00Z");
    CHECK_SLICE_IS(clock_rfc3339(1764089229000, text), "2025-11-25T16:47:09Z");
    CHECK_SLICE_IS(clock_rfc3339(1764089229007, text), "2025-11-25T16:47:09.007Z");
    CHECK_SLICE_IS(clock_rfc3339(-1, text), "1969-12-31T23:59:59.999Z");
    CHECK_SLICE_IS(clock_rfc3339(-1000, text), "1969-12-31T23:59:59Z");
    CHECK_SLICE_IS(clock_rfc3339(951782400000, text), "2000-02-29T00:00:00Z");
    CHECK_SLICE_IS(clock_rfc3339(253402300799000, text), "9999-12-31T23:59:59Z");
    CHECK_SLICE_IS(clock_rfc3339(253402300800000, text), "");
    CHECK_SLICE_IS(clock_rfc3339(INT64_MAX, text), "");
    CHECK_SLICE_IS(clock_rfc3339(INT64_MIN, text), "");
}
