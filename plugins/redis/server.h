/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server that a component is configured for: its settings, and what connections to it need.
 */
#ifndef REDIS_SERVER_H
#define REDIS_SERVER_H

#include "link.h"
#include "settings.h"

struct server {
    struct settings settings;
    struct tls_context *tls;                    /* owned, or NULL */
    struct sentinels sentinels;                 /* with failover */
    struct link_seed seeds[SETTINGS_HOSTS_MAX]; /* of a cluster */
};

/* False on failure, with the reason for the user in `why`; `ret` then needs no server_fini(). It
 * must not move afterwards: connections point into it. */
bool
server_init(struct server *ret, const struct remora_config *config, char why[SETTINGS_WHY_BYTES]);
void server_fini(struct server *server);

/* Connects; what waits inside the server may take `waiting_ms` longer than other answers. Borrows
 * from the server. */
struct link *server_connect(struct server *server, int64_t waiting_ms,
                            const struct link_events *events, void *owner);

#endif
