/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens that were agreed on beforehand: whoever shows one may join the mesh. Only their digests
 * are kept. Constant once made.
 */
#ifndef SENTRY_JOIN_TOKENS_H
#define SENTRY_JOIN_TOKENS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"

enum { JOIN_TOKEN_BYTES_MIN = 16 };

struct join_tokens;

/* One a line; empty lines and those that begin with # are passed over. ERR_CONFIG with words for a
 * line that is too short to be a secret, or if there is none. */
err_t join_tokens_parse(struct slice text, struct join_tokens **ret_tokens,
                        struct diag *diag) WARN_UNUSED;
void join_tokens_free(struct join_tokens *tokens);

/* How long it takes says nothing about how close it was. Blanks around the token, such as the line
 * feed of a file, do not count. */
bool join_tokens_match(const struct join_tokens *tokens, struct slice token);

#endif
