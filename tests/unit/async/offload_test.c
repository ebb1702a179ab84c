/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking calls on threads of their own: results, the limit of the queue, and late deadlines. */
#include "async/offload.h"

#include <pthread.h>

#include "base/inject.h"
#include "base/limits.h"
#include "unit/async/driver.h"

static struct worker worker;

/* A latch that jobs block on. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static bool is_open;
static atomic_int inside;

static void
set_open(bool value)
{
    pthread_mutex_lock(&lock);
    is_open = value;
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&lock);
}

struct job {
    err_t wanted;
    err_t result;
    uint64_t timeout_ms;
    bool cancelled;
    bool ended;
};

static err_t
block(void *arg)
{
    const struct job *job = arg;
    CHECK_EQ_PTR(worker_current(), NULL);
    CHECK_EQ_PTR(task_current(), NULL);
    atomic_fetch_add(&inside, 1);
    pthread_mutex_lock(&lock);
    while (!is_open)
        pthread_cond_wait(&opened, &lock);
    pthread_mutex_unlock(&lock);
    return job->wanted;
}

static void
run_job(struct task *t, void *arg)
{
    struct job *job = arg;
    if (job->timeout_ms > 0)
        (void)task_deadline_push(t, job->timeout_ms);
    if (job->cancelled)
        task_cancel(t);
    job->result = offload_run(t, block, job);
    job->ended = true;
}

static void
start(struct job *job)
{
    REQUIRE(task_spawn(&worker, "job", run_job, job) != NULL);
}

TEST(a_job_runs_elsewhere_and_its_result_comes_back)
{
    struct job good = { .wanted = OK }, bad = { .wanted = ERR_IO };
    driver_open(&worker);
    set_open(true);
    start(&good);
    start(&bad);
    DRIVE_UNTIL(&worker, good.ended && bad.ended);
    CHECK_OK(good.result);
    CHECK_EQ_INT(bad.result, ERR_IO);
    offload_fini();
    driver_close(&worker);
}

TEST(neither_deadline_nor_cancel_leaves_a_running_job_behind)
{
    struct job late = { .wanted = ERR_CLOSED, .timeout_ms = 1 };
    struct job cancelled = { .wanted = OK, .cancelled = true };
    driver_open(&worker);
    set_open(false);
    atomic_store(&inside, 0);
    start(&late);
    start(&cancelled);
    DRIVE_UNTIL(&worker, atomic_load(&inside) == 2);
    double started = driver_seconds();
    DRIVE_UNTIL(&worker, driver_seconds() - started > 0.01); /* well past the deadline */
    CHECK(!late.ended);
    CHECK(!cancelled.ended);
    set_open(true);
    DRIVE_UNTIL(&worker, late.ended && cancelled.ended);
    CHECK_EQ_INT(late.result, ERR_CLOSED);
    CHECK_OK(cancelled.result);
    offload_fini();
    driver_close(&worker);
}

TEST(more_jobs_than_the_queue_holds_are_refused)
{
    enum { JOBS = LIMIT_offload_threads_max + LIMIT_offload_queue_max };
    static struct job jobs[JOBS + 1];
    driver_open(&worker);
    set_open(false);
    atomic_store(&inside, 0);
    for (int i = 0; i < LIMIT_offload_threads_max; i++) {
        start(&jobs[i]);
        DRIVE_UNTIL(&worker, atomic_load(&inside) == i + 1); /* one thread each */
    }
    for (int i = LIMIT_offload_threads_max; i < JOBS + 1; i++)
        start(&jobs[i]);
    DRIVE_UNTIL(&worker, jobs[JOBS].ended);
    CHECK_EQ_INT(jobs[JOBS].result, ERR_OVERLOADED);
    CHECK(!jobs[JOBS - 1].ended);
    CHECK_EQ_INT(atomic_load(&inside), LIMIT_offload_threads_max);
    set_open(true);
    DRIVE_UNTIL(&worker, worker.tasks.count == 0);
    for (int i = 0; i < JOBS; i++)
        CHECK_OK(jobs[i].result);
    CHECK_EQ_INT(atomic_load(&inside), JOBS);
    offload_fini();
    driver_close(&worker);
}

TEST(the_threads_come_back_after_they_were_ended)
{
    struct job job = { .wanted = ERR_MALFORMED };
    driver_open(&worker);
    offload_fini(); /* of none */
    set_open(true);
    start(&job);
    DRIVE_UNTIL(&worker, job.ended);
    CHECK_EQ_INT(job.result, ERR_MALFORMED);
    offload_fini();
    driver_close(&worker);
}

TEST(a_full_queue_can_be_injected)
{
    struct job job = { .wanted = OK };
    driver_open(&worker);
    REQUIRE(inject_setup("offload_fail:#1"));
    start(&job);
    DRIVE_UNTIL(&worker, job.ended);
    inject_is_on = false;
    CHECK_EQ_INT(job.result, ERR_OVERLOADED);
    driver_close(&worker);
}
