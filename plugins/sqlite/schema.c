/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of a component, the metadata table and the migration level in it. Unlike the reference,
 * a table is also made when the level says so already but the table is missing: two components with
 * different table names may share one metadata table.
 */
#include "schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_statements[] = {
    "CREATE TABLE IF NOT EXISTS %s (\n"
    "\tkey TEXT NOT NULL PRIMARY KEY,\n"
    "\tvalue TEXT NOT NULL,\n"
    "\tis_binary BOOLEAN NOT NULL,\n"
    "\tetag TEXT NOT NULL,\n"
    "\texpiration_time TIMESTAMP DEFAULT NULL,\n"
    "\tupdate_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP\n"
    ")",
    NULL,
};

static const char *const hosts_statements[] = {
    "CREATE TABLE IF NOT EXISTS %s (\n"
    "\tregistration_id TEXT NOT NULL PRIMARY KEY,\n"
    "\taddress TEXT NOT NULL,\n"
    "\tapp_id TEXT NOT NULL,\n"
    "\tnamespace TEXT NOT NULL,\n"
    "\tlast_update INTEGER NOT NULL\n"
    ")",
    "CREATE UNIQUE INDEX IF NOT EXISTS %s_address_idx ON %s (address)",
    "CREATE INDEX IF NOT EXISTS %s_last_update_idx ON %s (last_update)",
    NULL,
};

/* A group has had every message up to its cursor handed out; what of those is not settled is a
 * claim. Numbers are never used again, so that a cursor cannot pass a message by. */
static const char *const topics_statements[] = {
    "CREATE TABLE IF NOT EXISTS %s (\n"
    "\tid INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "\ttopic TEXT NOT NULL,\n"
    "\tcontent_type TEXT NOT NULL,\n"
    "\tdata BLOB NOT NULL,\n"
    "\tmetadata BLOB NOT NULL,\n"
    "\tpublished_ms INTEGER NOT NULL,\n"
    "\texpires_ms INTEGER\n"
    ")",
    "CREATE INDEX IF NOT EXISTS %s_topic_idx ON %s (topic)",
    "CREATE INDEX IF NOT EXISTS %s_expires_idx ON %s (expires_ms) WHERE expires_ms IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS %s_groups (\n"
    "\tid INTEGER PRIMARY KEY,\n"
    "\ttopic TEXT NOT NULL,\n"
    "\tname TEXT NOT NULL,\n"
    "\tcursor INTEGER NOT NULL,\n"
    "\tUNIQUE (topic, name)\n"
    ")",
    "CREATE TABLE IF NOT EXISTS %s_claims (\n"
    "\tgroup_id INTEGER NOT NULL,\n"
    "\tmessage_id INTEGER NOT NULL,\n"
    "\towner INTEGER NOT NULL,\n"
    "\tattempts INTEGER NOT NULL,\n"
    "\tdue_ms INTEGER NOT NULL,\n"
    "\tPRIMARY KEY (group_id, message_id)\n"
    ") WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS %s_due_idx ON %s_claims (group_id, due_ms)",
    NULL,
};

/* `clock` is the one that `due_ms` counts by; see lease.h. */
static const char *const locks_statements[] = {
    "CREATE TABLE IF NOT EXISTS %s (\n"
    "\tresource TEXT NOT NULL PRIMARY KEY,\n"
    "\towner TEXT NOT NULL,\n"
    "\tclock TEXT NOT NULL,\n"
    "\tdue_ms INTEGER NOT NULL,\n"
    "\tlease_ms INTEGER NOT NULL\n"
    ")",
    "CREATE INDEX IF NOT EXISTS %s_due_idx ON %s (due_ms)",
    NULL,
};

/* Triggers number the changes, whoever makes them: a key has the number of its latest one, and the
 * highest number is that of the latest of all. Of a key that is gone the number stays. The
 * statement that fires a trigger decides about conflicts in it, so there are none. */
#define NOTE_CHANGE(key)                                                                           \
    " UPDATE %s_changes SET number = (SELECT max(number) + 1 FROM %s_changes) WHERE key = " key    \
    ";"                                                                                            \
    " INSERT INTO %s_changes (key, number)"                                                        \
    " SELECT " key ", (SELECT coalesce(max(number), 0) + 1 FROM %s_changes)"                       \
    " WHERE NOT EXISTS (SELECT 1 FROM %s_changes WHERE key = " key ");"

static const char *const configuration_statements[] = {
    "CREATE TABLE IF NOT EXISTS %s (\n"
    "\tkey TEXT NOT NULL PRIMARY KEY,\n"
    "\tvalue TEXT NOT NULL DEFAULT '',\n"
    "\tversion TEXT,\n"
    "\tmetadata TEXT\n"
    ")",
    "CREATE TABLE IF NOT EXISTS %s_changes (\n"
    "\tkey TEXT NOT NULL PRIMARY KEY,\n"
    "\tnumber INTEGER NOT NULL\n"
    ")",
    "CREATE UNIQUE INDEX IF NOT EXISTS %s_changes_idx ON %s_changes (number)",
    "CREATE TRIGGER IF NOT EXISTS %s_inserted AFTER INSERT ON %s BEGIN" NOTE_CHANGE(
        "NEW.key") " END",
    "CREATE TRIGGER IF NOT EXISTS %s_deleted AFTER DELETE ON %s BEGIN" NOTE_CHANGE(
        "OLD.key") " END",
    "CREATE TRIGGER IF NOT EXISTS %s_updated AFTER UPDATE ON %s BEGIN" NOTE_CHANGE(
        "NEW.key") " END",
    "CREATE TRIGGER IF NOT EXISTS %s_renamed AFTER UPDATE OF key ON %s WHEN OLD.key <> NEW.key"
    " BEGIN" NOTE_CHANGE("OLD.key") " END",
    NULL,
};

