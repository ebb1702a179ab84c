/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What cron-clock.py asks: from each line, "FROM END SCHEDULE" with Unix times, the times of the
 * schedule after FROM and up to END, on one line; 1,000 at most. Ends at the end of the input.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "plugins/cron/schedule.h"
#include "plugins/cron/zone.h"

enum { TIMES_MAX = 1000 };

static bool
take_time(const char **line, int64_t *ret)
{
    const size_t len = strcspn(*line, " ");
    const struct remora_slice word = { *line, len };
    *line += len + ((*line)[len] == ' ');
    return remora_parse_i64(word, ret);
}

static bool
answer(const char *line)
{
    char error[SCHEDULE_ERROR_BYTES];
    struct schedule schedule;
    int64_t from, end;
    if (!take_time(&line, &from) || !take_time(&line, &end))
        return false;
    const struct remora_slice text = { line, strlen(line) };
    if (!schedule_parse(text, &schedule, error)) {
        puts(error);
        return true;
    }
    for (int i = 0; i < TIMES_MAX; i++) {
        if (!schedule_next(&schedule, from, zone_offset, schedule.has_zone ? schedule.zone : NULL,
                           &from) ||
            from > end)
            break;
        printf("%" PRId64 " ", from);
    }
    puts("");
    return true;
}

int
main(void)
{
    char line[4096];
    zone_setup();
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (!answer(line))
            return 1;
    }
    return 0;
}
