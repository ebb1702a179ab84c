/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document scheme `dapr.io/enc/v1`: three lines of text (the scheme, a manifest in JSON, a MAC
 * of both in base64), then the content in segments of 64 KiB, each sealed with a tag of its own.
 * Each document has a random file key of 256 bits, which a key of the user's wraps; what is done
 * with the content is derived from it.
 *
 *     header key  = HKDF-SHA-256(file key, no salt, "header")       of the MAC (HMAC-SHA-256)
 *     payload key = HKDF-SHA-256(file key, nonce prefix, "payload")
 *     nonce       = prefix (7 bytes), number (32 bits, big-endian), 1 for the last segment or 0
 *
 * Pure and sans-I/O: bytes in, bytes out, constant memory whatever the length. Headers are hostile
 * input, and bounded. libcrypto does the arithmetic. What a document held is wiped with it.
 */
#ifndef CRYPTO_DOCUMENT_H
#define CRYPTO_DOCUMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

enum {
    DOCUMENT_KEY_BYTES = 32,
    DOCUMENT_NONCE_PREFIX_BYTES = 7,
    DOCUMENT_SEGMENT_BYTES = 64 * 1024,
    DOCUMENT_TAG_BYTES = 16,
};

/* How the file key is wrapped, by its number in the manifest. */
enum document_wrap {
    DOCUMENT_A256KW = 1,
    DOCUMENT_A128CBC_NOPAD = 2,
    DOCUMENT_A192CBC_NOPAD = 3,
    DOCUMENT_A256CBC_NOPAD = 4,
    DOCUMENT_RSA_OAEP_256 = 5,
};

enum document_cipher {
    DOCUMENT_AES_GCM = 1,
    DOCUMENT_CHACHA20_POLY1305 = 2,
};

/* Names in any case; "AES" and "RSA" are others for A256KW and RSA-OAEP-256. */
bool document_wrap_parse(struct slice name, enum document_wrap *ret_wrap) WARN_UNUSED;
struct slice document_wrap_name(enum document_wrap wrap);
bool document_cipher_parse(struct slice name, enum document_cipher *ret_cipher) WARN_UNUSED;

/* --- header ------------------------------------------------------------------------------------*/

struct document_header {
    struct slice key_name; /* whose key opens it; empty: the reader has to know */
    enum document_wrap wrap;
    enum document_cipher cipher;
    struct slice wrapped_key;
    unsigned char nonce_prefix[DOCUMENT_NONCE_PREFIX_BYTES];
    /* Of one that was read. */
    struct slice signed_text; /* the first two lines */
    struct slice mac;         /* as written */
};

/* The header's text, in the arena. False if it would be longer than a reader takes, or if libcrypto
 * fails. */
bool document_header_write(const struct document_header *header, const unsigned char *file_key,
                           struct arena *arena, struct slice *ret_text) WARN_UNUSED;

enum document_found {
    DOCUMENT_FOUND,
    DOCUMENT_INCOMPLETE, /* so far */
    DOCUMENT_INVALID,
};

/* Whether a header begins these bytes, and how long it is. `is_all`: nothing follows. Invalid or,
 * at the end, incomplete: why. */
enum document_found document_header_find(struct slice bytes, bool is_all, size_t *ret_len,
                                         struct slice *ret_error) WARN_UNUSED;
/* Reads one that was found; results borrow from the text or are in the arena. */
bool document_header_read(struct slice text, struct arena *arena,
                          struct document_header *ret_header) WARN_UNUSED;
/* Whether the file key is the one that the header was signed with. */
bool document_header_verify(const struct document_header *header,
                            const unsigned char *file_key) WARN_UNUSED;

/* --- content -----------------------------------------------------------------------------------*/

struct document;

/* Random: a new file key and a nonce prefix. False if the system has no randomness. */
bool document_new_key(unsigned char ret_key[DOCUMENT_KEY_BYTES],
                      unsigned char ret_prefix[DOCUMENT_NONCE_PREFIX_BYTES]) WARN_UNUSED;

/* NULL if libcrypto fails. The key is the caller's to wipe. */
struct document *
document_seal_new(const struct document_header *header, const unsigned char *file_key);
struct document *
document_open_new(const struct document_header *header, const unsigned char *file_key);
void document_free(struct document *document);

/* A whole segment is there; if anything follows, it is not the last one. */
bool document_is_full(const struct document *document);
/* Takes as much of *bytes as fits into the segment. */
void document_fill(struct document *document, struct slice *bytes);
/* No byte of content has come. */
bool document_is_empty(const struct document *document);

enum document_step {
    DOCUMENT_DONE,
    DOCUMENT_FORGED,    /* the segment is not what was sealed: nothing of it comes out */
    DOCUMENT_TOO_LONG,  /* there are 2^32 segments at most */
    DOCUMENT_EXHAUSTED, /* libcrypto failed */
};

/* Seals or opens the segment that is there; the result is valid until the next call. The number of
 * the segment is for messages. */
enum document_step document_step(struct document *document, bool is_last, struct slice *ret_bytes,
                                 uint32_t *ret_number) WARN_UNUSED;

#endif
