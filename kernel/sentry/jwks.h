/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of public keys in JSON (RFC 7517, 7518, 8037), for signatures of tokens. Keys of other
 * kinds and for other uses are passed over. Constant once made.
 */
#ifndef SENTRY_JWKS_H
#define SENTRY_JWKS_H

#include <openssl/evp.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

struct jwk {
    EVP_PKEY *key;
    struct slice id;        /* kid; empty: none */
    struct slice algorithm; /* alg; empty: any that fits */
};

struct jwks {
    struct arena arena;
    struct jwk *items;
    size_t count;
};

/* ERR_MALFORMED with words. */
err_t jwks_parse(struct slice json, struct jwks **ret_set, struct diag *diag) WARN_UNUSED;
void jwks_free(struct jwks *set);

/* {"keys":[…]} of one public key, and its thumbprint (RFC 7638) in base64. Empty: OpenSSL failed.
 */
struct slice
jwks_write(struct arena *arena, EVP_PKEY *key, struct slice id, struct slice algorithm);
struct slice jwk_thumbprint(struct arena *arena, EVP_PKEY *key);

#endif
