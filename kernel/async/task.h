/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stackful tasks: straight-line code that suspends instead of blocking. One request is one task.
 *
 * Rules, each with an assert or a flag behind it:
 *  - Only a function whose first parameter is `struct task *` (or a struct request that holds one)
 *    may suspend.
 *  - A foreign completion does one thing: wait_done(). It touches neither tasks nor their state.
 *  - Cancel asks, completion answers: TASK_WAIT() returns only once the wait is done, so that waits
 *    and buffers may live on the stack. A wait with a cancel function is asked to end and still
 *    waited for; one without simply ends.
 *  - No lock, no errno, no borrowed pointer into a shared table across a suspension.
 *  - Every wait ends at the task's deadline, or its author has bounded it otherwise.
 *  - What a request allocates lives in the task's arena.
 *
 * Stacks are LIMIT_task_stack_bytes of address space with a guard page below; the task itself
 * stands at the top of its stack. Both are pooled by the worker.
 */
#ifndef ASYNC_TASK_H
#define ASYNC_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "async/mailbox.h"
#include "async/timer.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/list.h"

struct task;
struct worker;

typedef void task_fn(struct task *t, void *arg);

/* One thing a task waits for. Embedded in whatever the completion knows. */
struct wait {
    struct task *task;
    /* Asks the operation to end early; owner's worker, outside the task or in it. Must lead to
     * wait_done(), now or later. NULL: nothing to ask, the wait just ends. */
    void (*cancel)(struct wait *wait);
    err_t result;
    bool is_done; /* owner's worker only */
    struct mail mail;
};

/* Worker thread. The task starts in this turn of the loop. NULL if the worker has
 * LIMIT_tasks_max tasks: answer the caller with ERR_OVERLOADED. `name` must outlive the task. */
struct task *task_spawn(struct worker *worker, const char *name, task_fn *fn, void *arg);

struct worker *task_worker(const struct task *t);
struct arena *task_arena(struct task *t);
struct diag *task_diag(struct task *t);
const char *task_name(const struct task *t);
/* The task running on this thread, or NULL. */
struct task *task_current(void);

/* --- waiting -----------------------------------------------------------------------------------*/

/* Without `cancel` the wait may end early while its completion is still on the way: then the owner
 * must take it back itself, which it can on its own worker only. What another thread completes
 * needs a cancel function, even one that does nothing. */
void wait_init(struct wait *wait, struct task *t, void (*cancel)(struct wait *wait));
/* Completes the wait, exactly once. Any thread. The wait may be gone when this returns. */
void wait_done(struct wait *wait, err_t result);

/* Suspends until the wait is done. Returns its result; ERR_DEADLINE or ERR_CANCELLED if the wait
 * ended for that reason. */
#define TASK_WAIT(t, wait) task_wait_at((t), (wait), __func__, __LINE__)
err_t task_wait_at(struct task *t, struct wait *wait, const char *function, int line) WARN_UNUSED;

/* Likewise, but neither cancellation nor a deadline ends it: for what is sure to come, and uses
 * this task's memory until then. */
#define TASK_WAIT_OUT(t, wait) task_wait_out_at((t), (wait), __func__, __LINE__)
err_t
task_wait_out_at(struct task *t, struct wait *wait, const char *function, int line) WARN_UNUSED;

/* Suspends for so long; OK, or ERR_DEADLINE / ERR_CANCELLED if that came first. */
err_t task_sleep(struct task *t, uint64_t ms) WARN_UNUSED;
/* Lets every other ready task and event have a turn. */
void task_yield(struct task *t);

/* --- deadlines and cancelling ------------------------------------------------------------------*/

/* Makes the deadline now + timeout_ms unless it is nearer already; returns the outer one for
 * task_deadline_pop(). Milliseconds of clock_now_ms(); UINT64_MAX is none. */
uint64_t task_deadline_push(struct task *t, uint64_t timeout_ms);
void task_deadline_pop(struct task *t, uint64_t outer);
uint64_t task_deadline_ms(const struct task *t);
/* Milliseconds left, 0 if passed, UINT64_MAX without a deadline. */
uint64_t task_time_left_ms(const struct task *t);

/* Asks the task to end soon: its present and later waits end with ERR_CANCELLED. Same worker. */
void task_cancel(struct task *t);
/* Asks it to begin nothing more, as when a client has half-closed: the same, but what stands
 * between task_begun() and task_begun_end() may finish. */
void task_wind_down(struct task *t);
bool task_is_cancelled(const struct task *t);
/* Around waits for what is under way already and cheaper to finish than to undo. They nest. */
void task_begun(struct task *t);
void task_begun_end(struct task *t);
/* Between these, waits ignore cancellation (not the deadline): for what must be finished once
 * begun, such as writing an answer. They nest. */
void task_shield_begin(struct task *t);
void task_shield_end(struct task *t);

/* --- looking inside ----------------------------------------------------------------------------*/

struct task_info {
    const char *name;
    const char *function; /* where it waits; NULL if it is ready */
    int line;
    uint64_t since_ms;
};

/* Calls fn for every task of the worker. Worker thread. */
void
task_each(struct worker *worker, void (*fn)(const struct task_info *info, void *arg), void *arg);

/* --- for worker.c ------------------------------------------------------------------------------*/

struct task_pool {
    struct list all;   /* every live task */
    struct list ready; /* to be resumed, in order */
    struct list spare; /* pooled tasks with their stacks */
    size_t count;
    size_t count_max; /* the most there ever were */
    size_t spare_count;
    size_t spare_least;            /* so many were spare all the time since the last look */
    struct timer look;             /* what nobody needed is given back; set while that is much */
    struct task_switch *switching; /* saved context of the loop */
};

void task_pool_init(struct task_pool *pool);
/* All tasks must have ended. */
void task_pool_fini(struct task_pool *pool);
/* Resumes what is ready now; what becomes ready meanwhile is for the next call. */
void task_run_ready(struct worker *worker);

#endif
