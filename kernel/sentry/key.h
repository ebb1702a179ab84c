/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of the certificate authority and of those who ask it: which are good enough, their PEM text,
 * their signatures. OpenSSL does the cryptography. Any thread; a key may be used by several.
 */
#ifndef SENTRY_KEY_H
#define SENTRY_KEY_H

#include <openssl/evp.h>

#include "base/slice.h"

/* The caller frees it; NULL: OpenSSL failed. */
EVP_PKEY *key_generate(void);     /* Ed25519 */
EVP_PKEY *key_generate_rsa(void); /* 2048 bits */

/* PKCS#8 as PEM; secret. NULL: OpenSSL failed. */
struct key_text {
    char *data;
    size_t len;
};
bool key_write(EVP_PKEY *key, struct key_text *ret_text) WARN_UNUSED;
/* Wipes and frees. */
void key_text_free(struct key_text *text);

/* Ed25519, ECDSA on P-256, P-384 or P-521 by name, or RSA of a sensible size. NULL: it is good,
 * else why not. */
const char *key_complaint(const EVP_PKEY *key);

/* The digest to sign certificates with; NULL: the algorithm brings its own. */
const EVP_MD *key_digest(const EVP_PKEY *key);

/* Forgets what OpenSSL noted of failures on this thread. */
void key_clear_errors(void);

#endif
