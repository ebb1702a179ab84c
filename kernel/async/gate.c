/* SPDX-License-Identifier: Apache-2.0 */
/* A counted door; see gate.h. */
#include "async/gate.h"

#include <assert.h>

#include "async/worker.h"

struct waiter {
    struct list link;
    struct wait wait;
    int64_t units;
};

void
gate_init(struct gate *gate, int64_t capacity, size_t waiters_max)
{
    *gate = (struct gate){ .free = capacity, .waiters_max = waiters_max };
    list_init(&gate->waiters);
}

bool
gate_try(struct gate *gate, int64_t units)
{
    if (gate->closed != OK || !list_is_empty(&gate->waiters) || gate->free < units)
        return false;
    gate->free -= units;
    return true;
}

/* Lets in whom there is room for, in order. */
static void
admit(struct gate *gate)
{
    while (!list_is_empty(&gate->waiters)) {
        struct waiter *waiter = LIST_ENTRY(gate->waiters.next, struct waiter, link);
        if (gate->free < waiter->units)
            return;
        gate->free -= waiter->units;
        gate->waiter_count--;
        list_remove(&waiter->link);
        wait_done(&waiter->wait, OK);
    }
}

err_t
gate_enter(struct task *t, struct gate *gate, int64_t units)
{
    if (gate_try(gate, units))
        return OK;
    if (gate->closed != OK)
        return gate->closed;
    if (gate->waiter_count >= gate->waiters_max)
        return ERR_OVERLOADED;
    struct waiter waiter = { .units = units };
    wait_init(&waiter.wait, t, NULL);
    list_append(&gate->waiters, &waiter.link);
    gate->waiter_count++;
    err_t err = TASK_WAIT(t, &waiter.wait);
    if (list_is_linked(&waiter.link)) { /* gave up: the next may be smaller */
        list_remove(&waiter.link);
        gate->waiter_count--;
        admit(gate);
    }
    return err;
}

void
gate_leave(struct gate *gate, int64_t units)
{
    gate->free += units;
    admit(gate);
}

void
gate_close(struct gate *gate, err_t err)
{
    assert(err != OK);
    gate->closed = err;
    struct list *node;
    while ((node = list_take_first(&gate->waiters)) != NULL) {
        gate->waiter_count--;
        wait_done(&LIST_ENTRY(node, struct waiter, link)->wait, err);
    }
}
