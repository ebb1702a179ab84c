/* SPDX-License-Identifier: Apache-2.0 */
/* Query strings. */
#include "http/query.h"

#include "test.h"

/* Pairs joined as name=value| with what a reader sees. */
static void
check_pairs(const char *query, const char *expected)
{
    struct arena arena;
    arena_init(&arena);
    char seen[256];
    size_t len = 0;
    struct slice rest = slice_str(query), name, value;
    while (query_next(&rest, &arena, &name, &value))
        len += (size_t)snprintf(seen + len, sizeof seen - len, SLICE_FMT "=" SLICE_FMT "|",
                                SLICE_ARG(name), SLICE_ARG(value));
    seen[len] = '\0';
    CHECK_EQ_STR(seen, expected);
    arena_fini(&arena);
}

TEST(pairs_come_in_order)
{
    check_pairs("", "");
    check_pairs("a=1", "a=1|");
    check_pairs("a=1&b=2&a=3", "a=1|b=2|a=3|");
    check_pairs("a", "a=|");
    check_pairs("a=", "a=|");
    check_pairs("=v", "=v|");
    check_pairs("a=b=c", "a=b=c|");
}

TEST(empty_pairs_are_left_out)
{
    check_pairs("&&a=1&&b&", "a=1|b=|");
}

TEST(plus_and_escapes_are_decoded)
{
    check_pairs("metadata.ttl%49n=a+b%2Bc", "metadata.ttlIn=a b+c|");
    check_pairs("a%3Db=c%26d", "a=b=c&d|");
}

TEST(a_malformed_pair_does_not_spoil_the_others)
{
    check_pairs("a=1&b=%zz&c=3", "a=1|c=3|");
    check_pairs("a=1;b=2&c=3", "c=3|");
    check_pairs("%=1&c=3", "c=3|");
}

TEST(the_first_of_equal_names_is_found)
{
    struct arena arena;
    arena_init(&arena);
    struct slice value;
    REQUIRE(query_get(SLICE("x=1&a%62=2&ab=3"), &arena, SLICE("ab"), &value));
    CHECK_SLICE_IS(value, "2");
    CHECK(!query_get(SLICE("x=1"), &arena, SLICE("ab"), &value));
    arena_fini(&arena);
}
