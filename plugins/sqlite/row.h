/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row of a state table: read, written, deleted, with the etag and expiry rules. Each function
 * is one statement, so it either takes effect or does not.
 */
#ifndef SQLITE_PLUGIN_ROW_H
#define SQLITE_PLUGIN_ROW_H

#include "connection.h"

enum { ETAG_LEN = 36 };

/* A copy of a row's contents in one malloc()ed block. */
struct row {
    struct row *next; /* for lists of their owner */
    const char *key, *etag, *value;
    size_t key_len, etag_len, value_len;
    int64_t expires_unix_ms; /* 0: never */
    struct failure *failure; /* why there is no value; owned */
};

void row_free(void *row); /* takes a struct row; of this type to serve as a release function */

/* From the current result of a statement whose columns first..first+3 are value, is_binary, etag,
 * expiration_time. NULL when memory is out. */
struct row *row_from_columns(sqlite3_stmt *statement, int first, const char *key, size_t key_len);

/* A row that only says why there is none. Takes the failure. */
struct row *row_from_failure(struct failure *failure);

/* *ret_row is NULL if there is no such row. */
struct failure *row_get(struct connection *connection, const char *table, struct remora_slice key,
                        struct row **ret_row);

/* `etag` is the new one. */
struct failure *row_set(struct connection *connection, const char *table,
                        const struct remora_state_set *set, const char *etag);

struct failure *
row_delete(struct connection *connection, const char *table, const struct remora_state_delete *del);

#endif
