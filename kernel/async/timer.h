/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binary heap of deadlines in milliseconds of clock_now_ms(). Timers are embedded in their
 * owners; setting, moving and stopping one costs O(log n) and no memory of its own. Owned by one
 * worker, whose thread alone touches it. h2o's own timeouts are lists of one fixed duration, which
 * is why they are not used.
 */
#ifndef ASYNC_TIMER_H
#define ASYNC_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer;
/* Runs on the worker, outside any task; the timer is stopped and may be set again or freed. */
typedef void timer_fn(struct timer *timer);

struct timer {
    uint64_t at_ms;
    size_t index; /* place in the heap + 1; 0: stopped */
    timer_fn *fn;
};

struct timer_heap {
    struct timer **items;
    size_t count;
    size_t capacity;
    uint64_t floor_ms; /* while timers run: nothing can be set for before this */
};

void timer_heap_fini(struct timer_heap *heap);

static inline void
timer_init(struct timer *timer, timer_fn *fn)
{
    *timer = (struct timer){ .fn = fn };
}

static inline bool
timer_is_set(const struct timer *timer)
{
    return timer->index != 0;
}

/* Sets or moves it. */
void timer_set(struct timer_heap *heap, struct timer *timer, uint64_t at_ms);
void timer_stop(struct timer_heap *heap, struct timer *timer);
/* UINT64_MAX if no timer is set. */
uint64_t timer_heap_next_ms(const struct timer_heap *heap);
/* Runs all that are due at now_ms. What they set for now or earlier is due a millisecond later, so
 * that a timer which sets itself again for now cannot keep the worker here. */
void timer_heap_run(struct timer_heap *heap, uint64_t now_ms);

#endif
