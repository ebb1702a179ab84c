/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection, used by one thread, which waits for the server in every function here. Times are
 * UTC and words UTF-8 on it, whatever the server's own settings are.
 */
#ifndef MYSQL_PLUGIN_SESSION_H
#define MYSQL_PLUGIN_SESSION_H

#include <stdatomic.h>

#include "settings.h"
#include "text.h"

struct session {
    const struct server *server;
    MYSQL *db; /* NULL: there is no connection */
    bool is_mariadb;
    uint64_t statement_bytes_max; /* what the server takes */
    struct text text;             /* the statement that session_run() or session_read() sends */
    atomic_int fd;                /* or -1; for who wants to wake the thread */
};

void session_init(struct session *session, const struct server *server);
void session_close(struct session *session);
void session_fini(struct session *session);

/* Makes the connection if there is none of use. Without `with_schema` no database is chosen. */
struct failure *session_open(struct session *session, bool with_schema);

/* Sends session->text and clears it; *ret_changed, if not NULL, is the number of rows changed. A
 * failure of kind FAILURE_LOST has closed the connection. */
struct failure *session_run(struct session *session, uint64_t *ret_changed);
struct failure *session_run_words(struct session *session, const char *words);

/* Columns of one row; NULL where the database has NULL. A failure ends the reading. */
typedef struct failure *session_row_fn(char **columns, const unsigned long *lengths, void *arg);
/* Likewise, with `take` called for each row, which has as many columns as it expects. */
struct failure *
session_read(struct session *session, unsigned column_count, session_row_fn *take, void *arg);

#endif
