/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQL is in connection.c, with the parameters that are bound here.
 */
#include "host.h"

#include <stdlib.h>
#include <string.h>

#include "allocate.h"
#include "scan.h"
#include "timestamp.h"

static const char *const words[STATEMENT_COUNT] = {
    [STATEMENT_HOST_REGISTER] = "failed to register host",
    [STATEMENT_HOST_RENEW] = "failed to update host registration",
    [STATEMENT_HOST_RESTORE] = "failed to update host registration",
    [STATEMENT_HOST_REMOVE] = "failed to unregister host",
    [STATEMENT_HOSTS_FIND] = "failed to look up address",
    [STATEMENT_HOSTS_CLEAN] = "failed to remove hosts that are gone",
};

static struct failure *
failed(struct connection *connection, int rc, enum statement which)
{
    return failure_from_sqlite(connection->db, rc, STAGE_STATEMENT, words[which]);
}

/* The statement with the host's values bound; every statement has only some of them. */
static struct failure *
prepare(struct connection *connection, const char *table, enum statement which,
        const struct host *host, int64_t silence_s, sqlite3_stmt **ret_statement)
{
    sqlite3_stmt *statement;
    int rc = connection_statement(connection, table, which, &statement);
    if (rc != SQLITE_OK)
        return failed(connection, rc, which);
    int64_t now = timestamp_now_unix_s();
    sqlite3_bind_text(statement, 1, host->registration_id, REGISTRATION_ID_LEN, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, host->address, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, host->app_id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 4, now);
    sqlite3_bind_int64(statement, 5, now - silence_s);
    *ret_statement = statement;
    return NULL;
}

static struct failure *
run(struct connection *connection, const char *table, enum statement which, const struct host *host,
    int64_t silence_s, bool *ret_changed)
{
    sqlite3_stmt *statement = NULL;
    struct failure *failure = connection_check_file(connection);
    if (failure == NULL)
        failure = prepare(connection, table, which, host, silence_s, &statement);
    if (failure != NULL)
        return failure;
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_DONE)
        *ret_changed = sqlite3_changes(connection->db) > 0;
    else
        failure = failed(connection, rc, which);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return failure;
}

struct failure *
host_register(struct connection *connection, const char *table, const struct host *host)
{
    bool changed;
    return run(connection, table, STATEMENT_HOST_REGISTER, host, 0, &changed);
}

struct failure *
host_renew(struct connection *connection, const char *table, const struct host *host,
           int64_t silence_s, bool *ret_is_ours)
{
    struct failure *failure = run(connection, table, STATEMENT_HOST_RENEW, host, 0, ret_is_ours);
    if (failure == NULL && !*ret_is_ours)
        failure = run(connection, table, STATEMENT_HOST_RESTORE, host, silence_s, ret_is_ours);
    return failure;
}

struct failure *
host_remove(struct connection *connection, const char *table, const struct host *host)
{
    bool changed;
    return run(connection, table, STATEMENT_HOST_REMOVE, host, 0, &changed);
}

struct failure *
hosts_clean(struct connection *connection, const char *table, const char *metadata_table,
            int64_t interval_ms, int64_t silence_s)
{
    static const struct host nobody = { .address = NULL };
    bool is_due = false, changed;
    struct failure *failure = scan_begin_cleanup(connection, metadata_table, "nr-last-cleanup",
                                                 interval_ms, &is_due);
    if (failure != NULL || !is_due)
        return failure;
    return run(connection, table, STATEMENT_HOSTS_CLEAN, &nobody, silence_s, &changed);
}

/* False when no further one is wanted. Fresh rows come first. */
static bool
take_row(sqlite3_stmt *statement, int64_t fresh_since, struct hosts *hosts)
{
    const char *address = (const char *)sqlite3_column_text(statement, 0);
    size_t len = (size_t)sqlite3_column_bytes(statement, 0);
    bool is_fresh = sqlite3_column_int64(statement, 1) > fresh_since;
    if (hosts->count > 0 && hosts->are_fresh && !is_fresh)
        return false;
    if (address == NULL || len == 0 || len > ADDRESS_BYTES_MAX)
        return true;
    char *text = hosts->text[hosts->count];
    memcpy(text, address, len);
    hosts->addresses[hosts->count++] = (struct remora_slice){ text, len };
    hosts->are_fresh = is_fresh;
    return hosts->count < HOSTS_MAX;
}

struct failure *
hosts_find(struct connection *connection, const char *table, struct remora_slice app_id,
           int64_t fresh_s, int64_t silence_s, struct hosts **ret_hosts)
{
    sqlite3_stmt *statement;
    int rc = connection_statement(connection, table, STATEMENT_HOSTS_FIND, &statement);
    if (rc != SQLITE_OK)
        return failed(connection, rc, STATEMENT_HOSTS_FIND);
    int64_t now = timestamp_now_unix_s();
    sqlite3_bind_text64(statement, 3, app_id.data, app_id.len, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_int64(statement, 4, now - fresh_s);
    sqlite3_bind_int64(statement, 5, now - silence_s);
    struct hosts *hosts = allocate(sizeof(*hosts));
    do
        rc = sqlite3_step(statement);
    while (rc == SQLITE_ROW && take_row(statement, now - fresh_s, hosts));
    struct failure *failure = NULL;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        failure = failed(connection, rc, STATEMENT_HOSTS_FIND);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    if (failure == NULL)
        *ret_hosts = hosts;
    else
        free(hosts);
    return failure;
}
