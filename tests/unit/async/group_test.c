/* SPDX-License-Identifier: Apache-2.0 */
/* Parallel children: how many at a time, whose error is told, and that none outlives the parent. */
#include "async/group.h"

#include "base/inject.h"
#include "unit/async/driver.h"

static struct worker worker;

enum { CHILDREN = 10 };

struct child {
    uint64_t sleep_ms;
    err_t result; /* told after sleeping well */
    err_t slept;
    uint64_t left_ms;
    bool ended;
};

struct family {
    struct child children[CHILDREN];
    size_t parallel_max;
    size_t running, running_most;
    uint64_t timeout_ms;
    bool cancels_itself;
    struct task *task;
    err_t joined;
    bool ended;
};

static struct family family;

static err_t
child_main(struct task *t, void *arg)
{
    struct child *child = arg;
    family.running++;
    if (family.running > family.running_most)
        family.running_most = family.running;
    child->left_ms = task_time_left_ms(t);
    child->slept = task_sleep(t, child->sleep_ms);
    child->ended = true;
    family.running--;
    return child->slept != OK ? child->slept : child->result;
}

static void
parent_main(struct task *t, void *arg)
{
    (void)arg;
    struct group group;
    family.task = t;
    if (family.timeout_ms > 0)
        (void)task_deadline_push(t, family.timeout_ms);
    group_init(&group, t, family.parallel_max);
    for (size_t i = 0; i < CHILDREN; i++)
        group_go(&group, "child", child_main, &family.children[i]);
    if (family.cancels_itself)
        task_cancel(t);
    family.joined = group_join(&group);
    for (size_t i = 0; i < CHILDREN; i++)
        CHECK(family.children[i].ended);
    family.ended = true;
}

static void
start_family(const struct family *model)
{
    family = *model;
    driver_open_fake(&worker);
    REQUIRE(task_spawn(&worker, "parent", parent_main, NULL) != NULL);
    turns(&worker, 2);
}

static void
pass_until_ended(void)
{
    for (int i = 0; i < 1000 && !family.ended; i++)
        pass_ms(&worker, 10);
    CHECK(family.ended);
}

TEST(without_a_bound_all_children_run_at_once)
{
    struct family model = { .parallel_max = 0 };
    for (size_t i = 0; i < CHILDREN; i++)
        model.children[i].sleep_ms = 10 * (i + 1);
    start_family(&model);
    CHECK_EQ_U64(family.running, CHILDREN);
    pass_until_ended();
    CHECK_OK(family.joined);
    driver_close(&worker);
}

TEST(with_a_bound_no_more_than_that_run)
{
    struct family model = { .parallel_max = 3 };
    for (size_t i = 0; i < CHILDREN; i++)
        model.children[i].sleep_ms = 10 + i * 7 % 5;
    start_family(&model);
    pass_until_ended();
    CHECK_OK(family.joined);
    CHECK_EQ_U64(family.running_most, 3);
    driver_close(&worker);
}

TEST(the_first_failure_in_time_is_told_and_the_others_still_run)
{
    struct family model = { .parallel_max = 0 };
    for (size_t i = 0; i < CHILDREN; i++)
        model.children[i].sleep_ms = 100;
    model.children[7].sleep_ms = 10;
    model.children[7].result = ERR_IO;
    model.children[2].sleep_ms = 30;
    model.children[2].result = ERR_CLOSED;
    start_family(&model);
    pass_until_ended();
    CHECK_EQ_INT(family.joined, ERR_IO);
    CHECK_OK(family.children[0].slept);
    driver_close(&worker);
}

TEST(cancelling_the_parent_cancels_the_children_and_joins_them)
{
    struct family model = { .parallel_max = 0, .cancels_itself = true };
    for (size_t i = 0; i < CHILDREN; i++)
        model.children[i].sleep_ms = 1000;
    start_family(&model);
    turns(&worker, 3);
    CHECK(family.ended);
    CHECK_EQ_INT(family.joined, ERR_CANCELLED);
    CHECK_EQ_INT(family.children[3].slept, ERR_CANCELLED);
    CHECK_EQ_U64(worker.tasks.count, 0);
    driver_close(&worker);
}

TEST(the_parents_deadline_holds_for_the_children_and_is_told_as_such)
{
    struct family model = { .parallel_max = 4, .timeout_ms = 50 };
    for (size_t i = 0; i < CHILDREN; i++)
        model.children[i].sleep_ms = 1000;
    start_family(&model);
    pass_ms(&worker, 40);
    CHECK_EQ_U64(family.running, 4);
    CHECK_EQ_U64(family.children[0].left_ms, 50);
    pass_ms(&worker, 10);
    turns(&worker, 20);
    CHECK(family.ended);
    CHECK_EQ_INT(family.joined, ERR_DEADLINE);
    driver_close(&worker);
}

TEST(without_a_spare_task_children_run_on_the_parent)
{
    struct family model = { .parallel_max = 0 };
    for (size_t i = 0; i < CHILDREN; i++)
        model.children[i].sleep_ms = 10;
    model.children[4].result = ERR_IO;
    driver_open_fake(&worker);
    family = model;
    REQUIRE(task_spawn(&worker, "parent", parent_main, NULL) != NULL);
    REQUIRE(inject_setup("task_spawn_fail:1"));
    pass_until_ended();
    REQUIRE(inject_setup("task_spawn_fail:0"));
    inject_is_on = false;
    CHECK_EQ_U64(family.running_most, 1);
    CHECK_EQ_INT(family.joined, ERR_IO);
    driver_close(&worker);
}

static void
push_pop_main(struct task *t, void *arg)
{
    (void)arg;
    struct group group;
    group_init(&group, t, 0);
    uint64_t outer = task_deadline_push(t, 20);
    group_go(&group, "child", child_main, &family.children[0]);
    task_deadline_pop(t, outer);
    group_go(&group, "child", child_main, &family.children[1]);
    family.joined = group_join(&group);
    family.ended = true;
}

TEST(a_child_keeps_the_deadline_it_was_started_under)
{
    family = (struct family){ 0 };
    family.children[0].sleep_ms = family.children[1].sleep_ms = 100;
    driver_open_fake(&worker);
    REQUIRE(task_spawn(&worker, "parent", push_pop_main, NULL) != NULL);
    turns(&worker, 2);
    pass_until_ended();
    CHECK_EQ_INT(family.children[0].slept, ERR_DEADLINE);
    CHECK_OK(family.children[1].slept);
    CHECK_EQ_INT(family.joined, ERR_DEADLINE);
    driver_close(&worker);
}

static void
empty_main(struct task *t, void *arg)
{
    struct group group;
    group_init(&group, t, 2);
    *(err_t *)arg = group_join(&group);
}

TEST(joining_nobody_returns_at_once)
{
    err_t joined = ERR_IO;
    driver_open_fake(&worker);
    REQUIRE(task_spawn(&worker, "parent", empty_main, &joined) != NULL);
    turns(&worker, 1);
    CHECK_OK(joined);
    driver_close(&worker);
}
