/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads of many rows. Statements are prepared for each use: a scan costs more than that.
 */
#include "scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "allocate.h"
#include "query.h"
#include "timestamp.h"

void
rows_init(struct rows *rows)
{
    *rows = (struct rows){ .count = 0 };
    rows->tail = &rows->first;
}

void
rows_fini(struct rows *rows)
{
    for (struct row *row = rows->first, *next; row != NULL; row = next) {
        next = row->next;
        row_free(row);
    }
    free(rows->token);
    rows_init(rows);
}

static struct failure *
failed(struct connection *connection, int rc)
{
    return failure_from_sqlite(connection->db, rc, STAGE_STATEMENT, NULL);
}

static struct failure *
prepare(struct connection *connection, const char *format, const char *table,
        sqlite3_stmt **ret_statement)
{
    char *sql = sqlite3_mprintf(format, table);
    int rc = sql == NULL ? SQLITE_NOMEM
                         : sqlite3_prepare_v2(connection->db, sql, -1, ret_statement, NULL);
    sqlite3_free(sql);
    return rc == SQLITE_OK ? NULL : failed(connection, rc);
}

static void
rows_add(struct rows *rows, struct row *row)
{
    row->next = NULL;
    *rows->tail = row;
    rows->tail = &row->next;
    rows->count++;
    rows->bytes += sizeof(*row) + row->key_len + row->etag_len + row->value_len;
}

static bool
rows_are_full(const struct rows *rows)
{
    return rows->count >= RESULT_ROWS_MAX || rows->bytes >= RESULT_BYTES_MAX;
}

/* Steps a statement whose columns are key, value, is_binary, etag, expiration_time. */
static struct failure *
collect_rows(struct connection *connection, sqlite3_stmt *statement, struct rows *rows)
{
    int rc;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW && !rows_are_full(rows)) {
        const char *key = sqlite3_column_blob(statement, 0);
        size_t key_len = (size_t)sqlite3_column_bytes(statement, 0);
        struct row *row = row_from_columns(statement, 1, key, key_len);
        if (row == NULL)
            return failed(connection, SQLITE_NOMEM);
        rows_add(rows, row);
    }
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? NULL : failed(connection, rc);
}

/* A page that does not fit is cut short, its token says where it goes on. Without pages there is no
 * such way to tell. */
static struct failure *
finish_query(const struct query *query, struct rows *rows)
{
    if (query->document.limit < 0 && rows_are_full(rows))
        return failure_new(REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED,
                           "the query finds more than %d entries or %d bytes: use page.limit",
                           RESULT_ROWS_MAX, RESULT_BYTES_MAX);
    if (query->document.limit > 0 && rows->count > 0) {
        char token[24];
        snprintf(token, sizeof(token), "%" PRId64, query->document.offset + (int64_t)rows->count);
        rows->token = strdup(token);
        if (rows->token == NULL)
            abort();
    }
    return NULL;
}

struct failure *
scan_query(struct connection *connection, const char *table, struct remora_slice document,
           struct remora_slice prefix, struct rows *rows)
{
    struct query query;
    struct failure *failure = query_init(&query, document, prefix, table);
    if (failure != NULL)
        return failure;
    sqlite3_stmt *statement = NULL;
    failure = connection_check_file(connection);
    if (failure == NULL) {
        int rc = sqlite3_prepare_v2(connection->db, query.sql, -1, &statement, NULL);
        if (rc == SQLITE_OK)
            rc = query_bind(&query, statement);
        failure = rc == SQLITE_OK ? collect_rows(connection, statement, rows)
                                  : failed(connection, rc);
    }
    sqlite3_finalize(statement);
    if (failure == NULL)
        failure = finish_query(&query, rows);
    query_fini(&query);
    return failure;
}

/* --- keys --------------------------------------------------------------------------------------*/

/* What every key that fits the pattern begins with, unescaped into `out`. */
static struct remora_slice
literal_prefix(struct remora_slice pattern, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < pattern.len && pattern.data[i] != '%' && pattern.data[i] != '_'; i++) {
        if (pattern.data[i] == '\\' && i + 1 < pattern.len)
            i++;
        out[len++] = pattern.data[i];
    }
    return (struct remora_slice){ out, len };
}

