/* SPDX-License-Identifier: Apache-2.0 */
/* The turn of a loop, mail from other threads, stopping, and waits completed by other threads. */
#include "async/worker.h"

#include "unit/async/driver.h"

static struct worker worker;

/* --- one turn ----------------------------------------------------------------------------------*/

static char order[16];
static size_t order_len;

static void
note(char what)
{
    if (order_len < sizeof order)
        order[order_len++] = what;
}

static void
on_mail(struct mail *mail)
{
    (void)mail;
    CHECK_EQ_PTR(worker_current(), &worker);
    note('m');
}

static void
on_timer(struct timer *timer)
{
    (void)timer;
    note('t');
}

static void
on_flush(struct flusher *flusher)
{
    (void)flusher;
    note('f');
}

static struct flusher flusher;

static void
task_that_writes(struct task *t, void *arg)
{
    (void)t;
    (void)arg;
    note('k');
    worker_flush_later(&worker, &flusher);
    worker_flush_later(&worker, &flusher);
}

TEST(a_turn_runs_mail_then_timers_then_tasks_then_flushes_once)
{
    struct mail mail;
    struct timer timer;
    order_len = 0;
    driver_open_fake(&worker);
    timer_init(&timer, on_timer);
    flusher_init(&flusher, on_flush);
    CHECK(task_spawn(&worker, "writer", task_that_writes, NULL) != NULL);
    timer_set(&worker.timers, &timer, clock_now_ms());
    worker_post(&worker, &mail, on_mail);
    turns(&worker, 1);
    CHECK_EQ_MEM(order, order_len, "mtkf", 4);
    CHECK_EQ_PTR(worker_current(), NULL);
    driver_close(&worker);
}

static void
on_flush_again(struct flusher *again)
{
    note('f');
    if (order_len < 3)
        worker_flush_later(&worker, again);
}

TEST(what_asks_for_another_flush_gets_it_in_the_next_turn)
{
    order_len = 0;
    driver_open_fake(&worker);
    flusher_init(&flusher, on_flush_again);
    worker_flush_later(&worker, &flusher);
    turns(&worker, 1);
    CHECK_EQ_U64(order_len, 1);
    worker_turn(&worker, 10000); /* does not wait: there is work */
    CHECK_EQ_U64(order_len, 2);
    turns(&worker, 3);
    CHECK_EQ_U64(order_len, 3);
    driver_close(&worker);
}

static struct flusher victim;

static void
on_flush_removing(struct flusher *self)
{
    (void)self;
    note('r');
    list_remove(&victim.link);
}

TEST(a_flusher_may_remove_another_of_the_same_turn)
{
    order_len = 0;
    driver_open_fake(&worker);
    flusher_init(&flusher, on_flush_removing);
    flusher_init(&victim, on_flush);
    worker_flush_later(&worker, &flusher);
    worker_flush_later(&worker, &victim);
    turns(&worker, 2);
    CHECK_EQ_MEM(order, order_len, "r", 1);
    driver_close(&worker);
}

struct letter {
    struct mail mail;
    int *counter;
};

static void
on_free_letter(struct mail *mail)
{
    struct letter *letter = container_of(mail, struct letter, mail);
    ++*letter->counter;
    free(letter);
}

TEST(mail_left_when_a_worker_ends_is_still_run)
{
    int delivered = 0;
    driver_open(&worker);
    struct letter *letter = malloc(sizeof *letter);
    letter->counter = &delivered;
    worker_post(&worker, &letter->mail, on_free_letter);
    worker_fini(&worker);
    CHECK_EQ_INT(delivered, 1);
}

/* --- threads -----------------------------------------------------------------------------------*/

static atomic_int delivered_count;

static void
on_count(struct mail *mail)
{
    CHECK_EQ_PTR(worker_current(), &worker);
    free(container_of(mail, struct letter, mail));
    atomic_fetch_add(&delivered_count, 1);
}

TEST(a_sleeping_worker_is_woken_by_mail_and_by_stop)
{
    enum { LETTERS = 1000 };
    atomic_store(&delivered_count, 0);
    driver_open(&worker);
    REQUIRE_OK(worker_start(&worker));
    for (int i = 0; i < LETTERS; i++) {
        struct letter *letter = malloc(sizeof *letter);
        worker_post(&worker, &letter->mail, on_count);
        while (i % 10 == 0 && atomic_load(&delivered_count) <= i)
            ; /* empty box, so that it really sleeps; a lost wake-up meets the runner's limit */
    }
    worker_stop(&worker);
    worker_join(&worker);
    worker_join(&worker); /* harmless */
    CHECK_EQ_INT(atomic_load(&delivered_count), LETTERS);
    worker_fini(&worker);
}

static _Atomic(struct wait *) open_wait;
static atomic_int ended;

static void
on_cancel_ignored(struct wait *wait)
{
    (void)wait;
}

static void
wait_for_main(struct task *t, void *arg)
{
    struct wait wait;
    wait_init(&wait, t, on_cancel_ignored);
    atomic_store(&open_wait, &wait);
    *(err_t *)arg = TASK_WAIT(t, &wait);
    atomic_store(&ended, 1);
}

static err_t result;

static void
on_spawn(struct mail *mail)
{
    free(container_of(mail, struct letter, mail));
    REQUIRE(task_spawn(&worker, "waiter", wait_for_main, &result) != NULL);
}

TEST(a_worker_stops_only_when_its_last_task_has_ended)
{
    driver_open(&worker);
    atomic_store(&open_wait, NULL);
    atomic_store(&ended, 0);
    struct letter *letter = malloc(sizeof *letter);
    worker_post(&worker, &letter->mail, on_spawn);
    worker_stop(&worker);
    REQUIRE_OK(worker_start(&worker));
    while (atomic_load(&open_wait) == NULL)
        ;
    CHECK_EQ_INT(atomic_load(&ended), 0);
    wait_done(atomic_load(&open_wait), ERR_IO);
    worker_join(&worker);
    CHECK_EQ_INT(atomic_load(&ended), 1);
    CHECK_EQ_INT(result, ERR_IO);
    worker_fini(&worker);
}

/* --- waits completed by another thread, before, while and after the task parks -----------------*/

enum { ROUNDS = 20000 };

static _Atomic(struct wait *) handed_over;
static atomic_bool no_more;

static void *
completer_main(void *arg)
{
    (void)arg;
    while (!atomic_load(&no_more)) {
        struct wait *wait = atomic_exchange(&handed_over, NULL);
        if (wait != NULL)
            wait_done(wait, ERR_CLOSED);
    }
    return NULL;
}

static void
wait_many_times(struct task *t, void *arg)
{
    int *good = arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct wait wait;
        wait_init(&wait, t, on_cancel_ignored);
        atomic_store(&handed_over, &wait);
        for (volatile int spin = 0; spin < i % 64 * 8; spin++)
            ; /* now the other thread is first, now we are */
        *good += TASK_WAIT(t, &wait) == ERR_CLOSED;
    }
}

TEST(another_thread_may_complete_a_wait_before_or_after_the_task_parks)
{
    pthread_t thread;
    int good = 0;
    atomic_store(&no_more, false);
    driver_open(&worker);
    REQUIRE(pthread_create(&thread, NULL, completer_main, NULL) == 0);
    REQUIRE(task_spawn(&worker, "many", wait_many_times, &good) != NULL);
    DRIVE_UNTIL(&worker, worker.tasks.count == 0);
    CHECK_EQ_INT(good, ROUNDS);
    atomic_store(&no_more, true);
    pthread_join(thread, NULL);
    driver_close(&worker);
}
