/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a sidecar comes by its certificate: it makes a key, asks Sentry (dapr.proto.sentry.v1.CA) to
 * sign for it, and trusts no answer that its own trust anchors do not confirm. The key never leaves
 * the process.
 */
#ifndef PEER_SENTRY_CLIENT_H
#define PEER_SENTRY_CLIENT_H

#include "async/task.h"
#include "base/slice.h"

/* Borrowed as long as it is used; slices are NUL-terminated. */
struct sentry_config {
    struct slice address;   /* "host:port" */
    struct slice server_id; /* SPIFFE id that Sentry must prove */
    struct slice app_id;
    struct slice namespace_;
    struct slice
        token_file; /* that proves who asks; empty: where a cluster puts one, if in_cluster */
    bool in_cluster;
    const struct slice *jwt_audiences;
    size_t jwt_audience_count;
};

/* A certificate and its key, PEM texts with a NUL behind them. */
struct credentials {
    char *chain; /* the leaf first */
    char *key;   /* secret */
};

/* Asks once, over a connection of its own. Suspends; the deadline is the task's. Words of failure
 * are in the task's diag. */
err_t sentry_sign(struct task *t, const struct sentry_config *config, struct slice anchors,
                  struct credentials *ret_credentials) WARN_UNUSED;
/* Wipes and frees what is there. */
void credentials_fini(struct credentials *credentials);

/* Whether an address can be used; else words for the user. */
const char *sentry_address_error(struct slice address);

#endif
