/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of SCRAM (RFC 5802, RFC 7677), without channel binding: texts in, texts out.
 */
#ifndef KAFKA_SCRAM_H
#define KAFKA_SCRAM_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    SCRAM_NONCE_BYTES = 32, /* a text of so many characters */
    SCRAM_TEXT_BYTES = 1024,
    SCRAM_ROUNDS_MIN = 4096,
    SCRAM_ROUNDS_MAX = 1000000, /* a server cannot keep us counting for ever */
};

struct scram {
    const EVP_MD *digest;
    const char *username, *password; /* borrowed */
    char nonce[SCRAM_NONCE_BYTES + 1];
    char first[SCRAM_TEXT_BYTES / 2]; /* client-first-message-bare */
    unsigned char server_signature[EVP_MAX_MD_SIZE];
    size_t digest_bytes;
};

/* `mechanism`: SCRAM-SHA-256 or SCRAM-SHA-512. With a nonce of its own if `nonce` is NULL. False:
 * the name is too long. */
bool scram_init(struct scram *scram, const char *mechanism, const char *username,
                const char *password, const char *nonce);
/* Each writes a text into `out` and says how long it is; 0: what the server said is no answer. */
size_t scram_first(const struct scram *scram, char out[SCRAM_TEXT_BYTES]);
size_t
scram_final(struct scram *scram, const char *server_first, size_t len, char out[SCRAM_TEXT_BYTES]);
/* Whether the server has shown that it knows the password too. */
bool scram_is_proved(const struct scram *scram, const char *server_final, size_t len);

#endif
