/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker's connections to other sidecars: a pool (http/client.h, HTTP/2) for each address and
 * identity. Pools are made when first needed, closed when nobody has used them for a while, and
 * exchanged when the sidecar's own certificate changes: calls under way end on the old connections,
 * new calls use new ones. Worker thread only; nothing here suspends.
 */
#ifndef PEER_PEERS_H
#define PEER_PEERS_H

#include "async/worker.h"
#include "http/client.h"

struct peers;

struct peers_config {
    uint64_t idle_ms;  /* 0: that of limits.def */
    uint64_t sweep_ms; /* between looks for idle ones; likewise */
};

struct peers *peers_new(struct worker *worker, const struct peers_config *config);
/* Worker thread, or after it has ended. NULL is nothing. */
void peers_free(struct peers *peers);

/* What is new is connected with this from now on; NULL: in plain text. Counted. */
void peers_use(struct peers *peers, struct tls_context *tls);

/* The pool for "10.0.0.1:50002", "[::1]:50002" or "name:50002". With TLS the other end must prove
 * to be `peer_id`, a SPIFFE id. Valid until the caller suspends for the first time: a call is to be
 * started at once. ERR_MALFORMED: no such address can be. */
err_t peers_client(struct peers *peers, struct slice address, struct slice peer_id,
                   struct client **ret_client) WARN_UNUSED;
/* The address could not be reached: its pool is closed, the next call begins anew. */
void peers_drop(struct peers *peers, struct slice address, struct slice peer_id);

/* The parts of such an address; brackets around a host with colons are taken off. */
bool
peers_split_address(struct slice address, struct slice *ret_host, uint16_t *ret_port) WARN_UNUSED;

/* Pools there are, for tests. */
size_t peers_count(const struct peers *peers);

#endif
