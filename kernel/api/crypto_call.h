/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation of a crypto provider with one key of its own, under the provider's policy. All
 * functions suspend; results live in the request's arena, which is wiped when the request ends.
 */
#ifndef API_CRYPTO_CALL_H
#define API_CRYPTO_CALL_H

#include "api/request.h"
#include "component/component.h"

enum crypto_method {
    CRYPTO_ENCRYPT,
    CRYPTO_DECRYPT,
    CRYPTO_WRAP,
    CRYPTO_UNWRAP,
    CRYPTO_SIGN,
    CRYPTO_VERIFY,
    CRYPTO_METHODS,
};

struct crypto_operation {
    enum crypto_method method;
    struct slice key_name;
    struct slice algorithm;
    struct slice data; /* plaintext, ciphertext, key or digest */
    struct slice nonce;
    struct slice associated_data;
    struct slice tag;
    struct slice signature;
};

struct crypto_result {
    struct slice data;
    struct slice tag;
    bool is_valid; /* of CRYPTO_VERIFY */
};

/* The provider of that name, held until the request ends, or the error for it recorded. */
err_t crypto_provider_find(struct request *rq, struct slice name,
                           struct component **ret_provider) WARN_UNUSED;

/* On failure nothing is recorded: `ret_reason` says why, and is the kernel's own reason unless the
 * error is ERR_PLUGIN_FAILED, which means that the plugin refused. */
err_t crypto_call(struct request *rq, struct component *provider,
                  const struct crypto_operation *operation, struct crypto_result *ret_result,
                  struct slice *ret_reason) WARN_UNUSED;

/* The public key, as PEM or as a JWK. Records its error. */
err_t crypto_get_key(struct request *rq, struct component *provider, struct slice key_name,
                     bool as_jwk, struct slice *ret_key) WARN_UNUSED;

/* crypto_call() for the subtle API: a failure is recorded without its reason, which would tell an
 * attacker something about key or padding, unless it is the kernel's. */
err_t crypto_subtle(struct request *rq, struct component *provider,
                    const struct crypto_operation *operation,
                    struct crypto_result *ret_result) WARN_UNUSED;

#endif
