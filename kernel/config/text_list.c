/* SPDX-License-Identifier: Apache-2.0 */
/* A list of texts; see text_list.h. */
#include "config/text_list.h"

void
text_list_add(struct arena *arena, struct text_list *list, struct slice text)
{
    if ((list->count & (list->count - 1)) == 0) { /* full: room doubles at powers of two */
        size_t grown = list->count == 0 ? 1 : list->count * 2;
        list->items = arena_grow(arena, list->items, list->count * sizeof *list->items,
                                 grown * sizeof *list->items);
    }
    list->items[list->count++] = arena_dup(arena, text);
}

bool
text_list_eq(const struct text_list *a, const struct text_list *b)
{
    bool is_same = a->count == b->count;
    for (size_t i = 0; is_same && i < a->count; i++)
        is_same = slice_eq(a->items[i], b->items[i]);
    return is_same;
}
