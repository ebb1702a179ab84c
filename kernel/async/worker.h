/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker is one thread with h2o's event loop, a timer heap, a mailbox and its tasks. A request
 * stays on the worker that accepted it. A turn of the loop: poll and run socket callbacks, mail,
 * due timers, ready tasks, then flush what they wrote: one write a connection and turn.
 *
 * Everything of a worker belongs to its thread, except worker_post() and worker_stop().
 */
#ifndef ASYNC_WORKER_H
#define ASYNC_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "async/mailbox.h"
#include "async/task.h"
#include "async/timer.h"
#include "base/list.h"

struct st_h2o_evloop_t;
struct st_h2o_socket_t;

/* Something with output pending; runs once at the end of the turn in which it was queued. */
struct flusher {
    struct list link;
    void (*flush)(struct flusher *flusher);
};

/* Workers that run functions on each other (remote.h) and therefore end together: one that has
 * nothing left to do serves the calls of the others until none of them has a task. */
struct worker_crew {
    atomic_uint busy; /* members that are not stopping yet or have tasks */
};

struct worker {
    unsigned index; /* 0 … count-1 */
    struct st_h2o_evloop_t *loop;
    struct timer_heap timers;
    struct mailbox mailbox;
    struct task_pool tasks;
    struct list flushers;
    struct st_h2o_socket_t *wake_socket;
    int wake_fd;
    uint64_t now_ms; /* when this turn's polling ended; in socket callbacks of the previous turn */
    uint64_t now_ns; /* the same moment */
    bool is_stopping;
    struct worker_crew *crew; /* borrowed, may be NULL: set it before worker_start() */
    bool is_busy;             /* and counted so in the crew */
    bool has_thread;
    pthread_t thread;
    void *user; /* the kernel's per-worker state */
};

/* Creates the loop; the calling thread need not be the one that runs it. */
err_t worker_init(struct worker *worker, unsigned index) WARN_UNUSED;
/* After the loop has ended and every thread that may post to it; all tasks must be gone. Mail that
 * is left is run. Leaks one descriptor: h2o cannot close its epoll. */
void worker_fini(struct worker *worker);

/* Runs the loop on a thread of its own until worker_stop(). */
err_t worker_start(struct worker *worker) WARN_UNUSED;
/* Any thread: ends the loop once no task is left, here and in the crew. */
void worker_stop(struct worker *worker);
void worker_join(struct worker *worker);

/* One turn, waiting at most max_wait_ms; for tests and for a loop on the caller's thread. */
void worker_turn(struct worker *worker, uint64_t max_wait_ms);
/* Runs turns until worker_stop(). */
void worker_run(struct worker *worker);

/* Any thread: runs fn(mail) on the worker. */
void worker_post(struct worker *worker, struct mail *mail, mail_fn *fn);
/* The worker of this thread, or NULL. */
struct worker *worker_current(void);

/* Timers that are set, but for what the worker sets for itself: none is left when nothing is under
 * way. */
static inline size_t
worker_timer_count(const struct worker *worker)
{
    return worker->timers.count - (timer_is_set(&worker->tasks.look) ? 1 : 0);
}

static inline void
flusher_init(struct flusher *flusher, void (*flush)(struct flusher *flusher))
{
    list_init(&flusher->link);
    flusher->flush = flush;
}

/* Queues it for the end of this turn; twice is once. */
static inline void
worker_flush_later(struct worker *worker, struct flusher *flusher)
{
    if (!list_is_linked(&flusher->link))
        list_append(&worker->flushers, &flusher->link);
}

#endif
