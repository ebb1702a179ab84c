/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long to wait before the next attempt, and whether there is one: constant, or exponential with
 * the numbers of the reference runtime (500 ms at first, half as much again each time, each drawn
 * from half to one and a half of itself). Pure: time and chance come from the caller.
 */
#ifndef RESILIENCY_BACKOFF_H
#define RESILIENCY_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

#include "config/resiliency.h"

struct backoff {
    const struct retry_policy *policy;
    uint64_t started_ms;
    uint64_t interval_ms; /* exponential: the next one, before it is randomised */
    int64_t retries;      /* so far */
    uint64_t random;      /* state of a generator that need not be secret */
};

void backoff_start(struct backoff *backoff, const struct retry_policy *policy, uint64_t now_ms,
                   uint64_t seed);
/* False: no further attempt. */
bool backoff_next(struct backoff *backoff, uint64_t now_ms, uint64_t *ret_delay_ms);

#endif
