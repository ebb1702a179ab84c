/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedules: what is one, and the times it names, in zones of the test's own and of the system's
 * database. Instants are written as dates, and come out as dates.
 */
#include <time.h>

#include "plugins/cron/schedule.h"
#include "plugins/cron/zone.h"
#include "test.h"

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* "2026-01-31 12:00:00" in UTC. */
static int64_t
instant(const char *text)
{
    struct tm tm = { 0 };
    REQUIRE(strptime(text, "%Y-%m-%d %H:%M:%S", &tm) != NULL);
    return timegm(&tm);
}

static const char *
text_of(int64_t unix_s)
{
    static char text[64];
    struct tm tm;
    const time_t time = unix_s;
    (void)gmtime_r(&time, &tm);
    (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
    return text;
}

/* The time after `after`, both in UTC; or the words of the error, or "never". */
static const char *
next(const char *text, const char *after)
{
    static char error[SCHEDULE_ERROR_BYTES];
    struct schedule schedule;
    int64_t found;
    if (!schedule_parse(slice(text), &schedule, error))
        return error;
    if (!schedule_next(&schedule, instant(after), zone_offset,
                       schedule.has_zone ? schedule.zone : "UTC", &found))
        return "never";
    return text_of(found);
}

static const char *
error_of(const char *text)
{
    static char error[SCHEDULE_ERROR_BYTES];
    struct schedule schedule;
    return schedule_parse(slice(text), &schedule, error) ? "fine" : error;
}

struct row {
    const char *schedule, *after, *next;
};

static void
check(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!CHECK_EQ_STR(next(rows[i].schedule, rows[i].after), rows[i].next))
            fprintf(stderr, "  %s after %s\n", rows[i].schedule, rows[i].after);
}

#define CHECK_ROWS(rows) check(rows, sizeof(rows) / sizeof(rows)[0])

TEST(BIND_cron_fields_name_times)
{
    static const struct row rows[] = {
        /* five fields have no seconds, six begin with them */
        { "* * * * *", "2026-11-26 10:00:00", "2026-11-26 10:01:00" },
        { "* * * * * *", "2026-11-26 10:00:00", "2026-11-26 10:00:01" },
        { "*/15 * * * *", "2026-11-26 10:01:00", "2026-11-26 10:15:00" },
        { "*/15 * * * *", "2026-11-26 10:59:00", "2026-11-26 11:00:00" },
        { "*/15 * * * *", "2026-11-26 23:45:00", "2026-11-27 00:00:00" },
        { "15 * * * * *", "2026-11-26 10:00:15", "2026-11-26 10:01:15" },
        { "0 30 9 * * *", "2026-11-26 09:30:00", "2026-11-27 09:30:00" },
        { "0 30 9 * * *", "2026-11-26 09:29:59", "2026-11-26 09:30:00" },
        { "30 9 * * *", "2026-12-31 09:30:00", "2027-01-01 09:30:00" },
        { "0 0 */6 ? * *", "2026-11-26 06:00:00", "2026-11-26 12:00:00" },
        { "20-35/15 * * * *", "2026-07-09 15:35:00", "2026-07-09 16:20:00" },
        { "20-35/15 * * * *", "2026-07-09 15:21:00", "2026-07-09 15:35:00" },
        { "45/5 * * * *", "2026-07-09 15:51:00", "2026-07-09 15:55:00" }, /* from 45 on */
        { "0-10/100 * * * *", "2026-07-09 15:00:00", "2026-07-09 16:00:00" },
        { "5,,1 * * * *", "2026-07-09 15:01:00", "2026-07-09 15:05:00" },
        { "15/35 20-35/15 1/2 */2 * ?", "2026-07-09 23:35:51", "2026-07-11 01:20:15" },
        { " 0\t30 \n9 * *  *  ", "2026-11-26 00:00:00", "2026-11-26 09:30:00" },
        { "+5 007 * * *", "2026-11-26 00:00:00", "2026-11-26 07:05:00" },
        { "59 59 23 31 12 *", "2026-01-01 00:00:00", "2026-12-31 23:59:59" },
    };
    CHECK_ROWS(rows);
}

