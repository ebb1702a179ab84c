/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks and waits: who ends a wait and with what, deadlines and cancellation, pooled stacks, and
 * what happens at the edges. Time stands still but for pass_ms().
 */
#include "async/task.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/inject.h"
#include "base/limits.h"
#include "unit/async/driver.h"

static struct worker worker;

/* What a task under test saw, and what the test does to it from outside. */
struct probe {
    struct task *task;
    struct wait wait;
    int steps;
    int cancels;
    err_t result;
    uint64_t timeout_ms;
    err_t on_cancel_result;
    bool cancel_completes;
    bool ended;
};

static void
on_cancel(struct wait *wait)
{
    struct probe *p = container_of(wait, struct probe, wait);
    p->cancels++;
    if (p->cancel_completes)
        wait_done(wait, p->on_cancel_result);
}

static void
wait_plainly(struct task *t, void *arg)
{
    struct probe *p = arg;
    p->task = t;
    p->steps++;
    if (p->timeout_ms > 0)
        (void)task_deadline_push(t, p->timeout_ms);
    wait_init(&p->wait, t, NULL);
    p->result = TASK_WAIT(t, &p->wait);
    p->steps++;
    p->ended = true;
}

static void
wait_with_hook(struct task *t, void *arg)
{
    struct probe *p = arg;
    p->task = t;
    if (p->timeout_ms > 0)
        (void)task_deadline_push(t, p->timeout_ms);
    wait_init(&p->wait, t, on_cancel);
    p->result = TASK_WAIT(t, &p->wait);
    p->ended = true;
}

/* Runs fn on the worker's thread within a turn, where task_cancel() may be called. */
struct errand {
    struct mail mail;
    struct probe *probe;
};

static void
on_cancel_errand(struct mail *mail)
{
    task_cancel(container_of(mail, struct errand, mail)->probe->task);
}

static void
on_done_errand(struct mail *mail)
{
    wait_done(&container_of(mail, struct errand, mail)->probe->wait, OK);
}

static void
cancel(struct probe *p)
{
    struct errand errand = { .probe = p };
    worker_post(&worker, &errand.mail, on_cancel_errand);
    turns(&worker, 2);
}

/* --- life --------------------------------------------------------------------------------------*/

TEST(a_task_starts_in_the_next_turn_and_goes_on_when_its_wait_is_done)
{
    struct probe p = { 0 };
    driver_open_fake(&worker);
    struct task *t = task_spawn(&worker, "probe", wait_plainly, &p);
    REQUIRE(t != NULL);
    CHECK_EQ_INT(p.steps, 0);
    CHECK_EQ_STR(task_name(t), "probe");
    CHECK_EQ_PTR(task_worker(t), &worker);
    CHECK_EQ_PTR(task_current(), NULL);
    turns(&worker, 3);
    CHECK_EQ_INT(p.steps, 1);
    CHECK_EQ_PTR(p.task, t);
    wait_done(&p.wait, ERR_IO);
    CHECK_EQ_INT(p.steps, 1);
    turns(&worker, 1);
    CHECK_EQ_INT(p.steps, 2);
    CHECK_EQ_INT(p.result, ERR_IO);
    CHECK_EQ_U64(worker.tasks.count, 0);
    driver_close(&worker);
}

static void
done_before_waiting(struct task *t, void *arg)
{
    struct probe *p = arg;
    CHECK_EQ_PTR(task_current(), t);
    wait_init(&p->wait, t, NULL);
    wait_done(&p->wait, ERR_CLOSED);
    p->result = TASK_WAIT(t, &p->wait);
    p->ended = true;
}

TEST(a_wait_that_is_done_already_does_not_suspend)
{
    struct probe p = { 0 };
    driver_open_fake(&worker);
    REQUIRE(task_spawn(&worker, "probe", done_before_waiting, &p) != NULL);
    turns(&worker, 1);
    CHECK(p.ended);
    CHECK_EQ_INT(p.result, ERR_CLOSED);
    driver_close(&worker);
}

static char order[16];
static size_t order_len;

