/* SPDX-License-Identifier: Apache-2.0 */
/* See token_issuer.h. */
#include "sentry/token_issuer.h"

#include <inttypes.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "http/pem.h"
#include "sentry/jwks.h"
#include "sentry/jwt.h"
#include "sentry/key.h"

enum { ID_BYTES = 16 };

struct token_issuer {
    struct arena arena; /* of the texts */
    struct jwt_signer signer;
    struct slice issuer;
};

static err_t
check_set(const struct token_issuer *issuer, struct slice json, struct diag *diag)
{
    struct jwks *set;
    err_t err = jwks_parse(json, &set, diag);
    if (err != OK)
        return err;
    bool has_key = false;
    for (size_t i = 0; i < set->count; i++)
        has_key |= EVP_PKEY_eq(set->items[i].key, issuer->signer.key) == 1 &&
                   (set->items[i].id.len == 0 || slice_eq(set->items[i].id, issuer->signer.key_id));
    jwks_free(set);
    if (has_key)
        return OK;
    return DIAG_FAIL(diag, ERR_CONFIG,
                     "JWKS doesn't contain a matching public key for the JWT signing key");
}

static err_t
set_up(struct token_issuer *issuer, const struct token_issuer_config *config, struct diag *diag)
{
    struct jwt_signer *signer = &issuer->signer;
    signer->key = pem_read_key(config->key);
    if (signer->key == NULL || key_complaint(signer->key) != NULL)
        return DIAG_FAIL(diag, ERR_CONFIG, "failed to load JWT signing key");
    if (!jwt_key_fits(signer->key, config->algorithm))
        return DIAG_FAIL(diag, ERR_CONFIG,
                         "JWT signing key is incompatible with algorithm " SLICE_FMT,
                         SLICE_ARG(config->algorithm));
    signer->algorithm = arena_dup(&issuer->arena, config->algorithm);
    signer->key_id = config->key_id.len > 0 ? arena_dup(&issuer->arena, config->key_id)
                                            : jwk_thumbprint(&issuer->arena, signer->key);
    issuer->issuer = arena_dup(&issuer->arena, config->issuer);
    return check_set(issuer, config->set, diag);
}

err_t
token_issuer_new(const struct token_issuer_config *config, struct token_issuer **ret_issuer,
                 struct diag *diag)
{
    struct token_issuer *issuer = calloc(1, sizeof *issuer);
    if (issuer == NULL)
        abort();
    arena_init(&issuer->arena);
    err_t err = set_up(issuer, config, diag);
    if (err == OK)
        *ret_issuer = issuer;
    else
        token_issuer_free(issuer);
    return err;
}

void
token_issuer_free(struct token_issuer *issuer)
{
    if (issuer == NULL)
        return;
    EVP_PKEY_free(issuer->signer.key); /* wipes it */
    arena_fini(&issuer->arena);
    free(issuer);
}

err_t
token_issuer_generate(struct arena *arena, struct slice algorithm, struct slice key_id,
                      struct key_text *ret_key, struct slice *ret_set, struct diag *diag)
{
    EVP_PKEY *key = key_generate_rsa();
    struct slice set = SLICE_EMPTY;
    bool is_good = key != NULL;
    if (is_good) {
        set = jwks_write(arena, key, key_id.len > 0 ? key_id : jwk_thumbprint(arena, key),
                         algorithm);
        is_good = set.len > 0 && key_write(key, ret_key);
    }
    EVP_PKEY_free(key);
    *ret_set = set;
    return is_good ? OK : DIAG_FAIL(diag, ERR_INTERNAL, "failed to generate JWT bundle");
}

/* Names are free of what JSON escapes, but for the audience and the issuer. */
static bool
write_claims(struct buf *out, const struct token_issuer *issuer,
             const struct token_request *request)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char random[ID_BYTES];
    char id[2 * ID_BYTES];
    const int64_t now_ms = clock_unix_ms();
    if (RAND_bytes(random, sizeof random) != 1)
        return false;
    for (size_t i = 0; i < sizeof random; i++) {
        id[2 * i] = digits[random[i] >> 4];
        id[2 * i + 1] = digits[random[i] & 15];
    }
    bool is_good = buf_append(out, SLICE("{\"aud\":[")) &&
                   json_write_string(out, request->audience, false) &&
                   buf_printf(out, "],\"exp\":%" PRId64 ",\"iat\":%" PRId64,
                              (now_ms + request->lifetime_ms) / 1000, now_ms / 1000);
    if (is_good && issuer->issuer.len > 0)
        is_good = buf_append(out, SLICE(",\"iss\":")) &&
                  json_write_string(out, issuer->issuer, false);
    return is_good && buf_printf(out,
                                 ",\"jti\":\"%.*s\",\"nbf\":%" PRId64 ",\"sub\":\"" SLICE_FMT
                                 "\",\"use\":\"sig\"}",
                                 (int)sizeof id, id, (now_ms - request->skew_ms) / 1000,
                                 SLICE_ARG(request->subject));
}

err_t
token_issue(const struct token_issuer *issuer, struct arena *arena,
            const struct token_request *request, struct slice *ret_token, struct diag *diag)
{
    struct buf claims;
    buf_init(&claims, LIMIT_sentry_token_bytes);
    err_t err = write_claims(&claims, issuer, request)
                    ? jwt_sign(arena, &issuer->signer, buf_slice(&claims), ret_token, diag)
                    : DIAG_FAIL(diag, ERR_INTERNAL, "failed to make the claims of a token");
    buf_fini(&claims);
    return err;
}
