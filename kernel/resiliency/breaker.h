/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A circuit breaker: closed it lets everything through and counts, open it refuses at once, and
 * half-open it lets a few through to see. Counts begin anew with every state and, while closed,
 * with every interval; what was let through before then no longer counts.
 *
 * Any thread: each has a small lock, never held across a suspension.
 */
#ifndef RESILIENCY_BREAKER_H
#define RESILIENCY_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "config/resiliency.h"

enum breaker_state { BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN, BREAKER_STATES };

/* ABANDONED: whoever asked has gone, which says nothing about the target. */
enum breaker_result { BREAKER_SUCCESS, BREAKER_FAILURE, BREAKER_ABANDONED };

struct breaker;

/* Told of a change, under the breaker's lock: short, and without calling back. */
typedef void
breaker_changed_fn(void *arg, struct slice name, enum breaker_state from, enum breaker_state to);

/* Closed; copies everything. `on_changed` may be NULL. One reference. */
struct breaker *breaker_new(struct slice name, const struct breaker_policy *policy,
                            breaker_changed_fn *on_changed, void *arg);
struct breaker *breaker_ref(struct breaker *breaker);
void breaker_unref(struct breaker *breaker); /* NULL is nothing */

/* Whether it would be made from this policy just so. */
bool breaker_is_of(const struct breaker *breaker, const struct breaker_policy *policy);

/* False: refused, and *ret_words is why. Else breaker_leave() follows with the number. */
bool breaker_enter(struct breaker *breaker, uint64_t *ret_generation,
                   const char **ret_words) WARN_UNUSED;
/* True if that changed the state. */
bool breaker_leave(struct breaker *breaker, uint64_t generation, enum breaker_result result);

/* As of the last enter or leave. */
enum breaker_state breaker_state(struct breaker *breaker);
/* "closed", "half-open", "open". */
const char *breaker_state_name(enum breaker_state state);

#endif
