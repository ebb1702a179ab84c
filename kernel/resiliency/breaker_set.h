/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All circuit breakers of the process: a group for each target, in it one for each instance. Of
 * each, the ones used longest ago make room, so that neither many instances nor many targets
 * collect without a bound. Outlives the policies it was made for.
 *
 * Any thread: one lock for the set, held for a look-up.
 */
#ifndef RESILIENCY_BREAKER_SET_H
#define RESILIENCY_BREAKER_SET_H

#include "base/slice.h"
#include "resiliency/breaker.h"

struct breaker_set;

/* Whose breakers they are; texts are copied with the first use. */
struct breaker_owner {
    enum target_kind kind;
    bool is_inbound;
    struct slice name;   /* of the target */
    struct slice target; /* as metrics call it */
    struct slice document;
    struct slice namespace_;
    uint32_t breakers_max;
};

struct breaker_set *breaker_set_new(void);
struct breaker_set *breaker_set_ref(struct breaker_set *set);
void breaker_set_unref(struct breaker_set *set); /* NULL is nothing */

/* The owner's breaker for an instance; made anew if there is none, or one of another policy. One
 * reference. */
struct breaker *breaker_set_get(struct breaker_set *set, const struct breaker_owner *owner,
                                const struct breaker_policy *policy, struct slice instance);

/* What became of an owner's breakers last, for metrics. */
struct breaker_report {
    struct breaker_owner owner;
    enum breaker_state state; /* of the one that was used last */
};

/* Under the lock: short, and without calling back. */
typedef void breaker_report_fn(void *arg, const struct breaker_report *report);
void breaker_set_each(struct breaker_set *set, breaker_report_fn *fn, void *arg);

/* Forgets the groups whose breakers are not of the policy that applies now (NULL: none). Under the
 * lock: `policy_of` must not call back. */
typedef const struct breaker_policy *
breaker_policy_fn(void *arg, const struct breaker_owner *owner);
void breaker_set_prune(struct breaker_set *set, breaker_policy_fn *policy_of, void *arg);

#endif
