/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules: eight bytes of an instant, then the text. The time that comes is one the schedule
 * names, is later, and none is between: what is asked for from just before it is the same. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "plugins/cron/parse.c"
#include "plugins/cron/schedule.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An hour more during every second half of a year of 360 days. */
static int64_t
seasons(const void *zone, int64_t unix_s)
{
    (void)zone;
    return unix_s / (180 * 86400) % 2 == 0 ? 3600 : 7200;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[SCHEDULE_ERROR_BYTES] = "";
    struct schedule schedule = { 0 };
    int64_t after, next = 0, again = 0;
    if (size < sizeof after)
        return 0;
    memcpy(&after, data, sizeof after);
    after %= INT64_C(100) * 366 * 86400;
    const struct remora_slice text = { (const char *)data + sizeof after, size - sizeof after };
    if (!schedule_parse(text, &schedule, error)) {
        assert(error[0] != '\0' && strlen(error) < sizeof error);
        return 0;
    }
    assert(schedule.every_ms >= 0 && strlen(schedule.zone) < sizeof schedule.zone);
    if (schedule.every_ms > 0 || !schedule_next(&schedule, after, seasons, NULL, &next))
        return 0;
    assert(next > after);
    assert(schedule_next(&schedule, next - 1, seasons, NULL, &again) && again == next);
    const int64_t middle = after + (next - after) / 2;
    assert(schedule_next(&schedule, middle, seasons, NULL, &again) &&
           (middle == next || again == next));
    return 0;
}
