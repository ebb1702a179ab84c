/* SPDX-License-Identifier: Apache-2.0 */
/* Tables; see table.h. */
#include "table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/slice.h"

void
table_init(struct table *table, size_t columns)
{
    assert(columns > 0 && columns <= TABLE_COLUMNS_MAX);
    *table = (struct table){ .columns = columns };
}

void
table_fini(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct table){ .columns = table->columns };
}

char *
harmless(const char *text)
{
    struct slice all = slice_str(text);
    char *copy = malloc(all.len + 1);
    if (copy == NULL)
        abort();
    memcpy(copy, all.data, all.len);
    copy[all.len] = '\0';
    for (size_t i = 0; i < all.len; i++) {
        unsigned char byte = (unsigned char)copy[i];
        unsigned char next = (unsigned char)copy[i + 1];
        bool is_c1 = byte == 0xc2 && next >= 0x80 && next < 0xa0; /* U+0080 to U+009F */
        if (byte < 0x20 || byte == 0x7f)
            copy[i] = '?';
        else if (is_c1)
            copy[i] = copy[i + 1] = '?';
    }
    return copy;
}

void
table_add(struct table *table, const char *text)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity == 0 ? 64 : table->capacity * 2;
        table->cells = realloc(table->cells, table->capacity * sizeof(char *));
        if (table->cells == NULL)
            abort();
    }
    table->cells[table->count++] = harmless(text == NULL || text[0] == '\0' ? "-" : text);
}

void
table_addf(struct table *table, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args); /* cut if too long */
    va_end(args);
    table_add(table, text);
}

/* Characters, not bytes. */
static size_t
width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

void
table_print(const struct table *table)
{
    size_t widths[TABLE_COLUMNS_MAX] = { 0 };
    for (size_t i = 0; i < table->count; i++) {
        size_t width = width_of(table->cells[i]);
        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
    for (size_t i = 0; i < table->count; i++) {
        const char *cell = table->cells[i];
        size_t column = i % table->columns;
        if (column + 1 == table->columns)
            printf("%s\n", cell);
        else
            printf("%s%*s", cell, (int)(widths[column] - width_of(cell) + 2), "");
    }
}
