/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens a database for a component and makes its tables.
 */
#ifndef SQLITE_PLUGIN_OPENING_H
#define SQLITE_PLUGIN_OPENING_H

#include "database.h"
#include "schema.h"

/* What a component needs to find. The names are borrowed until it is opened. */
struct tables {
    const struct schema *schema;
    const char *table, *metadata_table;
};

/* `done` follows on the plugin's thread, once, with why it failed or NULL; the failure is moved. */
void database_open(struct database *database, const struct tables *tables,
                   void (*done)(void *arg, struct failure *failure), void *arg);

#endif
