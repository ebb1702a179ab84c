/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ticks of a schedule, on the plugin's loop.
 *
 * Times of a wall clock are waited for by the wall clock. If somebody sets it forward over one,
 * that comes at once, and once however many there were; if back, the next one stays where it was,
 * so that none comes twice. "@every" is a distance and knows nothing of that clock.
 */
#ifndef CRON_PLUGIN_TICKER_H
#define CRON_PLUGIN_TICKER_H

#include <ev.h>

#include "schedule.h"

struct ticker {
    const struct schedule *schedule;        /* borrowed */
    void (*on_tick)(struct ticker *ticker); /* may stop it */
    int64_t next_s;
    ev_periodic at;
    ev_timer every;
};

/* False: there will be no tick ever. */
bool ticker_start(struct ticker *ticker, const struct schedule *schedule,
                  void (*on_tick)(struct ticker *ticker));
/* Twice is once; also one that is all zeros. */
void ticker_stop(struct ticker *ticker);

#endif
