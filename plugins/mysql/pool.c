/* SPDX-License-Identifier: Apache-2.0 */
/* The threads with the connections; see pool.h. */
#include "pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "../shared/memory.h"
#include "../shared/monotonic.h"

enum { STACK_BYTES = 512 * 1024, STOP_S = 1 };

struct worker {
    struct worker *next; /* of the pool; plugin thread only */
    struct pool *pool;
    pthread_t thread;
    struct session session; /* the thread's, but for its fd */
};

struct pool {
    struct pool *next;
    struct server server;
    unsigned users;
    struct worker *workers;
    size_t jobs, bytes, worker_count; /* submitted and not finished */

    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Under lock. */
    struct job *queue, **queue_tail;
    size_t queued, waiting; /* jobs without a thread, threads without a job */
    bool is_over;
    uint64_t next_try_ms;
    unsigned pause_ms;
    char why[FAILURE_BYTES_MAX]; /* of the last attempt to connect */
};

static struct pool *pools; /* plugin thread only */

/* --- on the threads ----------------------------------------------------------------------------*/

/* Under lock. False when there has been nothing to do for so long that the thread may end. */
static bool
wait_for_work(struct pool *pool)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_MS / 1000;
    bool is_awake = true;
    pool->waiting++;
    while (is_awake && pool->queue == NULL && !pool->is_over)
        is_awake = pthread_cond_timedwait(&pool->wake, &pool->lock, &until) == 0;
    pool->waiting--;
    return pool->queue != NULL || (is_awake && !pool->is_over);
}

static struct job *
take_job(struct pool *pool)
{
    struct job *job = NULL;
    pthread_mutex_lock(&pool->lock);
    while (job == NULL && wait_for_work(pool)) {
        job = pool->queue;
        if (job == NULL)
            continue;
        pool->queue = job->next;
        if (pool->queue == NULL)
            pool->queue_tail = &pool->queue;
        pool->queued--;
    }
    pthread_mutex_unlock(&pool->lock);
    return job;
}

static struct failure *
refuse_late(struct job *job)
{
    if (atomic_load(&job->is_cancelled))
        return failure_new(REMORA_CANCELLED, REMORA_EFFECT_NOT_SENT,
                           "the caller gave up while the request was waiting");
    if (monotonic_now_ms() >= job->deadline_ms)
        return failure_new(REMORA_DEADLINE_EXCEEDED, REMORA_EFFECT_NOT_SENT,
                           "the server was busy for longer than the component's timeout");
    return NULL;
}

/* NULL, or why it is too early to try again. */
static struct failure *
refuse_early(struct pool *pool)
{
    struct failure *failure = NULL;
    pthread_mutex_lock(&pool->lock);
    if (pool->next_try_ms > monotonic_now_ms())
        failure = failure_new(REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT, "%s", pool->why);
    pthread_mutex_unlock(&pool->lock);
    return failure;
}

/* The next attempt is due after a pause that grows. */
static void
note_attempt(struct pool *pool, const struct failure *failure)
{
    pthread_mutex_lock(&pool->lock);
    if (failure == NULL) {
        pool->pause_ms = PAUSE_MIN_MS;
        pool->next_try_ms = 0;
    } else {
        (void)snprintf(pool->why, sizeof pool->why, "%s", failure->message);
        pool->next_try_ms = monotonic_now_ms() + pool->pause_ms;
        pool->pause_ms = pool->pause_ms * 2 < PAUSE_MAX_MS ? pool->pause_ms * 2 : PAUSE_MAX_MS;
    }
    pthread_mutex_unlock(&pool->lock);
}

static struct failure *
connect_for(struct job *job, struct session *session)
{
    struct failure *failure = refuse_late(job);
    if (failure == NULL && session->db == NULL && !job->is_first)
        failure = refuse_early(job->pool);
    if (failure != NULL)
        return failure;
    bool is_new = session->db == NULL;
    failure = session_open(session, !job->is_first);
    if (is_new || failure != NULL)
        note_attempt(job->pool, failure);
    return failure;
}

static void
on_job_done(void *arg)
{
    struct job *job = arg;
    job->pool->jobs--;
    job->pool->bytes -= job->bytes;
    job->finish(job);
}

static void on_thread_ended(void *arg);

static void *
run_thread(void *arg)
{
    struct worker *worker = arg;
    (void)mysql_thread_init();
    for (struct job *job; (job = take_job(worker->pool)) != NULL;) {
        if (job->is_first)
            session_close(&worker->session);
        job->failure = connect_for(job, &worker->session);
        if (job->failure == NULL)
            job->run(job, &worker->session);
        if (job->is_first)
            session_close(&worker->session); /* the next one chooses the database */
        remora_post(on_job_done, job);
    }
    session_fini(&worker->session);
    mysql_thread_end();
    remora_post(on_thread_ended, worker);
    return NULL;
}

