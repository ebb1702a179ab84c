/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON Web Tokens (RFC 7519) signed by a key of a set (RFC 7517), judged. José does the
 * cryptography; only algorithms with public keys count, so that nobody can sign with what everybody
 * may read.
 */
#ifndef BEARER_TOKEN_H
#define BEARER_TOKEN_H

#include <jansson.h>
#include <stdint.h>

#include "remora_plugin.h"

enum { TOKEN_BYTES_MAX = 16 * 1024, TOKEN_KEYS_MAX = 200 };

struct token_expectation {
    const char *issuer;
    const char *audience;
    int64_t now_s; /* Unix time */
    int64_t skew_s;
};

enum token_verdict {
    TOKEN_GOOD,
    TOKEN_BAD,
    TOKEN_KEY_UNKNOWN, /* of a key that is not in the set: a newer set may have it */
};

/* A set of keys: an object with "keys". NULL: it is none. */
json_t *token_keys_parse(const char *text, size_t len);

enum token_verdict token_judge(const json_t *keys, struct remora_slice token,
                               const struct token_expectation *expected);

#endif
