/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single rows. JSON values are kept as their text, all others as base64 with is_binary 1.
 */
#include "row.h"

#include <stdio.h>
#include <string.h>

#include "../shared/base64.h"
#include "../shared/state_ttl.h"
#include "allocate.h"
#include "timestamp.h"

enum {
    PARAM_KEY = 1,
    PARAM_VALUE,
    PARAM_BINARY,
    PARAM_ETAG,
    PARAM_EXPIRATION,
    PARAM_NOW,
    PARAM_WANTED_ETAG
};

void
row_free(void *arg)
{
    struct row *row = arg;
    if (row == NULL)
        return;
    failure_free(row->failure);
    free(row);
}

/* SQLite hands out NULL for an empty text; memcpy() must not see it. */
static char *
append(char *to, const void *from, size_t len)
{
    if (len > 0)
        memcpy(to, from, len);
    to[len] = '\0';
    return to + len + 1;
}

struct row *
row_from_columns(sqlite3_stmt *statement, int first, const char *key, size_t key_len)
{
    const char *value = sqlite3_column_blob(statement, first);
    size_t value_len = (size_t)sqlite3_column_bytes(statement, first);
    bool is_binary = sqlite3_column_int(statement, first + 1) != 0;
    const char *etag = sqlite3_column_blob(statement, first + 2);
    size_t etag_len = (size_t)sqlite3_column_bytes(statement, first + 2);
    const char *expires = sqlite3_column_blob(statement, first + 3);
    size_t expires_len = (size_t)sqlite3_column_bytes(statement, first + 3);

    struct row *row = malloc(sizeof(*row) + key_len + etag_len + value_len + 3);
    if (row == NULL)
        return NULL;
    *row = (struct row){ .key_len = key_len, .etag_len = etag_len, .value_len = value_len };
    char *at = (char *)(row + 1);
    row->key = at;
    at = append(at, key, key_len);
    row->etag = at;
    at = append(at, etag, etag_len);
    row->value = at;
    if (is_binary && !base64_decode(value, value_len, at, &row->value_len)) {
        row->value_len = 0;
        row->failure = failure_new(REMORA_DATA_LOSS, REMORA_EFFECT_FAILED,
                                   "failed to decode binary data: illegal base64 data");
    } else if (!is_binary) {
        append(at, value, value_len);
    }
    int64_t unix_s;
    if (expires_len > 0 && timestamp_parse(expires, expires_len, &unix_s))
        row->expires_unix_ms = unix_s * 1000;
    return row;
}

struct row *
row_from_failure(struct failure *failure)
{
    struct row *row = allocate(sizeof(*row));
    *row = (struct row){ .key = "", .etag = "", .value = "", .failure = failure };
    return row;
}

static int
bind_slice(sqlite3_stmt *statement, int param, struct remora_slice slice)
{
    return sqlite3_bind_text64(statement, param, slice.data != NULL ? slice.data : "", slice.len,
                               SQLITE_STATIC, SQLITE_UTF8);
}

static int
bind_time(sqlite3_stmt *statement, int param, const struct timestamp *time)
{
    return sqlite3_bind_text(statement, param, time->text, TIMESTAMP_LEN, SQLITE_STATIC);
}

static void
done_with(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    /* The slices belong to a request that is about to end. */
    sqlite3_clear_bindings(statement);
}

struct failure *
row_get(struct connection *connection, const char *table, struct remora_slice key,
        struct row **ret_row)
{
    sqlite3_stmt *statement;
    int rc = connection_statement(connection, table, STATEMENT_GET, &statement);
    if (rc != SQLITE_OK)
        return failure_from_sqlite(connection->db, rc, STAGE_STATEMENT, NULL);
    struct timestamp now;
    timestamp_format(timestamp_now_unix_s(), &now);
    if ((rc = bind_slice(statement, PARAM_KEY, key)) == SQLITE_OK &&
        (rc = bind_time(statement, PARAM_NOW, &now)) == SQLITE_OK)
        rc = sqlite3_step(statement);

    struct failure *failure = NULL;
    if (rc == SQLITE_ROW) {
        struct row *row = row_from_columns(statement, 0, key.data, key.len);
        if (row == NULL)
            failure = failure_from_sqlite(NULL, SQLITE_NOMEM, STAGE_STATEMENT, NULL);
        else
            *ret_row = row;
    } else if (rc == SQLITE_DONE) {
        *ret_row = NULL;
    } else {
        failure = failure_from_sqlite(connection->db, rc, STAGE_STATEMENT, NULL);
    }
    done_with(statement);
    return failure;
}

