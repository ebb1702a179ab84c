/* SPDX-License-Identifier: Apache-2.0 */
/* Calls from worker to worker: results, deadlines, cancels that cross with answers, no task left.
 */
#include "async/remote.h"

#include "base/inject.h"
#include "unit/async/driver.h"

static struct worker worker;
static struct worker far;
static int notes;

static err_t
run_there(struct task *t, void *arg)
{
    int *number = arg;
    CHECK_EQ_PTR(task_worker(t), &far);
    CHECK_EQ_PTR(worker_current(), &far);
    ++*number;
    return *number == 3 ? ERR_IO : OK;
}

static void
call_there(struct task *t, void *arg)
{
    CHECK_OK(remote_run(t, &far, "there", run_there, arg));
    CHECK_OK(remote_run(t, &far, "there", run_there, arg));
    CHECK_EQ_INT(remote_run(t, &far, "there", run_there, arg), ERR_IO);
}

static err_t
sleep_there(struct task *t, void *arg)
{
    (void)arg;
    return task_sleep(t, 3600000);
}

static void
call_with_deadline(struct task *t, void *arg)
{
    (void)task_deadline_push(t, 5);
    *(err_t *)arg = remote_run(t, &far, "there", sleep_there, NULL);
}

static void
call_and_be_cancelled(struct task *t, void *arg)
{
    task_cancel(t);
    *(err_t *)arg = remote_run(t, &far, "there", sleep_there, NULL);
}

static void
on_note(struct mail *mail)
{
    (void)mail;
    notes++;
}

static void
post_and_catch_up(struct task *t, void *arg)
{
    static struct mail mails[2];
    worker_post(&worker, &mails[0], on_note);
    worker_post(&worker, &mails[1], on_note);
    CHECK_EQ_INT(notes, 0);
    task_cancel(t); /* changes nothing */
    CHECK_OK(remote_catch_up(t));
    *(int *)arg = notes;
}

TEST(a_task_can_wait_for_mail_it_has_posted_itself)
{
    int seen = 0;
    notes = 0;
    driver_open(&worker);
    REQUIRE(task_spawn(&worker, "poster", post_and_catch_up, &seen) != NULL);
    DRIVE_UNTIL(&worker, worker.tasks.count == 0);
    CHECK_EQ_INT(seen, 2);
    driver_close(&worker);
}

TEST(a_call_to_another_worker_carries_its_result_deadline_and_cancel)
{
    int number = 0;
    err_t late = OK, cancelled = OK;
    driver_open(&worker);
    REQUIRE_OK(worker_init(&far, 1));
    REQUIRE_OK(worker_start(&far));
    REQUIRE(task_spawn(&worker, "caller", call_there, &number) != NULL);
    REQUIRE(task_spawn(&worker, "late", call_with_deadline, &late) != NULL);
    REQUIRE(task_spawn(&worker, "cancelled", call_and_be_cancelled, &cancelled) != NULL);
    DRIVE_UNTIL(&worker, worker.tasks.count == 0);
    CHECK_EQ_INT(number, 3);
    CHECK_EQ_INT(late, ERR_DEADLINE);
    CHECK_EQ_INT(cancelled, ERR_CANCELLED);
    worker_stop(&far);
    worker_join(&far);
    worker_fini(&far);
    driver_close(&worker);
}

static void
call_once(struct task *t, void *arg)
{
    int number = 0;
    *(err_t *)arg = remote_run(t, &far, "there", run_there, &number);
}

TEST(without_a_task_there_the_caller_is_told)
{
    err_t result = OK;
    driver_open(&worker);
    REQUIRE_OK(worker_init(&far, 1));
    REQUIRE(task_spawn(&worker, "caller", call_once, &result) != NULL);
    REQUIRE(inject_setup("task_spawn_fail:#1"));
    REQUIRE_OK(worker_start(&far));
    DRIVE_UNTIL(&worker, worker.tasks.count == 0);
    inject_is_on = false;
    CHECK_EQ_INT(result, ERR_OVERLOADED);
    worker_stop(&far);
    worker_join(&far);
    worker_fini(&far);
    driver_close(&worker);
}

static err_t
run_here(struct task *t, void *arg)
{
    return remote_run(t, &far, "there", run_there, arg);
}

static void
call_there_and_back(struct task *t, void *arg)
{
    int number = 10;
    CHECK_EQ_PTR(worker_current(), &worker);
    CHECK_OK(run_here(t, &number));
    CHECK_EQ_PTR(worker_current(), &worker);
    CHECK_OK(remote_run(t, &worker, "here", run_here, &number)); /* a plain call, then a hop */
    *(int *)arg = number;
}