static void
bind_text(sqlite3_stmt *statement, int param, const char *text, size_t len)
{
    sqlite3_bind_text64(statement, param, text != NULL ? text : "", len, SQLITE_STATIC,
                        SQLITE_UTF8);
}

/* The token is the last key given: the scan begins behind it or with the prefix. */
static void
bind_start(sqlite3_stmt *statement, struct remora_slice prefix, struct remora_slice token)
{
    size_t len = prefix.len < token.len ? prefix.len : token.len;
    int order = len > 0 ? memcmp(token.data, prefix.data, len) : 0;
    bool is_behind = order > 0 || (order == 0 && token.len >= prefix.len);
    struct remora_slice start = is_behind ? token : prefix;
    bind_text(statement, 1, start.data, start.len);
    bind_text(statement, 3, token.data, token.len);
}

static struct failure *
collect_keys(struct connection *connection, sqlite3_stmt *statement, uint32_t page_size,
             struct rows *rows)
{
    for (;;) {
        int rc = sqlite3_step(statement);
        if (rc == SQLITE_DONE)
            return NULL;
        if (rc != SQLITE_ROW)
            return failed(connection, rc);
        if ((page_size > 0 && rows->count == page_size) || rows_are_full(rows))
            break;
        const char *key = sqlite3_column_blob(statement, 0);
        size_t len = (size_t)sqlite3_column_bytes(statement, 0);
        struct row *row = malloc(sizeof(*row) + len + 1);
        if (row == NULL)
            return failed(connection, SQLITE_NOMEM);
        char *copy = (char *)(row + 1);
        *row = (struct row){ .key = copy, .key_len = len };
        if (len > 0)
            memcpy(copy, key, len);
        copy[len] = '\0';
        rows_add(rows, row);
    }
    return NULL;
}

/* The last key is the token if more follow. */
static void
set_keys_token(struct rows *rows, bool has_more)
{
    if (!has_more || rows->count == 0)
        return;
    struct row *last = rows->first;
    while (last->next != NULL)
        last = last->next;
    rows->token = malloc(last->key_len + 1);
    if (rows->token == NULL)
        abort();
    memcpy(rows->token, last->key, last->key_len);
    rows->token[last->key_len] = '\0';
}

struct failure *
scan_keys(struct connection *connection, const char *table, struct remora_slice pattern,
          uint32_t page_size, struct remora_slice token, struct rows *rows)
{
    if (pattern.len == 0 || pattern.len > PATTERN_BYTES_MAX)
        return failure_new(REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED,
                           "the key pattern is empty or longer than %d bytes", PATTERN_BYTES_MAX);
    char literal[PATTERN_BYTES_MAX / 2]; /* a shorter prefix only reads more */
    struct remora_slice cut = { pattern.data, pattern.len };
    if (cut.len > sizeof(literal))
        cut.len = 0;
    struct remora_slice prefix = literal_prefix(cut, literal);
    size_t successor_len;
    char *successor = prefix_successor(prefix, &successor_len);

    sqlite3_stmt *statement = NULL;
    struct failure *failure = connection_check_file(connection);
    if (failure == NULL)
        failure = prepare(connection,
                          "SELECT key FROM %s WHERE key >= ?1 AND key < ?2 AND key <> ?3"
                          " AND key_like(key, ?4)"
                          " AND (expiration_time IS NULL OR expiration_time > ?5) ORDER BY key",
                          table, &statement);
    if (failure == NULL) {
        struct timestamp now;
        timestamp_format(timestamp_now_unix_s(), &now);
        bind_start(statement, prefix, token);
        if (successor != NULL)
            bind_text(statement, 2, successor, successor_len);
        else
            sqlite3_bind_zeroblob(statement, 2, 0); /* every text is smaller than a blob */
        bind_text(statement, 4, pattern.data, pattern.len);
        bind_text(statement, 5, now.text, TIMESTAMP_LEN);
        failure = collect_keys(connection, statement, page_size, rows);
    }
    if (failure == NULL)
        set_keys_token(rows, sqlite3_stmt_busy(statement) != 0);
    sqlite3_finalize(statement);
    sqlite3_free(successor);
    return failure;
}

