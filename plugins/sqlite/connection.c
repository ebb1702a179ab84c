/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens and closes SQLite connections and keeps their prepared statements.
 */
#include "connection.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "../shared/monotonic.h"
#include "functions.h"
#include "allocate.h"

enum {
    BUSY_STEP_MIN_US = 200,
    BUSY_STEP_MAX_US = 10000,
    /* Virtual machine steps between two looks at the clock. */
    PROGRESS_STEPS = 20000,
};

/* The row is there for readers. */
#define VISIBLE "(expiration_time IS NULL OR expiration_time > ?6)"

/* Every group of the topic ?2 has done with the message. */
#define SETTLED                                                                                    \
    " AND id <= (SELECT min(cursor) FROM %s_groups WHERE topic = ?2)"                              \
    " AND NOT EXISTS (SELECT 1 FROM %s_groups g JOIN %s_claims c ON c.group_id = g.id"             \
    " WHERE g.topic = ?2 AND c.message_id = %s.id)"

/* A version that nobody gave is the number of the change. */
#define ITEM                                                                                       \
    "SELECT i.key, i.value, coalesce(i.version, c.number, ''),"                                    \
    " CASE WHEN json_valid(i.metadata) THEN i.metadata END"                                        \
    " FROM %s i LEFT JOIN %s_changes c ON c.key = i.key"

/* Parameters of state: 1 key, 2 value, 3 is_binary, 4 etag, 5 expiration, 6 now, 7 the etag asked
 * for. Of locks: 1 resource, 2 owner, 3 clock, 4 due, 5 lease (how many, when expiring). Of hosts:
 * 1 registration, 2 address, 3 application, 4 now (fresh since, when finding), 5 silent since. The
 * reference leaves the namespace empty. */
