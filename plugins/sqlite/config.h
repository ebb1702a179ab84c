/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata of a component, checked. What belongs to the database file is kept apart from what
 * belongs to one component, because components on the same file share the former.
 */
#ifndef SQLITE_PLUGIN_CONFIG_H
#define SQLITE_PLUGIN_CONFIG_H

#include <remora_plugin.h>

#include "bounds.h"

struct database_config {
    char *uri;      /* owned; for sqlite3_open_v2(), without the driver's own parameters */
    char *path;     /* owned; absolute, NULL in memory or if odd */
    char *identity; /* owned; equal for components that can share connections */
    char *pragmas;  /* owned; statements of the connection string's `_pragma`s, "" if none */
    int64_t busy_timeout_ms; /* <= 0: do not wait */
    bool in_memory;
    bool is_read_only;
    bool wants_wal;
};

struct store_config {
    struct database_config database;
    char table[IDENTIFIER_BYTES_MAX + 1];
    char metadata_table[IDENTIFIER_BYTES_MAX + 1];
    int64_t timeout_ms;
    int64_t cleanup_interval_ms; /* <= 0: never */
    char warning[256];           /* for the log; empty if there is nothing to say */
};

/* What component types differ in. */
struct store_defaults {
    const char *table;
    const char *invalid_table, *invalid_metadata_table; /* words, the name follows */
    int64_t timeout_ms, busy_timeout_ms, cleanup_interval_ms;
};

/* On failure nothing is kept and `error` says why, in the reference component's words where it has
 * some. `error` holds FAILURE_BYTES_MAX bytes. */
bool store_config_init(struct store_config *config, const struct store_defaults *defaults,
                       const struct remora_config *from, char *error);
/* *ret_ms stays what it is if neither name is given; `alias` may be NULL. */
bool config_read_duration(const struct remora_config *from, const char *name, const char *alias,
                          int64_t *ret_ms, char *error);
void store_config_fini(struct store_config *config);
/* `to` gets strings of its own. */
void database_config_copy(struct database_config *to, const struct database_config *from);
void database_config_fini(struct database_config *config);

#endif
