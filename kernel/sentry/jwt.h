/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed tokens (RFC 7515, 7519): judging those of who asks for a certificate, and making those
 * that come with one. Algorithms: RS256 to RS512, PS256 to PS512, ES256 to ES512, EdDSA; never
 * "none", never a symmetric one. Any thread.
 */
#ifndef SENTRY_JWT_H
#define SENTRY_JWT_H

#include <openssl/evp.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "sentry/jwks.h"

struct jwt_expectation {
    struct slice audience; /* must be among the token's */
    struct slice subject;
    int64_t now_s;
    int64_t skew_s;
};

/* ERR_UNAUTHENTICATED with words, none of them the token's own. */
err_t jwt_verify(struct arena *arena, const struct jwks *set, struct slice token,
                 const struct jwt_expectation *expected, struct diag *diag) WARN_UNUSED;

/* Whether a key can sign by an algorithm of that name. */
bool jwt_key_fits(const EVP_PKEY *key, struct slice algorithm);

/* "header.claims.signature" of JSON claims, in the arena. ERR_INTERNAL: OpenSSL failed. */
struct jwt_signer {
    EVP_PKEY *key;
    struct slice algorithm; /* one that fits */
    struct slice key_id;
};
err_t jwt_sign(struct arena *arena, const struct jwt_signer *signer, struct slice claims,
               struct slice *ret_token, struct diag *diag) WARN_UNUSED;

#endif
