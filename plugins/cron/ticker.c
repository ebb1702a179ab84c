/* SPDX-License-Identifier: Apache-2.0 */
/* Ticks; see ticker.h. */
#include "ticker.h"

#include <time.h>

#include "zone.h"

static int64_t
now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
    return now.tv_sec;
}

static void
on_every(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct ticker *ticker = timer->data;
    (void)loop;
    (void)events;
    ticker->on_tick(ticker);
}

/* After `after_s`; false: nothing is waited for. */
static bool
arm(struct ticker *ticker, int64_t after_s)
{
    const struct schedule *schedule = ticker->schedule;
    const void *zone = schedule->has_zone ? schedule->zone : NULL;
    if (!schedule_next(schedule, after_s, zone_offset, zone, &ticker->next_s))
        return false;
    ev_periodic_set(&ticker->at, (ev_tstamp)ticker->next_s, 0., NULL);
    ev_periodic_start(remora_loop(), &ticker->at);
    return true;
}

static void
on_time(struct ev_loop *loop, ev_periodic *periodic, int events)
{
    struct ticker *ticker = periodic->data;
    const int64_t now = now_s();
    (void)events;
    if (now < ticker->next_s) { /* set back in this moment */
        ev_periodic_start(loop, periodic);
        return;
    }
    if (!arm(ticker, now))
        remora_log(REMORA_WARN, "cron: that was the last time the schedule names");
    ticker->on_tick(ticker);
}

bool
ticker_start(struct ticker *ticker, const struct schedule *schedule,
             void (*on_tick)(struct ticker *ticker))
{
    ticker->schedule = schedule;
    ticker->on_tick = on_tick;
    ev_init(&ticker->at, on_time);
    ticker->at.data = ticker;
    ev_init(&ticker->every, on_every);
    ticker->every.data = ticker;
    if (schedule->every_ms == 0)
        return arm(ticker, now_s());
    ev_now_update(remora_loop());
    ev_timer_set(&ticker->every, (double)schedule->every_ms / 1e3,
                 (double)schedule->every_ms / 1e3);
    ev_timer_start(remora_loop(), &ticker->every);
    return true;
}

void
ticker_stop(struct ticker *ticker)
{
    ev_periodic_stop(remora_loop(), &ticker->at);
    ev_timer_stop(remora_loop(), &ticker->every);
}
