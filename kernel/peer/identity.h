/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who this sidecar is in the mesh: a certificate that Sentry has signed, its key, and whom it
 * trusts, ready for use as TLS contexts of both directions. A renewal or a change of the trust
 * anchors makes another one; connections that exist keep theirs.
 */
#ifndef PEER_IDENTITY_H
#define PEER_IDENTITY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct tls_context;

/* Counted, immutable once made. */
struct identity {
    atomic_uint refs;
    struct slice serial;       /* of the leaf, in hexadecimal digits */
    struct slice id;           /* "spiffe://<trust domain>/ns/<namespace>/<app id>" */
    struct slice trust_domain; /* parts of the id */
    struct slice namespace_;
    struct slice app_id;
    int64_t not_before_unix_s;
    int64_t not_after_unix_s;
    struct tls_context *server; /* for the internal port: clients must prove who they are */
    struct tls_context *client; /* towards other sidecars and the control plane */
};

/* PEM texts, copied: our chain with the leaf first, its key, and whom to trust. ERR_MALFORMED with
 * words: they do not belong together, or the leaf is no identity. */
err_t identity_new(struct slice chain, struct slice key, struct slice anchors, struct diag *diag,
                   struct identity **ret_identity) WARN_UNUSED;
/* Whether the anchors answer for the chain, for both sides of a connection; its times are another
 * matter. OK, or ERR_MALFORMED with words. */
err_t identity_verify(struct slice chain, struct slice anchors, struct diag *diag) WARN_UNUSED;
/* Any thread; NULL is nothing. */
struct identity *identity_ref(struct identity *identity);
void identity_unref(struct identity *identity);

#endif
