/* SPDX-License-Identifier: Apache-2.0 */
/* A growing list of texts in an arena. */
#ifndef CONFIG_TEXT_LIST_H
#define CONFIG_TEXT_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/slice.h"

struct text_list {
    struct slice *items; /* each NUL-terminated behind its end */
    size_t count;
};

/* Adds a copy. Always with the same arena. */
void text_list_add(struct arena *arena, struct text_list *list, struct slice text);

/* The same texts in the same order. */
bool text_list_eq(const struct text_list *a, const struct text_list *b);

#endif