TEST(BIND_cron_months_and_weekdays_have_names)
{
    static const struct row rows[] = {
        { "0 0 0 1 feb *", "2026-11-26 00:00:00", "2027-02-01 00:00:00" },
        { "0 0 0 1 Feb-APR/2 *", "2027-02-01 00:00:00", "2027-04-01 00:00:00" },
        { "0 0 9 * * mon-fri", "2026-11-27 09:00:00", "2026-11-30 09:00:00" },
        { "0 0 9 * * SUN", "2026-11-26 00:00:00", "2026-11-29 09:00:00" },
        { "0 0 9 * * 0", "2026-11-26 00:00:00", "2026-11-29 09:00:00" },
        { "0 0 9 * * tue,thu,sat", "2026-11-26 09:00:00", "2026-11-28 09:00:00" },
    };
    CHECK_ROWS(rows);
}

TEST(BIND_cron_a_day_or_a_weekday_if_neither_is_a_star)
{
    static const struct row rows[] = {
        { "0 0 1,15 * sun", "2026-11-26 00:00:00", "2026-11-29 00:00:00" },
        { "0 0 1,15 * sun", "2026-11-29 00:00:00", "2026-12-01 00:00:00" },
        { "0 0 1,15 * sun", "2026-12-13 00:00:00", "2026-12-15 00:00:00" },
        /* with a star the other decides */
        { "0 0 1,15 * *", "2026-11-29 00:00:00", "2026-12-01 00:00:00" },
        { "0 0 * * sun", "2026-11-29 00:00:00", "2026-12-06 00:00:00" },
        { "0 0 */1 * sun", "2026-11-29 00:00:00", "2026-12-06 00:00:00" },
        /* a step of more than one is no star: every odd day, or a Sunday */
        { "0 0 */2 * sun", "2026-11-27 00:00:00", "2026-11-29 00:00:00" },
        { "0 0 */2 * mon", "2026-11-29 00:00:00", "2026-11-30 00:00:00" },
        { "0 0 13 * ?", "2026-11-26 00:00:00", "2026-12-13 00:00:00" },
        { "0 0 13,? * fri", "2026-11-26 00:00:00", "2026-11-27 00:00:00" },
    };
    CHECK_ROWS(rows);
}

TEST(BIND_cron_descriptors)
{
    static const struct row rows[] = {
        { "@yearly", "2026-11-26 10:00:00", "2027-01-01 00:00:00" },
        { "@annually", "2027-01-01 00:00:00", "2028-01-01 00:00:00" },
        { "@monthly", "2026-11-26 10:00:00", "2026-12-01 00:00:00" },
        { "@weekly", "2026-11-26 10:00:00", "2026-11-29 00:00:00" },
        { "@daily", "2026-11-26 10:00:00", "2026-11-27 00:00:00" },
        { "@midnight", "2026-11-26 10:00:00", "2026-11-27 00:00:00" },
        { "@hourly", "2026-11-26 10:00:00", "2026-11-26 11:00:00" },
        { "TZ=Asia/Kolkata @hourly", "2026-11-26 10:00:00", "2026-11-26 10:30:00" },
        { "CRON_TZ=Asia/Tokyo  @daily ", "2026-11-26 10:00:00", "2026-11-26 15:00:00" },
    };
    CHECK_ROWS(rows);
}

TEST(BIND_cron_leap_days_and_days_that_are_not)
{
    static const struct row rows[] = {
        { "0 0 29 2 *", "2026-11-26 10:00:00", "2028-02-29 00:00:00" },
        { "0 0 29 2 *", "2096-02-29 00:00:00", "2104-02-29 00:00:00" },
        { "0 0 29 2 *", "1999-11-26 10:00:00", "2000-02-29 00:00:00" },
        { "0 0 31 * *", "2026-08-31 00:00:00", "2026-10-31 00:00:00" },
        { "0 0 30 2 *", "2026-11-26 10:00:00", "never" },
        { "0 0 31 4,6,9,11 *", "2026-11-26 10:00:00", "never" },
        { ", * * * *", "2026-11-26 10:00:00", "never" },
    };
    CHECK_ROWS(rows);
}

