/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata of components that use the pool: how the server is reached, how many connections there
 * may be, and, of state stores, where the tables are.
 */
#ifndef POSTGRESQL_SETTINGS_H
#define POSTGRESQL_SETTINGS_H

#include <remora_plugin.h>

#include "conninfo.h"

enum {
    SETTINGS_WHY_BYTES = 300,
    TABLE_BYTES = 2 * 63 + 2, /* schema.table */
    CONNECTIONS_MAX = 64,
};

struct settings {
    struct conninfo conninfo;
    int connections_max;
    int64_t idle_ms; /* an idle connection is closed; 0: never */
    int64_t timeout_ms;
    /* Statements are prepared and the session is set up; not when a proxy may be in between, which
     * gives a connection to somebody else after each transaction. */
    bool has_session;
};

struct table_settings {
    char state[TABLE_BYTES], metadata[TABLE_BYTES];
    char level_key[TABLE_BYTES + 32], cleanup_key[TABLE_BYTES + 32];
    int64_t cleanup_interval_ms; /* 0: never */
};

/* False with words for the user, which hold no secret. */
bool settings_init(struct settings *settings, const struct remora_config *config,
                   char ret_why[SETTINGS_WHY_BYTES]);
void settings_fini(struct settings *settings);

bool settings_read_tables(struct table_settings *tables, const struct remora_config *config,
                          bool is_v2, char ret_why[SETTINGS_WHY_BYTES]);

/* `name` or `schema.name`, of letters, digits, _ and $, which need no quotes. */
bool settings_is_table(const char *name);

#endif
