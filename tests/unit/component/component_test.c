/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's table of components: lookups, waiting for a plugin, removal under a request. */
#include "component/component.h"

#include "async/worker.h"
#include "base/clock.h"
#include "base/limits.h"
#include "tests/lib/test.h"

static struct component_facts *
facts(const char *name, enum component_kind kind)
{
    return component_facts_new(&(struct component_facts){ .kind = kind,
                                                          .name = slice_str(name),
                                                          .type = SLICE("state.test"),
                                                          .version = SLICE("v1"),
                                                          .key_prefix = SLICE("app||") });
}

static void
publish(struct component_table *table, const char *name, enum component_kind kind)
{
    struct component_facts *shared = facts(name, kind);
    component_publish(table, shared, NULL, NULL);
    component_facts_unref(shared);
}

TEST(kinds_follow_from_the_category_of_a_type)
{
    enum component_kind kind;
    CHECK(component_kind_of(SLICE("state.redis"), &kind));
    CHECK_EQ_INT(kind, COMPONENT_STATE);
    CHECK(component_kind_of(SLICE("test.echo"), &kind));
    CHECK_EQ_INT(kind, COMPONENT_TEST);
    CHECK(!component_kind_of(SLICE("zork.nothing"), &kind));
    CHECK(!component_kind_of(SLICE("state"), &kind));
    CHECK(!component_kind_of(SLICE(""), &kind));
}

TEST(a_component_is_found_by_name_and_kind)
{
    struct component_table table;
    component_table_init(&table);
    publish(&table, "a", COMPONENT_STATE);
    publish(&table, "b", COMPONENT_TEST);
    CHECK(component_find(&table, COMPONENT_STATE, SLICE("a")) != NULL);
    CHECK(component_find(&table, COMPONENT_STATE, SLICE("b")) == NULL);
    CHECK(component_find(&table, COMPONENT_STATE, SLICE("c")) == NULL);
    CHECK_EQ_INT(table.kind_count[COMPONENT_STATE], 1);
    component_table_fini(&table);
}

static struct component_table starting;
static struct component *awaited;
static bool is_answered;

static void
await_one(struct task *t, void *name)
{
    awaited = component_await(t, &starting, COMPONENT_STATE, slice_str(name));
    is_answered = true;
}

TEST(who_asks_for_a_component_while_all_are_started_waits)
{
    struct worker worker;
    REQUIRE_OK(worker_init(&worker, 0));
    component_table_init(&starting);
    component_table_starting(&starting);
    publish(&starting, "known", COMPONENT_STATE);
    char known[] = "known", late[] = "late", none[] = "none";
    REQUIRE(task_spawn(&worker, "known", await_one, known) != NULL);
    worker_turn(&worker, 0);
    CHECK(is_answered && awaited != NULL);
    is_answered = false;
    REQUIRE(task_spawn(&worker, "late", await_one, late) != NULL);
    worker_turn(&worker, 0);
    publish(&starting, "late", COMPONENT_STATE);
    worker_turn(&worker, 0);
    CHECK(!is_answered);
    component_table_started(&starting);
    worker_turn(&worker, 0);
    CHECK(is_answered && awaited != NULL);
    is_answered = false;
    component_table_started(&starting);
    REQUIRE(task_spawn(&worker, "none", await_one, none) != NULL);
    worker_turn(&worker, 0);
    CHECK(is_answered && awaited == NULL);
    component_table_fini(&starting);
    worker_fini(&worker);
}

TEST(publishing_again_replaces_and_does_not_count_twice)
{
    struct component_table table;
    component_table_init(&table);
    publish(&table, "a", COMPONENT_STATE);
    publish(&table, "a", COMPONENT_TEST);
    CHECK_EQ_INT(table.kind_count[COMPONENT_STATE], 0);
    CHECK_EQ_INT(table.kind_count[COMPONENT_TEST], 1);
    component_table_fini(&table);
}

TEST(a_request_may_hold_a_component_that_is_removed)
{
    struct component_table table;
    component_table_init(&table);
    publish(&table, "a", COMPONENT_STATE);
    struct component *held = component_ref(component_find(&table, COMPONENT_STATE, SLICE("a")));
    component_remove(&table, SLICE("a"));
    CHECK(component_find(&table, COMPONENT_STATE, SLICE("a")) == NULL);
    CHECK_EQ_INT(table.kind_count[COMPONENT_STATE], 0);
    CHECK_SLICE_IS(held->facts->key_prefix, "app||");
    component_unref(held);
    component_table_fini(&table);
}

struct scene {
    struct component_table table;
    struct worker worker;
    err_t err;
    bool is_over;
    bool has_message;
};

static void
call_it(struct task *t, void *arg)
{
    struct scene *scene = arg;
    struct component_call call;
    const struct link_args args = { .method = 32 };
    struct component *component = component_ref(
        component_find(&scene->table, COMPONENT_STATE, SLICE("a")));
    scene->err = component_call(t, component, &args, &call);
    scene->has_message = task_diag(t)->message.len > 0;
    scene->is_over = true;
    component_call_finish(t, &call);
    component_unref(component);
}

static void
begin(struct scene *scene)
{
    clock_fake(1000000000, 0);
    *scene = (struct scene){ 0 };
    REQUIRE_OK(worker_init(&scene->worker, 0));
    component_table_init(&scene->table);
    publish(&scene->table, "a", COMPONENT_STATE);
    REQUIRE(task_spawn(&scene->worker, "call", call_it, scene) != NULL);
    worker_turn(&scene->worker, 0);
    CHECK(!scene->is_over);
}

static void
finish(struct scene *scene)
{
    component_table_fini(&scene->table);
    worker_fini(&scene->worker);
    clock_use_real();
}

TEST(a_call_waits_for_an_absent_plugin_and_then_gives_up_with_a_reason)
{
    struct scene scene;
    begin(&scene);
    clock_advance_ms(LIMIT_component_wait_ms - 1);
    worker_turn(&scene.worker, 0);
    CHECK(!scene.is_over);
    clock_advance_ms(2);
    worker_turn(&scene.worker, 0);
    REQUIRE(scene.is_over);
    CHECK_EQ_INT(scene.err, ERR_PLUGIN_AWAY);
    CHECK(scene.has_message);
    finish(&scene);
}

static void
on_remove(struct mail *mail)
{
    struct scene *scene = *(struct scene **)(void *)(mail + 1);
    component_remove(&scene->table, SLICE("a"));
}

TEST(removing_a_component_ends_the_calls_that_wait_for_it)
{
    struct scene scene;
    begin(&scene);
    struct {
        struct mail mail;
        struct scene *scene;
    } order = { .scene = &scene };
    worker_post(&scene.worker, &order.mail, on_remove);
    worker_turn(&scene.worker, 0);
    worker_turn(&scene.worker, 0);
    REQUIRE(scene.is_over);
    CHECK_EQ_INT(scene.err, ERR_PLUGIN_AWAY);
    finish(&scene);
}