TEST(a_call_to_the_own_worker_is_a_plain_call)
{
    int number = 0;
    driver_open(&worker);
    REQUIRE_OK(worker_init(&far, 1));
    REQUIRE_OK(worker_start(&far));
    REQUIRE(task_spawn(&worker, "caller", call_there_and_back, &number) != NULL);
    DRIVE_UNTIL(&worker, worker.tasks.count == 0);
    CHECK_EQ_INT(number, 12);
    worker_stop(&far);
    worker_join(&far);
    worker_fini(&far);
    driver_close(&worker);
}

/* --- many at once, in both directions, with deadlines that meet answers on the way
 * --------------*/

enum { CALLERS = 50, CALLS = 100 };

static atomic_int answers, timeouts, cancels;
static atomic_int callers_left;

static err_t
yield_or_sleep(struct task *t, void *arg)
{
    unsigned draw = *(const unsigned *)arg;
    if (draw % 3 == 0)
        return task_sleep(t, draw % 4);
    for (unsigned i = 0; i < draw % 5; i++)
        task_yield(t);
    return OK;
}

static void
call_many(struct task *t, void *arg)
{
    struct worker *other = arg;
    unsigned draw = (unsigned)(uintptr_t)&draw >> 6;
    for (int i = 0; i < CALLS; i++) {
        draw = draw * 1103515245u + 12345u;
        unsigned seed = draw >> 16;
        uint64_t outer = task_deadline_push(t, seed % 3);
        if (i == CALLS - 1)
            task_cancel(t);
        switch ((int)remote_run(t, other, "there", yield_or_sleep, &seed)) {
        case OK:
            atomic_fetch_add(&answers, 1);
            break;
        case ERR_DEADLINE:
            atomic_fetch_add(&timeouts, 1);
            break;
        case ERR_CANCELLED:
            atomic_fetch_add(&cancels, 1);
            break;
        default:
            CHECK(!"a result nobody gave");
        }
        task_deadline_pop(t, outer);
    }
    atomic_fetch_sub(&callers_left, 1);
}

struct start {
    struct mail mail;
};

static void
on_start_far(struct mail *mail)
{
    (void)mail;
    for (int i = 0; i < CALLERS; i++)
        REQUIRE(task_spawn(&far, "far caller", call_many, &worker) != NULL);
}

TEST(many_calls_in_both_directions_all_come_back)
{
    struct start start;
    driver_open(&worker);
    REQUIRE_OK(worker_init(&far, 1));
    atomic_store(&callers_left, 2 * CALLERS);
    worker_post(&far, &start.mail, on_start_far);
    for (int i = 0; i < CALLERS; i++)
        REQUIRE(task_spawn(&worker, "near caller", call_many, &far) != NULL);
    REQUIRE_OK(worker_start(&far));
    DRIVE_UNTIL(&worker, atomic_load(&callers_left) == 0);
    CHECK_EQ_INT(answers + timeouts + cancels, 2 * CALLERS * CALLS);
    CHECK(answers > 0 && timeouts > 0);
    worker_stop(&far);
    worker_join(&far);
    worker_fini(&far);
    driver_close(&worker);
}

/* --- ending together ---------------------------------------------------------------------------*/

static atomic_bool far_was_told, may_call;
static err_t late_result;

static void
call_when_told(struct task *t, void *arg)
{
    int number = 0;
    while (!atomic_load(&may_call))
        task_yield(t);
    *(err_t *)arg = remote_run(t, &far, "there", run_there, &number);
}

static void
on_start_late_caller(struct mail *mail)
{
    (void)mail;
    REQUIRE(task_spawn(&worker, "late caller", call_when_told, &late_result) != NULL);
}

static void
on_told(struct mail *mail)
{
    (void)mail;
    atomic_store(&far_was_told, true);
}

TEST(an_idle_worker_that_was_stopped_serves_its_crew_until_all_are_done)
{
    struct worker_crew crew = { 0 };
    struct mail start, told;
    late_result = ERR_IO;
    driver_open(&worker);
    REQUIRE_OK(worker_init(&far, 1));
    worker.crew = far.crew = &crew;
    worker_post(&worker, &start, on_start_late_caller);
    REQUIRE_OK(worker_start(&worker));
    REQUIRE_OK(worker_start(&far));
    worker_stop(&worker);
    worker_stop(&far);
    worker_post(&far, &told, on_told);
    while (!atomic_load(&far_was_told))
        ; /* comes right after the stop; a crew that ended too early meets the runner's limit */
    atomic_store(&may_call, true);
    worker_join(&worker);
    worker_join(&far);
    CHECK_OK(late_result);
    CHECK_EQ_INT(atomic_load(&crew.busy), 0);
    worker_fini(&far);
    worker_fini(&worker);
}