static const char *const statement_sql[STATEMENT_COUNT] = {
    [STATEMENT_GET] = "SELECT value, is_binary, etag, expiration_time FROM %s"
                      " WHERE key = ?1 AND " VISIBLE,
    [STATEMENT_SET] = "INSERT INTO %s (key, value, is_binary, etag, expiration_time, update_time)"
                      " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
                      " ON CONFLICT (key) DO UPDATE SET value = ?2, is_binary = ?3, etag = ?4,"
                      " expiration_time = ?5, update_time = ?6",
    [STATEMENT_SET_IF_ABSENT] =
        "INSERT INTO %s (key, value, is_binary, etag, expiration_time, update_time)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        " ON CONFLICT (key) DO UPDATE SET value = ?2, is_binary = ?3, etag = ?4,"
        " expiration_time = ?5, update_time = ?6 WHERE NOT " VISIBLE,
    [STATEMENT_SET_IF_ETAG] = "UPDATE %s SET value = ?2, is_binary = ?3, etag = ?4,"
                              " expiration_time = ?5, update_time = ?6"
                              " WHERE key = ?1 AND etag = ?7 AND " VISIBLE,
    [STATEMENT_DELETE] = "DELETE FROM %s WHERE key = ?1",
    [STATEMENT_DELETE_IF_ETAG] = "DELETE FROM %s WHERE key = ?1 AND etag = ?7",
    [STATEMENT_HOST_REGISTER] =
        "REPLACE INTO %s (registration_id, address, app_id, namespace, last_update)"
        " VALUES (?1, ?2, ?3, '', ?4)",
    [STATEMENT_HOST_RENEW] = "UPDATE %s SET last_update = ?4"
                             " WHERE registration_id = ?1 AND address = ?2",
    [STATEMENT_HOST_RESTORE] =
        "INSERT INTO %s (registration_id, address, app_id, namespace, last_update)"
        " VALUES (?1, ?2, ?3, '', ?4)"
        " ON CONFLICT (address) DO UPDATE SET registration_id = ?1, app_id = ?3, namespace = '',"
        " last_update = ?4 WHERE last_update <= ?5",
    [STATEMENT_HOST_REMOVE] = "DELETE FROM %s WHERE registration_id = ?1 AND address = ?2",
    [STATEMENT_HOSTS_FIND] = "SELECT address, last_update FROM %s"
                             " WHERE app_id = ?3 AND last_update > ?5"
                             " ORDER BY last_update > ?4 DESC, address",
    [STATEMENT_HOSTS_CLEAN] = "DELETE FROM %s WHERE last_update <= ?5",
    [STATEMENT_PUBLISH] =
        "INSERT INTO %s (topic, content_type, data, metadata, published_ms, expires_ms)"
        " SELECT ?1, ?2, ?3, ?7, ?4, CASE WHEN g.has THEN ?5 ELSE min(coalesce(?5, ?6), ?6) END"
        " FROM (SELECT EXISTS (SELECT 1 FROM %s_groups WHERE topic = ?1) AS has) g"
        " WHERE g.has OR ?6 > ?4",
    [STATEMENT_GROUP_ADD] = "INSERT OR IGNORE INTO %s_groups (topic, name, cursor) VALUES (?1, ?2,"
                            " CASE WHEN ?3 THEN 0 ELSE coalesce((SELECT max(id) FROM %s), 0) END)",
    [STATEMENT_GROUP_FIND] = "SELECT id FROM %s_groups WHERE topic = ?1 AND name = ?2",
    [STATEMENT_GROUP_MOVE] = "UPDATE %s_groups SET cursor = ?2 WHERE id = ?1",
    [STATEMENT_CLAIMS_DUE] =
        "SELECT c.message_id, c.attempts, m.content_type, m.data, m.expires_ms, m.metadata"
        " FROM %s_claims c LEFT JOIN %s m ON m.id = c.message_id"
        " WHERE c.group_id = ?1 AND c.due_ms <= ?2"
        " AND (c.owner <> ?4 OR c.due_ms <= ?5)"
        " ORDER BY c.due_ms, c.message_id LIMIT ?3",
    [STATEMENT_MESSAGES_NEW] = "SELECT m.id, 0, m.content_type, m.data, m.expires_ms, m.metadata"
                               " FROM %s m"
                               " WHERE m.topic = ?1"
                               " AND m.id > (SELECT cursor FROM %s_groups WHERE id = ?2)"
                               " ORDER BY m.id LIMIT ?3",
    [STATEMENT_CLAIM_PUT] =
        "INSERT INTO %s_claims (group_id, message_id, owner, attempts, due_ms)"
        " VALUES (?1, ?2, ?3, ?4, ?5)"
        " ON CONFLICT (group_id, message_id) DO UPDATE SET owner = ?3, attempts = ?4, due_ms = ?5",
    [STATEMENT_CLAIM_DONE] = "DELETE FROM %s_claims WHERE group_id = ?1 AND message_id = ?2",
    [STATEMENT_CLAIM_POSTPONE] =
        "UPDATE %s_claims SET owner = 0, attempts = ?5, due_ms = ?6"
        " WHERE group_id = ?1 AND message_id = ?2 AND owner = ?3 AND attempts = ?4",
    [STATEMENT_CLAIMS_NEXT] = "SELECT min(due_ms + CASE owner WHEN ?2 THEN ?3 ELSE 0 END)"
                              " FROM %s_claims WHERE group_id = ?1",
    [STATEMENT_CLAIMS_OWNERS] = "SELECT DISTINCT owner FROM %s_claims"
                                " WHERE group_id = ?1 AND owner NOT IN (0, ?2)",
    [STATEMENT_CLAIMS_RELEASE] = "UPDATE %s_claims SET owner = 0, due_ms = ?3"
                                 " WHERE group_id = ?1 AND owner = ?2",
    [STATEMENT_MESSAGE_FORGET] = "DELETE FROM %s WHERE id = ?1 AND published_ms <= ?3" SETTLED,
    [STATEMENT_MESSAGES_FORGET] = "DELETE FROM %s WHERE topic = ?2 AND published_ms <= ?3" SETTLED,
    [STATEMENT_MESSAGES_EXPIRE] = "DELETE FROM %s WHERE id IN"
                                  " (SELECT id FROM %s WHERE expires_ms <= ?1 LIMIT ?2)",
    [STATEMENT_LOCK_FIND] = "SELECT owner = ?2, clock = ?3, due_ms, lease_ms FROM %s"
                            " WHERE resource = ?1",
    [STATEMENT_LOCK_ADOPT] = "UPDATE %s SET clock = ?3, due_ms = ?4 WHERE resource = ?1",
    [STATEMENT_LOCK_PUT] = "REPLACE INTO %s (resource, owner, clock, due_ms, lease_ms)"
                           " VALUES (?1, ?2, ?3, ?4, ?5)",
    [STATEMENT_LOCK_DELETE] = "DELETE FROM %s WHERE resource = ?1",
    [STATEMENT_LOCKS_EXPIRE] =
        "DELETE FROM %s WHERE resource IN"
        " (SELECT resource FROM %s WHERE due_ms <= ?4 AND clock = ?3 LIMIT ?5)",
    [STATEMENT_ITEM_GET] = ITEM " WHERE i.key = ?1",
    [STATEMENT_ITEMS_ALL] = ITEM " ORDER BY i.key",
    [STATEMENT_ITEMS_CHANGED] = "SELECT c.key, coalesce(i.value, ''),"
                                " CASE WHEN i.key IS NULL THEN '' ELSE"
                                " coalesce(i.version, c.number) END,"
                                " CASE WHEN json_valid(i.metadata) THEN i.metadata END, c.number"
                                " FROM %s_changes c LEFT JOIN %s i ON i.key = c.key"
                                " WHERE c.number > ?1 ORDER BY c.number LIMIT ?2",
    [STATEMENT_CHANGES_LAST] = "SELECT coalesce(max(number), 0) FROM %s_changes",
    [STATEMENT_ITEM_METADATA] =
        "SELECT key, CASE type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE value END"
        " FROM json_each(?1) WHERE type <> 'null'",
};

