/* SPDX-License-Identifier: Apache-2.0 */
/* Which rule of several a path falls under. */
#include "config/access_trie.h"

#include "base/limits.h"
#include "base/macros.h"
#include "test.h"

static struct arena arena;
static struct access_trie *trie;

/* Rules by their place in the list, from 0. */
static struct access_rule *rules[8];

static void
put_all(const char *const *operations, size_t count)
{
    arena_reset(&arena);
    trie = access_trie_new(&arena, 3 * count);
    for (size_t i = 0; i < count; i++) {
        rules[i] = access_trie_put(&arena, trie, slice_str(operations[i]));
        REQUIRE(rules[i] != NULL);
    }
}

static int
find(const char *path, struct access_reading reading)
{
    const struct access_rule *rule = access_trie_find(trie, slice_str(path), reading);
    for (int i = 0; rule != NULL && i < (int)ARRAY_LEN(rules); i++)
        if (rules[i] == rule)
            return i;
    return -1;
}

static const struct access_reading plainly = { .is_thorough = false };
static const struct access_reading thoroughly = { .is_thorough = true };
static const struct access_reading caselessly = { .is_thorough = true, .ignores_case = true };

struct expected {
    const char *path;
    int rule;     /* in the reference's reading; -1: none */
    int thorough; /* in the thorough one */
};

#define SAME(path, rule)                                                                           \
    {                                                                                              \
        (path), (rule), (rule)                                                                     \
    }
#define BUT(path, rule, thorough)                                                                  \
    {                                                                                              \
        (path), (rule), (thorough)                                                                 \
    }

static void
check_all(const struct expected *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool is_fine = CHECK_EQ_INT(find(rows[i].path, plainly), rows[i].rule);
        if (!CHECK_EQ_INT(find(rows[i].path, thoroughly), rows[i].thorough) || !is_fine)
            fprintf(stderr, "  for %s\n", rows[i].path);
    }
}

#define OPERATIONS(...)                                                                            \
    put_all((const char *const[]){ __VA_ARGS__ }, ARRAY_LEN(((const char *const[]){ __VA_ARGS__ })))
#define EXPECT(...)                                                                                \
    check_all((const struct expected[]){ __VA_ARGS__ },                                            \
              ARRAY_LEN(((const struct expected[]){ __VA_ARGS__ })))

TEST(a_rule_covers_its_path_and_what_is_below)
{
    OPERATIONS("/public", "op/b/", "//x/./y");
    EXPECT(SAME("/public", 0), SAME("/public/extra", 0), SAME("/public/a/b/c", 0),
           SAME("/publi", -1), SAME("/publicity", -1), SAME("/", -1), SAME("/op", -1),
           SAME("/op/b", 1), SAME("/op/b/c", 1), SAME("/x/y", 2), SAME("/x", -1));
}

TEST(one_star_at_the_end_is_one_segment_or_none)
{
    OPERATIONS("/op3/a/*", "/all/*");
    EXPECT(SAME("/op3/a", 0), SAME("/op3/a/b", 0), SAME("/op3/a/b/c", -1), SAME("/op3", -1),
           SAME("/op3/b/b", -1), SAME("/all", 1), SAME("/all/x", 1), SAME("/all/x/y", -1));
    OPERATIONS("/*");
    EXPECT(SAME("/", 0), SAME("/a", 0), SAME("/a/b", -1));
}

TEST(two_stars_at_the_end_are_any_segments)
{
    OPERATIONS("/op7/c/**", "/**");
    EXPECT(SAME("/op7/c", 0), SAME("/op7/c/d", 0), SAME("/op7/c/d/e", 0), BUT("/op7", -1, 1),
           SAME("/", 1), SAME("/x/y/z", 1));
}

TEST(a_star_elsewhere_is_bytes_of_a_segment_or_one_to_the_thorough)
{
    OPERATIONS("/", "/op7/a/b*", "/*.png", "/a*b*c/x", "/orders/*/items");
    EXPECT(SAME("/orders/7", -1), SAME("/orders/7/8/items", -1), SAME("/op7/a/bc", 1),
           SAME("/op7/a/b", 1), SAME("/op7/a/bc/d", 1), SAME("/op7/a/c", -1), SAME("/x.png", 2),
           SAME("/.png", 2), SAME("/x.pngs", -1), SAME("/a--b-bc-c/x", 3), SAME("/abc/x", 3),
           SAME("/ac/x", -1), SAME("/a--b-bc-c/y", -1), BUT("/orders/7/items", -1, 4),
           BUT("/orders/7/items/1", -1, 4), BUT("/orders/*/items", -1, 4));
}

