/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What MariaDB and MySQL say differently is said in the way of both: no `IF NOT EXISTS` for columns
 * and indexes, and no collation that only one of them has.
 */
#include "table.h"

#include <mariadb/mysqld_error.h>
#include <stdio.h>
#include <string.h>

enum { MYSQL_WITH_0900_BIN = 80017 };

struct answer {
    bool is_there;
    char text[65];
};

static struct failure *
take_answer(char **columns, const unsigned long *lengths, void *arg)
{
    struct answer *answer = arg;
    answer->is_there = true;
    (void)snprintf(answer->text, sizeof answer->text, "%.*s",
                   (int)(lengths[0] < 64 ? lengths[0] : 64), columns[0] != NULL ? columns[0] : "");
    return NULL;
}

static void
quote_words(struct session *session, const char *words)
{
    text_quote(&session->text, session->db, (struct remora_slice){ words, strlen(words) });
}

/* `what` of information_schema's table `where`, for the names given. */
static struct failure *
look_up(struct session *session, const char *what, const char *where, const char *table,
        const char *column, struct answer *ret)
{
    *ret = (struct answer){ .is_there = false };
    text_clear(&session->text);
    text_add(&session->text, "SELECT %s FROM information_schema.%s WHERE %s = ", what, where,
             table == NULL ? "SCHEMA_NAME" : "TABLE_SCHEMA");
    quote_words(session, session->server->schema);
    if (table != NULL) {
        text_put(&session->text, " AND TABLE_NAME = ");
        quote_words(session, table);
    }
    if (column != NULL) {
        text_put(&session->text, " AND COLUMN_NAME = ");
        quote_words(session, column);
    }
    return session_read(session, 1, take_answer, ret);
}

static struct failure *
prepare_schema(struct session *session)
{
    struct answer answer;
    struct failure *failure = look_up(session, "SCHEMA_NAME", "SCHEMATA", NULL, NULL, &answer);
    if (failure == NULL && !answer.is_there) {
        text_add(&session->text, "CREATE DATABASE IF NOT EXISTS `%s`", session->server->schema);
        failure = session_run(session, NULL);
    }
    if (failure == NULL && mysql_select_db(session->db, session->server->schema) != 0)
        failure = failure_from_server(session->db);
    return failure;
}

/* Keys are compared byte by byte, also those that end in spaces. */
static const char *
collation_for(const struct session *session)
{
    if (session->is_mariadb)
        return "utf8mb4_nopad_bin";
    return mysql_get_server_version(session->db) >= MYSQL_WITH_0900_BIN ? "utf8mb4_0900_bin"
                                                                        : "utf8mb4_bin";
}

static bool
is_exact(const char *collation)
{
    size_t len = strlen(collation);
    return len == 0 || strcmp(collation, "binary") == 0 ||
           (len > 9 && strcmp(collation + len - 9, "nopad_bin") == 0) ||
           (len > 8 && strcmp(collation + len - 8, "0900_bin") == 0);
}

/* Like session_run(), but for who wants what another sidecar has just made. */
static struct failure *
run_unless(struct session *session, unsigned number)
{
    struct failure *failure = session_run(session, NULL);
    if (failure == NULL || session->db == NULL || mysql_errno(session->db) != number)
        return failure;
    failure_free(failure);
    return NULL;
}

/* Tables of older releases of the reference do not have it. */
static struct failure *
prepare_expiry(struct session *session, const char *table)
{
    struct answer answer;
    struct failure *failure = look_up(session, "COLUMN_NAME", "COLUMNS", table, "expiredate",
                                      &answer);
    if (failure != NULL || answer.is_there)
        return failure;
    text_add(&session->text, "ALTER TABLE `%s` ADD COLUMN expiredate TIMESTAMP NULL", table);
    failure = run_unless(session, ER_DUP_FIELDNAME);
    if (failure != NULL)
        return failure;
    text_add(&session->text, "CREATE INDEX expiredate_idx ON `%s` (expiredate)", table);
    return run_unless(session, ER_DUP_KEYNAME);
}

static struct failure *
prepare_state(struct session *session, struct table *table)
{
    text_clear(&session->text);
    text_add(&session->text,
             "CREATE TABLE IF NOT EXISTS `%s` ("
             "id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE %s NOT NULL PRIMARY KEY,"
             " value JSON NOT NULL,"
             " isbinary BOOLEAN NOT NULL,"
             " insertDate TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,"
             " updateDate TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,"
             " eTag VARCHAR(36) NOT NULL,"
             " expiredate TIMESTAMP NULL,"
             " INDEX expiredate_idx (expiredate))",
             table->name, collation_for(session));
    return session_run(session, NULL);
}

/* Asked first: a user may write to tables without the right to make some. */
static struct failure *
prepare_table(struct session *session, const char *name, struct table *state)
{
    struct answer answer;
    struct failure *failure = look_up(session, "TABLE_NAME", "TABLES", name, NULL, &answer);
    if (failure != NULL || answer.is_there)
        return failure;
    if (state != NULL)
        return prepare_state(session, state);
    text_add(&session->text,
             "CREATE TABLE IF NOT EXISTS `%s` (id VARCHAR(255) NOT NULL PRIMARY KEY,"
             " value TEXT NOT NULL)",
             name);
    return session_run(session, NULL);
}

struct failure *
table_prepare(struct session *session, struct table *table)
{
    struct answer answer;
    struct failure *failure = prepare_schema(session);
    if (failure == NULL)
        failure = prepare_table(session, table->name, table);
    if (failure == NULL)
        failure = prepare_expiry(session, table->name);
    if (failure == NULL)
        failure = prepare_table(session, table->metadata_name, NULL);
    if (failure == NULL)
        failure = look_up(session, "COLLATION_NAME", "COLUMNS", table->name, "id", &answer);
    if (failure != NULL)
        return failure;
    table->is_exact = is_exact(answer.text);
    memcpy(table->collation, answer.text, sizeof table->collation);
    return NULL;
}

struct failure *
table_begin_cleanup(struct session *session, const struct table *table, int64_t interval_ms,
                    bool *ret_is_due)
{
    uint64_t changed = 0;
    text_clear(&session->text);
    text_add(&session->text,
             "INSERT INTO `%s` (id, value) VALUES ('last-cleanup', CURRENT_TIMESTAMP)"
             " ON DUPLICATE KEY UPDATE value = IF(CURRENT_TIMESTAMP >= DATE_ADD(value,"
             " INTERVAL %lld*1000 MICROSECOND), CURRENT_TIMESTAMP, value)",
             table->metadata_name, (long long)interval_ms);
    struct failure *failure = session_run(session, &changed);
    *ret_is_due = changed > 0;
    return failure;
}

struct failure *
table_clean(struct session *session, const struct table *table, bool *ret_more)
{
    uint64_t changed = 0;
    text_clear(&session->text);
    text_add(&session->text,
             "DELETE FROM `%s` WHERE expiredate IS NOT NULL AND expiredate <= CURRENT_TIMESTAMP"
             " LIMIT %d",
             table->name, CLEANUP_ROWS);
    struct failure *failure = session_run(session, &changed);
    *ret_more = failure == NULL && changed == CLEANUP_ROWS;
    return failure;
}