static const char *const transaction_sql[TRANSACTION_STATEMENT_COUNT] = {
    [TRANSACTION_BEGIN] = "BEGIN IMMEDIATE",   [TRANSACTION_COMMIT] = "COMMIT",
    [TRANSACTION_ROLLBACK] = "ROLLBACK",       [TRANSACTION_SAVEPOINT] = "SAVEPOINT request",
    [TRANSACTION_RELEASE] = "RELEASE request", [TRANSACTION_ROLLBACK_TO] = "ROLLBACK TO request",
};

/* SQLite's own handler sleeps up to 100 ms between two tries, which starves one of two busy
 * processes. */
static int
on_busy(void *arg, int attempt)
{
    struct connection *connection = arg;
    uint64_t now = monotonic_now_ms();
    if (attempt == 0)
        connection->busy_deadline_ms = now + (uint64_t)connection->config->busy_timeout_ms;
    if (now >= connection->busy_deadline_ms ||
        (connection->is_stopping != NULL && atomic_load(connection->is_stopping)))
        return 0;
    long step_us = attempt < 6 ? (long)BUSY_STEP_MIN_US << attempt : BUSY_STEP_MAX_US;
    struct timespec pause = { .tv_nsec = step_us * 1000 };
    nanosleep(&pause, NULL);
    return 1;
}

static int
on_progress(void *arg)
{
    const struct connection *connection = arg;
    return monotonic_now_ms() >= connection->run_deadline_ms ||
           (connection->is_cancelled != NULL && atomic_load(connection->is_cancelled)) ||
           (connection->is_stopping != NULL && atomic_load(connection->is_stopping));
}

void
connection_limit(struct connection *connection, uint64_t deadline_ms,
                 const atomic_bool *is_cancelled)
{
    connection->is_cancelled = is_cancelled;
    connection->run_deadline_ms = deadline_ms;
    sqlite3_progress_handler(connection->db, deadline_ms != 0 ? PROGRESS_STEPS : 0, on_progress,
                             connection);
}

