/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keys do, by the algorithm names of the API: JOSE's (RFC 7518, 8037) and those that the
 * reference added. libcrypto does the arithmetic. All fail with words that say nothing of key or
 * padding. `output` is zeroed before and freed by the caller whatever comes back.
 */
#ifndef CRYPTO_OPERATE_H
#define CRYPTO_OPERATE_H

#include "key.h"

#include <remora_plugin.h>

struct input {
    struct remora_slice data;
    struct remora_slice nonce;
    struct remora_slice associated_data;
    struct remora_slice tag;
};

bool operate_encrypt(const struct key *key, const char *algorithm, const struct input *input,
                     struct output *output, struct why *why);
bool operate_decrypt(const struct key *key, const char *algorithm, const struct input *input,
                     struct output *output, struct why *why);
bool operate_sign(const struct key *key, const char *algorithm, struct remora_slice digest,
                  struct output *output, struct why *why);
/* False: it cannot be said; whether it fits is in *ret_valid otherwise. */
bool operate_verify(const struct key *key, const char *algorithm, struct remora_slice digest,
                    struct remora_slice signature, bool *ret_valid, struct why *why);

/* symmetric.c, rsa.c: whether they know the algorithm; false: another may. */
bool symmetric_knows(const char *algorithm);
bool symmetric_encrypt(const struct key *key, const char *algorithm, const struct input *input,
                       struct output *output, struct why *why);
bool symmetric_decrypt(const struct key *key, const char *algorithm, const struct input *input,
                       struct output *output, struct why *why);
bool rsa_knows(const char *algorithm);
bool rsa_encrypt(const struct key *key, const char *algorithm, const struct input *input,
                 struct output *output, struct why *why);
bool rsa_decrypt(const struct key *key, const char *algorithm, const struct input *input,
                 struct output *output, struct why *why);

/* xchacha.c: ChaCha20-Poly1305 with a nonce of 24 bytes is the one with 12 bytes under a key
 * derived from the first 16, and a nonce of zeros and the last 8. */
bool xchacha_derive(const unsigned char *key, const unsigned char *nonce, unsigned char ret_key[32],
                    unsigned char ret_nonce[12]);

#endif
