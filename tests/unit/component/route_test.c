/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of a component reach every worker's table, in order, and are acknowledged by all. */
#include "component/route.h"

#include "async/worker.h"
#include "tests/lib/test.h"

enum { WORKERS = 3 };

static struct worker all[WORKERS];
static struct component_table all_tables[WORKERS];
static struct worker *workers[WORKERS];
static struct component_table *tables[WORKERS];
static const struct routes routes = { .workers = workers, .tables = tables, .count = WORKERS };

static void
begin(void)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = &all[i];
        tables[i] = &all_tables[i];
        REQUIRE_OK(worker_init(&all[i], i));
        component_table_init(&all_tables[i]);
    }
}

static void
turn(unsigned worker)
{
    worker_turn(&all[worker], 0);
}

static void
end(void)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        turn(i);
        component_table_fini(&all_tables[i]);
        worker_fini(&all[i]);
    }
}

static struct component_facts *
facts(uint32_t generation)
{
    return component_facts_new(&(struct component_facts){
        .kind = COMPONENT_STATE, .name = SLICE("store"), .generation = generation });
}

static uint32_t
generation_at(unsigned worker)
{
    const struct component *component = component_find(&all_tables[worker], COMPONENT_STATE,
                                                       SLICE("store"));
    return component == NULL ? 0 : component->facts->generation;
}

struct waiting {
    struct latch *latch;
    bool is_done;
    err_t err;
};

static void
wait_main(struct task *t, void *arg)
{
    struct waiting *waiting = arg;
    waiting->err = latch_wait(t, TAKE(waiting->latch));
    waiting->is_done = true;
}

TEST(every_worker_acts_in_its_own_turn_and_the_sender_waits_for_all)
{
    begin();
    struct latch *ack = latch_new(), *writes = latch_new();
    struct waiting waiting = { .latch = ack };
    struct component_facts *first = facts(1);
    routes_publish(&routes, first, NULL, writes, ack);
    component_facts_unref(first);
    REQUIRE(task_spawn(&all[0], "wait", wait_main, &waiting) != NULL);
    turn(0);
    turn(0);
    CHECK_EQ_INT(generation_at(0), 1);
    CHECK_EQ_INT(generation_at(1), 0);
    CHECK(!waiting.is_done);
    turn(1);
    turn(2);
    turn(0);
    CHECK_EQ_INT(generation_at(2), 1);
    CHECK(waiting.is_done && waiting.err == OK);
    latch_unref(writes);
    end();
}

TEST(changes_of_one_sender_arrive_in_order)
{
    begin();
    struct latch *writes = latch_new(), *others = latch_new();
    for (uint32_t generation = 1; generation <= 3; generation++) {
        struct component_facts *some = facts(generation);
        routes_publish(&routes, some, NULL, writes, NULL);
        component_facts_unref(some);
    }
    routes_hold(&routes, SLICE("store"), NULL);
    routes_release(&routes, SLICE("store"), others, NULL);
    for (unsigned i = 0; i < WORKERS; i++) {
        turn(i);
        CHECK_EQ_INT(generation_at(i), 3);
        CHECK_EQ_PTR(component_find(&all_tables[i], COMPONENT_STATE, SLICE("store"))->writes,
                     others);
    }
    routes_remove(&routes, SLICE("store"), NULL);
    for (unsigned i = 0; i < WORKERS; i++) {
        turn(i);
        CHECK_EQ_INT(generation_at(i), 0);
    }
    latch_unref(writes);
    latch_unref(others);
    end();
}

TEST(facts_are_gone_when_no_worker_has_them)
{
    begin();
    struct latch *gone = latch_new(), *writes = latch_new();
    struct waiting waiting = { .latch = gone };
    struct component_facts like = { .kind = COMPONENT_STATE,
                                    .name = SLICE("store"),
                                    .gone = latch_ref(gone) };
    struct component_facts *first = component_facts_new(&like);
    routes_publish(&routes, first, NULL, writes, NULL);
    component_facts_unref(first);
    for (unsigned i = 0; i < WORKERS; i++)
        turn(i);
    REQUIRE(task_spawn(&all[0], "wait", wait_main, &waiting) != NULL);
    struct component_facts *second = facts(2);
    routes_publish(&routes, second, NULL, writes, NULL);
    component_facts_unref(second);
    turn(0);
    turn(0);
    turn(1);
    turn(0);
    CHECK(!waiting.is_done);
    turn(2);
    turn(0);
    CHECK(waiting.is_done && waiting.err == OK);
    latch_unref(writes);
    end();
}
