/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables, as the reference component makes them.
 */
#ifndef SQLITE_PLUGIN_SCHEMA_H
#define SQLITE_PLUGIN_SCHEMA_H

#include "connection.h"

/* Makes what is missing of both tables. Another process may do the same at the same time. */
struct failure *
schema_ensure(struct connection *connection, const char *table, const char *metadata_table);

#endif
