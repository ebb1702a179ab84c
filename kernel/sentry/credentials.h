/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder of the authority's files: read, checked, and made where there are none. A file appears
 * whole or not at all, and nobody but its owner may read it. Main thread; logs what it does.
 */
#ifndef SENTRY_CREDENTIALS_H
#define SENTRY_CREDENTIALS_H

#include "base/arena.h"
#include "base/err.h"
#include "sentry/options.h"

struct authority;
struct token_issuer;

struct credentials {
    struct authority *authority; /* one reference */
    struct token_issuer *tokens; /* owned; NULL: no JWTs are given */
};

/* `scratch` holds texts meanwhile. ERR_CONFIG with words: what is there is no good, or only part of
 * it is there. Without `may_generate` files that are missing are an error too. */
err_t
credentials_load(const struct sentry_options *options, bool may_generate, struct arena *scratch,
                 struct credentials *ret_credentials, struct diag *diag) WARN_UNUSED;
void credentials_fini(struct credentials *credentials);

#endif
