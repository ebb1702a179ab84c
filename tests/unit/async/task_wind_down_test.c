/* SPDX-License-Identifier: Apache-2.0 */
/* A client that half-closes still wants its answer: winding a task down (ARCHITECTURE §5). */
#include "async/task.h"

#include "async/worker.h"
#include "tests/lib/test.h"

struct scene {
    struct worker worker;
    struct task *task;
    struct wait begun; /* waited for inside task_begun() */
    bool enter_begun;
    err_t first;
    err_t second;
    bool is_over;
};

static void
wait_twice(struct task *t, void *arg)
{
    struct scene *scene = arg;
    wait_init(&scene->begun, t, NULL);
    if (scene->enter_begun)
        task_begun(t);
    scene->first = TASK_WAIT(t, &scene->begun);
    if (scene->enter_begun)
        task_begun_end(t);
    scene->second = task_sleep(t, 1000000);
    scene->is_over = true;
}

static struct scene *
begin(bool enter_begun)
{
    static struct scene scene;
    scene = (struct scene){ .enter_begun = enter_begun };
    REQUIRE_OK(worker_init(&scene.worker, 0));
    scene.task = task_spawn(&scene.worker, "scene", wait_twice, &scene);
    REQUIRE(scene.task != NULL);
    worker_turn(&scene.worker, 0);
    return &scene;
}

struct order {
    struct mail mail;
    struct scene *scene;
    void (*fn)(struct task *t);
};

static void
on_order(struct mail *mail)
{
    struct order *order = container_of(mail, struct order, mail);
    if (order->fn != NULL)
        order->fn(order->scene->task);
    else
        wait_done(&order->scene->begun, OK);
}

/* Runs fn(task), or completes the first wait, on the worker, and lets the task see it. */
static void
tell(struct scene *scene, void (*fn)(struct task *t))
{
    struct order order = { .scene = scene, .fn = fn };
    worker_post(&scene->worker, &order.mail, on_order);
    worker_turn(&scene->worker, 0);
    worker_turn(&scene->worker, 0);
}

TEST(winding_down_ends_a_wait_that_was_not_begun)
{
    struct scene *scene = begin(false);
    tell(scene, task_wind_down);
    CHECK(scene->is_over);
    CHECK_EQ_INT(scene->first, ERR_CANCELLED);
    worker_fini(&scene->worker);
}

TEST(winding_down_lets_what_was_begun_finish_and_nothing_follow)
{
    struct scene *scene = begin(true);
    tell(scene, task_wind_down);
    CHECK(!scene->is_over);
    tell(scene, NULL);
    CHECK(scene->is_over);
    CHECK_EQ_INT(scene->first, OK);
    CHECK_EQ_INT(scene->second, ERR_CANCELLED);
    worker_fini(&scene->worker);
}

TEST(cancelling_ends_also_what_was_begun)
{
    struct scene *scene = begin(true);
    tell(scene, task_wind_down);
    tell(scene, task_cancel);
    CHECK(scene->is_over);
    CHECK_EQ_INT(scene->first, ERR_CANCELLED);
    worker_fini(&scene->worker);
}
