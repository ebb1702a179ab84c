/* SPDX-License-Identifier: Apache-2.0 */
/* The states of a circuit breaker; see breaker.h. Those of the gobreaker library, which the
 * reference runtime uses, down to what counts and when. */
#include "resiliency/breaker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/macros.h"

struct breaker {
    atomic_uint refs;
    struct slice name; /* owned */
    struct breaker_policy policy;
    struct arena arena; /* of the policy */
    breaker_changed_fn *on_changed;
    void *arg;
    pthread_mutex_t lock; /* for all below */
    enum breaker_state state;
    uint64_t generation; /* of the counts */
    struct trip_counts counts;
    uint64_t expires_ms; /* of a closed one's counts, or of the open state; UINT64_MAX: never */
};

static const char *const state_names[BREAKER_STATES] = {
    [BREAKER_CLOSED] = "closed",
    [BREAKER_HALF_OPEN] = "half-open",
    [BREAKER_OPEN] = "open",
};

const char *
breaker_state_name(enum breaker_state state)
{
    return state_names[state];
}

/* --- under the lock ----------------------------------------------------------------------------*/

static void
begin_generation(struct breaker *breaker, uint64_t now_ms)
{
    breaker->generation++;
    breaker->counts = (struct trip_counts){ 0 };
    uint64_t life_ms = 0; /* 0: without an end */
    if (breaker->state == BREAKER_CLOSED)
        life_ms = breaker->policy.interval_ms;
    else if (breaker->state == BREAKER_OPEN)
        life_ms = breaker->policy.timeout_ms;
    breaker->expires_ms = life_ms == 0 ? UINT64_MAX : now_ms + life_ms;
}

static void
set_state(struct breaker *breaker, enum breaker_state state, uint64_t now_ms)
{
    enum breaker_state from = breaker->state;
    breaker->state = state;
    begin_generation(breaker, now_ms);
    if (breaker->on_changed != NULL)
        breaker->on_changed(breaker->arg, breaker->name, from, state);
}

/* What time alone changes. */
static void
catch_up(struct breaker *breaker, uint64_t now_ms)
{
    if (now_ms <= breaker->expires_ms)
        return;
    if (breaker->state == BREAKER_OPEN)
        set_state(breaker, BREAKER_HALF_OPEN, now_ms);
    else
        begin_generation(breaker, now_ms);
}

static void
count_success(struct breaker *breaker, uint64_t now_ms)
{
    breaker->counts.total_successes++;
    breaker->counts.consecutive_successes++;
    breaker->counts.consecutive_failures = 0;
    if (breaker->state == BREAKER_HALF_OPEN &&
        breaker->counts.consecutive_successes >= breaker->policy.requests_max)
        set_state(breaker, BREAKER_CLOSED, now_ms);
}

static void
count_failure(struct breaker *breaker, uint64_t now_ms)
{
    breaker->counts.total_failures++;
    breaker->counts.consecutive_failures++;
    breaker->counts.consecutive_successes = 0;
    if (breaker->state == BREAKER_HALF_OPEN || trip_is_met(&breaker->policy.trip, &breaker->counts))
        set_state(breaker, BREAKER_OPEN, now_ms);
}

/* --- for everybody -----------------------------------------------------------------------------*/

static void
lock(struct breaker *breaker)
{
    (void)pthread_mutex_lock(&breaker->lock); /* a plain mutex does not fail */
}

static void
unlock(struct breaker *breaker)
{
    (void)pthread_mutex_unlock(&breaker->lock);
}

bool
breaker_enter(struct breaker *breaker, uint64_t *ret_generation, const char **ret_words)
{
    const char *words = NULL;
    lock(breaker);
    catch_up(breaker, clock_now_ms());
    if (breaker->state == BREAKER_OPEN)
        words = "circuit breaker is open";
    else if (breaker->state == BREAKER_HALF_OPEN &&
             breaker->counts.requests >= breaker->policy.requests_max)
        words = "too many requests";
    else
        breaker->counts.requests++;
    uint64_t generation = breaker->generation;
    unlock(breaker);
    if (words == NULL)
        *ret_generation = generation;
    else
        *ret_words = words;
    return words == NULL;
}

bool
breaker_leave(struct breaker *breaker, uint64_t generation, enum breaker_result result)
{
    uint64_t now_ms = clock_now_ms();
    lock(breaker);
    catch_up(breaker, now_ms);
    enum breaker_state before = breaker->state;
    if (generation == breaker->generation) {
        if (result == BREAKER_SUCCESS)
            count_success(breaker, now_ms);
        else if (result == BREAKER_FAILURE)
            count_failure(breaker, now_ms);
        else
            breaker->counts.requests--; /* a half-open one would wait for it for ever */
    }
    bool has_changed = before != breaker->state;
    unlock(breaker);
    return has_changed;
}

enum breaker_state
breaker_state(struct breaker *breaker)
{
    lock(breaker);
    enum breaker_state state = breaker->state;
    unlock(breaker);
    return state;
}

bool
breaker_is_of(const struct breaker *breaker, const struct breaker_policy *policy)
{
    const struct breaker_policy *own = &breaker->policy;
    return slice_eq(own->name, policy->name) && own->requests_max == policy->requests_max &&
           own->interval_ms == policy->interval_ms && own->timeout_ms == policy->timeout_ms &&
           slice_eq(own->trip.text, policy->trip.text);
}

struct breaker *
breaker_new(struct slice name, const struct breaker_policy *policy, breaker_changed_fn *on_changed,
            void *arg)
{
    struct breaker *breaker = calloc(1, sizeof *breaker);
    if (breaker == NULL)
        abort();
    atomic_init(&breaker->refs, 1);
    arena_init(&breaker->arena);
    breaker->name = arena_dup(&breaker->arena, name);
    breaker->policy = *policy;
    breaker->policy.name = arena_dup(&breaker->arena, policy->name);
    trip_copy(&breaker->arena, &policy->trip, &breaker->policy.trip);
    breaker->on_changed = on_changed;
    breaker->arg = arg;
    (void)pthread_mutex_init(&breaker->lock, NULL); /* a plain mutex needs no resources */
    begin_generation(breaker, clock_now_ms());
    return breaker;
}

struct breaker *
breaker_ref(struct breaker *breaker)
{
    /* Relaxed: who counts has a reference already, or the lock of the set that has one. */
    atomic_fetch_add_explicit(&breaker->refs, 1, memory_order_relaxed);
    return breaker;
}

void
breaker_unref(struct breaker *breaker)
{
    /* Release what was done with it before, acquire what others did, then free. */
    if (breaker == NULL || atomic_fetch_sub_explicit(&breaker->refs, 1, memory_order_acq_rel) > 1)
        return;
    (void)pthread_mutex_destroy(&breaker->lock); /* nobody holds it any more */
    arena_fini(&breaker->arena);
    free(breaker);
}