static void
note(struct task *t, void *arg)
{
    for (int i = 0; i < 3; i++) {
        order[order_len++] = *(const char *)arg;
        task_yield(t);
    }
}

TEST(yielding_tasks_take_turns_in_the_order_they_were_spawned)
{
    char a = 'a', b = 'b';
    order_len = 0;
    driver_open_fake(&worker);
    REQUIRE(task_spawn(&worker, "a", note, &a) != NULL);
    REQUIRE(task_spawn(&worker, "b", note, &b) != NULL);
    turns(&worker, 1);
    CHECK_EQ_U64(order_len, 2);
    turns(&worker, 3);
    CHECK_EQ_MEM(order, order_len, "ababab", 6);
    driver_close(&worker);
}

/* --- deadlines ---------------------------------------------------------------------------------*/

TEST(a_wait_ends_at_the_deadline)
{
    struct probe p = { .timeout_ms = 50 };
    driver_open_fake(&worker);
    REQUIRE(task_spawn(&worker, "probe", wait_plainly, &p) != NULL);
    turns(&worker, 2);
    pass_ms(&worker, 49);
    CHECK(!p.ended);
    pass_ms(&worker, 1);
    CHECK(p.ended);
    CHECK_EQ_INT(p.result, ERR_DEADLINE);
    CHECK_EQ_U64(worker_timer_count(&worker), 0);
    driver_close(&worker);
}

TEST(a_completion_before_the_deadline_wins_and_stops_the_timer)
{
    struct probe p = { .timeout_ms = 50 };
    driver_open_fake(&worker);
    REQUIRE(task_spawn(&worker, "probe", wait_plainly, &p) != NULL);
    turns(&worker, 2);
    wait_done(&p.wait, OK);
    pass_ms(&worker, 100); /* both in one turn: mail comes before timers */
    CHECK(p.ended);
    CHECK_OK(p.result);
    CHECK_EQ_U64(worker_timer_count(&worker), 0);
    driver_close(&worker);
}

TEST(a_hook_is_asked_once_at_the_deadline_and_the_task_still_waits)
{
    struct probe p = { .timeout_ms = 50 };
    driver_open_fake(&worker);
    REQUIRE(task_spawn(&worker, "probe", wait_with_hook, &p) != NULL);
    turns(&worker, 2);
    pass_ms(&worker, 60);
    CHECK_EQ_INT(p.cancels, 1);
    CHECK(!p.ended);
    pass_ms(&worker, 60);
    cancel(&p);
    CHECK_EQ_INT(p.cancels, 1);
    CHECK(!p.ended);
    wait_done(&p.wait, ERR_CANCELLED);
    turns(&worker, 2);
    CHECK(p.ended);
    CHECK_EQ_INT(p.result, ERR_DEADLINE);
    driver_close(&worker);
}

TEST(a_completion_that_came_after_all_is_told_as_it_is)
{
    struct probe p = { .timeout_ms = 50 };
    driver_open_fake(&worker);
    REQUIRE(task_spawn(&worker, "probe", wait_with_hook, &p) != NULL);
    turns(&worker, 2);
    pass_ms(&worker, 60);
    wait_done(&p.wait, OK);
    turns(&worker, 2);
    CHECK(p.ended);
    CHECK_OK(p.result);
    driver_close(&worker);
}

TEST(a_hook_may_complete_the_wait_at_once)
{
    struct probe p = { .timeout_ms = 50, .cancel_completes = true };
    p.on_cancel_result = ERR_CANCELLED;
    driver_open_fake(&worker);
    REQUIRE(task_spawn(&worker, "probe", wait_with_hook, &p) != NULL);
    turns(&worker, 2);
    pass_ms(&worker, 60);
    CHECK(p.ended);
    CHECK_EQ_INT(p.result, ERR_DEADLINE);
    driver_close(&worker);
}

