/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedules as text and the instants they name; knows neither a clock nor a loop. What it takes is
 * what the reference's component takes:
 *
 *   [TZ=ZONE |CRON_TZ=ZONE ][SECOND ]MINUTE HOUR DAY MONTH WEEKDAY    0 30 9 * * mon-fri
 *   [...]@yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly
 *   @every DURATION                                                   @every 1h30m10s
 *
 * A field is a list with commas of `*`, `?`, a number or a name, a range of them, each with a step
 * behind a slash. If neither day nor weekday is a star, a date is meant that is one of the two.
 *
 * A time that a zone skips does not come that day; one that it has twice comes twice.
 */
#ifndef CRON_PLUGIN_SCHEDULE_H
#define CRON_PLUGIN_SCHEDULE_H

#include <remora_plugin.h>

enum {
    SCHEDULE_BYTES_MAX = 1024,
    SCHEDULE_ERROR_BYTES = 320,
    SCHEDULE_ZONE_BYTES = 128,
};

/* Bit n of a set stands for the number n; bit 63 for a star. */
struct schedule {
    int64_t every_ms; /* 0: the rest applies */
    uint64_t second, minute, hour, day, month, weekday;
    bool has_zone;
    char zone[SCHEDULE_ZONE_BYTES]; /* as written; whether there is such a one is not asked here */
};

/* False with words. */
bool schedule_parse(struct remora_slice text, struct schedule *ret_schedule,
                    char ret_error[SCHEDULE_ERROR_BYTES]);

/* Seconds that the wall clocks of the schedule's zone are ahead of UTC at an instant. */
typedef int64_t schedule_offset(const void *zone, int64_t unix_s);

/* The first instant after `after_s` (Unix seconds) that the schedule names; of one that is not
 * "@every". False: none within the next nine years, which is to say none (31 February). */
bool schedule_next(const struct schedule *schedule, int64_t after_s, schedule_offset *offset,
                   const void *zone, int64_t *ret_next_s);

#endif
