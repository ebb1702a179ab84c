/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items of configuration on their way from the database: read from a table, or out of the JSON of a
 * notification. Owned by whoever has the list.
 */
#ifndef POSTGRESQL_ROWS_H
#define POSTGRESQL_ROWS_H

#include <remora_plugin.h>

enum { ROWS_MAX = 65536, ROWS_BYTES_MAX = 7 << 20, ROW_METADATA_MAX = 64 };

/* In one piece of memory. */
struct row {
    struct row *next;
    struct remora_configuration_item item;
};

struct rows {
    struct row *first, **tail;
    size_t count, bytes;
};

void rows_init(struct rows *rows);
void rows_fini(struct rows *rows);
/* `metadata` is the text of a JSON object, or NULL. */
struct row *row_new(const char *key, const char *value, const char *version, const char *metadata);
struct row *row_copy(const struct remora_configuration_item *item);
void rows_add(struct rows *rows, struct row *row);

/* The row of a notification of the documented trigger; NULL if it is none. */
struct row *row_of_notification(const char *payload);

#endif
