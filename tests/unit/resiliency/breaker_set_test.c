/* SPDX-License-Identifier: Apache-2.0 */
/* Breakers by target and instance: bounded, least recently used first, from any thread. */
#include "resiliency/breaker_set.h"

#include <pthread.h>

#include "base/limits.h"
#include "test.h"

static const struct breaker_policy policy = { .name = { "cb", 2 }, .requests_max = 1 };

static struct breaker *
get(struct breaker_set *set, const char *name, const char *instance)
{
    const struct breaker_owner owner = {
        .kind = TARGET_APP, .name = slice_str(name), .target = slice_str(name), .breakers_max = 3
    };
    struct breaker *breaker = breaker_set_get(set, &owner, &policy, slice_str(instance));
    breaker_unref(breaker); /* the set has it still: only good for comparing */
    return breaker;
}

TEST(an_instance_has_one_breaker_and_another_has_another)
{
    struct breaker_set *set = breaker_set_new();
    struct breaker *first = get(set, "a", "1");
    CHECK_EQ_PTR(get(set, "a", "1"), first);
    CHECK(get(set, "a", "2") != first);
    CHECK(get(set, "b", "1") != first);
    breaker_set_unref(set);
}

TEST(those_used_longest_ago_make_room)
{
    struct breaker_set *set = breaker_set_new();
    const struct breaker_owner owner = { .kind = TARGET_APP,
                                         .name = SLICE("a"),
                                         .breakers_max = 3 };
    struct breaker *kept = breaker_set_get(set, &owner, &policy, SLICE("1"));
    (void)get(set, "a", "2");
    (void)get(set, "a", "3");
    CHECK_EQ_PTR(get(set, "a", "1"), kept);
    (void)get(set, "a", "4"); /* in the place of 2 */
    CHECK_EQ_PTR(get(set, "a", "1"), kept);
    (void)get(set, "a", "5");
    (void)get(set, "a", "6");
    (void)get(set, "a", "7"); /* now 1 has gone; we have a reference */
    struct breaker *again = breaker_set_get(set, &owner, &policy, SLICE("1"));
    CHECK(again != kept);
    breaker_unref(again);
    breaker_unref(kept);
    breaker_set_unref(set);
}

static void
count_report(void *arg, const struct breaker_report *report)
{
    size_t *count = arg;
    ++*count;
    CHECK(report->state == BREAKER_CLOSED);
}

TEST(targets_are_bounded_too)
{
    struct breaker_set *set = breaker_set_new();
    char name[32];
    for (unsigned i = 0; i < LIMIT_breaker_groups_max + 100; i++) {
        (void)snprintf(name, sizeof name, "app-%u", i);
        (void)get(set, name, "1");
    }
    size_t count = 0;
    breaker_set_each(set, count_report, &count);
    CHECK_EQ_INT(count, LIMIT_breaker_groups_max);
    breaker_set_unref(set);
}

TEST(an_open_breaker_of_another_policy_is_replaced)
{
    struct breaker_set *set = breaker_set_new();
    struct breaker_policy other = policy;
    const struct breaker_owner owner = { .kind = TARGET_APP,
                                         .name = SLICE("a"),
                                         .breakers_max = 3 };
    other.requests_max = 7;
    struct breaker *first = breaker_set_get(set, &owner, &policy, SLICE("1"));
    struct breaker *second = breaker_set_get(set, &owner, &other, SLICE("1"));
    CHECK(first != second && breaker_is_of(second, &other));
    breaker_unref(first);
    breaker_unref(second);
    breaker_set_unref(set);
}

/* --- threads -----------------------------------------------------------------------------------*/

enum { THREADS = 4, CALLS = 5000 };

static const struct breaker_policy *
policy_of(void *arg, const struct breaker_owner *owner)
{
    (void)arg;
    return owner->name.data[0] == 'a' ? &policy : NULL;
}

static void *
thread_main(void *arg)
{
    struct breaker_set *set = arg;
    char name[8] = "a", instance[16];
    for (unsigned i = 0; i < CALLS; i++) {
        name[0] = (char)('a' + i % 3);
        (void)snprintf(instance, sizeof instance, "%u", i % 7);
        const struct breaker_owner owner = { .kind = TARGET_APP,
                                             .name = slice_str(name),
                                             .target = slice_str(name),
                                             .document = slice_str(i % 2 == 0 ? "d" : "e"),
                                             .breakers_max = 3 };
        struct breaker *breaker = breaker_set_get(set, &owner, &policy, slice_str(instance));
        uint64_t generation;
        const char *words;
        if (breaker_enter(breaker, &generation, &words))
            (void)breaker_leave(breaker, generation, BREAKER_SUCCESS);
        breaker_unref(breaker);
        size_t count = 0;
        if (i % 100 == 0)
            breaker_set_each(set, count_report, &count);
        if (i % 1000 == 0)
            breaker_set_prune(set, policy_of, NULL);
    }
    return NULL;
}

TEST(many_threads_share_one_set)
{
    struct breaker_set *set = breaker_set_new();
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, thread_main, set) == 0);
    for (size_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    breaker_set_prune(set, policy_of, NULL);
    size_t count = 0;
    breaker_set_each(set, count_report, &count);
    CHECK(count <= 1);
    breaker_set_unref(set);
}