TEST(BIND_cron_times_that_a_zone_skips_do_not_come)
{
    static const struct row rows[] = {
        /* 8 March 2026, 02:00 EST is 03:00 EDT, 07:00 UTC */
        { "TZ=America/New_York 0 30 2 * * *", "2026-03-07 07:30:00", "2026-03-09 06:30:00" },
        { "TZ=America/New_York 0 0 * * * *", "2026-03-08 06:00:00", "2026-03-08 07:00:00" },
        { "TZ=America/New_York 0 0 3 * * *", "2026-03-07 08:00:00", "2026-03-08 07:00:00" },
        { "TZ=America/New_York */30 * * * *", "2026-03-08 06:30:00", "2026-03-08 07:00:00" },
        /* a day that begins at one o'clock: its midnight is skipped */
        { "TZ=America/Sao_Paulo 0 0 0 * * *", "2018-11-03 03:00:00", "2018-11-05 02:00:00" },
        { "TZ=America/Sao_Paulo 0 0 1 4 11 *", "2018-11-01 00:00:00", "2018-11-04 03:00:00" },
        { "TZ=America/Sao_Paulo @daily", "2018-11-05 01:00:00", "2018-11-05 02:00:00" },
        /* by half an hour: at 02:00, 16:00 UTC less one day, it is 02:30 */
        { "TZ=Australia/Lord_Howe 0 15 2 * * *", "2026-10-03 00:00:00", "2026-10-04 15:15:00" },
        { "TZ=Australia/Lord_Howe 0 45 2 * * *", "2026-10-03 00:00:00", "2026-10-03 15:45:00" },
        { "TZ=Australia/Lord_Howe 0 0 3 * * *", "2026-10-03 00:00:00", "2026-10-03 16:00:00" },
        /* a whole day */
        { "TZ=Pacific/Apia 0 0 12 30 12 *", "2011-12-01 00:00:00", "2012-12-29 22:00:00" },
        { "TZ=Pacific/Apia 0 0 12 * * *", "2011-12-29 22:00:00", "2011-12-30 22:00:00" },
    };
    CHECK_ROWS(rows);
}

TEST(BIND_cron_times_that_a_zone_has_twice_come_twice)
{
    static const struct row rows[] = {
        /* 1 November 2026, 02:00 EDT is 01:00 EST, 06:00 UTC */
        { "TZ=America/New_York 0 30 1 * * *", "2026-10-31 05:30:00", "2026-11-01 05:30:00" },
        { "TZ=America/New_York 0 30 1 * * *", "2026-11-01 05:30:00", "2026-11-01 06:30:00" },
        { "TZ=America/New_York 0 30 1 * * *", "2026-11-01 06:30:00", "2026-11-02 06:30:00" },
        { "TZ=America/New_York 0 0 * * * *", "2026-11-01 05:00:00", "2026-11-01 06:00:00" },
        { "TZ=America/New_York 0 0 2 * * *", "2026-10-31 06:00:00", "2026-11-01 07:00:00" },
        { "TZ=America/New_York */20 * * * *", "2026-11-01 05:40:00", "2026-11-01 06:00:00" },
        { "TZ=Europe/Berlin 0 30 2 * * sun", "2026-10-25 00:30:00", "2026-10-25 01:30:00" },
        /* only half of the hour */
        { "TZ=Australia/Lord_Howe 0 45 1 5 4 *", "2026-04-04 14:45:00", "2026-04-04 15:15:00" },
        { "TZ=Australia/Lord_Howe 0 15 1 5 4 *", "2026-04-01 00:00:00", "2026-04-04 14:15:00" },
    };
    CHECK_ROWS(rows);
}

TEST(BIND_cron_zones_go_on_beyond_their_tables)
{
    static const struct row rows[] = {
        { "TZ=Europe/Berlin 0 0 12 1 7 *", "2090-01-01 00:00:00", "2090-07-01 10:00:00" },
        { "TZ=Europe/Berlin 0 0 12 1 1 *", "2089-06-01 00:00:00", "2090-01-01 11:00:00" },
        { "TZ=UTC 0 0 12 1 1 *", "1969-06-01 00:00:00", "1970-01-01 12:00:00" },
        { "TZ= 0 0 12 1 1 *", "1959-06-01 00:00:00", "1960-01-01 12:00:00" },
    };
    CHECK_ROWS(rows);
}

TEST(BIND_cron_every_is_a_distance)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        { "@every 1s", 1000 },
        { "@every 1h30m10s", 5410000 },
        { "@every 1.5h", 5400000 },
        { "@every 250ms", 250 },
        { "@every 1500us", 1 },
        { "@every 0", 1 },
        { "@every -5s", 1 },
        { "TZ=Asia/Tokyo @every 2m", 120000 },
        { "@every 1000h", 3600000000L },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char error[SCHEDULE_ERROR_BYTES] = "";
        struct schedule schedule = { 0 };
        CHECK(schedule_parse(slice(rows[i].text), &schedule, error));
        CHECK_EQ_INT(schedule.every_ms, rows[i].ms);
    }
    CHECK_EQ_STR(error_of("@every 5"),
                 "failed to parse duration @every 5: time: invalid duration \"5\"");
    CHECK_EQ_STR(error_of("@every "),
                 "failed to parse duration @every : time: invalid duration \"\"");
    CHECK_EQ_STR(error_of("@every one"),
                 "failed to parse duration @every one: time: invalid duration \"one\"");
    CHECK_EQ_STR(error_of("@every 99999999999999999999h"),
                 "failed to parse duration @every 99999999999999999999h: time: invalid duration "
                 "\"99999999999999999999h\"");
}