static int
on_wal_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
    (void)db, (void)name;
    struct connection *connection = arg;
    connection->wal_pages = pages;
    return SQLITE_OK;
}

void
connection_checkpoint(struct connection *connection)
{
    if (connection->wal_pages < WAL_CHECKPOINT_PAGES)
        return;
    connection->wal_pages = 0;
    /* Whatever keeps it from that, the next commit leads here again. */
    (void)sqlite3_wal_checkpoint_v2(connection->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

/* Runs a pragma that answers with one word; false if the answer is another one. */
static int
set_journal_mode(struct connection *connection, const char *mode, bool *ret_is_set)
{
    char sql[64];
    snprintf(sql, sizeof(sql), "PRAGMA journal_mode=%s", mode);
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL);
    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        const char *answer = (const char *)sqlite3_column_text(statement, 0);
        *ret_is_set = answer != NULL && sqlite3_stricmp(answer, mode) == 0;
        rc = SQLITE_OK;
    }
    int finalized = sqlite3_finalize(statement);
    return rc != SQLITE_OK ? rc : finalized;
}

/* A file system may not be able to do a WAL. Then the journal stays what it was, as it does in the
 * reference. The mode lasts in the file, so only the writer sets it. */
static int
set_journal(struct connection *connection)
{
    const struct database_config *config = connection->config;
    if (connection->role != ROLE_WRITER || config->is_read_only)
        return SQLITE_OK;
    bool is_set = false;
    const char *mode = config->in_memory ? "MEMORY" : config->wants_wal ? "WAL" : "DELETE";
    int rc = set_journal_mode(connection, mode, &is_set);
    connection->is_wal = rc == SQLITE_OK && is_set && config->wants_wal;
    return rc;
}

static int
configure(struct connection *connection)
{
    sqlite3 *db = connection->db;
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX + 4096);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    if (connection->config->busy_timeout_ms > 0)
        sqlite3_busy_handler(db, on_busy, connection);
    int rc = functions_register(db);
    if (rc == SQLITE_OK)
        rc = set_journal(connection);
    if (rc != SQLITE_OK)
        return rc;

    /* Savepoints keep their undo pages in memory: the sandbox has no room for temporary files. */
    char *sql = sqlite3_mprintf(
        "PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0;"
        "PRAGMA cache_size=-%d; %s %s",
        connection->role == ROLE_WRITER ? WRITER_CACHE_KIB : READER_CACHE_KIB,
        connection->config->pragmas,
        connection->role == ROLE_WRITER ? "" : "PRAGMA query_only=ON;");
    if (sql == NULL)
        return SQLITE_NOMEM;
    rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    sqlite3_free(sql);
    /* Takes the place of SQLite's own automatic checkpoint, as a pragma would again. */
    if (connection->role == ROLE_WRITER)
        sqlite3_wal_hook(db, on_wal_commit, connection);
    /* Whoever closes the file locks it for a moment, so opening may have to wait, on the writer's
     * thread. Later a reader is the plugin's own thread, which must not; in a WAL it need not. */
    if (connection->role == ROLE_READER)
        sqlite3_busy_handler(db, NULL, NULL);
    return rc;
}

static struct failure *
file_is_gone(void)
{
    return failure_new(REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT,
                       "database file was removed or replaced while it was open; "
                       "reload the component to open it again");
}

static struct failure *
remember_file(struct connection *connection)
{
    struct stat st;
    const char *path = sqlite3_db_filename(connection->db, "main");
    if (connection->inode != 0)
        return connection_check_file(connection);
    if (path != NULL && *path != '\0' && stat(path, &st) == 0) {
        connection->device = st.st_dev;
        connection->inode = st.st_ino;
    }
    return NULL;
}

void
connection_expect_file(struct connection *other, const struct connection *connection)
{
    other->device = connection->device;
    other->inode = connection->inode;
}

