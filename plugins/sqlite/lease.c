/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQL is in connection.c, with the parameters that are bound here.
 */
#include "lease.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../shared/monotonic.h"

enum { BOOT_ID_LEN = 36, EXPIRED_ROWS_MAX = 16 };

int64_t lease_shift_ms;

/* --- the clock ---------------------------------------------------------------------------------*/

/* Not the clock that goes on while the machine sleeps: holders sleep as well, and go on where they
 * were by clocks that stood still. */
static int64_t
now_ms(void)
{
    return (int64_t)monotonic_now_ms() + lease_shift_ms;
}

bool
lease_clock_init(struct lease_clock *clock)
{
    char boot[BOOT_ID_LEN + 1] = "", space[32] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, boot, BOOT_ID_LEN);
    close(fd);
    if (len != BOOT_ID_LEN) {
        errno = EIO;
        return false;
    }
    /* "time:[4026531834]"; a system without time namespaces has one clock. */
    if (readlink("/proc/self/ns/time", space, sizeof(space) - 1) < 0 && errno != ENOENT)
        return false;
    snprintf(clock->name, sizeof(clock->name), "%s %s", boot, space);
    return true;
}

/* --- rows --------------------------------------------------------------------------------------*/

static struct failure *
failed(struct connection *connection, int rc)
{
    return failure_from_sqlite(connection->db, rc, STAGE_STATEMENT, "lock");
}

static void
bind_slice(sqlite3_stmt *statement, int at, struct remora_slice text)
{
    sqlite3_bind_text64(statement, at, text.data, text.len, SQLITE_STATIC, SQLITE_UTF8);
}

/* Every statement takes some of these. */
struct lease_row {
    struct remora_slice resource, owner;
    const struct lease_clock *clock;
    int64_t due_ms, lease_ms;
};

static struct failure *
prepare(struct connection *connection, const char *table, enum statement which,
        const struct lease_row *row, sqlite3_stmt **ret)
{
    int rc = connection_statement(connection, table, which, ret);
    if (rc != SQLITE_OK)
        return failed(connection, rc);
    bind_slice(*ret, 1, row->resource);
    bind_slice(*ret, 2, row->owner);
    sqlite3_bind_text(*ret, 3, row->clock->name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(*ret, 4, row->due_ms);
    sqlite3_bind_int64(*ret, 5, row->lease_ms);
    return NULL;
}

static void
release(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

static struct failure *
run(struct connection *connection, const char *table, enum statement which,
    const struct lease_row *row)
{
    sqlite3_stmt *statement;
    struct failure *failure = prepare(connection, table, which, row, &statement);
    if (failure != NULL)
        return failure;
    int rc = sqlite3_step(statement);
    if (rc != SQLITE_DONE)
        failure = failed(connection, rc);
    release(statement);
    return failure;
}

enum holder { HOLDER_NONE, HOLDER_SAME, HOLDER_OTHER };

/* What stands in the file of the resource in `asked`. A lease that has ended is nobody's; one of
 * another clock is written down in ours. */
static struct failure *
look(struct connection *connection, const char *table, const struct lease_row *asked, int64_t now,
     enum holder *ret_holder)
{
    sqlite3_stmt *statement;
    struct failure *failure = prepare(connection, table, STATEMENT_LOCK_FIND, asked, &statement);
    if (failure != NULL)
        return failure;
    int rc = sqlite3_step(statement);
    bool is_ours = false;
    struct lease_row found = *asked;
    *ret_holder = HOLDER_NONE;
    if (rc == SQLITE_ROW) {
        is_ours = sqlite3_column_int(statement, 1) != 0;
        found.due_ms = sqlite3_column_int64(statement, 2);
        found.lease_ms = sqlite3_column_int64(statement, 3);
        *ret_holder = is_ours && found.due_ms <= now          ? HOLDER_NONE
                      : sqlite3_column_int(statement, 0) != 0 ? HOLDER_SAME
                                                              : HOLDER_OTHER;
    } else if (rc != SQLITE_DONE) {
        failure = failed(connection, rc);
    }
    release(statement);
    if (failure != NULL || rc != SQLITE_ROW || is_ours)
        return failure;
    found.due_ms = now + (found.lease_ms > 0 ? found.lease_ms : 0);
    return run(connection, table, STATEMENT_LOCK_ADOPT, &found);
}

struct failure *
lease_take(struct connection *connection, const char *table, const struct lease_clock *clock,
           struct remora_slice resource, struct remora_slice owner, int64_t lease_ms,
           bool *ret_is_held)
{
    int64_t now = now_ms();
    const struct lease_row row = { resource, owner, clock, now + lease_ms, lease_ms };
    enum holder holder;
    struct failure *failure = look(connection, table, &row, now, &holder);
    if (failure != NULL)
        return failure;
    *ret_is_held = holder == HOLDER_NONE;
    if (!*ret_is_held)
        return NULL;
    failure = run(connection, table, STATEMENT_LOCK_PUT, &row);
    if (failure != NULL)
        return failure;
    /* Resources that nobody asks for any more would stay for good. */
    return run(connection, table, STATEMENT_LOCKS_EXPIRE,
               &(struct lease_row){ resource, owner, clock, now, EXPIRED_ROWS_MAX });
}

struct failure *
lease_end(struct connection *connection, const char *table, const struct lease_clock *clock,
          struct remora_slice resource, struct remora_slice owner, enum remora_unlock *ret_status)
{
    const struct lease_row row = { resource, owner, clock, 0, 0 };
    enum holder holder;
    struct failure *failure = look(connection, table, &row, now_ms(), &holder);
    if (failure != NULL)
        return failure;
    *ret_status = holder == HOLDER_NONE   ? REMORA_UNLOCK_DOES_NOT_EXIST
                  : holder == HOLDER_SAME ? REMORA_UNLOCKED
                                          : REMORA_UNLOCK_BELONGS_TO_OTHERS;
    return holder == HOLDER_SAME ? run(connection, table, STATEMENT_LOCK_DELETE, &row) : NULL;
}