static void
nested_deadlines(struct task *t, void *arg)
{
    struct probe *p = arg;
    CHECK_EQ_U64(task_time_left_ms(t), UINT64_MAX);
    uint64_t none = task_deadline_push(t, 100);
    CHECK_EQ_U64(none, UINT64_MAX);
    CHECK_EQ_U64(task_time_left_ms(t), 100);
    uint64_t outer = task_deadline_push(t, 500); /* farther: changes nothing */
    CHECK_EQ_U64(task_time_left_ms(t), 100);
    uint64_t middle = task_deadline_push(t, 20);
    CHECK_EQ_U64(task_time_left_ms(t), 20);
    CHECK_EQ_INT(task_sleep(t, 1000), ERR_DEADLINE);
    CHECK_EQ_U64(task_time_left_ms(t), 0);
    CHECK_EQ_INT(task_sleep(t, 1000), ERR_DEADLINE); /* passed: at once */
    task_deadline_pop(t, middle);
    CHECK_EQ_U64(task_time_left_ms(t), 80);
    task_deadline_pop(t, outer);
    CHECK_OK(task_sleep(t, 30));
    CHECK_EQ_U64(task_time_left_ms(t), 50);
    CHECK_EQ_INT(task_sleep(t, 1000), ERR_DEADLINE);
    task_deadline_pop(t, none);
    CHECK_EQ_U64(task_deadline_ms(t), UINT64_MAX);
    (void)task_deadline_push(t, UINT64_MAX); /* no overflow: no deadline */
    CHECK_EQ_U64(task_deadline_ms(t), UINT64_MAX);
    (void)task_deadline_push(t, 0);
    CHECK_EQ_INT(task_sleep(t, 0), ERR_DEADLINE);
    p->ended = true;
}

TEST(deadlines_nest_and_the_nearest_counts)
{
    struct probe p = { 0 };
    driver_open_fake(&worker);
    REQUIRE(task_spawn(&worker, "probe", nested_deadlines, &p) != NULL);
    for (int i = 0; i < 150; i++)
        pass_ms(&worker, i == 0 ? 0 : 10);
    CHECK(p.ended);
    driver_close(&worker);
}

/* --- cancelling --------------------------------------------------------------------------------*/

TEST(cancelling_ends_a_plain_wait)
{
    struct probe p = { 0 };
    driver_open_fake(&worker);
    REQUIRE(task_spawn(&worker, "probe", wait_plainly, &p) != NULL);
    turns(&worker, 2);
    cancel(&p);
    CHECK(p.ended);
    CHECK_EQ_INT(p.result, ERR_CANCELLED);
    driver_close(&worker);
}

TEST(cancelling_asks_the_hook_once_and_the_completion_answers)
{
    struct probe p = { 0 };
    driver_open_fake(&worker);
    REQUIRE(task_spawn(&worker, "probe", wait_with_hook, &p) != NULL);
    turns(&worker, 2);
    cancel(&p);
    cancel(&p);
    CHECK_EQ_INT(p.cancels, 1);
    CHECK(!p.ended);
    wait_done(&p.wait, OK);
    turns(&worker, 2);
    CHECK(p.ended);
    CHECK_OK(p.result);
    driver_close(&worker);
}

TEST(a_task_cancelled_before_it_ran_still_runs_and_its_waits_end)
{
    struct probe p = { 0 };
    driver_open_fake(&worker);
    p.task = task_spawn(&worker, "probe", wait_plainly, &p);
    REQUIRE(p.task != NULL);
    cancel(&p);
    CHECK(p.ended);
    CHECK_EQ_INT(p.steps, 2);
    CHECK_EQ_INT(p.result, ERR_CANCELLED);
    driver_close(&worker);
}

TEST(cancel_and_completion_in_one_turn_give_the_completion)
{
    struct probe p = { 0 };
    driver_open_fake(&worker);
    REQUIRE(task_spawn(&worker, "probe", wait_plainly, &p) != NULL);
    turns(&worker, 2);
    struct errand done = { .probe = &p }, stop = { .probe = &p };
    worker_post(&worker, &done.mail, on_done_errand);
    worker_post(&worker, &stop.mail, on_cancel_errand);
    turns(&worker, 1);
    CHECK(p.ended);
    CHECK_OK(p.result);
    driver_close(&worker);
}

