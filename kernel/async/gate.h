/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A counted door: at most `capacity` units inside, the others wait in order of arrival, and at most
 * `waiters_max` of them. Serves as semaphore, as concurrency limit and as credit counter. One
 * worker.
 */
#ifndef ASYNC_GATE_H
#define ASYNC_GATE_H

#include <stddef.h>
#include <stdint.h>

#include "async/task.h"
#include "base/list.h"

struct gate {
    int64_t free; /* units */
    size_t waiters_max;
    size_t waiter_count;
    struct list waiters;
    err_t closed; /* not OK: every waiter and comer gets it */
};

void gate_init(struct gate *gate, int64_t capacity, size_t waiters_max);
/* Takes units, waiting for them. ERR_OVERLOADED if too many wait already; else as TASK_WAIT(). */
err_t gate_enter(struct task *t, struct gate *gate, int64_t units) WARN_UNUSED;
/* Takes units if they are free and nobody waits. */
bool gate_try(struct gate *gate, int64_t units);
void gate_leave(struct gate *gate, int64_t units);
/* Ends all waits, present and future, with `err`. */
void gate_close(struct gate *gate, err_t err);

#endif
