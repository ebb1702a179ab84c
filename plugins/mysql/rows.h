/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of a state table as they are read. Functions run on a thread with a connection.
 */
#ifndef MYSQL_PLUGIN_ROWS_H
#define MYSQL_PLUGIN_ROWS_H

#include "table.h"

/* A copy of a row's contents in one block. */
struct row {
    struct row *next; /* for lists of their owner */
    const char *etag, *value;
    size_t etag_len, value_len;
    int64_t expires_unix_ms; /* 0: never */
    struct failure *failure; /* why there is no value; owned */
};

void row_free(void *row); /* takes a struct row; of this type to serve as a release function */

/* rows[i] is for gets[i], NULL if there is none. Each is the caller's; none after a failure. What
 * is read is what there was at one moment. */
struct failure *rows_get(struct session *session, const struct table *table,
                         const struct remora_state_get *gets, struct row **rows, size_t count);

#endif