/* --- cleanup -----------------------------------------------------------------------------------*/

struct failure *
scan_begin_cleanup(struct connection *connection, const char *metadata_table, const char *key,
                   int64_t interval_ms, bool *ret_is_due)
{
    struct failure *failure = connection_check_file(connection);
    sqlite3_stmt *statement = NULL;
    if (failure == NULL)
        failure = prepare(connection,
                          "INSERT INTO %s (key, value) VALUES (?2, CURRENT_TIMESTAMP)"
                          " ON CONFLICT (key) DO UPDATE SET value = CURRENT_TIMESTAMP"
                          " WHERE (unixepoch(CURRENT_TIMESTAMP) - unixepoch(value)) * 1000 >= ?1",
                          metadata_table, &statement);
    if (failure != NULL)
        return failure;
    /* Whole seconds on both sides: a timer that fires on time must not miss its own turn. */
    sqlite3_bind_int64(statement, 1, interval_ms > 1000 ? interval_ms - 1000 : 0);
    sqlite3_bind_text(statement, 2, key, -1, SQLITE_STATIC);
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_DONE)
        *ret_is_due = sqlite3_changes(connection->db) > 0;
    else
        failure = failed(connection, rc);
    sqlite3_finalize(statement);
    return failure;
}

struct failure *
scan_expired(struct connection *connection, const char *table, int64_t *rowid, int64_t *ret_rowids,
             size_t *ret_count)
{
    sqlite3_stmt *statement = NULL;
    struct failure *failure = prepare(
        connection,
        "SELECT rowid FROM %s WHERE rowid > ?1 AND expiration_time IS NOT NULL"
        " AND expiration_time < ?2 ORDER BY rowid LIMIT ?3",
        table, &statement);
    if (failure != NULL)
        return failure;
    struct timestamp now;
    timestamp_format(timestamp_now_unix_s(), &now);
    sqlite3_bind_int64(statement, 1, *rowid);
    bind_text(statement, 2, now.text, TIMESTAMP_LEN);
    sqlite3_bind_int(statement, 3, CLEANUP_BATCH_ROWS);
    size_t count = 0;
    int rc;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW && count < CLEANUP_BATCH_ROWS)
        ret_rowids[count++] = sqlite3_column_int64(statement, 0);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        failure = failed(connection, rc);
    if (count > 0)
        *rowid = ret_rowids[count - 1];
    *ret_count = count;
    sqlite3_finalize(statement);
    return failure;
}

static struct failure *
delete_rows(struct connection *connection, sqlite3_stmt *statement, const int64_t *rowids,
            size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sqlite3_bind_int64(statement, 1, rowids[i]);
        int rc = sqlite3_step(statement);
        sqlite3_reset(statement);
        if (rc != SQLITE_DONE)
            return failed(connection, rc);
    }
    return NULL;
}

struct failure *
scan_delete_expired(struct connection *connection, const char *table, const int64_t *rowids,
                    size_t count)
{
    sqlite3_stmt *statement = NULL;
    struct failure *failure = prepare(
        connection, "DELETE FROM %s WHERE rowid = ?1 AND expiration_time < ?2", table, &statement);
    if (failure != NULL)
        return failure;
    struct timestamp now;
    timestamp_format(timestamp_now_unix_s(), &now);
    bind_text(statement, 2, now.text, TIMESTAMP_LEN);
    int rc = connection_transaction(connection, TRANSACTION_BEGIN);
    if (rc == SQLITE_OK) {
        failure = delete_rows(connection, statement, rowids, count);
        if (failure == NULL)
            rc = connection_transaction(connection, TRANSACTION_COMMIT);
    }
    if (rc != SQLITE_OK)
        failure = failed(connection, rc);
    if (failure != NULL && sqlite3_get_autocommit(connection->db) == 0)
        (void)connection_transaction(connection, TRANSACTION_ROLLBACK); /* failing anyway */
    sqlite3_finalize(statement);
    return failure;
}
