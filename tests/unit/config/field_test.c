/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of a Configuration's section. */
#include "config/field.h"

#include "test.h"

static struct arena arena;
static struct diag diag;

static const struct node *
parse(const char *text)
{
    struct node *root;
    struct node_error error;
    arena_reset(&arena);
    diag_init(&diag, &arena);
    REQUIRE(node_parse(&arena, slice_str(text), 1, &root, &error));
    return root;
}

TEST(what_is_absent_leaves_the_result)
{
    struct slice text = SLICE("before");
    const struct node *map = parse("b: ~\n"), *list = map;
    CHECK_OK(field_text(&arena, map, "a", "x.a", &text, &diag));
    CHECK_OK(field_text(&arena, map, "b", "x.b", &text, &diag));
    CHECK_OK(field_list(map, "a", "x.a", &list, &diag));
    CHECK_OK(field_list(NULL, "a", "x.a", &list, &diag));
    CHECK_SLICE_IS(text, "before");
    CHECK_EQ_PTR(list, map);
}

TEST(what_is_there_is_taken)
{
    struct slice text = SLICE_EMPTY;
    const struct node *list = NULL, *map = parse("{Text: 7, list: [a, b]}");
    CHECK_OK(field_text(&arena, map, "text", "x", &text, &diag));
    CHECK_SLICE_IS(text, "7");
    CHECK_OK(field_list(map, "list", "x", &list, &diag));
    CHECK_EQ_INT(list->count, 2);
}

TEST(what_is_something_else_is_said)
{
    struct slice text = SLICE("before");
    const struct node *list = NULL, *map = parse("text: [a]\nlist: yes\n");
    CHECK_EQ_INT(field_text(&arena, map, "text", "x.text", &text, &diag), ERR_CONFIG);
    CHECK_SLICE_IS(diag.message, "line 1: spec.x.text must be a text, not a list");
    CHECK_EQ_INT(field_list(map, "list", "x.list", &list, &diag), ERR_CONFIG);
    CHECK_SLICE_IS(diag.message, "line 2: spec.x.list must be a list, not a bool");
    CHECK_SLICE_IS(text, "before");
    CHECK(list == NULL);
}
