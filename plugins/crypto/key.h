/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key: octets, or one of libcrypto's with or without its private half, and what its JWK allows it
 * to be used for. Counted; the last who lets go wipes it. One thread.
 */
#ifndef CRYPTO_KEY_H
#define CRYPTO_KEY_H

#include <openssl/evp.h>

#include "memory.h"

enum { KEY_BYTES_MAX = 64 * 1024 }; /* of its text: a JWK or a PEM file */

enum key_kind { KEY_OCTETS, KEY_RSA, KEY_EC, KEY_ED25519 };

/* Bits of key_ops (RFC 7517). */
enum key_use {
    KEY_ENCRYPT = 1u << 0,
    KEY_DECRYPT = 1u << 1,
    KEY_WRAP = 1u << 2,
    KEY_UNWRAP = 1u << 3,
    KEY_SIGN = 1u << 4,
    KEY_VERIFY = 1u << 5,
};

struct key {
    unsigned refs;
    enum key_kind kind;
    bool is_private;       /* of a pair; octets are always */
    unsigned char *octets; /* owned */
    size_t octet_count;
    EVP_PKEY *pair;  /* owned; public half alone if not is_private */
    char *id;        /* owned, as the next ones; NULL: not said */
    char *algorithm; /* the only one it may be used with */
    char *use;       /* "sig" or "enc" */
    unsigned uses;   /* of key_ops; 0: not said */
};

/* One reference. The bytes are copied. */
struct key *key_new_octets(const unsigned char *bytes, size_t len);
/* Takes the pair over, also when it fails: it is of no kind that there is. */
struct key *key_new_pair(EVP_PKEY *pair, bool is_private, struct why *why);
struct key *key_ref(struct key *key);
void key_unref(struct key *key); /* NULL is nothing */

/* Whether what the JWK says lets it be used so. */
bool key_allows(const struct key *key, enum key_use use, const char *algorithm, struct why *why);

/* The public half as text, from malloc(); NULL: there is none. */
char *key_public_pem(const struct key *key, size_t *ret_len);
char *key_public_jwk(const struct key *key, size_t *ret_len);

/* "P-256" and so on; NULL: none of these. */
const char *key_curve(const struct key *key);

#endif
