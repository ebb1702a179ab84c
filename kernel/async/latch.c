/* SPDX-License-Identifier: Apache-2.0 */
/* A count that a task waits to reach zero; see latch.h. */
#include "async/latch.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Who frees the latch, settled by one atomic exchange of `waiter` on each side: the last holder
 * puts DONE there, an owner that gives up puts ABANDONED there, and whoever comes second acts. */
struct latch {
    atomic_uint refs;
    _Atomic(struct wait *) waiter;
};

struct latch_wait {
    struct wait wait;
    struct latch *latch;
    bool is_abandoned;
};

static struct wait done, abandoned; /* only their addresses matter */

struct latch *
latch_new(void)
{
    struct latch *latch = malloc(sizeof *latch);
    if (latch == NULL)
        abort();
    atomic_init(&latch->refs, 1);
    atomic_init(&latch->waiter, &abandoned); /* an owner that never waits leaves it to the last */
    return latch;
}

struct latch *
latch_ref(struct latch *latch)
{
    atomic_fetch_add_explicit(&latch->refs, 1, memory_order_relaxed);
    return latch;
}

void
latch_unref(struct latch *latch)
{
    /* acq_rel: the last holder sees the waiter set before the owner let go. */
    if (latch == NULL || atomic_fetch_sub_explicit(&latch->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct wait *waiter = atomic_exchange_explicit(&latch->waiter, &done, memory_order_acq_rel);
    if (waiter != &abandoned)
        wait_done(waiter, OK); /* the owner frees it */
#ifndef __clang_analyzer__     /* it cannot see that only one of two ever frees */
    else
        free(latch);
#endif
}

/* The owner gives up, unless the completion is on its way already. */
static void
give_up(struct wait *wait)
{
    struct latch_wait *own = container_of(wait, struct latch_wait, wait);
    struct wait *found = atomic_exchange_explicit(&own->latch->waiter, &abandoned,
                                                  memory_order_acq_rel);
    if (found == &done)
        return;
    own->is_abandoned = true;
    wait_done(wait, ERR_CANCELLED);
}

err_t
latch_wait(struct task *t, struct latch *latch)
{
    struct latch_wait own = { .latch = latch };
    wait_init(&own.wait, t, give_up);
    atomic_store_explicit(&latch->waiter, &own.wait, memory_order_release);
    latch_unref(latch);
    err_t err = TASK_WAIT(t, &own.wait);
    if (!own.is_abandoned)
        free(latch);
    return err;
}