static void
shielded(struct task *t, void *arg)
{
    struct probe *p = arg;
    p->task = t;
    task_shield_begin(t);
    task_shield_begin(t);
    p->result = task_sleep(t, 100);
    task_shield_end(t);
    CHECK(!task_is_cancelled(t));
    CHECK_OK(task_sleep(t, 10));
    uint64_t outer = task_deadline_push(t, 5);
    CHECK_EQ_INT(task_sleep(t, 10), ERR_DEADLINE); /* a shield is not against the deadline */
    task_deadline_pop(t, outer);
    task_shield_end(t);
    CHECK(task_is_cancelled(t));
    CHECK_EQ_INT(task_sleep(t, 10), ERR_CANCELLED);
    p->ended = true;
}

TEST(a_shield_holds_a_cancellation_back_until_it_ends)
{
    struct probe p = { 0 };
    driver_open_fake(&worker);
    REQUIRE(task_spawn(&worker, "probe", shielded, &p) != NULL);
    turns(&worker, 2);
    cancel(&p);
    pass_ms(&worker, 99);
    CHECK(!p.ended);
    pass_ms(&worker, 1);
    CHECK_OK(p.result);
    pass_ms(&worker, 10);
    pass_ms(&worker, 5);
    CHECK(p.ended);
    driver_close(&worker);
}

/* --- limits and reuse --------------------------------------------------------------------------*/

TEST(there_are_no_more_tasks_than_the_limit_and_all_of_them_end)
{
    static struct probe probes[LIMIT_tasks_max];
    struct probe one_more = { 0 };
    if (UNDER_TSAN)
        SKIP("a megabyte a task, and no more than 8,128 of them");
    driver_open_fake(&worker);
    for (size_t i = 0; i < LIMIT_tasks_max; i++)
        REQUIRE(task_spawn(&worker, "probe", wait_plainly, &probes[i]) != NULL);
    CHECK_EQ_PTR(task_spawn(&worker, "probe", wait_plainly, &one_more), NULL);
    turns(&worker, 1);
    for (size_t i = 0; i < LIMIT_tasks_max; i++)
        wait_done(&probes[i].wait, OK);
    CHECK_EQ_PTR(task_spawn(&worker, "probe", wait_plainly, &one_more), NULL);
    turns(&worker, 1);
    CHECK_EQ_U64(worker.tasks.count, 0);
    CHECK_EQ_U64(worker.tasks.spare_count, LIMIT_task_stacks_spare);
    REQUIRE(task_spawn(&worker, "probe", wait_plainly, &one_more) != NULL);
    turns(&worker, 1);
    wait_done(&one_more.wait, OK);
    driver_close(&worker);
}

TEST(stacks_that_a_load_has_needed_are_given_back_when_it_is_quiet)
{
    enum { MANY = LIMIT_task_stacks_pooled * 3, SECOND_MS = 1000 };
    static struct probe probes[MANY];
    driver_open_fake(&worker);
    for (int wave = 0; wave < 3; wave++) {
        for (size_t i = 0; i < MANY; i++)
            REQUIRE(task_spawn(&worker, "probe", wait_plainly, &probes[i]) != NULL);
        turns(&worker, 1);
        for (size_t i = 0; i < MANY; i++)
            wait_done(&probes[i].wait, OK);
        turns(&worker, 1);
        CHECK_EQ_U64(worker.tasks.spare_count, MANY);
        pass_ms(&worker, SECOND_MS / 2);
        CHECK_EQ_U64(worker.tasks.spare_count, MANY); /* the next wave finds them */
    }
    for (int look = 0; look < 3; look++)
        pass_ms(&worker, SECOND_MS);
    CHECK_EQ_U64(worker.tasks.spare_count, LIMIT_task_stacks_pooled);
    CHECK_EQ_U64(timer_heap_next_ms(&worker.timers), UINT64_MAX);
    driver_close(&worker);
}

