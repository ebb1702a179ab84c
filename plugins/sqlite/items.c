/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL is in connection.c; see items.h. */
#include "items.h"

#include <stdlib.h>
#include <string.h>

#include "allocate.h"

/* Columns of every statement that gives items. */
enum { COLUMN_KEY, COLUMN_VALUE, COLUMN_VERSION, COLUMN_METADATA, COLUMN_NUMBER };

static struct failure *
failed(struct connection *connection, int rc)
{
    return failure_from_sqlite(connection->db, rc, STAGE_STATEMENT, "configuration");
}

static void
release(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

void
items_init(struct items *items)
{
    *items = (struct items){ .count = 0 };
    items->tail = &items->first;
}

void
items_fini(struct items *items)
{
    for (struct item *item = items->first, *next; item != NULL; item = next) {
        next = item->next;
        free(item);
    }
    items_init(items);
}

struct remora_configuration_item *
items_flatten(const struct items *items)
{
    if (items->count == 0)
        return NULL;
    struct remora_configuration_item *flat = allocate(items->count * sizeof(*flat));
    size_t count = 0;
    for (const struct item *item = items->first; item != NULL; item = item->next)
        flat[count++] = item->base;
    return flat;
}

/* --- rows --------------------------------------------------------------------------------------*/

static struct remora_slice
column(sqlite3_stmt *statement, int at)
{
    const char *data = sqlite3_column_blob(statement, at); /* before its length */
    int len = sqlite3_column_bytes(statement, at);
    return data == NULL ? (struct remora_slice){ "", 0 }
                        : (struct remora_slice){ data, (size_t)len };
}

static struct remora_slice
put(char **at, struct remora_slice from)
{
    struct remora_slice copy = { *at, from.len };
    memcpy(*at, from.data, from.len);
    *at += from.len;
    return copy;
}

/* Members of the metadata's object: their number and, with `pairs`, themselves behind *at. */
static struct failure *
read_metadata(struct connection *connection, sqlite3_stmt *statement, struct remora_pair *pairs,
              char **at, size_t *ret_count, size_t *ret_bytes)
{
    int rc;
    size_t count = 0, bytes = 0;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW && count < ITEM_METADATA_MAX) {
        struct remora_slice name = column(statement, 0), value = column(statement, 1);
        if (pairs != NULL)
            pairs[count] = (struct remora_pair){ put(at, name), put(at, value) };
        count++;
        bytes += name.len + value.len;
    }
    struct failure *failure = rc == SQLITE_ROW || rc == SQLITE_DONE ? NULL : failed(connection, rc);
    sqlite3_reset(statement);
    *ret_count = count;
    *ret_bytes = bytes;
    return failure;
}

static struct failure *
bind_metadata(struct connection *connection, const char *table, struct remora_slice json,
              sqlite3_stmt **ret)
{
    int rc = connection_statement(connection, table, STATEMENT_ITEM_METADATA, ret);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(*ret, 1, json.data, (int)json.len, SQLITE_STATIC);
    return rc == SQLITE_OK ? NULL : failed(connection, rc);
}

static struct failure *
item_from_row(struct connection *connection, const char *table, sqlite3_stmt *row,
              struct item **ret_item, size_t *ret_bytes)
{
    struct remora_slice key = column(row, COLUMN_KEY), value = column(row, COLUMN_VALUE),
                        version = column(row, COLUMN_VERSION), json = column(row, COLUMN_METADATA);
    size_t pair_count = 0, pair_bytes = 0;
    sqlite3_stmt *members = NULL;
    struct failure *failure = NULL;
    if (json.len > 0) {
        failure = bind_metadata(connection, table, json, &members);
        if (failure == NULL)
            failure = read_metadata(connection, members, NULL, NULL, &pair_count, &pair_bytes);
        if (failure != NULL)
            return failure;
    }
    size_t texts = key.len + value.len + version.len + pair_bytes;
    struct item *item = allocate(sizeof(*item) + pair_count * sizeof(struct remora_pair) + texts);
    struct remora_pair *pairs = (struct remora_pair *)(void *)(item + 1);
    char *at = (char *)(pairs + pair_count);
    *item = (struct item){ .base = { .key = put(&at, key),
                                     .value = put(&at, value),
                                     .version = put(&at, version),
                                     .metadata = pairs,
                                     .metadata_count = pair_count } };
    if (pair_count > 0)
        failure = read_metadata(connection, members, pairs, &at, &pair_count, &pair_bytes);
    if (members != NULL)
        release(members);
    *ret_item = item;
    *ret_bytes = sizeof(*item) + texts;
    return failure;
}

