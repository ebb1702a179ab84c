/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One SQLite connection: opened with the settings that durability and the reference's form need,
 * closed, checked for a file that was taken away, and its prepared statements.
 *
 * A connection belongs to one thread at a time. None of these functions knows about threads, calls
 * or the sidecar.
 */
#ifndef SQLITE_PLUGIN_CONNECTION_H
#define SQLITE_PLUGIN_CONNECTION_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "config.h"
#include "failure.h"

enum statement {
    STATEMENT_GET,
    STATEMENT_SET,
    STATEMENT_SET_IF_ABSENT,
    STATEMENT_SET_IF_ETAG,
    STATEMENT_DELETE,
    STATEMENT_DELETE_IF_ETAG,
    STATEMENT_HOST_REGISTER,
    STATEMENT_HOST_RENEW,
    STATEMENT_HOST_RESTORE,
    STATEMENT_HOST_REMOVE,
    STATEMENT_HOSTS_FIND,
    STATEMENT_HOSTS_CLEAN,
    STATEMENT_PUBLISH,
    STATEMENT_GROUP_ADD,
    STATEMENT_GROUP_FIND,
    STATEMENT_GROUP_MOVE,
    STATEMENT_CLAIMS_DUE,
    STATEMENT_MESSAGES_NEW,
    STATEMENT_CLAIM_PUT,
    STATEMENT_CLAIM_DONE,
    STATEMENT_CLAIM_POSTPONE,
    STATEMENT_CLAIMS_NEXT,
    STATEMENT_CLAIMS_OWNERS,
    STATEMENT_CLAIMS_RELEASE,
    STATEMENT_MESSAGE_FORGET,
    STATEMENT_MESSAGES_FORGET,
    STATEMENT_MESSAGES_EXPIRE,
    STATEMENT_LOCK_FIND,
    STATEMENT_LOCK_ADOPT,
    STATEMENT_LOCK_PUT,
    STATEMENT_LOCK_DELETE,
    STATEMENT_LOCKS_EXPIRE,
    STATEMENT_ITEM_GET,
    STATEMENT_ITEMS_ALL,
    STATEMENT_ITEMS_CHANGED,
    STATEMENT_CHANGES_LAST,
    STATEMENT_ITEM_METADATA,
    STATEMENT_COUNT,
};

enum transaction_statement {
    TRANSACTION_BEGIN,
    TRANSACTION_COMMIT,
    TRANSACTION_ROLLBACK,
    TRANSACTION_SAVEPOINT,
    TRANSACTION_RELEASE,
    TRANSACTION_ROLLBACK_TO,
    TRANSACTION_STATEMENT_COUNT,
};

/* The statements on one table, of state, hosts or messages, each prepared when first used. */
struct table {
    struct table *next;
    char name[IDENTIFIER_BYTES_MAX + 1];
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

enum connection_role {
    ROLE_WRITER,  /* waits for locks */
    ROLE_SCANNER, /* reads only, waits for locks */
    ROLE_READER,  /* reads only, never waits */
};

struct connection {
    const struct database_config *config; /* borrowed for the connection's life */
    enum connection_role role;
    const atomic_bool *is_stopping; /* or NULL: ends waits for locks early */
    sqlite3 *db;                    /* NULL while closed */
    struct table *tables;
    sqlite3_stmt *transaction[TRANSACTION_STATEMENT_COUNT];
    uint64_t busy_deadline_ms;
    int wal_pages; /* in the WAL after the latest commit */
    /* Of the statement being run, see connection_limit(). */
    uint64_t run_deadline_ms;
    const atomic_bool *is_cancelled;
    dev_t device; /* of the database file when it was opened; set before, it must be that file */
    ino_t inode;
    bool is_wal;
};

/* Opens it unless it is open. */
struct failure *connection_open(struct connection *connection);
void connection_close(struct connection *connection);

/* The other connection is to open the file that this one has open, and no other of its name. */
void connection_expect_file(struct connection *other, const struct connection *connection);

/* An error if the file is no longer the one that was opened: saves would go to a file without a
 * name. */
struct failure *connection_check_file(struct connection *connection);

/* Moves the WAL's pages into the database once there are enough. Commits do not do that by
 * themselves here: their callers would wait for it. */
void connection_checkpoint(struct connection *connection);

/* Statements that run beyond the deadline, or when *is_cancelled (or NULL) has become true, end
 * with SQLITE_INTERRUPT. Deadline 0 lifts both. */
void connection_limit(struct connection *connection, uint64_t deadline_ms,
                      const atomic_bool *is_cancelled);

int connection_statement(struct connection *connection, const char *table, enum statement which,
                         sqlite3_stmt **ret_statement);
int connection_transaction(struct connection *connection, enum transaction_statement which);

#endif