const struct schema schema_state = { "migrations", state_statements };
const struct schema schema_hosts = { "nr-migrations", hosts_statements };
const struct schema schema_topics = { "pubsub-migrations", topics_statements };
const struct schema schema_locks = { "lock-migrations", locks_statements };
const struct schema schema_configuration = { "configuration-migrations", configuration_statements };

static int
run(struct connection *connection, const char *format, const char *table)
{
    /* As often as a statement may have it. */
    char *sql = sqlite3_mprintf(format, table, table, table, table, table, table, table);
    if (sql == NULL)
        return SQLITE_NOMEM;
    int rc = sqlite3_exec(connection->db, sql, NULL, NULL, NULL);
    sqlite3_free(sql);
    return rc;
}

static int
table_exists(struct connection *connection, const char *name, bool *ret)
{
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(connection->db,
                                "SELECT 1 FROM sqlite_master WHERE type = 'table'"
                                " AND name = ?1 COLLATE NOCASE",
                                -1, &statement, NULL);
    if (rc != SQLITE_OK)
        return rc;
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    rc = sqlite3_step(statement);
    sqlite3_finalize(statement);
    *ret = rc == SQLITE_ROW;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Empty if no level is noted. */
static int
read_level(struct connection *connection, const struct schema *schema, const char *metadata_table,
           char *ret, size_t ret_size)
{
    char *sql = sqlite3_mprintf("SELECT value FROM %s WHERE key = %Q", metadata_table,
                                schema->level_key);
    sqlite3_stmt *statement = NULL;
    int rc = sql == NULL ? SQLITE_NOMEM
                         : sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL);
    sqlite3_free(sql);
    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(statement);
    const char *value = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    snprintf(ret, ret_size, "%s", value != NULL ? value : "");
    sqlite3_finalize(statement);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int
note_level(struct connection *connection, const struct schema *schema, const char *metadata_table)
{
    char *sql = sqlite3_mprintf("INSERT OR IGNORE INTO %s (key, value) VALUES (%Q, '1')",
                                metadata_table, schema->level_key);
    int rc = sql == NULL ? SQLITE_NOMEM : sqlite3_exec(connection->db, sql, NULL, NULL, NULL);
    sqlite3_free(sql);
    return rc;
}

static int
create_tables(struct connection *connection, const struct schema *schema, const char *table,
              const char *metadata_table)
{
    int rc = run(connection,
                 "CREATE TABLE IF NOT EXISTS %s (\n"
                 "\tkey text NOT NULL PRIMARY KEY,\n"
                 "\tvalue text NOT NULL\n"
                 ")",
                 metadata_table);
    for (size_t i = 0; rc == SQLITE_OK && schema->statements[i] != NULL; i++)
        rc = run(connection, schema->statements[i], table);
    return rc == SQLITE_OK ? note_level(connection, schema, metadata_table) : rc;
}

static struct failure *
failed(struct connection *connection, int rc)
{
    return failure_from_sqlite(connection->db, rc, STAGE_STATEMENT, "failed to perform migrations");
}

/* Levels above ours are a newer reference's; it keeps what older ones read. */
static struct failure *
check_level(const char *level)
{
    bool valid = *level != '\0' && strlen(level) < 10 &&
                 strspn(level, "0123456789") == strlen(level);
    if (valid)
        return NULL;
    return failure_new(REMORA_FAILED_PRECONDITION, REMORA_EFFECT_FAILED,
                       "failed to perform migrations: invalid migration level found in metadata "
                       "table: %.64s",
                       level);
}

struct failure *
schema_ensure(struct connection *connection, const struct schema *schema, const char *table,
              const char *metadata_table)
{
    char level[64] = "";
    bool has_table = false, has_metadata = false;
    int rc = table_exists(connection, table, &has_table);
    if (rc == SQLITE_OK)
        rc = table_exists(connection, metadata_table, &has_metadata);
    if (rc == SQLITE_OK && has_metadata)
        rc = read_level(connection, schema, metadata_table, level, sizeof(level));
    if (rc != SQLITE_OK)
        return failed(connection, rc);
    if (*level != '\0')
        if (has_table || connection->config->is_read_only)
            return check_level(level);

    rc = sqlite3_exec(connection->db, "BEGIN EXCLUSIVE", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return failed(connection, rc);
    rc = create_tables(connection, schema, table, metadata_table);
    if (rc == SQLITE_OK)
        rc = read_level(connection, schema, metadata_table, level, sizeof(level));
    struct failure *failure = rc == SQLITE_OK ? check_level(level) : failed(connection, rc);
    if (failure == NULL) {
        rc = sqlite3_exec(connection->db, "COMMIT", NULL, NULL, NULL);
        failure = rc == SQLITE_OK ? NULL : failed(connection, rc);
    }
    if (failure != NULL)
        sqlite3_exec(connection->db, "ROLLBACK", NULL, NULL, NULL);
    return failure;
}
