/* SPDX-License-Identifier: Apache-2.0 */
/* A set of keys (RFC 7517, 5), by their ids. Hostile input, bounded. */
#ifndef CRYPTO_KEYSET_H
#define CRYPTO_KEYSET_H

#include "key.h"

#include <remora_plugin.h>

enum { KEYSET_BYTES_MAX = 1024 * 1024, KEYSET_KEYS_MAX = 1024 };

struct keyset;

/* From a JWKS: JSON, or that in base64. A key that is malformed spoils the set. NULL: why. */
struct keyset *keyset_parse(const char *bytes, size_t len, struct why *why);
void keyset_free(struct keyset *set); /* NULL is nothing */
/* The first of that id, not counted; NULL: there is none. */
struct key *keyset_find(const struct keyset *set, struct remora_slice id);
size_t keyset_count(const struct keyset *set);

#endif
