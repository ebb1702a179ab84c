/* SPDX-License-Identifier: Apache-2.0 */
/* Delays between attempts; see backoff.h. */
#include "resiliency/backoff.h"

enum { INITIAL_MS = 500 };

void
backoff_start(struct backoff *backoff, const struct retry_policy *policy, uint64_t now_ms,
              uint64_t seed)
{
    uint64_t most_ms = policy->delay_ms_max;
    *backoff = (struct backoff){ .policy = policy,
                                 .started_ms = now_ms,
                                 .interval_ms = INITIAL_MS < most_ms ? INITIAL_MS : most_ms,
                                 .random = seed };
}

/* SplitMix64. */
static uint64_t
draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t
exponential(struct backoff *backoff)
{
    uint64_t interval_ms = backoff->interval_ms, most_ms = backoff->policy->delay_ms_max;
    uint64_t delay_ms = interval_ms - interval_ms / 2 + draw(&backoff->random) % (interval_ms + 1);
    backoff->interval_ms = interval_ms >= most_ms / 3 * 2 ? most_ms : interval_ms * 3 / 2;
    return delay_ms;
}

bool
backoff_next(struct backoff *backoff, uint64_t now_ms, uint64_t *ret_delay_ms)
{
    const struct retry_policy *policy = backoff->policy;
    if (policy->retries_max >= 0 && backoff->retries >= policy->retries_max)
        return false;
    if (policy->is_exponential && policy->elapsed_ms_max > 0 &&
        now_ms - backoff->started_ms > policy->elapsed_ms_max)
        return false;
    backoff->retries++;
    *ret_delay_ms = policy->is_exponential ? exponential(backoff) : policy->delay_ms;
    return true;
}
