/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocking library calls away from the loop: a few threads, started when first needed, and the
 * calling task sleeps meanwhile.
 *
 *     struct lookup lookup = { .name = name };
 *     err_t err = offload_run(t, resolve_blocking, &lookup);      // suspends
 *
 * A blocking call cannot be interrupted: the task waits for it even after its deadline, because the
 * argument lives on its stack.
 */
#ifndef ASYNC_OFFLOAD_H
#define ASYNC_OFFLOAD_H

#include "async/task.h"

typedef err_t offload_fn(void *arg);

/* ERR_OVERLOADED if LIMIT_offload_queue_max jobs wait already; else what fn returned. */
err_t offload_run(struct task *t, offload_fn *fn, void *arg) WARN_UNUSED;
/* Ends the threads. Main thread, between worker_join() and worker_fini() of every worker: a thread
 * may still be waking a worker whose task has gone on already. */
void offload_fini(void);

#endif
