/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database threads.
 */
#include "worker.h"

#include <signal.h>
#include <string.h>

#include "../shared/monotonic.h"
#include "group.h"

enum { STACK_BYTES = 512 * 1024 };

void
worker_init(struct worker *worker, const struct database_config *config, enum connection_role role,
            struct database *database)
{
    *worker = (struct worker){ .database = database };
    atomic_init(&worker->is_stopping, false);
    worker->connection = (struct connection){ .config = config,
                                              .role = role,
                                              .is_stopping = &worker->is_stopping };
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->wake, NULL);
    worker->queue_tail = &worker->queue;
    worker->staged_tail = &worker->staged;
}

void
worker_fini(struct worker *worker)
{
    pthread_cond_destroy(&worker->wake);
    pthread_mutex_destroy(&worker->lock);
}

struct failure *
worker_submit(struct worker *worker, struct job *job)
{
    if (worker->jobs >= QUEUED_JOBS_MAX ||
        (worker->jobs > 0 && worker->bytes + job->bytes > QUEUED_BYTES_MAX))
        return failure_new(REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_NOT_SENT,
                           "too many requests are waiting for the database (%zu, %zu bytes)",
                           worker->jobs, worker->bytes);
    worker->jobs++;
    worker->bytes += job->bytes;
    job->worker = worker;
    job->next = NULL;
    *worker->staged_tail = job;
    worker->staged_tail = &job->next;
    return NULL;
}

/* Everything in the queue, or NULL when it is time to end. */
static struct job *
take_jobs(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    worker->is_waiting = true;
    while (worker->queue == NULL && !atomic_load(&worker->is_stopping))
        pthread_cond_wait(&worker->wake, &worker->lock);
    worker->is_waiting = false;
    struct job *jobs = worker->queue;
    worker->queue = NULL;
    worker->queue_tail = &worker->queue;
    pthread_mutex_unlock(&worker->lock);
    return jobs;
}

static void
on_jobs_done(void *arg)
{
    for (struct job *job = arg, *next; job != NULL; job = next) {
        next = job->next;
        job->worker->jobs--;
        job->worker->bytes -= job->bytes;
        job->finish(job);
    }
}

/* Nobody waits for it any more: then it is not begun. */
static bool
is_late(struct job *job, uint64_t now_ms)
{
    if (atomic_load(&job->is_cancelled)) {
        job->failure = failure_new(REMORA_CANCELLED, REMORA_EFFECT_NOT_SENT,
                                   "the caller gave up while the request was waiting");
        return true;
    }
    if (now_ms < job->deadline_ms)
        return false;
    job->failure = failure_new(REMORA_DEADLINE_EXCEEDED, REMORA_EFFECT_NOT_SENT,
                               "the database was busy for longer than the component's timeout");
    return true;
}

/* Moves writes from *jobs to a list, as many as one transaction takes; late ones go to *late. */
static struct write *
take_group(struct job **jobs, struct job **late)
{
    struct job *group = NULL, **tail = &group, **from = jobs;
    size_t operations = 0, bytes = 0;
    uint64_t now_ms = monotonic_now_ms();
    while (*from != NULL && operations < GROUP_OPERATIONS_MAX && bytes < GROUP_BYTES_MAX) {
        struct job *job = *from;
        if (job->run != NULL) {
            from = &job->next;
            continue;
        }
        *from = job->next;
        job->next = NULL;
        if (is_late(job, now_ms)) {
            job->next = *late;
            *late = job;
            continue;
        }
        operations += ((struct write *)job)->count;
        bytes += job->bytes;
        *tail = job;
        tail = &job->next;
    }
    return (struct write *)group;
}

/* Writes first, in groups: a read that waits here with them may see them. */
static void
serve(struct worker *worker, struct job *jobs)
{
    for (;;) {
        struct job *late = NULL;
        struct write *group = take_group(&jobs, &late);
        if (late != NULL)
            remora_post(on_jobs_done, late);
        if (group == NULL)
            break;
        group_commit(&worker->connection, group);
        remora_post(on_jobs_done, group);
        connection_checkpoint(&worker->connection);
    }
    for (struct job *job = jobs, *next; job != NULL; job = next) {
        next = job->next;
        job->next = NULL;
        if (!is_late(job, monotonic_now_ms()))
            job->failure = connection_open(&worker->connection);
        if (job->failure == NULL)
            job->run(job, &worker->connection);
        remora_post(on_jobs_done, job);
    }
}

static void
on_thread_ended(void *arg)
{
    struct worker *worker = arg;
    worker_join(worker);
    worker->on_stopped(worker);
}

static void *
run_thread(void *arg)
{
    struct worker *worker = arg;
    for (struct job *jobs; (jobs = take_jobs(worker)) != NULL;)
        serve(worker, jobs);
    connection_close(&worker->connection);
    remora_post(on_thread_ended, worker);
    return NULL;
}

static int
start_thread(struct worker *worker)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    /* Signals are the business of the plugin's thread. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&worker->thread, &attributes, run_thread, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    worker->is_started = error == 0;
    return error;
}

static void
fail_staged(struct worker *worker, int error)
{
    struct job *jobs = worker->staged;
    worker->staged = NULL;
    worker->staged_tail = &worker->staged;
    for (struct job *job = jobs; job != NULL; job = job->next)
        job->failure = failure_new(REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_NOT_SENT,
                                   "cannot start a database thread: %s", strerror(error));
    remora_post(on_jobs_done, jobs);
}

void
worker_flush(struct worker *worker)
{
    if (worker->staged == NULL)
        return;
    int error = worker->is_started ? 0 : start_thread(worker);
    if (error != 0) {
        fail_staged(worker, error);
        return;
    }
    pthread_mutex_lock(&worker->lock);
    *worker->queue_tail = worker->staged;
    worker->queue_tail = worker->staged_tail;
    bool wake = worker->is_waiting;
    pthread_mutex_unlock(&worker->lock);
    worker->staged = NULL;
    worker->staged_tail = &worker->staged;
    if (wake)
        pthread_cond_signal(&worker->wake);
}

void
worker_stop(struct worker *worker)
{
    worker_flush(worker);
    if (!worker->is_started) {
        worker->on_stopped(worker);
        return;
    }
    pthread_mutex_lock(&worker->lock);
    atomic_store(&worker->is_stopping, true);
    pthread_mutex_unlock(&worker->lock);
    pthread_cond_signal(&worker->wake);
}

void
worker_join(struct worker *worker)
{
    if (worker->is_started)
        pthread_join(worker->thread, NULL);
    worker->is_started = false;
}
