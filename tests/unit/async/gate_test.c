/* SPDX-License-Identifier: Apache-2.0 */
/* A gate: first come, first served; giving up, closing, and its limit of waiters. */
#include "async/gate.h"

#include "unit/async/driver.h"

static struct worker worker;
static struct gate gate;
static char order[16];
static size_t order_len;

struct visitor {
    struct task *task;
    char name;
    int64_t units;
    uint64_t timeout_ms;
    bool stays; /* inside, until wait is done */
    struct wait wait;
    err_t entered;
    bool ended;
};

static void
visit(struct task *t, void *arg)
{
    struct visitor *v = arg;
    v->task = t;
    if (v->timeout_ms > 0)
        (void)task_deadline_push(t, v->timeout_ms);
    v->entered = gate_enter(t, &gate, v->units);
    if (v->entered == OK) {
        order[order_len++ % sizeof order] = v->name;
        if (v->stays) {
            wait_init(&v->wait, t, NULL);
            CHECK_OK(TASK_WAIT(t, &v->wait));
        }
        gate_leave(&gate, v->units);
    }
    v->ended = true;
}

static void
come(struct visitor *v)
{
    REQUIRE(task_spawn(&worker, "visitor", visit, v) != NULL);
    turns(&worker, 1);
}

static void
leave(struct visitor *v)
{
    wait_done(&v->wait, OK);
    turns(&worker, 3);
}

TEST(those_who_wait_come_in_by_order_of_arrival)
{
    struct visitor a = { .name = 'a', .units = 2, .stays = true };
    struct visitor b = { .name = 'b', .units = 2, .stays = true };
    struct visitor c = { .name = 'c', .units = 1 };
    order_len = 0;
    driver_open_fake(&worker);
    gate_init(&gate, 3, 10);
    come(&a);
    come(&b);
    come(&c); /* would fit, but is not served before b */
    CHECK_EQ_MEM(order, order_len, "a", 1);
    CHECK_EQ_U64(gate.waiter_count, 2);
    CHECK(!gate_try(&gate, 1));
    leave(&a);
    CHECK_EQ_MEM(order, order_len, "abc", 3);
    CHECK_EQ_INT(gate.free, 1);
    CHECK(gate_try(&gate, 1));
    CHECK(!gate_try(&gate, 1));
    gate_leave(&gate, 1);
    leave(&b);
    CHECK_EQ_INT(gate.free, 3);
    CHECK_EQ_U64(gate.waiter_count, 0);
    driver_close(&worker);
}

TEST(one_that_gives_up_in_the_middle_lets_the_next_in)
{
    struct visitor a = { .name = 'a', .units = 2, .stays = true };
    struct visitor b = { .name = 'b', .units = 3, .timeout_ms = 50 };
    struct visitor c = { .name = 'c', .units = 1 };
    order_len = 0;
    driver_open_fake(&worker);
    gate_init(&gate, 3, 10);
    come(&a);
    come(&b);
    come(&c);
    pass_ms(&worker, 49);
    CHECK(!b.ended && !c.ended);
    pass_ms(&worker, 1);
    CHECK(b.ended && c.ended);
    CHECK_EQ_INT(b.entered, ERR_DEADLINE);
    CHECK_EQ_MEM(order, order_len, "ac", 2);
    leave(&a);
    CHECK_EQ_INT(gate.free, 3);
    CHECK_EQ_U64(gate.waiter_count, 0);
    driver_close(&worker);
}

TEST(one_let_in_at_its_deadline_is_in_and_leaves)
{
    struct visitor a = { .name = 'a', .units = 1, .stays = true };
    struct visitor b = { .name = 'b', .units = 1, .timeout_ms = 50 };
    order_len = 0;
    driver_open_fake(&worker);
    gate_init(&gate, 1, 10);
    come(&a);
    come(&b);
    clock_advance_ms(50);
    gate_leave(&gate, 1); /* lets b in, whose deadline passes in the same turn */
    turns(&worker, 2);
    CHECK(b.ended);
    CHECK_OK(b.entered);
    CHECK_EQ_INT(gate.free, 1);
    gate.free = 0;
    leave(&a);
    CHECK_EQ_INT(gate.free, 1);
    driver_close(&worker);
}

TEST(more_waiters_than_the_limit_are_turned_away)
{
    struct visitor a = { .name = 'a', .units = 1, .stays = true };
    struct visitor b = { .name = 'b', .units = 1 }, c = { .name = 'c', .units = 1 };
    driver_open_fake(&worker);
    gate_init(&gate, 1, 1);
    come(&a);
    come(&b);
    come(&c);
    CHECK(c.ended);
    CHECK_EQ_INT(c.entered, ERR_OVERLOADED);
    leave(&a);
    CHECK_OK(b.entered);
    driver_close(&worker);
}

TEST(closing_ends_every_wait_present_and_future)
{
    struct visitor a = { .name = 'a', .units = 1, .stays = true };
    struct visitor b = { .name = 'b', .units = 1 }, c = { .name = 'c', .units = 1 };
    struct visitor late = { .name = 'd', .units = 1 };
    driver_open_fake(&worker);
    gate_init(&gate, 1, 10);
    come(&a);
    come(&b);
    come(&c);
    gate_close(&gate, ERR_CLOSED);
    turns(&worker, 2);
    CHECK(b.ended && c.ended);
    CHECK_EQ_INT(b.entered, ERR_CLOSED);
    CHECK_EQ_INT(c.entered, ERR_CLOSED);
    come(&late);
    CHECK_EQ_INT(late.entered, ERR_CLOSED);
    leave(&a);
    CHECK(a.ended);
    CHECK_EQ_INT(gate.free, 1);
    CHECK(!gate_try(&gate, 1));
    driver_close(&worker);
}
