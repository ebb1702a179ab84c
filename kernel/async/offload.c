/* SPDX-License-Identifier: Apache-2.0 */
/* A small pool of threads for blocking calls; see offload.h. */
#include "async/offload.h"

#include <pthread.h>
#include <signal.h>

#include "async/worker.h"
#include "base/inject.h"
#include "base/limits.h"

struct job {
    struct list link;
    struct wait wait;
    offload_fn *fn;
    void *arg;
};

/* Guarded by lock. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct list queue;
    size_t queued;
    size_t idle;
    size_t thread_count;
    bool is_ending;
    pthread_t threads[LIMIT_offload_threads_max];
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER,
           .more = PTHREAD_COND_INITIALIZER,
           .queue = { &pool.queue, &pool.queue } };

/* NULL when the pool ends. */
static struct job *
next_job(void)
{
    (void)pthread_mutex_lock(&pool.lock); /* a plain mutex does not fail */
    pool.idle++;
    while (list_is_empty(&pool.queue) && !pool.is_ending)
        (void)pthread_cond_wait(&pool.more, &pool.lock);
    pool.idle--;
    struct list *node = list_take_first(&pool.queue);
    pool.queued -= node != NULL;
    (void)pthread_mutex_unlock(&pool.lock);
    return node == NULL ? NULL : LIST_ENTRY(node, struct job, link);
}

static void *
thread_main(void *arg)
{
    struct job *job;
    while ((job = next_job()) != NULL)
        wait_done(&job->wait, job->fn(job->arg));
    return arg;
}

/* With the lock held. False if no thread could be started and none is there. */
static bool
ensure_thread(void)
{
    if (pool.idle > pool.queued || pool.thread_count == LIMIT_offload_threads_max)
        return true;
    sigset_t all, old;
    (void)sigfillset(&all); /* cannot fail */
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&pool.threads[pool.thread_count], NULL, thread_main, NULL) == 0)
        pool.thread_count++;
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return pool.thread_count > 0;
}

/* The job is on the caller's stack: neither cancellation nor the deadline ends the wait. */
static void
on_cancel_ignored(struct wait *wait)
{
    (void)wait;
}

err_t
offload_run(struct task *t, offload_fn *fn, void *arg)
{
    struct job job = { .fn = fn, .arg = arg };
    wait_init(&job.wait, t, on_cancel_ignored);
    (void)pthread_mutex_lock(&pool.lock); /* a plain mutex does not fail */
    bool taken = pool.queued < LIMIT_offload_queue_max && !inject(INJECT_offload_fail) &&
                 ensure_thread();
    if (taken) {
        list_append(&pool.queue, &job.link);
        pool.queued++;
        (void)pthread_cond_signal(&pool.more);
    }
    (void)pthread_mutex_unlock(&pool.lock);
    return taken ? TASK_WAIT(t, &job.wait) : ERR_OVERLOADED;
}

void
offload_fini(void)
{
    (void)pthread_mutex_lock(&pool.lock);
    pool.is_ending = true;
    (void)pthread_cond_broadcast(&pool.more);
    (void)pthread_mutex_unlock(&pool.lock);
    for (size_t i = 0; i < pool.thread_count; i++)
        (void)pthread_join(pool.threads[i], NULL); /* they end when the queue is empty */
    pool.thread_count = 0;
    pool.is_ending = false;
}
