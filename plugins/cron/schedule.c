/* SPDX-License-Identifier: Apache-2.0 */
/* The instants that a schedule names; see schedule.h. How one is read is in parse.c. */
#include "schedule.h"

#include "parse.h"

enum {
    MINUTE_S = 60,
    HOUR_S = 60 * 60,
    DAY_S = 24 * 60 * 60,
    /* Leap days are eight years apart at most (1896 and 1904, 2096 and 2104). */
    SEARCH_DAYS = 9 * 366,
};

/* --- calendar ----------------------------------------------------------------------------------*/

struct date {
    unsigned day, month, weekday; /* from 1, from 1, from 0 (Sunday) */
};

static int64_t
floor_div(int64_t number, int64_t by)
{
    return number / by - (number % by < 0);
}

/* Of the days since 1 January 1970. Years are counted from 1 March, so that the leap day is the
 * last of one; 400 of them are 146,097 days. */
static struct date
date_of(int64_t days)
{
    const int64_t shifted = days + 719468; /* since 1 March of the year 0 */
    const int64_t in_era = shifted - floor_div(shifted, 146097) * 146097;
    const int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    const int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
    const int64_t month = (5 * in_year + 2) / 153; /* 0 is March */
    return (struct date){
        .day = (unsigned)(in_year - (153 * month + 2) / 5 + 1),
        .month = (unsigned)(month < 10 ? month + 3 : month - 9),
        .weekday = (unsigned)(days + 4 - floor_div(days + 4, 7) * 7),
    };
}

static bool
has(uint64_t set, unsigned number)
{
    return (set >> number & 1) != 0;
}

static bool
has_date(const struct schedule *s, int64_t days)
{
    const struct date date = date_of(days);
    if (!has(s->month, date.month))
        return false;
    const bool day = has(s->day, date.day), weekday = has(s->weekday, date.weekday);
    return ((s->day | s->weekday) & SET_STAR) != 0 ? day && weekday : day || weekday;
}

/* --- times of a day ----------------------------------------------------------------------------*/

/* The least number of the set from `from` to `to`; -1: none. */
static int
least(uint64_t set, unsigned from, unsigned to)
{
    for (unsigned n = from; n <= to; n++)
        if (has(set, n))
            return (int)n;
    return -1;
}

/* The first second of a day from `from` on that the schedule names; -1: none. */
static int64_t
time_from(const struct schedule *s, int64_t from)
{
    for (unsigned hour = (unsigned)(from / HOUR_S); hour < 24; hour++) {
        const int64_t in_hour = from > hour * HOUR_S ? from - hour * HOUR_S : 0;
        if (!has(s->hour, hour))
            continue;
        for (unsigned minute = (unsigned)(in_hour / MINUTE_S); minute < 60; minute++) {
            const int64_t second = in_hour > minute * MINUTE_S ? in_hour - minute * MINUTE_S : 0;
            const int found = has(s->minute, minute) ? least(s->second, (unsigned)second, 59) : -1;
            if (found >= 0)
                return hour * HOUR_S + minute * MINUTE_S + found;
        }
    }
    return -1;
}

/* The first of the seconds from `from` to before `end` of a wall clock that runs on evenly. */
static bool
first_within(const struct schedule *s, int64_t from, int64_t end, int64_t *ret_s)
{
    while (from < end) {
        const int64_t days = floor_div(from, DAY_S);
        const int64_t time = has_date(s, days) ? time_from(s, from - days * DAY_S) : -1;
        if (time >= 0) {
            *ret_s = days * DAY_S + time;
            return *ret_s < end;
        }
        from = (days + 1) * DAY_S;
    }
    return false;
}

/* --- the next instant --------------------------------------------------------------------------*/

/* The first instant behind `from` and before `end` at which the offset is another; `end` if it is
 * the same there. A zone changes its clocks once a day at most. */
static int64_t
change_before(int64_t from, int64_t end, schedule_offset *offset, const void *zone)
{
    const int64_t before = offset(zone, from);
    int64_t same = from, other = end;
    if (offset(zone, end) == before)
        return end;
    while (other - same > 1) {
        const int64_t middle = same + (other - same) / 2;
        if (offset(zone, middle) == before)
            same = middle;
        else
            other = middle;
    }
    return other;
}

/* Between two changes of the zone the wall clock runs on evenly, and the calendar tells. */
bool
schedule_next(const struct schedule *schedule, int64_t after_s, schedule_offset *offset,
              const void *zone, int64_t *ret_next_s)
{
    const int64_t limit = after_s + (int64_t)SEARCH_DAYS * DAY_S;
    for (int64_t from = after_s + 1; from < limit;) {
        const int64_t end = change_before(from, from + DAY_S, offset, zone);
        const int64_t ahead = offset(zone, from);
        int64_t wall;
        if (first_within(schedule, from + ahead, end + ahead, &wall)) {
            *ret_next_s = wall - ahead;
            return true;
        }
        from = end;
    }
    return false;
}