/* Steps a writing statement to its end; no changed row means that its condition did not hold. */
static struct failure *
finish_write(struct connection *connection, sqlite3_stmt *statement, int rc, bool is_conditional)
{
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    struct failure *failure = NULL;
    if (rc != SQLITE_DONE)
        failure = failure_from_sqlite(connection->db, rc, STAGE_STATEMENT, NULL);
    else if (is_conditional && sqlite3_changes(connection->db) == 0)
        failure = failure_etag_mismatch();
    done_with(statement);
    return failure;
}

static int
bind_value(sqlite3_stmt *statement, const struct remora_state_set *set)
{
    int rc = sqlite3_bind_int(statement, PARAM_BINARY, set->json ? 0 : 1);
    if (rc != SQLITE_OK)
        return rc;
    if (set->json || set->value.len == 0)
        return bind_slice(statement, PARAM_VALUE, set->value);
    size_t len = base64_encoded_len(set->value.len);
    char *text = malloc(len);
    if (text == NULL)
        return SQLITE_NOMEM;
    base64_encode(set->value.data, set->value.len, text);
    return sqlite3_bind_text64(statement, PARAM_VALUE, text, len, free, SQLITE_UTF8);
}

/* An empty etag counts as none, as in the reference. */
static bool
wants_etag(bool has_etag, struct remora_slice etag)
{
    return has_etag && etag.len > 0;
}

struct failure *
row_set(struct connection *connection, const char *table, const struct remora_state_set *set,
        const char *etag)
{
    bool with_etag = wants_etag(set->has_etag, set->etag);
    bool if_absent = !with_etag && set->concurrency == REMORA_FIRST_WRITE;
    char why[STATE_TTL_WHY_BYTES];
    if (!state_ttl_check(set, why))
        return failure_new(REMORA_INTERNAL, REMORA_EFFECT_FAILED, "%s", why);
    sqlite3_stmt *statement;
    int rc = connection_statement(connection, table,
                                  with_etag   ? STATEMENT_SET_IF_ETAG
                                  : if_absent ? STATEMENT_SET_IF_ABSENT
                                              : STATEMENT_SET,
                                  &statement);
    if (rc != SQLITE_OK)
        return failure_from_sqlite(connection->db, rc, STAGE_STATEMENT, NULL);

    struct timestamp now, expiration;
    int64_t now_s = timestamp_now_unix_s();
    timestamp_format(now_s, &now);
    bool expires = set->has_ttl && set->ttl_seconds > 0 && set->ttl_seconds < INT64_MAX - now_s &&
                   timestamp_format(now_s + set->ttl_seconds, &expiration);
    if ((rc = bind_slice(statement, PARAM_KEY, set->key)) == SQLITE_OK &&
        (rc = bind_value(statement, set)) == SQLITE_OK &&
        (rc = sqlite3_bind_text(statement, PARAM_ETAG, etag, ETAG_LEN, SQLITE_STATIC)) ==
            SQLITE_OK &&
        (rc = bind_time(statement, PARAM_NOW, &now)) == SQLITE_OK) {
        if (expires)
            rc = bind_time(statement, PARAM_EXPIRATION, &expiration);
        if (rc == SQLITE_OK && with_etag)
            rc = bind_slice(statement, PARAM_WANTED_ETAG, set->etag);
    }
    return finish_write(connection, statement, rc, with_etag || if_absent);
}

struct failure *
row_delete(struct connection *connection, const char *table, const struct remora_state_delete *del)
{
    bool with_etag = wants_etag(del->has_etag, del->etag);
    sqlite3_stmt *statement;
    int rc = connection_statement(
        connection, table, with_etag ? STATEMENT_DELETE_IF_ETAG : STATEMENT_DELETE, &statement);
    if (rc != SQLITE_OK)
        return failure_from_sqlite(connection->db, rc, STAGE_STATEMENT, NULL);
    rc = bind_slice(statement, PARAM_KEY, del->key);
    if (rc == SQLITE_OK && with_etag)
        rc = bind_slice(statement, PARAM_WANTED_ETAG, del->etag);
    return finish_write(connection, statement, rc, with_etag);
}
