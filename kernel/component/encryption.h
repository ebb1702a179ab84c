/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encryption at rest: the keys of one generation of a component and what they do to a value.
 * AES-GCM with 128, 192 or 256 bits, as the reference runtime writes it: base64 of nonce (12
 * bytes, random), ciphertext and tag (16 bytes), then "||" and the name of the key's secret, so
 * that a reader knows which of two keys it needs. New values are written with the primary key.
 *
 * Immutable once made, counted, any thread. libcrypto is used when there are keys, not before.
 */
#ifndef COMPONENT_ENCRYPTION_H
#define COMPONENT_ENCRYPTION_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/slice.h"

struct encryption;

/* A key in hexadecimal digits and the name of its secret. Both empty: there is none. */
struct encryption_key {
    struct slice name;
    struct slice hex;
};

/* NULL if a key cannot be used; then `ret_error` is the reason, without a digit of the key. There
 * must be a primary key. Texts are copied. */
struct encryption *encryption_new(struct arena *arena, struct encryption_key primary,
                                  struct encryption_key secondary, struct slice *ret_error);
struct encryption *encryption_ref(struct encryption *encryption);
/* NULL is nothing. Wipes the keys with the last reference. */
void encryption_unref(struct encryption *encryption);

/* What is stored for a value, in the arena. False if the system has no randomness. */
bool encryption_seal(const struct encryption *encryption, struct arena *arena, struct slice value,
                     struct slice *ret_stored) WARN_UNUSED;
/* Bytes that encryption_seal() makes of so many. */
size_t encryption_sealed_len(const struct encryption *encryption, size_t value_bytes);

/* The value of what is stored, in the arena; an empty value stays empty. On failure NULL data, and
 * `ret_error` says why. */
bool encryption_open(const struct encryption *encryption, struct arena *arena, struct slice stored,
                     struct slice *ret_value, struct slice *ret_error) WARN_UNUSED;

#endif
