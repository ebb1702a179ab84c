/* SPDX-License-Identifier: Apache-2.0 */
/* Columns for people: as wide as their widest cell, two blanks between them. */
#ifndef REMORA_TABLE_H
#define REMORA_TABLE_H

#include <stddef.h>

#include "base/macros.h"

enum { TABLE_COLUMNS_MAX = 10 };

struct table {
    size_t columns;
    char **cells; /* owned, row after row */
    size_t count;
    size_t capacity;
};

void table_init(struct table *table, size_t columns);
void table_fini(struct table *table);

/* The next cell; a row is full after as many as there are columns. What a terminal could take for a
 * command is shown as '?', an empty text as '-'. */
void table_add(struct table *table, const char *text);
void table_addf(struct table *table, const char *format, ...) PRINTF_LIKE(2, 3);

/* On standard output. */
void table_print(const struct table *table);

/* A text by itself, made harmless the same way; free() it. */
char *harmless(const char *text);

#endif
