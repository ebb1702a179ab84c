/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata of a component, checked. What belongs to the server is kept apart from what belongs
 * to one component, because components on the same server and database share connections.
 */
#ifndef MYSQL_PLUGIN_SETTINGS_H
#define MYSQL_PLUGIN_SETTINGS_H

#include "bounds.h"
#include "dsn.h"
#include "failure.h"

struct server {
    struct dsn dsn;
    char *pem_path; /* or NULL */
    char schema[IDENTIFIER_BYTES_MAX + 1];
    int64_t timeout_ms;
    char address[300]; /* as people are told */
};

struct settings {
    struct server server;
    char table[IDENTIFIER_BYTES_MAX + 1];
    char metadata_table[IDENTIFIER_BYTES_MAX + 1];
    int64_t cleanup_interval_ms; /* <= 0: never */
    char warning[256];           /* for the log; empty if there is nothing to say */
};

/* On failure nothing is kept and `why` says why, in the reference component's words where it has
 * some. */
bool settings_init(struct settings *settings, const struct remora_config *from,
                   char why[FAILURE_BYTES_MAX]);
void settings_fini(struct settings *settings);

bool server_is_same(const struct server *a, const struct server *b);
/* Moves what `from` owns. */
struct server server_take(struct server *from);
void server_fini(struct server *server);

#endif
