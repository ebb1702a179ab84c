/* SPDX-License-Identifier: Apache-2.0 */
/* Monotonic and wall time with a switch for tests; see clock.h. */
#include "base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

static bool is_fake;
static uint64_t fake_now_ns;
static int64_t fake_unix_ms;

uint64_t
clock_now_ns(void)
{
    if (is_fake)
        return fake_now_ns;
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t
clock_now_ms(void)
{
    return clock_now_ns() / 1000000u;
}

uint64_t
clock_coarse_ms(void)
{
    if (is_fake)
        return fake_now_ns / 1000000u;
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &ts); /* cannot fail for this clock */
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

int64_t
clock_unix_ns(void)
{
    if (is_fake)
        return fake_unix_ms * 1000000;
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail for this clock */
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t
clock_unix_ms(void)
{
    return clock_unix_ns() / 1000000;
}

struct slice
clock_rfc3339(int64_t unix_ms, char ret_text[CLOCK_RFC3339_BYTES])
{
    int64_t ms = unix_ms % 1000;
    time_t seconds = (time_t)(unix_ms / 1000);
    if (ms < 0) {
        ms += 1000;
        seconds -= 1;
    }
    struct tm tm = { 0 };
    if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year > 8099 || tm.tm_year < -1900)
        return SLICE_EMPTY; /* a year RFC 3339 cannot write */
    size_t len = strftime(ret_text, CLOCK_RFC3339_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
    int more = ms == 0 ? snprintf(ret_text + len, CLOCK_RFC3339_BYTES - len, "Z")
                       : snprintf(ret_text + len, CLOCK_RFC3339_BYTES - len, ".%03dZ", (int)ms);
    return slice_of(ret_text, len + (size_t)more);
}

void
clock_fake(uint64_t now_ns, int64_t unix_ms)
{
    is_fake = true;
    fake_now_ns = now_ns;
    fake_unix_ms = unix_ms;
}

void
clock_advance_ms(uint64_t ms)
{
    fake_now_ns += ms * 1000000u;
    fake_unix_ms += (int64_t)ms;
}

void
clock_use_real(void)
{
    is_fake = false;
}
