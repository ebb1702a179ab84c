/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the master is, as Redis Sentinel tells it: the sentinels are asked in turn, beginning with
 * the one that answered last, until one names an address. A locator for conn.h; asked before each
 * attempt, so that a connection follows a failover.
 */
#ifndef REDIS_SENTINEL_H
#define REDIS_SENTINEL_H

#include "conn.h"

enum { SENTINELS_MAX = 64 };

struct sentinel_address {
    const char *host, *port;
};

/* Lives as long as the connections that use it. Strings are borrowed for as long. */
struct sentinels {
    struct ev_loop *loop;
    struct sentinel_address addresses[SENTINELS_MAX];
    size_t count;
    size_t preferred; /* zero at first */
    const char *master_name;
    const char *username, *password; /* of the sentinels; "" without */
    struct tls_context *tls;
    int64_t dial_timeout_ms; /* of the whole search */
};

/* Its owner is a struct sentinels. */
extern const struct conn_locator sentinel_locator;

#endif
