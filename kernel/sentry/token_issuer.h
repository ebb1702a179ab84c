/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the JWTs that workloads may get beside their certificates: the same identity for those who
 * do not speak TLS with them. Constant once made.
 */
#ifndef SENTRY_TOKEN_ISSUER_H
#define SENTRY_TOKEN_ISSUER_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

struct token_issuer;

/* Borrowed for the call. */
struct token_issuer_config {
    struct slice key;       /* PEM; secret */
    struct slice set;       /* JSON, for those who check; must have the key */
    struct slice algorithm; /* "RS256" … */
    struct slice key_id;    /* empty: the thumbprint */
    struct slice issuer;    /* the claim; empty: none */
};

/* ERR_CONFIG with words if these do not fit together. */
err_t token_issuer_new(const struct token_issuer_config *config, struct token_issuer **ret_issuer,
                       struct diag *diag) WARN_UNUSED;
void token_issuer_free(struct token_issuer *issuer);

/* A new RSA key as PEM, which the caller wipes and frees (key_text_free()), and the set with its
 * public part, in the arena. The id may be empty, as above. */
struct key_text;
err_t token_issuer_generate(struct arena *arena, struct slice algorithm, struct slice key_id,
                            struct key_text *ret_key, struct slice *ret_set,
                            struct diag *diag) WARN_UNUSED;

struct token_request {
    struct slice subject;
    struct slice audience;
    int64_t lifetime_ms;
    int64_t skew_ms;
};

/* In the arena. */
err_t token_issue(const struct token_issuer *issuer, struct arena *arena,
                  const struct token_request *request, struct slice *ret_token,
                  struct diag *diag) WARN_UNUSED;

#endif
