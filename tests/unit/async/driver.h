/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives a worker's loop on the thread of the test. Either turn by turn under a fake clock, where
 * every turn is over at once and time moves only when the test says so; or until a condition holds,
 * with a deadline on the real clock.
 */
#ifndef DRIVER_H
#define DRIVER_H

#include <time.h>

#include "async/worker.h"
#include "base/clock.h"
#include "base/sanitize.h"
#include "test.h"

#ifdef HAS_TSAN
#define UNDER_TSAN true
#else
#define UNDER_TSAN false
#endif

enum { DRIVER_DEADLINE_S = 30 };

/* Not clock.h's: that one may be standing still. */
static inline double
driver_seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static inline void
turns(struct worker *worker, int count)
{
    while (count-- > 0)
        worker_turn(worker, 0);
}

/* Moves the fake clock and lets everything that is due happen. */
static inline void
pass_ms(struct worker *worker, uint64_t ms)
{
    clock_advance_ms(ms);
    turns(worker, 3);
}

#define DRIVE_UNTIL(worker, condition)                                                             \
    do {                                                                                           \
        double driver_end_ = driver_seconds() + DRIVER_DEADLINE_S;                                 \
        while (!(condition)) {                                                                     \
            worker_turn((worker), 10);                                                             \
            if (driver_seconds() > driver_end_)                                                    \
                REQUIRE(!"came true in time: " #condition);                                        \
        }                                                                                          \
    } while (0)

static inline void
driver_open(struct worker *worker)
{
    REQUIRE_OK(worker_init(worker, 0));
}

/* With a clock that stands still at a round figure. */
static inline void
driver_open_fake(struct worker *worker)
{
    clock_fake(1000 * 1000000000ull, 1700000000000);
    driver_open(worker);
}

/* Lets tasks that are ready end first. */
static inline void
driver_close(struct worker *worker)
{
    DRIVE_UNTIL(worker, worker->tasks.count == 0);
    worker_fini(worker);
    clock_use_real();
}

#endif