static struct failure *
add_row(struct connection *connection, const char *table, sqlite3_stmt *row, struct items *items)
{
    struct item *item = NULL;
    size_t bytes = 0;
    struct failure *failure = item_from_row(connection, table, row, &item, &bytes);
    if (item == NULL)
        return failure;
    *items->tail = item;
    items->tail = &item->next;
    items->count++;
    items->bytes += bytes;
    return failure;
}

/* --- reading -----------------------------------------------------------------------------------*/

static struct failure *
too_many(void)
{
    return failure_new(REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED,
                       "an answer holds at most %d items and %d bytes: ask for fewer keys",
                       ITEMS_MAX, ITEMS_BYTES_MAX);
}

static struct failure *
collect(struct connection *connection, const char *table, sqlite3_stmt *statement,
        struct items *items)
{
    int rc;
    struct failure *failure = NULL;
    while (failure == NULL && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        failure = add_row(connection, table, statement, items);
        if (failure == NULL && (items->count > ITEMS_MAX || items->bytes > ITEMS_BYTES_MAX))
            failure = too_many();
    }
    if (failure == NULL && rc != SQLITE_DONE)
        failure = failed(connection, rc);
    release(statement);
    return failure;
}

static struct failure *
find(struct connection *connection, const char *table, enum statement which, sqlite3_stmt **ret)
{
    struct failure *failure = connection_check_file(connection);
    if (failure != NULL)
        return failure;
    int rc = connection_statement(connection, table, which, ret);
    return rc == SQLITE_OK ? NULL : failed(connection, rc);
}

struct failure *
items_read(struct connection *connection, const char *table, const struct remora_slice *keys,
           size_t key_count, struct items *items)
{
    sqlite3_stmt *statement;
    struct failure *failure = find(
        connection, table, key_count > 0 ? STATEMENT_ITEM_GET : STATEMENT_ITEMS_ALL, &statement);
    if (failure == NULL && key_count == 0)
        return collect(connection, table, statement, items);
    for (size_t i = 0; failure == NULL && i < key_count; i++) {
        sqlite3_bind_text64(statement, 1, keys[i].data, keys[i].len, SQLITE_STATIC, SQLITE_UTF8);
        failure = collect(connection, table, statement, items);
    }
    return failure;
}

struct failure *
items_last(struct connection *connection, const char *table, int64_t *ret_number)
{
    sqlite3_stmt *statement;
    struct failure *failure = find(connection, table, STATEMENT_CHANGES_LAST, &statement);
    if (failure != NULL)
        return failure;
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(statement, 0);
    else
        failure = failed(connection, rc);
    release(statement);
    return failure;
}

struct failure *
items_changed(struct connection *connection, const char *table, int64_t number, struct items *items)
{
    sqlite3_stmt *statement;
    int rc = SQLITE_DONE;
    struct failure *failure = items_last(connection, table, &items->last_number);
    if (failure != NULL || items->last_number <= number)
        return failure;
    failure = find(connection, table, STATEMENT_ITEMS_CHANGED, &statement);
    if (failure != NULL)
        return failure;
    sqlite3_bind_int64(statement, 1, number);
    sqlite3_bind_int64(statement, 2, CHANGED_ITEMS_MAX);
    while (failure == NULL && items->bytes < CHANGED_BYTES_MAX &&
           (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        struct item **added = items->tail;
        failure = add_row(connection, table, statement, items);
        if (*added != NULL)
            (*added)->number = sqlite3_column_int64(statement, COLUMN_NUMBER);
    }
    if (failure == NULL && rc != SQLITE_ROW && rc != SQLITE_DONE)
        failure = failed(connection, rc);
    items->is_partial = rc == SQLITE_ROW || items->count >= CHANGED_ITEMS_MAX;
    release(statement);
    return failure;
}
