/* SPDX-License-Identifier: Apache-2.0 */
/* Generations of settings on their way to workers. */
#include "api/settings.h"

#include "api/kernel.h"
#include "resiliency/policy.h"
#include "test.h"

static struct kernel_worker workers[2];
static unsigned freed;

static void
on_freed(void *arg)
{
    (void)arg;
    freed++;
}

static struct settings *
make(const char *feature)
{
    struct settings *settings = settings_new();
    text_list_add(&settings->arena, &settings->enabled_features, slice_str(feature));
    arena_on_dispose(&settings->arena, on_freed, NULL);
    return settings;
}

TEST(each_worker_goes_over_at_its_next_turn_and_the_last_frees_the_old_ones)
{
    struct settings *first = make("first"), *second = make("second");
    for (unsigned i = 0; i < 2; i++) {
        REQUIRE(worker_init(&workers[i].worker, i) == OK);
        endpoint_desk_init(&workers[i].outside, &workers[i]);
        workers[i].settings = settings_ref(first);
    }
    settings_unref(first); /* main's */
    for (unsigned i = 0; i < 2; i++)
        settings_publish(second, &workers[i]);
    settings_unref(second);
    CHECK(workers[0].settings == first && workers[1].settings == first);
    worker_turn(&workers[0].worker, 0);
    CHECK_EQ_STR(workers[0].settings->enabled_features.items[0].data, "second");
    CHECK(workers[1].settings == first && freed == 0);
    worker_turn(&workers[1].worker, 0);
    CHECK(workers[1].settings == second && freed == 1);
    settings_publish(make("third"), &workers[0]); /* lost with its worker, not leaked */
    for (unsigned i = 0; i < 2; i++) {
        worker_fini(&workers[i].worker);
        CHECK(i == 1 || workers[0].settings != second);
        settings_unref(workers[i].settings);
    }
    CHECK_EQ_INT(freed, 2); /* we have a reference of the third still */
}

TEST(the_thread_counts_where_the_settings_say)
{
    struct settings *with = settings_new(), *without = settings_new();
    struct kernel_worker worker = { .settings = settings_new() };
    endpoint_desk_init(&worker.outside, &worker);
    with->metrics = metrics_new(&(struct metrics_config){ .shard_count = 1 });
    REQUIRE(worker_init(&worker.worker, 0) == OK);
    settings_publish(with, &worker);
    worker_turn(&worker.worker, 0);
    CHECK(metrics_is_on());
    settings_publish(without, &worker);
    worker_turn(&worker.worker, 0);
    CHECK(!metrics_is_on());
    worker_fini(&worker.worker);
    settings_unref(worker.settings);
    settings_unref(with);
    settings_unref(without);
    settings_unref(NULL);
}

TEST(a_derived_generation_says_the_same_and_keeps_only_the_first_alive)
{
    struct settings *first = make("first");
    freed = 0;
    first->metrics = metrics_new(&(struct metrics_config){ .shard_count = 1 });
    struct settings *second = settings_derive(first), *third = settings_derive(second);
    CHECK(second->base == first && third->base == first);
    CHECK(third->metrics == first->metrics && third->resiliency == NULL);
    settings_unref(first);
    settings_unref(second);
    CHECK_EQ_INT(freed, 0);
    CHECK_EQ_STR(third->enabled_features.items[0].data, "first");
    settings_unref(third);
    CHECK_EQ_INT(freed, 1);
}

TEST(a_new_configuration_takes_over_what_resources_decide)
{
    const struct resources none = { 0 };
    const struct resource_filter filter = { .app_id = SLICE("me") };
    struct settings *old = settings_new(), *fresh = settings_new();
    old->resiliency = resiliency_new(&none, &filter, NULL);
    settings_carry(fresh, old);
    CHECK(fresh->resiliency == old->resiliency);
    settings_unref(old);
    CHECK_EQ_INT(resiliency_config(fresh->resiliency)->document_count, 0);
    settings_unref(fresh);
}
