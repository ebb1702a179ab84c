/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function on another worker, called as if it were here: the calling task sleeps while a task of
 * the other worker runs it. Costs two hops between threads (3 µs hot, 20 to 50 µs when the other
 * core sleeps), so it serves what has one owner, not the ordinary path.
 */
#ifndef ASYNC_REMOTE_H
#define ASYNC_REMOTE_H

#include "async/task.h"

typedef err_t remote_fn(struct task *t, void *arg);

/* Runs fn(task there, arg) and returns its result. `arg` may live on the caller's stack and is not
 * touched by the caller meanwhile. Deadline and cancellation are passed on; fn decides how it ends.
 * ERR_OVERLOADED if the other worker has no task left. */
err_t remote_run(struct task *t, struct worker *worker, const char *name, remote_fn *fn,
                 void *arg) WARN_UNUSED;

/* Until this worker has read the mail that was posted to it before, also by this task. Soon: no
 * deadline and no cancel ends it. */
err_t remote_catch_up(struct task *t) WARN_UNUSED;

#endif
