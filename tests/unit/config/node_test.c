/* SPDX-License-Identifier: Apache-2.0 */
/* Reading YAML into trees. */
#include "config/node.h"

#include "base/buf.h"
#include "base/limits.h"
#include "test.h"

static struct node *
parsed(struct arena *arena, const char *text)
{
    struct node *root = NULL;
    struct node_error error;
    if (!node_parse(arena, slice_str(text), 1, &root, &error))
        fprintf(stderr, "%u:%u: %s\n", error.line, error.column, error.text);
    return root;
}

static void
check_refused(struct arena *arena, struct slice text, const char *expected)
{
    struct node *root;
    struct node_error error;
    REQUIRE(!node_parse(arena, text, 1, &root, &error));
    CHECK_EQ_STR(error.text, expected);
}

TEST(maps_lists_and_scalars_become_nodes_with_positions)
{
    struct arena arena;
    arena_init(&arena);
    const struct node *root = parsed(&arena, "a: 1\nb:\n  - x\n  - {c: \"d\"}\n");
    REQUIRE(root != NULL);
    CHECK_EQ_INT(root->type, NODE_MAP);
    CHECK_EQ_INT(root->count, 2);
    CHECK_EQ_INT(root->height, 3);
    const struct node *b = node_get(root, SLICE("b"));
    REQUIRE(b != NULL && b->type == NODE_LIST && b->count == 2);
    CHECK_EQ_INT(b->line, 3);
    CHECK_EQ_INT(b->column, 3);
    CHECK_SLICE_IS(b->items->value->text, "x");
    const struct node *d = node_get(b->items->next->value, SLICE("c"));
    REQUIRE(d != NULL);
    CHECK_SLICE_IS(d->text, "d");
    CHECK(!d->is_plain);
    arena_fini(&arena);
}

TEST(an_empty_document_is_no_node)
{
    struct arena arena;
    arena_init(&arena);
    struct node_error error;
    static const char *const texts[] = { "", "# only a comment\n", "---\n", "~", "null" };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct node *root = (struct node *)(uintptr_t)8;
        CHECK(node_parse(&arena, slice_str(texts[i]), 1, &root, &error));
        CHECK(root == NULL);
    }
    arena_fini(&arena);
}

TEST(fields_are_found_in_any_case_the_exact_one_first)
{
    struct arena arena;
    arena_init(&arena);
    const struct node *root = parsed(&arena, "Kind: a\nkind: b\nBASEURL: u\nn: ~\nd: 1\nd: 2\n");
    CHECK_SLICE_IS(node_get(root, SLICE("kind"))->text, "b");
    CHECK_SLICE_IS(node_get(root, SLICE("Kind"))->text, "a");
    CHECK_SLICE_IS(node_get(root, SLICE("baseUrl"))->text, "u");
    CHECK_SLICE_IS(node_get(root, SLICE("d"))->text, "2");
    CHECK(node_get(root, SLICE("n")) == NULL);
    CHECK(node_get(root, SLICE("zork")) == NULL);
    CHECK(node_get(NULL, SLICE("d")) == NULL);
    CHECK(node_get(node_get(root, SLICE("d")), SLICE("d")) == NULL);
    arena_fini(&arena);
}

TEST(aliases_share_and_merges_fill_what_is_missing)
{
    struct arena arena;
    arena_init(&arena);
    const struct node *root = parsed(&arena, "base: &b {x: 1, y: 2}\nmore: &m {y: 8, z: 9}\n"
                                             "one: {<<: *b, y: 3}\n"
                                             "two: {<<: [*b, *m]}\nsame: *b\n");
    const struct node *one = node_get(root, SLICE("one"));
    CHECK_SLICE_IS(node_get(one, SLICE("x"))->text, "1");
    CHECK_SLICE_IS(node_get(one, SLICE("y"))->text, "3");
    CHECK_EQ_INT(one->count, 2);
    const struct node *two = node_get(root, SLICE("two"));
    CHECK_SLICE_IS(node_get(two, SLICE("y"))->text, "2");
    CHECK_SLICE_IS(node_get(two, SLICE("z"))->text, "9");
    CHECK_EQ_PTR(node_get(root, SLICE("same")), node_get(root, SLICE("base")));
    arena_fini(&arena);
}

