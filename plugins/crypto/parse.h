/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys from bytes, which are hostile: a JWK, a PEM text (PKCS #1, PKCS #8, SEC 1, PKIX, a
 * certificate), or the bytes of a symmetric key as they are or in base64. Bounded by KEY_BYTES_MAX.
 */
#ifndef CRYPTO_PARSE_H
#define CRYPTO_PARSE_H

#include "../shared/json_secret.h"
#include "key.h"

/* What a file's name says of its form. */
enum key_form { KEY_FORM_ANY, KEY_FORM_JWK, KEY_FORM_PEM };

/* NULL: why. One reference. */
struct key *key_parse(const char *bytes, size_t len, enum key_form form, struct why *why);

/* One of a set, or the whole of a text. */
struct key *jwk_read(const cJSON *jwk, struct why *why);
/* A tree of it that has been checked for depth; NULL: why. For json_secret_delete(). */
cJSON *json_parse(const char *bytes, size_t len, struct why *why);

#endif