TEST(the_stacks_of_all_workers_together_are_limited)
{
    enum { WORKERS = LIMIT_task_stacks_max / LIMIT_tasks_max + 1 };
    static struct probe probes[WORKERS][LIMIT_tasks_max];
    struct worker workers[WORKERS];
    size_t started = 0;
    if (UNDER_TSAN)
        SKIP("a megabyte a task, and no more than 8,128 of them");
    clock_fake(1000, 0);
    for (size_t w = 0; w < WORKERS; w++) {
        REQUIRE_OK(worker_init(&workers[w], (unsigned)w));
        for (size_t i = 0; i < LIMIT_tasks_max; i++)
            started += task_spawn(&workers[w], "probe", wait_plainly, &probes[w][i]) != NULL;
    }
    CHECK_EQ_U64(started, LIMIT_task_stacks_max);
    CHECK_EQ_U64(workers[WORKERS - 1].tasks.count, 0);
    for (size_t w = 0; w < WORKERS; w++) {
        size_t count = workers[w].tasks.count;
        turns(&workers[w], 1);
        for (size_t i = 0; i < count; i++)
            wait_done(&probes[w][i].wait, OK);
        driver_close(&workers[w]);
    }
    driver_open_fake(&worker); /* all were given back */
    struct probe last = { .timeout_ms = 1 };
    CHECK(task_spawn(&worker, "probe", wait_plainly, &last) != NULL);
    turns(&worker, 1);
    pass_ms(&worker, 1);
    CHECK(last.ended);
    driver_close(&worker);
}

TEST(a_task_that_cannot_be_had_is_told)
{
    struct probe p = { 0 };
    driver_open_fake(&worker);
    REQUIRE(inject_setup("task_spawn_fail:#1"));
    CHECK_EQ_PTR(task_spawn(&worker, "probe", wait_plainly, &p), NULL);
    inject_is_on = false;
    driver_close(&worker);
}

static int disposed;

static void
on_dispose(void *arg)
{
    disposed += *(int *)arg;
}

static void
use_arena(struct task *t, void *arg)
{
    struct probe *p = arg;
    p->task = t;
    p->steps = (int)task_arena(t)->total_bytes;
    CHECK_EQ_PTR(task_diag(t)->arena, task_arena(t));
    CHECK_EQ_U64(task_diag(t)->message.len, 0);
    CHECK_EQ_INT(task_diag(t)->err, OK);
    CHECK_EQ_U64(task_deadline_ms(t), UINT64_MAX);
    CHECK(!task_is_cancelled(t));
    int *number = ARENA_NEW(task_arena(t), int);
    *number = 7;
    arena_on_dispose(task_arena(t), on_dispose, number);
    memset(arena_alloc(task_arena(t), 100000), 1, 100000);
    (void)DIAG_FAIL(task_diag(t), ERR_IO, "left over");
    (void)task_deadline_push(t, 10);
    task_cancel(t);
}

TEST(a_stack_is_used_again_with_nothing_left_of_its_last_task)
{
    struct probe first = { 0 }, second = { 0 };
    disposed = 0;
    driver_open_fake(&worker);
    REQUIRE(task_spawn(&worker, "first", use_arena, &first) != NULL);
    turns(&worker, 1);
    CHECK_EQ_INT(disposed, 7);
    REQUIRE(task_spawn(&worker, "second", use_arena, &second) != NULL);
    turns(&worker, 1);
    CHECK_EQ_INT(disposed, 14);
    CHECK_EQ_PTR(first.task, second.task);
    CHECK(second.steps <= 4096); /* one small chunk is kept */
    driver_close(&worker);
}

