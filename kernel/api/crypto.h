/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents encrypted and decrypted as streams, for every surface (crypto/document.h has the
 * scheme): a provider wraps or unwraps the document's key, and its content is worked on here, one
 * segment at a time, so that memory is constant and output begins while input still comes.
 *
 * All functions suspend.
 */
#ifndef API_CRYPTO_H
#define API_CRYPTO_H

#include "api/crypto_call.h"

/* Where a document comes from and goes to. Both suspend; who fails has recorded why in the
 * request. */
struct crypto_stream {
    /* Valid until the next call; an empty piece is the end. */
    err_t (*read)(void *arg, struct slice *ret_piece);
    /* The header, then segment by segment. */
    err_t (*write)(void *arg, struct slice piece);
    void *arg;
};

struct crypto_encrypt_options {
    struct slice key_name;
    struct slice algorithm; /* that wraps the document's key */
    struct slice cipher;    /* empty: AES-GCM */
    struct slice decryption_key_name;
    bool omits_key_name;
};

err_t crypto_encrypt(struct request *rq, struct component *provider,
                     const struct crypto_encrypt_options *options,
                     const struct crypto_stream *stream) WARN_UNUSED;

/* With the key of that name, or, if it is empty, the one that the document names. A document that
 * ends behind its header is refused: it may have been cut there. Those that other runtimes write
 * for nothing look like this: the feature CryptoEmptyDocuments of the Configuration accepts them.
 */
err_t crypto_decrypt(struct request *rq, struct component *provider, struct slice key_name,
                     const struct crypto_stream *stream) WARN_UNUSED;

#endif
