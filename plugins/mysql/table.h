/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of one component: made when they are missing, in the layout of the reference
 * component, and cleared of what has expired. Functions run on a thread with a connection.
 */
#ifndef MYSQL_PLUGIN_TABLE_H
#define MYSQL_PLUGIN_TABLE_H

#include "session.h"

struct table {
    const char *name, *metadata_name;
    /* Keys that are not the same bytes are not the same to it. Otherwise its collation takes some
     * for one ("a" and "A", or "a" and "a "), as in tables that the reference has made. */
    bool is_exact;
    char collation[65];
};

/* Database and tables; fills the rest of `table`. The connection has chosen the database then. */
struct failure *table_prepare(struct session *session, struct table *table);

/* *ret_is_due is false if this sidecar or another one has cleaned up within the interval. */
struct failure *table_begin_cleanup(struct session *session, const struct table *table,
                                    int64_t interval_ms, bool *ret_is_due);
/* Some of what has expired; *ret_more: there may be more. */
struct failure *table_clean(struct session *session, const struct table *table, bool *ret_more);

#endif
