/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of applications: turns, freshness, who is shunned, and that there are never too many.
 */
#include "api/name_cache.h"

#include "base/limits.h"
#include "test.h"

static struct name_cache cache;

static struct name_entry *
known(const char *app_id, const char *namespace_, const char *const *addresses, size_t count)
{
    struct slice slices[8];
    struct name_entry *entry = name_cache_get(&cache, slice_str(app_id), slice_str(namespace_));
    REQUIRE(entry != NULL && count <= 8);
    for (size_t i = 0; i < count; i++)
        slices[i] = slice_str(addresses[i]);
    name_entry_set(entry, slices, count);
    return entry;
}

/* The macro that compares takes its arguments more than once. */
static bool
next_is(struct name_entry *entry, uint64_t now, const char *address)
{
    return slice_eq(name_entry_next(entry, now), slice_str(address));
}

TEST(several_addresses_take_turns)
{
    const char *const three[] = { "a:1", "b:1", "c:1" };
    name_cache_init(&cache);
    struct name_entry *entry = known("shop", "", three, 3);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < 3; i++)
            CHECK(next_is(entry, 0, three[i]));
    CHECK(next_is(entry, 0, "a:1"));
    (void)known("shop", "", three, 3);
    CHECK(next_is(entry, 0, "b:1")); /* the turn goes on */
    (void)known("shop", "", three, 1);
    CHECK(next_is(entry, 0, "a:1"));
    name_entry_set(entry, NULL, 0);
    CHECK(next_is(entry, 0, ""));
    name_cache_fini(&cache);
}

TEST(what_cannot_be_reached_is_passed_over_for_a_while)
{
    const char *const two[] = { "a:1", "b:1" };
    name_cache_init(&cache);
    struct name_entry *entry = known("shop", "", two, 2);
    name_entry_renew(entry, 1000, 60000);
    name_cache_shun(&cache, SLICE("shop"), SLICE("a:1"), 1000);
    CHECK_EQ_U64(entry->fresh_until, 0); /* the resolver is asked, */
    CHECK(entry->stale_until > 1000);    /* and the other one used meanwhile */
    CHECK_EQ_STR(entry->unreachable, "a:1");
    for (int i = 0; i < 4; i++)
        CHECK(next_is(entry, 1000, "b:1"));
    (void)known("shop", "", two, 2); /* the resolver knows no better */
    CHECK(next_is(entry, 1000 + LIMIT_names_shun_ms - 1, "b:1"));
    CHECK(next_is(entry, 1000 + LIMIT_names_shun_ms, "a:1"));
    name_cache_fini(&cache);
}

TEST(who_is_the_only_one_is_given_after_the_resolver_was_asked)
{
    const char *const two[] = { "a:1", "b:1" };
    name_cache_init(&cache);
    struct name_entry *entry = known("shop", "", two, 2);
    name_entry_renew(entry, 1000, 60000);
    name_cache_shun(&cache, SLICE("shop"), SLICE("a:1"), 1000);
    name_cache_shun(&cache, SLICE("shop"), SLICE("b:1"), 1000);
    name_cache_shun(&cache, SLICE("shop"), SLICE("z:1"), 1000);
    name_cache_shun(&cache, SLICE("other"), SLICE("a:1"), 1000);
    CHECK_EQ_U64(entry->stale_until, 0);
    CHECK_EQ_INT(name_entry_next(entry, 1000).len, 3);
    name_cache_fini(&cache);
}

TEST(namespaces_are_kept_apart)
{
    const char *const one[] = { "a:1" }, *const other[] = { "b:1" };
    name_cache_init(&cache);
    struct name_entry *first = known("shop", "x", one, 1), *second = known("shop", "y", other, 1);
    CHECK(first != second);
    CHECK(name_cache_find(&cache, SLICE("shop"), SLICE("")) == NULL);
    CHECK_SLICE_IS(name_entry_next(name_cache_find(&cache, SLICE("shop"), SLICE("x")), 0), "a:1");
    CHECK_SLICE_IS(name_entry_next(name_cache_find(&cache, SLICE("shop"), SLICE("y")), 0), "b:1");
    name_cache_shun(&cache, SLICE("shop"), SLICE("a:1"), 1);
    CHECK(first->unreachable != NULL && second->unreachable == NULL);
    name_cache_fini(&cache);
}

TEST(a_long_life_is_cut_short)
{
    name_cache_init(&cache);
    struct name_entry *entry = name_cache_get(&cache, SLICE("shop"), SLICE(""));
    name_entry_renew(entry, 5, UINT64_MAX);
    CHECK_EQ_U64(entry->fresh_until, 5 + LIMIT_names_ttl_ms);
    name_entry_renew(entry, 5, 0);
    CHECK_EQ_U64(entry->fresh_until, 5);
    CHECK_EQ_U64(entry->stale_until, 5 + LIMIT_names_stale_ms);
    name_cache_fini(&cache);
}

TEST(whoever_was_not_asked_for_longest_gives_way_unless_somebody_waits)
{
    char name[16];
    name_cache_init(&cache);
    struct name_entry *waited = name_entry_ref(name_cache_get(&cache, SLICE("waited"), SLICE("")));
    for (int i = 0; i < LIMIT_names_max - 1; i++) {
        (void)snprintf(name, sizeof name, "app%d", i);
        REQUIRE(name_cache_get(&cache, slice_str(name), SLICE("")) != NULL);
    }
    CHECK(name_cache_find(&cache, SLICE("app0"), SLICE("")) != NULL); /* now it is the newest */
    CHECK(name_cache_get(&cache, SLICE("one more"), SLICE("")) != NULL);
    CHECK_EQ_U64(cache.count, LIMIT_names_max);
    CHECK(name_cache_find(&cache, SLICE("waited"), SLICE("")) == waited);
    CHECK(name_cache_find(&cache, SLICE("app0"), SLICE("")) != NULL);
    CHECK(name_cache_find(&cache, SLICE("app1"), SLICE("")) == NULL);
    name_entry_unref(waited);
    name_cache_fini(&cache);
}

TEST(an_entry_that_has_gone_lives_as_long_as_somebody_holds_it)
{
    const char *const one[] = { "a:1" };
    name_cache_init(&cache);
    struct name_entry *entry = name_entry_ref(known("shop", "", one, 1));
    name_cache_fini(&cache);
    CHECK(next_is(entry, 0, "a:1"));
    name_entry_unref(entry);
}
