/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the server is and who we are to it, from an AMQP URI as the reference's client reads it.
 */
#ifndef RABBITMQ_PLUGIN_ADDRESS_H
#define RABBITMQ_PLUGIN_ADDRESS_H

#include "bounds.h"
#include "../shared/memory.h"

/* All texts are owned and never NULL. */
struct address {
    bool is_tls;
    char *host;
    int port;
    char *username, *password;
    char *vhost;
    char *shown; /* scheme, host and port: nothing secret */
};

/* scheme://[username[:password]@]host[:port][/vhost]. False: `why` says why not, without a word of
 * the URI itself, and there is nothing to free. */
bool address_parse(struct remora_slice uri, struct address *ret, char why[WHY_BYTES]);
/* The same from its parts: `host` may hold a port; a password without a name is no credential. */
bool address_from_parts(struct remora_slice protocol, struct remora_slice host,
                        struct remora_slice username, struct remora_slice password,
                        struct address *ret, char why[WHY_BYTES]);
void address_fini(struct address *address);

#endif
