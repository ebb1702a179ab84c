/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group commit. Each operation is one statement, which SQLite undoes by itself when it fails, so
 * only an atomic write of several operations needs a savepoint. What ends the transaction (a full
 * disk, an error at the commit) fails every write of the group: nobody is told "saved" by mistake.
 */
#include "group.h"

#include "timestamp.h"

static struct write *
next_write(const struct write *write)
{
    return (struct write *)write->job.next;
}

static struct failure *
run_operation(struct connection *connection, const struct write *write, struct operation *operation)
{
    return operation->set != NULL
               ? row_set(connection, write->table, operation->set, operation->etag)
               : row_delete(connection, write->table, operation->del);
}

static struct failure *
step_transaction(struct connection *connection, enum transaction_statement which,
                 enum failure_stage stage)
{
    int rc = connection_transaction(connection, which);
    return rc == SQLITE_OK ? NULL : failure_from_sqlite(connection->db, rc, stage, NULL);
}

static bool
is_in_transaction(const struct connection *connection)
{
    return sqlite3_get_autocommit(connection->db) == 0;
}

static struct failure *
run_operations(struct connection *connection, struct write *write)
{
    struct failure *failure = NULL;
    for (size_t i = 0; i < write->count && failure == NULL; i++)
        failure = run_operation(connection, write, &write->operations[i]);
    return failure;
}

static struct failure *
run_atomic(struct connection *connection, struct write *write)
{
    if (write->count == 1 && write->apply == NULL)
        return run_operation(connection, write, &write->operations[0]);
    struct failure *failure = step_transaction(connection, TRANSACTION_SAVEPOINT, STAGE_STATEMENT);
    if (failure != NULL)
        return failure;
    failure = write->apply != NULL ? write->apply(write, connection)
                                   : run_operations(connection, write);
    if (failure != NULL && is_in_transaction(connection))
        failure_free(step_transaction(connection, TRANSACTION_ROLLBACK_TO, STAGE_STATEMENT));
    if (!is_in_transaction(connection))
        return failure;
    struct failure *released = step_transaction(connection, TRANSACTION_RELEASE, STAGE_STATEMENT);
    if (failure == NULL)
        return released;
    failure_free(released);
    return failure;
}

/* Returns what ended the whole transaction, or NULL; failures of its own stay with the write. */
static struct failure *
run_write(struct connection *connection, struct write *write)
{
    if (write->is_atomic || write->apply != NULL) {
        write->job.failure = run_atomic(connection, write);
        return is_in_transaction(connection) ? NULL : failure_copy(write->job.failure);
    }
    for (size_t i = 0; i < write->count; i++) {
        struct operation *operation = &write->operations[i];
        operation->failure = run_operation(connection, write, operation);
        if (!is_in_transaction(connection))
            return failure_copy(operation->failure);
    }
    return NULL;
}

/* Whatever the writes were told before does not hold: etags were compared with rows that are no
 * longer there. */
static void
fail_all(struct write *writes, struct failure *failure)
{
    for (struct write *write = writes; write != NULL; write = next_write(write)) {
        for (size_t i = 0; i < write->count && write->operations != NULL; i++) {
            failure_free(write->operations[i].failure);
            write->operations[i].failure = NULL;
        }
        failure_free(write->job.failure);
        write->job.failure = failure_copy(failure);
    }
    failure_free(failure);
}

static struct failure *
run_group(struct connection *connection, struct write *writes)
{
    struct failure *failure = connection_open(connection);
    if (failure == NULL)
        failure = connection_check_file(connection);
    if (failure == NULL)
        failure = step_transaction(connection, TRANSACTION_BEGIN, STAGE_STATEMENT);
    if (failure != NULL)
        return failure;
    for (struct write *write = writes; write != NULL && failure == NULL; write = next_write(write))
        failure = run_write(connection, write);
    if (failure == NULL)
        failure = step_transaction(connection, TRANSACTION_COMMIT, STAGE_COMMIT);
    return failure;
}

void
group_commit(struct connection *connection, struct write *writes)
{
    struct failure *failure = run_group(connection, writes);
    if (failure == NULL)
        return;
    if (connection->db != NULL && is_in_transaction(connection))
        failure_free(step_transaction(connection, TRANSACTION_ROLLBACK, STAGE_STATEMENT));
    fail_all(writes, failure);
}
