/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables, as the reference component makes them.
 */
#ifndef SQLITE_PLUGIN_SCHEMA_H
#define SQLITE_PLUGIN_SCHEMA_H

#include "connection.h"

/* A kind of table and the key its migration level has in the metadata table. */
struct schema {
    const char *level_key;
    const char *const *statements; /* `%s` is the table's name; NULL ends them */
};

extern const struct schema schema_state, schema_hosts, schema_topics, schema_locks,
    schema_configuration;

/* Makes what is missing of both tables. Another process may do the same at the same time. */
struct failure *schema_ensure(struct connection *connection, const struct schema *schema,
                              const char *table, const char *metadata_table);

#endif
