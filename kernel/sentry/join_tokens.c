/* SPDX-License-Identifier: Apache-2.0 */
/* See join_tokens.h. */
#include "sentry/join_tokens.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/limits.h"

struct join_tokens {
    size_t count;
    unsigned char digests[LIMIT_sentry_join_tokens_max][SHA256_DIGEST_LENGTH];
};

static err_t
add_line(struct join_tokens *tokens, struct slice line, unsigned number, struct diag *diag)
{
    struct slice token = slice_trim(line);
    if (token.len == 0 || token.data[0] == '#')
        return OK;
    if (token.len < JOIN_TOKEN_BYTES_MIN)
        return DIAG_FAIL(diag, ERR_CONFIG, "line %u: a join token has at least %d characters",
                         number, JOIN_TOKEN_BYTES_MIN);
    if (tokens->count == LIMIT_sentry_join_tokens_max)
        return DIAG_FAIL(diag, ERR_CONFIG, "line %u: too many join tokens", number);
    (void)SHA256((const unsigned char *)token.data, token.len, tokens->digests[tokens->count++]);
    return OK;
}

err_t
join_tokens_parse(struct slice text, struct join_tokens **ret_tokens, struct diag *diag)
{
    struct join_tokens *tokens = calloc(1, sizeof *tokens);
    struct slice rest = text, line;
    err_t err = OK;
    if (tokens == NULL)
        abort();
    for (unsigned number = 1; err == OK && slice_split(&rest, '\n', &line); number++)
        err = add_line(tokens, line, number, diag);
    if (err == OK && tokens->count == 0)
        err = DIAG_FAIL(diag, ERR_CONFIG, "there is no join token in it");
    if (err == OK)
        *ret_tokens = tokens;
    else
        join_tokens_free(tokens);
    return err;
}

void
join_tokens_free(struct join_tokens *tokens)
{
    if (tokens != NULL)
        OPENSSL_cleanse(tokens, sizeof *tokens);
    free(tokens);
}

bool
join_tokens_match(const struct join_tokens *tokens, struct slice token)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    struct slice trimmed = slice_trim(token);
    bool is_one = false;
    (void)SHA256((const unsigned char *)trimmed.data, trimmed.len, digest);
    for (size_t i = 0; i < tokens->count; i++)
        is_one |= CRYPTO_memcmp(digest, tokens->digests[i], sizeof digest) == 0;
    return is_one && trimmed.len >= JOIN_TOKEN_BYTES_MIN;
}
