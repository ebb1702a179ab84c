/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for the last of what is under way. */
#include "async/latch.h"

#include <pthread.h>

#include "async/worker.h"
#include "base/clock.h"
#include "tests/lib/test.h"

enum { THREADS = 4, ROUNDS = 20000 };

struct scene {
    struct worker worker;
    struct latch *latch;
    uint64_t timeout_ms;
    err_t err;
    bool is_over;
};

static void
wait_main(struct task *t, void *arg)
{
    struct scene *scene = arg;
    if (scene->timeout_ms > 0)
        (void)task_deadline_push(t, scene->timeout_ms); /* for the task's whole life */
    scene->err = latch_wait(t, scene->latch);
    scene->is_over = true;
}

static void
begin(struct scene *scene, struct latch *latch, uint64_t timeout_ms)
{
    *scene = (struct scene){ .latch = latch, .timeout_ms = timeout_ms };
    REQUIRE_OK(worker_init(&scene->worker, 0));
    REQUIRE(task_spawn(&scene->worker, "wait", wait_main, scene) != NULL);
    worker_turn(&scene->worker, 0);
}

static void
turn_until_over(struct scene *scene)
{
    uint64_t deadline_ms = clock_now_ms() + 10000;
    while (!scene->is_over && clock_now_ms() < deadline_ms)
        worker_turn(&scene->worker, 10);
    CHECK(scene->is_over);
}

TEST(a_latch_that_nobody_holds_opens_at_once)
{
    struct scene scene;
    begin(&scene, latch_new(), 0);
    turn_until_over(&scene);
    CHECK_OK(scene.err);
    worker_fini(&scene.worker);
}

TEST(a_latch_opens_when_its_last_holder_lets_go)
{
    struct scene scene;
    struct latch *latch = latch_new();
    (void)latch_ref(latch_ref(latch));
    begin(&scene, latch, 0);
    latch_unref(latch);
    worker_turn(&scene.worker, 0);
    CHECK(!scene.is_over);
    latch_unref(latch);
    turn_until_over(&scene);
    CHECK_OK(scene.err);
    worker_fini(&scene.worker);
}

TEST(an_owner_that_gives_up_leaves_the_latch_to_the_last_holder)
{
    struct scene scene;
    struct latch *latch = latch_ref(latch_new());
    begin(&scene, latch, 1);
    turn_until_over(&scene);
    CHECK_EQ_INT(scene.err, ERR_DEADLINE);
    latch_unref(latch); /* frees it: the leak checker would tell */
    worker_fini(&scene.worker);
}

TEST(a_latch_without_an_owner_is_freed_by_its_last_holder)
{
    struct latch *latch = latch_ref(latch_new());
    latch_unref(latch);
    latch_unref(latch);
}

static void *
hold_and_let_go(void *arg)
{
    struct latch *latch = arg;
    for (int i = 0; i < ROUNDS; i++) {
        (void)latch_ref(latch);
        latch_unref(latch);
    }
    latch_unref(latch);
    return NULL;
}

TEST(holders_may_be_on_any_thread)
{
    struct scene scene;
    pthread_t threads[THREADS];
    struct latch *latch = latch_new();
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, hold_and_let_go, latch_ref(latch)) == 0);
    begin(&scene, latch, 0);
    turn_until_over(&scene);
    CHECK_OK(scene.err);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL); /* ours, and ended */
    worker_fini(&scene.worker);
}