/* --- on the plugin's thread --------------------------------------------------------------------*/

static void
free_if_done(struct pool *pool)
{
    if (pool->users > 0 || pool->workers != NULL)
        return;
    for (struct pool **at = &pools; *at != NULL; at = &(*at)->next)
        if (*at == pool) {
            *at = pool->next;
            break;
        }
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    server_fini(&pool->server);
    free(pool);
}

static int
start_worker(struct pool *pool)
{
    struct worker *worker = memory_new(sizeof(*worker));
    worker->pool = pool;
    session_init(&worker->session, &pool->server);
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
    if (error != 0) {
        free(worker);
        return error;
    }
    worker->next = pool->workers;
    pool->workers = worker;
    pool->worker_count++;
    return 0;
}

/* A job may have come after the thread had decided to end. */
static void
on_thread_ended(void *arg)
{
    struct worker *worker = arg;
    struct pool *pool = worker->pool;
    (void)pthread_join(worker->thread, NULL);
    for (struct worker **at = &pool->workers; *at != NULL; at = &(*at)->next)
        if (*at == worker) {
            *at = worker->next;
            break;
        }
    pool->worker_count--;
    free(worker);
    pthread_mutex_lock(&pool->lock);
    bool has_work = pool->queue != NULL;
    pthread_mutex_unlock(&pool->lock);
    if (has_work && pool->worker_count == 0)
        (void)start_worker(pool); /* else the next job tries it */
    free_if_done(pool);
}

struct pool *
pool_take(struct server *server)
{
    for (struct pool *pool = pools; pool != NULL; pool = pool->next)
        if (pool->users > 0 && server_is_same(&pool->server, server)) {
            pool->users++;
            server_fini(server);
            return pool;
        }
    struct pool *pool = memory_new(sizeof(*pool));
    *pool = (struct pool){
        .next = pools, .server = server_take(server), .users = 1, .pause_ms = PAUSE_MIN_MS
    };
    pool->queue_tail = &pool->queue;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&pool->lock, NULL);
    pools = pool;
    return pool;
}

void
pool_release(struct pool *pool)
{
    if (--pool->users > 0)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->is_over = true;
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_broadcast(&pool->wake);
    free_if_done(pool);
}

struct failure *
pool_submit(struct pool *pool, struct job *job)
{
    if (pool->jobs >= QUEUED_JOBS_MAX ||
        (pool->jobs > 0 && pool->bytes + job->bytes > QUEUED_BYTES_MAX))
        return failure_new(REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_NOT_SENT,
                           "too many requests are waiting for the server (%zu, %zu bytes)",
                           pool->jobs, pool->bytes);
    pthread_mutex_lock(&pool->lock);
    bool wants_thread = pool->queued >= pool->waiting && pool->worker_count < CONNECTIONS_MAX;
    pthread_mutex_unlock(&pool->lock);
    int error = wants_thread ? start_worker(pool) : 0;
    if (error != 0 && pool->worker_count == 0)
        return failure_new(REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_NOT_SENT,
                           "cannot start a thread: %s", strerror(error));
    pool->jobs++;
    pool->bytes += job->bytes;
    job->pool = pool;
    job->next = NULL;
    pthread_mutex_lock(&pool->lock);
    *pool->queue_tail = job;
    pool->queue_tail = &job->next;
    pool->queued++;
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_signal(&pool->wake);
    return NULL;
}

/* Threads that wait for a server are woken by the end of their connection; one that is dialling is
 * left to the end of the process. */
void
pool_stop_all(void)
{
    struct timespec until;
    for (struct pool *pool = pools; pool != NULL; pool = pool->next) {
        pthread_mutex_lock(&pool->lock);
        pool->is_over = true;
        pool->queue = NULL;
        pool->queue_tail = &pool->queue;
        pthread_mutex_unlock(&pool->lock);
        pthread_cond_broadcast(&pool->wake);
        for (struct worker *worker = pool->workers; worker != NULL; worker = worker->next) {
            int fd = atomic_load(&worker->session.fd);
            if (fd >= 0)
                (void)shutdown(fd, SHUT_RDWR);
        }
    }
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_S;
    for (struct pool *pool = pools; pool != NULL; pool = pool->next)
        for (struct worker *worker = pool->workers; worker != NULL; worker = worker->next)
            (void)pthread_timedjoin_np(worker->thread, NULL, &until);
}
