/* SPDX-License-Identifier: Apache-2.0 */
/* bindings.cron: an event at the times of a schedule. Read on in schedule.h. */
#include <stdio.h>
#include <time.h>

#include "../shared/memory.h"
#include "ticker.h"
#include "zone.h"

struct cron {
    struct schedule schedule;
    struct ticker ticker; /* first to be stopped */
    uint64_t reading;     /* 0: nobody reads */
    uint32_t window;
    uint32_t open;  /* events without an answer yet */
    bool is_closed; /* the last answer frees it */
    bool is_due;    /* a tick found no place in the window: it comes when there is one */
    remora_call *stopping, *quiescing; /* wait for `open` to be 0 */
};

/* --- events ------------------------------------------------------------------------------------*/

/* As Go prints a time: "2026-11-26 06:19:12.5 +0000 UTC", no zeros at the end of the fraction. */
static size_t
print_now(char *out, size_t bytes)
{
    struct timespec now;
    struct tm utc;
    char fraction[16] = "";
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
    (void)gmtime_r(&now.tv_sec, &utc);
    int len = snprintf(fraction, sizeof fraction, ".%09ld", now.tv_nsec);
    while (len > 0 && fraction[len - 1] == '0')
        fraction[--len] = '\0';
    if (len == 1)
        fraction[0] = '\0';
    len = snprintf(out, bytes, "%04d-%02d-%02d %02d:%02d:%02d%s +0000 UTC", utc.tm_year + 1900,
                   utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, fraction);
    return (size_t)len;
}

static void
settle(struct cron *cron)
{
    remora_call *stopping = cron->stopping, *quiescing = cron->quiescing;
    if (cron->open > 0)
        return;
    cron->stopping = cron->quiescing = NULL;
    if (stopping != NULL)
        remora_reply_ok(stopping);
    if (quiescing != NULL)
        remora_reply_ok(quiescing);
}

static void hand_over(struct cron *cron);

/* What the application makes of it is its own affair: a tick does not come again. */
static void
on_answered(bool is_handled, struct remora_slice data, const struct remora_pair *metadata,
            size_t metadata_count, void *arg)
{
    struct cron *cron = arg;
    (void)is_handled;
    (void)data;
    (void)metadata;
    (void)metadata_count;
    cron->open--;
    if (cron->is_closed && cron->open == 0) {
        free(cron);
        return;
    }
    if (cron->is_due && cron->reading != 0)
        hand_over(cron);
    settle(cron);
}

static void
hand_over(struct cron *cron)
{
    static const struct remora_slice zone_name = { "timeZone", 8 };
    static const struct remora_slice time_name = { "readTimeUTC", 11 };
    char time[80];
    const struct remora_slice zone = { zone_local_name(), strlen(zone_local_name()) };
    const struct remora_slice now = { time, print_now(time, sizeof time) };
    const struct remora_pair metadata[] = { { zone_name, zone }, { time_name, now } };
    const struct remora_event event = { .data = { "", 0 }, metadata, 2 };
    cron->is_due = false;
    cron->open++;
    remora_binding_event(cron->reading, &event, on_answered, cron);
}

static void
on_tick(struct ticker *ticker)
{
    struct cron *cron = (struct cron *)((char *)ticker - offsetof(struct cron, ticker));
    if (cron->open < cron->window) {
        hand_over(cron);
        return;
    }
    if (!cron->is_due)
        remora_log(REMORA_WARN,
                   "cron: %u events have no answer yet: the next one waits, and is one for all "
                   "times that come meanwhile",
                   cron->open);
    cron->is_due = true;
}

/* --- reading -----------------------------------------------------------------------------------*/

static void
stop_ticks(struct cron *cron)
{
    ticker_stop(&cron->ticker);
    cron->reading = 0;
    cron->is_due = false;
}

static void
read_events(remora_call *call, void *self, uint64_t reading, uint32_t window)
{
    struct cron *cron = self;
    stop_ticks(cron);
    cron->reading = reading;
    cron->window = window;
    if (!ticker_start(&cron->ticker, &cron->schedule, on_tick))
        remora_log(REMORA_WARN, "cron: the schedule names no time: there will be no event");
    remora_reply_ok(call);
}

static void
stop(remora_call *call, void *self, uint64_t reading)
{
    struct cron *cron = self;
    if (cron->reading == reading)
        stop_ticks(cron);
    if (cron->stopping != NULL) {
        remora_reply_error(call, REMORA_FAILED_PRECONDITION, "it is being stopped");
        return;
    }
    cron->stopping = call;
    settle(cron);
}

static void
quiesce(remora_call *call, void *self)
{
    struct cron *cron = self;
    stop_ticks(cron);
    cron->quiescing = call;
    settle(cron);
}

/* --- life --------------------------------------------------------------------------------------*/

static bool
setup(void)
{
    zone_setup();
    return true;
}

static void
init(remora_call *call, const struct remora_config *config)
{
    char error[SCHEDULE_ERROR_BYTES];
    struct remora_slice text;
    struct cron *cron = memory_new(sizeof *cron);
    if (!remora_metadata_get(config->metadata, config->metadata_count, "schedule", &text) ||
        text.len == 0) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "schedule not set");
    } else if (!schedule_parse(text, &cron->schedule, error)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "invalid schedule format '%.*s': %s",
                           (int)(text.len < 200 ? text.len : 200), text.data, error);
    } else if (cron->schedule.has_zone && !zone_exists(cron->schedule.zone)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "invalid schedule format '%.*s': provided bad location %s: unknown time "
                           "zone %s",
                           (int)(text.len < 200 ? text.len : 200), text.data, cron->schedule.zone,
                           cron->schedule.zone);
    } else {
        remora_reply_init(call, cron, REMORA_CAP_INPUT_BINDING, 0);
        return;
    }
    free(cron);
}

static void
close_cron(void *self)
{
    struct cron *cron = self;
    stop_ticks(cron);
    cron->is_closed = true;
    if (cron->open == 0)
        free(cron);
}

static const struct remora_binding_ops ops = {
    .operations = "", /* nothing can be asked of it */
    .read = read_events,
    .stop = stop,
};

int
main(int argc, char **argv)
{
    static const struct remora_component_type types[] = {
        { .type = "bindings.cron",
          .versions = "v1",
          .init = init,
          .quiesce = quiesce,
          .close = close_cron,
          .binding = &ops },
    };
    static const struct remora_plugin plugin = {
        .name = "cron",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
        .setup = setup,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
