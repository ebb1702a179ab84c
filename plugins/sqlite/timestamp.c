/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text form of points in time. gmtime_r() and timegm() do the calendar.
 */
#include "timestamp.h"

#include <stdio.h>
#include <time.h>

int64_t timestamp_shift_s;

int64_t
timestamp_now_unix_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec + timestamp_shift_s;
}

int64_t
timestamp_now_unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (now.tv_sec + timestamp_shift_s) * 1000 + now.tv_nsec / 1000000;
}

bool
timestamp_format(int64_t unix_s, struct timestamp *ret)
{
    time_t seconds = (time_t)unix_s;
    struct tm tm;
    if (unix_s < 0 || gmtime_r(&seconds, &tm) == NULL || tm.tm_year + 1900 > 9999)
        return false;
    /* The masks tell the compiler what the calendar already guarantees: two digits each. */
    snprintf(ret->text, sizeof(ret->text), "%04u-%02u-%02u %02u:%02u:%02u",
             (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
             (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
             (unsigned)tm.tm_sec % 100);
    return true;
}

static bool
number(const char *text, size_t digits, int *ret)
{
    int value = 0;
    for (size_t i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (text[i] - '0');
    }
    *ret = value;
    return true;
}

bool
timestamp_parse(const char *text, size_t len, int64_t *ret_unix_s)
{
    struct tm tm = { .tm_isdst = 0 };
    if (len < TIMESTAMP_LEN || text[4] != '-' || text[7] != '-' ||
        (text[10] != ' ' && text[10] != 'T') || text[13] != ':' || text[16] != ':')
        return false;
    if (!number(text, 4, &tm.tm_year) || !number(text + 5, 2, &tm.tm_mon) ||
        !number(text + 8, 2, &tm.tm_mday) || !number(text + 11, 2, &tm.tm_hour) ||
        !number(text + 14, 2, &tm.tm_min) || !number(text + 17, 2, &tm.tm_sec))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *ret_unix_s = (int64_t)timegm(&tm);
    return true;
}
