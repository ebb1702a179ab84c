/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row of a hosts table: a sidecar that says every few seconds that it is there. Tables and
 * rules are those of the reference, whose sidecars may use the same file. Each function is one
 * statement.
 */
#ifndef SQLITE_PLUGIN_HOST_H
#define SQLITE_PLUGIN_HOST_H

#include "connection.h"

enum { REGISTRATION_ID_LEN = 36 };

struct host {
    char registration_id[REGISTRATION_ID_LEN + 1];
    char *address; /* owned; host:port */
    char *app_id;  /* owned */
};

/* Takes the address from whoever had it: two cannot listen there. */
struct failure *
host_register(struct connection *connection, const char *table, const struct host *host);

/* *ret_is_ours is false when another sidecar has taken the address and is alive. A row that has
 * vanished, or that somebody left behind who is not heard of for `silence_s`, is written anew. */
struct failure *host_renew(struct connection *connection, const char *table,
                           const struct host *host, int64_t silence_s, bool *ret_is_ours);

/* Nothing happens if the row is no longer the host's own. */
struct failure *
host_remove(struct connection *connection, const char *table, const struct host *host);

/* Deletes rows not heard of for `silence_s`, if no process has done so for `interval_ms`. */
struct failure *hosts_clean(struct connection *connection, const char *table,
                            const char *metadata_table, int64_t interval_ms, int64_t silence_s);

/* Addresses of an application. */
struct hosts {
    size_t count;
    bool are_fresh;
    struct remora_slice addresses[HOSTS_MAX];
    char text[HOSTS_MAX][ADDRESS_BYTES_MAX];
};

/* Those heard of within `fresh_s`; if there is none, those heard of within `silence_s`: their
 * machine may only be slow. The order is the same as long as they are the same. free() them. */
struct failure *
hosts_find(struct connection *connection, const char *table, struct remora_slice app_id,
           int64_t fresh_s, int64_t silence_s, struct hosts **ret_hosts);

#endif