TEST(BIND_cron_what_is_no_schedule_is_refused_with_the_reason)
{
    static const struct {
        const char *text, *error;
    } rows[] = {
        { "", "empty spec string" },
        { "INVALID_SCHEDULE", "expected 5 to 6 fields, found 1: [INVALID_SCHEDULE]" },
        { "   ", "expected 5 to 6 fields, found 0: [   ]" },
        { "* * * *", "expected 5 to 6 fields, found 4: [* * * *]" },
        { "* * * * * * *", "expected 5 to 6 fields, found 7: [* * * * * * *]" },
        { "60 * * * *", "end of range (60) above maximum (59): 60" },
        { "* 24 * * *", "end of range (24) above maximum (23): 24" },
        { "* * 0 * *", "beginning of range (0) below minimum (1): 0" },
        { "* * 32 * *", "end of range (32) above maximum (31): 32" },
        { "* * * 13 *", "end of range (13) above maximum (12): 13" },
        { "* * * * 7", "end of range (7) above maximum (6): 7" },
        { "10-5 * * * *", "beginning of range (10) beyond end of range (5): 10-5" },
        { "1-2-3 * * * *", "too many hyphens: 1-2-3" },
        { "1/2/3 * * * *", "too many slashes: 1/2/3" },
        { "*/0 * * * *", "step of range should be a positive number: */0" },
        { "a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax" },
        { "-5 * * * *", "failed to parse int from : strconv.Atoi: parsing \"\": invalid syntax" },
        { "*/-5 * * * *", "negative number (-5) not allowed: -5" },
        { "5/ * * * *", "failed to parse int from : strconv.Atoi: parsing \"\": invalid syntax" },
        { "* * * mond *",
          "failed to parse int from mond: strconv.Atoi: parsing \"mond\": invalid syntax" },
        { "99999999999999999999 * * * *",
          "failed to parse int from 99999999999999999999: strconv.Atoi: parsing "
          "\"99999999999999999999\": invalid syntax" },
        { "@never", "unrecognized descriptor: @never" },
        { "@hourly ", "unrecognized descriptor: @hourly " },
        { "TZ=Europe/Berlin", "timezone prefix TZ=Europe/Berlin is not followed by a schedule" },
        { "TZ=UTC ", "expected 5 to 6 fields, found 0: []" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_EQ_STR(error_of(rows[i].text), rows[i].error);
    char longer[SCHEDULE_BYTES_MAX + 2];
    memset(longer, '*', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    CHECK_EQ_STR(error_of(longer), "longer than 1024 bytes");
}

TEST(BIND_cron_zones_are_files_of_the_database_and_nothing_else)
{
    CHECK(zone_exists("Europe/Berlin"));
    CHECK(zone_exists("UTC"));
    CHECK(zone_exists(""));
    CHECK(zone_exists("Local"));
    CHECK(!zone_exists("Europe/Nowhere"));
    CHECK(!zone_exists("Europe"));
    CHECK(!zone_exists("/usr/share/zoneinfo/Europe/Berlin"));
    CHECK(!zone_exists("../zoneinfo/Europe/Berlin"));
    CHECK(!zone_exists("../../../etc/passwd"));
    CHECK(!zone_exists("zone.tab"));
    CHECK(!zone_exists("EST5EDT,M3.2.0,M11.1.0"));
}

static int64_t
jumping(const void *zone, int64_t unix_s)
{
    (void)zone;
    return unix_s < 1000000 ? 0 : unix_s < 1100000 ? 86400 : -3600;
}

TEST(schedules_know_no_zone_but_by_its_offsets)
{
    char error[SCHEDULE_ERROR_BYTES] = "";
    struct schedule schedule;
    int64_t at = 900000;
    REQUIRE(schedule_parse(slice("0 0 * * * *"), &schedule, error));
    for (int i = 0; i < 200; i++) {
        int64_t found = 0;
        REQUIRE(schedule_next(&schedule, at, jumping, NULL, &found));
        CHECK_EQ_INT(found, at - at % 3600 + 3600);
        at = found;
    }
}
