/* SPDX-License-Identifier: Apache-2.0 */
/* Key prefixes of state stores: STATE-36 to STATE-40, X-STATE-11. */
#include "component/key_prefix.h"

#include "tests/lib/test.h"

static void
check(const char *strategy, const char *app, const char *space, const char *name,
      const char *expected)
{
    struct arena arena;
    arena_init(&arena);
    struct slice prefix = key_prefix(&arena, slice_str(strategy), slice_str(app), slice_str(space),
                                     slice_str(name));
    CHECK_SLICE_IS(prefix, expected);
    arena_fini(&arena);
}

TEST(keys_carry_the_app_id_by_default)
{
    check("", "myApp", "", "redis", "myApp||");
    check("appid", "myApp", "prod", "redis", "myApp||");
}

TEST(a_store_may_be_named_instead)
{
    check("name", "myApp", "prod", "redis", "redis||");
}

TEST(a_namespace_stands_before_the_app_id)
{
    check("namespace", "myApp", "production", "redis", "production.myApp||");
}

TEST(without_a_namespace_that_strategy_is_the_app_id)
{
    check("namespace", "myApp", "", "redis", "myApp||");
}

TEST(none_leaves_keys_as_they_are)
{
    check("none", "myApp", "prod", "redis", "");
}

TEST(strategies_are_known_in_any_case)
{
    check("NONE", "myApp", "prod", "redis", "");
    check("AppId", "myApp", "prod", "redis", "myApp||");
    check("Name", "myApp", "prod", "redis", "redis||");
    check("nameSpace", "myApp", "prod", "redis", "prod.myApp||");
}

TEST(any_other_text_is_the_prefix_itself)
{
    check("shared", "myApp", "prod", "redis", "shared||");
}

TEST(an_empty_app_id_gives_no_prefix)
{
    check("", "", "", "redis", "");
}