static int
open_once(struct connection *connection)
{
    /* Only the writer, which is the first to open it, may make a new file. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
                SQLITE_OPEN_EXRESCODE | (connection->role == ROLE_WRITER ? SQLITE_OPEN_CREATE : 0);
    int rc = sqlite3_open_v2(connection->config->uri, &connection->db, flags, NULL);
    return rc == SQLITE_OK ? configure(connection) : rc;
}

struct failure *
connection_open(struct connection *connection)
{
    if (connection->db != NULL)
        return NULL;
    int rc = open_once(connection);
    /* Where waiting could be a deadlock SQLite does not ask the busy handler: of several processes
     * that switch a new file to a WAL at once, all but one fail immediately. */
    uint64_t deadline_ms = monotonic_now_ms() + (uint64_t)connection->config->busy_timeout_ms;
    while ((rc & 0xff) == SQLITE_BUSY && connection->config->busy_timeout_ms > 0 &&
           monotonic_now_ms() < deadline_ms) {
        connection_close(connection);
        struct timespec pause = { .tv_nsec = BUSY_STEP_MAX_US * 1000L };
        nanosleep(&pause, NULL);
        rc = open_once(connection);
    }
    struct failure *failure = NULL;
    if (rc == SQLITE_OK)
        failure = remember_file(connection);
    else if (connection->inode != 0 && (rc & 0xff) == SQLITE_CANTOPEN)
        failure = file_is_gone();
    else
        failure = failure_from_sqlite(connection->db, rc, STAGE_STATEMENT,
                                      "failed to open database");
    if (failure != NULL)
        connection_close(connection);
    return failure;
}

void
connection_close(struct connection *connection)
{
    for (struct table *table = connection->tables, *next; table != NULL; table = next) {
        next = table->next;
        for (int i = 0; i < STATEMENT_COUNT; i++)
            sqlite3_finalize(table->statements[i]);
        free(table);
    }
    connection->tables = NULL;
    for (int i = 0; i < TRANSACTION_STATEMENT_COUNT; i++) {
        sqlite3_finalize(connection->transaction[i]);
        connection->transaction[i] = NULL;
    }
    sqlite3_close_v2(connection->db);
    connection->db = NULL;
}

struct failure *
connection_check_file(struct connection *connection)
{
    struct stat st;
    if (connection->inode == 0)
        return NULL;
    const char *path = sqlite3_db_filename(connection->db, "main");
    if (stat(path, &st) == 0 && st.st_ino == connection->inode && st.st_dev == connection->device)
        return NULL;
    return file_is_gone();
}

static struct table *
find_table(struct connection *connection, const char *name)
{
    for (struct table *table = connection->tables; table != NULL; table = table->next)
        if (strcmp(table->name, name) == 0)
            return table;
    struct table *table = allocate(sizeof(*table));
    snprintf(table->name, sizeof(table->name), "%s", name);
    table->next = connection->tables;
    connection->tables = table;
    return table;
}

int
connection_statement(struct connection *connection, const char *table_name, enum statement which,
                     sqlite3_stmt **ret_statement)
{
    struct table *table = find_table(connection, table_name);
    if (table->statements[which] == NULL) {
        char sql[1024];
        /* The name is an identifier by config.c; it cannot be a parameter. */
        sqlite3_snprintf(sizeof(sql), sql, statement_sql[which], table_name, table_name, table_name,
                         table_name, table_name);
        int rc = sqlite3_prepare_v3(connection->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                    &table->statements[which], NULL);
        if (rc != SQLITE_OK)
            return rc;
    }
    *ret_statement = table->statements[which];
    return SQLITE_OK;
}

int
connection_transaction(struct connection *connection, enum transaction_statement which)
{
    sqlite3_stmt **statement = &connection->transaction[which];
    if (*statement == NULL) {
        int rc = sqlite3_prepare_v3(connection->db, transaction_sql[which], -1,
                                    SQLITE_PREPARE_PERSISTENT, statement, NULL);
        if (rc != SQLITE_OK)
            return rc;
    }
    int rc = sqlite3_step(*statement);
    sqlite3_reset(*statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}