static uint64_t
resident_kib(void)
{
    char line[128] = "";
    struct slice rest, word;
    uint64_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    REQUIRE(f != NULL && fgets(line, sizeof line, f) != NULL);
    fclose(f);
    rest = slice_str(line);
    REQUIRE(slice_split(&rest, ' ', &word) && slice_split(&rest, ' ', &word));
    REQUIRE(slice_to_u64(word, &pages));
    return pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static int finished;

static void
little_work(struct task *t, void *arg)
{
    (void)arg;
    memset(arena_alloc(task_arena(t), 5000), 1, 5000);
    task_yield(t);
    finished++;
}

TEST(a_hundred_thousand_tasks_in_sequence_leave_no_trace)
{
    enum { WAVE = 100 }; /* more than are pooled: some stacks come and go */
    const int tasks = UNDER_TSAN ? 2000 : 100000;
    finished = 0;
    driver_open_fake(&worker);
    uint64_t before_kib = 0;
    for (int i = 0; i < tasks / WAVE; i++) {
        for (int k = 0; k < WAVE; k++)
            REQUIRE(task_spawn(&worker, "little", little_work, NULL) != NULL);
        turns(&worker, 2);
        if (i == tasks / WAVE / 10)
            before_kib = resident_kib();
    }
    CHECK_EQ_INT(finished, tasks);
    CHECK_EQ_U64(worker.tasks.count, 0);
#ifdef REMORA_SANITIZE
    before_kib = resident_kib(); /* allocators that hold on to what is freed */
#endif
    CHECK(resident_kib() < before_kib + 512);
    driver_close(&worker);
}

/* --- stacks ------------------------------------------------------------------------------------*/

/* A frame of about 1 KiB that the compiler can neither drop nor turn into a loop: the level below
 * looks at it. */
static size_t __attribute__((noinline))
descend(struct task *t, size_t depth, const volatile char *above)
{
    volatile char frame[1024];
    frame[0] = (char)depth;
    frame[1023] = (char)(above[0] - 1);
    size_t count = 0;
    if (depth == 0)
        task_yield(t);
    else
        count = descend(t, depth - 1, frame);
    return count + (size_t)(frame[1023] == (char)depth);
}

static void
go_deep(struct task *t, void *arg)
{
    size_t *depth = arg;
    const volatile char above = (char)(*depth + 1);
    *depth = descend(t, *depth, &above);
}

TEST(calls_may_nest_as_deep_as_the_stack_goes_and_suspend_there)
{
#ifdef REMORA_SANITIZE
    size_t levels = 64; /* their frames are fat */
#else
    size_t levels = LIMIT_task_stack_bytes / 1024 - 48;
#endif
    driver_open_fake(&worker);
    for (int i = 0; i < 3; i++) { /* the same stack again, too */
        size_t depth = levels;
        REQUIRE(task_spawn(&worker, "deep", go_deep, &depth) != NULL);
        turns(&worker, 2);
        CHECK_EQ_U64(depth, levels + 1);
    }
    driver_close(&worker);
}

static void
overflow_in_child(void)
{
    struct rlimit none = { 0 };
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would tell it differently */
    signal(SIGBUS, SIG_DFL);
    size_t depth = (size_t)LIMIT_task_stack_bytes / 256;
    (void)task_spawn(&worker, "overflow", go_deep, &depth);
    turns(&worker, 2);
    _exit(0);
}

TEST(a_stack_that_overflows_hits_the_guard_page)
{
    driver_open_fake(&worker);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        overflow_in_child();
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ_INT(WTERMSIG(status), SIGSEGV);
    driver_close(&worker);
}

/* --- looking inside ----------------------------------------------------------------------------*/

struct seen {
    int count;
    int waiting;
};

static void
on_task(const struct task_info *info, void *arg)
{
    struct seen *seen = arg;
    seen->count++;
    if (info->function == NULL)
        return;
    seen->waiting++;
    CHECK_EQ_STR(info->name, "waiter");
    CHECK_EQ_STR(info->function, "wait_plainly");
    CHECK(info->line > 0);
    CHECK_EQ_U64(info->since_ms, 1000000);
}

TEST(every_task_can_be_listed_with_the_place_where_it_waits)
{
    struct probe p = { 0 }, fresh = { 0 };
    struct seen seen = { 0 };
    driver_open_fake(&worker);
    REQUIRE(task_spawn(&worker, "waiter", wait_plainly, &p) != NULL);
    turns(&worker, 1);
    REQUIRE(task_spawn(&worker, "fresh", wait_plainly, &fresh) != NULL);
    task_each(&worker, on_task, &seen);
    CHECK_EQ_INT(seen.count, 2);
    CHECK_EQ_INT(seen.waiting, 1);
    turns(&worker, 1);
    wait_done(&p.wait, OK);
    wait_done(&fresh.wait, OK);
    driver_close(&worker);
}