TEST(loops_and_unknown_anchors_are_refused)
{
    struct arena arena;
    arena_init(&arena);
    check_refused(&arena, SLICE("a: &x [*x]"), "yaml: line 1: anchor 'x' value contains itself");
    check_refused(&arena, SLICE("a: *nope"), "yaml: line 1: unknown anchor 'nope' referenced");
    check_refused(&arena, SLICE("a: {<<: 5}"),
                  "yaml: line 1: map merge requires map or sequence of maps as the value");
    check_refused(&arena, SLICE("? [a]\n: b\n"), "yaml: line 1: invalid map key: expected text");
    arena_fini(&arena);
}

TEST(syntax_errors_have_the_words_of_go)
{
    struct arena arena;
    arena_init(&arena);
    check_refused(&arena, SLICE("kind: Component\n bad: x: y\n"),
                  "yaml: line 2: mapping values are not allowed in this context");
    check_refused(&arena, SLICE("a: [1, 2"), "yaml: line 1: did not find expected ',' or ']'");
    check_refused(&arena, SLICE("a: b\n\tc: d\n"),
                  "yaml: line 2: found a tab character that violates indentation");
    struct node *root;
    struct node_error error;
    CHECK(!node_parse(&arena, SLICE("x: 1\ny: x: z\n"), 11, &root, &error));
    CHECK_EQ_INT(error.line, 12);
    CHECK_EQ_INT(error.column, 5);
    arena_fini(&arena);
}

TEST(depth_is_bounded_also_through_aliases)
{
    struct arena arena;
    arena_init(&arena);
    struct buf text;
    buf_init(&text, 1 << 20);
    for (int i = 0; i < 100000; i++)
        REQUIRE(buf_append_byte(&text, '['));
    check_refused(&arena, buf_slice(&text), "yaml: line 1: exceeded max depth");
    buf_clear(&text);
    REQUIRE(buf_append(&text, SLICE("a0: &a0 [x]\n")));
    for (int i = 1; i < 100; i++)
        REQUIRE(buf_printf(&text, "a%d: &a%d [*a%d]\n", i, i, i - 1));
    check_refused(&arena, buf_slice(&text), "yaml: line 64: exceeded max depth");
    buf_fini(&text);
    arena_fini(&arena);
}

TEST(a_billion_laughs_cost_no_memory)
{
    struct arena arena;
    arena_init(&arena);
    struct buf text;
    buf_init(&text, 1 << 20);
    REQUIRE(buf_append(&text, SLICE("a0: &a0 lol\n")));
    for (int i = 1; i < 40; i++)
        REQUIRE(buf_printf(&text, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i,
                           i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1));
    const struct node *root;
    struct node *parsed_root;
    struct node_error error;
    REQUIRE(node_parse(&arena, buf_slice(&text), 1, &parsed_root, &error));
    root = parsed_root;
    CHECK(arena.total_bytes < 256 * 1024);
    struct slice json;
    CHECK(!node_value(&arena, node_get(root, SLICE("a39")), &json));
    CHECK(node_value(&arena, node_get(root, SLICE("a2")), &json));
    buf_fini(&text);
    arena_fini(&arena);
}

TEST(merges_cannot_multiply)
{
    struct arena arena;
    arena_init(&arena);
    struct buf text;
    buf_init(&text, 1 << 20);
    REQUIRE(buf_append(&text, SLICE("a: &a {")));
    for (int i = 0; i < 1000; i++)
        REQUIRE(buf_printf(&text, "k%d: 1, ", i));
    REQUIRE(buf_append(&text, SLICE("}\nb: {<<: [*a, *a]}\n")));
    struct node *root;
    struct node_error error;
    CHECK(!node_parse(&arena, buf_slice(&text), 1, &root, &error));
    CHECK(strstr(error.text, "too many pairs") != NULL);
    buf_fini(&text);
    arena_fini(&arena);
}

TEST(node_count_is_bounded)
{
    struct arena arena;
    arena_init(&arena);
    struct buf text;
    buf_init(&text, 4 << 20);
    for (int i = 0; i < LIMIT_resource_nodes_max + 1; i++)
        REQUIRE(buf_append(&text, SLICE("- a\n")));
    struct node *root;
    struct node_error error;
    CHECK(!node_parse(&arena, buf_slice(&text), 1, &root, &error));
    CHECK(strstr(error.text, "too many nodes") != NULL);
    buf_fini(&text);
    arena_fini(&arena);
}