/* The reference's tests of the same name. */
TEST(branches_are_tried_in_the_order_of_the_document)
{
    OPERATIONS("/api/v1/*", "/api/v1/state");
    EXPECT(SAME("/api/v1/state", 0), SAME("/api/v1/other", 0));
    OPERATIONS("/api/v1/state", "/api/v1/*");
    EXPECT(SAME("/api/v1/state", 0), SAME("/api/v1/other", 1));
    OPERATIONS("/op7/a/b/*", "/op7/a/b/c/f", "/op7/a/b*");
    EXPECT(SAME("/op7/a/b/c", 0), BUT("/op7/a/b/c/d", -1, 2), SAME("/op7/a/b/c/f", 1));
}

TEST(what_the_reference_does_not_see_the_thorough_does)
{
    OPERATIONS("/a", "/a/secret", "/a/secret/not");
    EXPECT(SAME("/a/x", 0), BUT("/a/secret", 0, 1), BUT("/a/secret/x", 0, 1),
           BUT("/a/secret/not", 0, 2));
    OPERATIONS("/x*/b", "/xy/c", "/*/d");
    EXPECT(SAME("/xy/b", 0), BUT("/xy/c", -1, 1), BUT("/xy/d", -1, 2), SAME("/xy/e", -1),
           SAME("/xy", -1));
}

TEST(an_operation_named_twice_is_one)
{
    OPERATIONS("/op", "op", "/op/", "/OP");
    CHECK(rules[0] == rules[1] && rules[0] == rules[2] && rules[0] != rules[3]);
}

TEST(case_counts_unless_it_does_not)
{
    OPERATIONS("/Admin/b*", "/admin/x", "/ADMIN/Y");
    EXPECT(SAME("/Admin/bc", 0), SAME("/admin/bc", -1), SAME("/Admin/x", -1), SAME("/admin/x", 1));
    CHECK_EQ_INT(find("/aDMIN/BC", caselessly), 0);
    CHECK_EQ_INT(find("/Admin/X", caselessly), 1);
    CHECK_EQ_INT(find("/admin/y", caselessly), 2);
    CHECK_EQ_INT(find("/admin/z", caselessly), -1);
}

TEST(bytes_of_a_request_are_only_themselves)
{
    OPERATIONS("/admin", "/a*c", "/q/*/r");
    EXPECT(SAME("/*", -1), SAME("/admi*", -1), SAME("/**", -1), SAME("/admin;x", -1),
           SAME("/admin\\x", -1), SAME("/admin%2Fx", -1), SAME("/admin\xef\xbc\x8fx", -1),
           SAME("/admin\xc0\xafx", -1), SAME("/a*c", 1), SAME("/q/**/s", -1), SAME("/q/*/s", -1));
}

TEST(what_can_match_nothing_is_no_operation)
{
    char deep[4 * LIMIT_access_segments_max];
    arena_reset(&arena);
    trie = access_trie_new(&arena, 1000);
    CHECK(access_trie_put(&arena, trie, SLICE("/a/../b")) == NULL);
    CHECK(access_trie_put(&arena, trie, SLICE("..")) == NULL);
    for (int i = 0; i < LIMIT_access_segments_max + 1; i++) {
        deep[2 * i] = '/';
        deep[2 * i + 1] = 'a';
    }
    struct slice name = slice_of(deep, 2 * LIMIT_access_segments_max);
    struct access_rule *rule = access_trie_put(&arena, trie, name);
    CHECK(rule != NULL);
    CHECK(access_trie_find(trie, name, thoroughly) == rule);
    name.len += 2;
    CHECK(access_trie_find(trie, name, caselessly) == rule); /* below it */
    CHECK(access_trie_put(&arena, trie, name) == NULL);
}

TEST(the_root_is_an_operation_that_covers_itself)
{
    OPERATIONS("/", "");
    CHECK(rules[0] == rules[1]);
    EXPECT(SAME("/", 0), SAME("/a", -1));
}

TEST(long_lists_and_hostile_paths_cost_little)
{
    enum { MANY = 4096 };
    static char path[LIMIT_access_path_bytes_max];
    arena_reset(&arena);
    trie = access_trie_new(&arena, 2 * MANY);
    for (int i = 0; i < MANY; i++)
        REQUIRE(access_trie_put(&arena, trie, arena_printf(&arena, "/x/op%d", i)) != NULL);
    REQUIRE(access_trie_put(&arena, trie, SLICE("/x/*a*a*a*a*a*b")) != NULL);
    for (size_t i = 0; i < sizeof path; i++)
        path[i] = 'a';
    memcpy(path, "/x/", 3);
    CHECK(access_trie_find(trie, slice_of(path, sizeof path), caselessly) == NULL);
    for (int i = 0; i < MANY; i++) {
        struct slice name = arena_printf(&arena, "/x/OP%d", i);
        CHECK(access_trie_find(trie, name, caselessly) != NULL);
        CHECK(access_trie_find(trie, name, thoroughly) == NULL);
    }
}
