/* SPDX-License-Identifier: Apache-2.0 */
/* See jwt.h. */
#include "sentry/jwt.h"

#include <math.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/limits.h"
#include "config/number.h"
#include "sentry/key.h"

enum { ECDSA_BYTES_MAX = 160 };

#define INVALID(diag, ...)                                                                         \
    DIAG_FAIL(diag, ERR_UNAUTHENTICATED, "token validation failed: " __VA_ARGS__)

static const struct algorithm {
    const char *name;
    const char *key_type;
    const EVP_MD *(*digest)(void); /* NULL: it brings its own */
    bool is_pss;
    int curve_bits; /* of ECDSA */
} algorithms[] = {
    { "RS256", "RSA", EVP_sha256, false, 0 },  { "RS384", "RSA", EVP_sha384, false, 0 },
    { "RS512", "RSA", EVP_sha512, false, 0 },  { "PS256", "RSA", EVP_sha256, true, 0 },
    { "PS384", "RSA", EVP_sha384, true, 0 },   { "PS512", "RSA", EVP_sha512, true, 0 },
    { "ES256", "EC", EVP_sha256, false, 256 }, { "ES384", "EC", EVP_sha384, false, 384 },
    { "ES512", "EC", EVP_sha512, false, 521 }, { "EdDSA", "ED25519", NULL, false, 0 },
};

static const struct algorithm *
algorithm_of(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++)
        if (slice_eq(name, slice_str(algorithms[i].name)))
            return &algorithms[i];
    return NULL;
}

static bool
fits(const EVP_PKEY *key, const struct algorithm *algorithm)
{
    return EVP_PKEY_is_a(key, algorithm->key_type) &&
           (algorithm->curve_bits == 0 || EVP_PKEY_get_bits(key) == algorithm->curve_bits);
}

bool
jwt_key_fits(const EVP_PKEY *key, struct slice name)
{
    const struct algorithm *algorithm = algorithm_of(name);
    return algorithm != NULL && fits(key, algorithm);
}

/* --- signatures --------------------------------------------------------------------------------*/

static size_t
coordinate_bytes(const struct algorithm *algorithm)
{
    return (size_t)(algorithm->curve_bits + 7) / 8;
}

/* Both numbers side by side, as tokens have them, to the form of certificates. 0: they are not of
 * that length. */
static size_t
to_der(const struct algorithm *algorithm, struct slice raw, unsigned char der[ECDSA_BYTES_MAX])
{
    size_t half = coordinate_bytes(algorithm);
    const unsigned char *bytes = (const unsigned char *)raw.data;
    if (raw.len != 2 * half)
        return 0;
    ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(bytes, (int)half, NULL), *s = BN_bin2bn(bytes + half, (int)half, NULL);
    if (signature == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(signature, r, s) != 1)
        abort(); /* out of memory */
    unsigned char *at = der;
    int len = i2d_ECDSA_SIG(signature, NULL);
    if (len > 0 && len <= ECDSA_BYTES_MAX)
        len = i2d_ECDSA_SIG(signature, &at);
    ECDSA_SIG_free(signature);
    return len > 0 && len <= ECDSA_BYTES_MAX ? (size_t)len : 0;
}

static bool
from_der(const struct algorithm *algorithm, struct slice der, unsigned char *ret_raw)
{
    const unsigned char *at = (const unsigned char *)der.data;
    int half = (int)coordinate_bytes(algorithm);
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)der.len);
    bool is_good = signature != NULL &&
                   BN_bn2binpad(ECDSA_SIG_get0_r(signature), ret_raw, half) == half &&
                   BN_bn2binpad(ECDSA_SIG_get0_s(signature), ret_raw + half, half) == half;
    ECDSA_SIG_free(signature);
    return is_good;
}

static bool
set_padding(EVP_PKEY_CTX *context, const struct algorithm *algorithm)
{
    return !algorithm->is_pss ||
           (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
            EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1);
}

static bool
is_signed_by(EVP_PKEY *key, const struct algorithm *algorithm, struct slice text,
             struct slice signature)
{
    unsigned char der[ECDSA_BYTES_MAX];
    EVP_PKEY_CTX *context = NULL;
    if (algorithm->curve_bits > 0) {
        size_t len = to_der(algorithm, signature, der);
        if (len == 0)
            return false;
        signature = slice_of(der, len);
    }
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool is_good = digest != NULL &&
                   EVP_DigestVerifyInit(digest, &context,
                                        algorithm->digest == NULL ? NULL : algorithm->digest(),
                                        NULL, key) == 1 &&
                   set_padding(context, algorithm) &&
                   EVP_DigestVerify(digest, (const unsigned char *)signature.data, signature.len,
                                    (const unsigned char *)text.data, text.len) == 1;
    EVP_MD_CTX_free(digest);
    key_clear_errors();
    return is_good;
}

/* --- the parts of a token ----------------------------------------------------------------------*/

struct token {
    struct slice header, claims, signature; /* decoded */
    struct slice text;                      /* what is signed */
};

static bool
take_part(struct arena *arena, struct slice *rest, struct slice *ret_bytes)
{
    struct slice text;
    if (!slice_split(rest, '.', &text) || text.len == 0)
        return false;
    return base64url_decode_arena(arena, text, ret_bytes);
}

static bool
take_apart(struct arena *arena, struct slice text, struct token *ret_token)
{
    struct slice rest = text, more;
    if (text.len > LIMIT_sentry_token_bytes || !take_part(arena, &rest, &ret_token->header) ||
        !take_part(arena, &rest, &ret_token->claims))
        return false;
    ret_token->text = slice_first(text, (size_t)(rest.data - text.data) - 1);
    return take_part(arena, &rest, &ret_token->signature) && !slice_split(&rest, '.', &more);
}

struct header {
    struct slice algorithm, key_id;
    bool has_critical; /* extensions that must be understood */
};

static bool
read_header(struct arena *arena, struct slice text, struct header *ret_header)
{
    struct json json;
    struct slice name, ignored;
    struct header header = { 0 };
    json_init(&json, text);
    if (json_peek(&json) != JSON_OBJECT)
        return false;
    json_enter(&json);
    while (json_object_next(&json, arena, &name)) {
        struct slice *to = slice_eq(name, SLICE("alg"))   ? &header.algorithm
                           : slice_eq(name, SLICE("kid")) ? &header.key_id
                                                          : NULL;
        header.has_critical |= slice_eq(name, SLICE("crit"));
        if (to != NULL && to->data != NULL)
            return false; /* twice: who else reads it may have taken the other */
        if (to == NULL ? !json_skip(&json, &ignored)
                       : json_peek(&json) != JSON_STRING || !json_string(&json, arena, to))
            return false;
    }
    *ret_header = header;
    return !json.failed && json_end(&json);
}

/* --- claims ------------------------------------------------------------------------------------*/

struct claims {
    bool has_subject, has_audience, has_expiry, has_start, has_issue;
    struct slice subject;
    bool is_for_us; /* the audience expected is among the token's */
    double expires_s, starts_s, issued_s;
};

static bool
read_audience(struct json *json, struct arena *arena, struct slice wanted, struct claims *claims)
{
    struct slice one;
    if (json_peek(json) == JSON_STRING) {
        if (!json_string(json, arena, &one))
            return false;
        claims->is_for_us = slice_eq(one, wanted);
        return true;
    }
    if (json_peek(json) != JSON_ARRAY)
        return false;
    json_enter(json);
    while (json_array_next(json)) {
        if (json_peek(json) != JSON_STRING || !json_string(json, arena, &one))
            return false;
        claims->is_for_us |= slice_eq(one, wanted);
    }
    return !json->failed;
}

static bool
read_time(struct json *json, double *ret_seconds)
{
    struct slice text;
    return json_peek(json) == JSON_NUMBER && json_scalar(json, &text) &&
           number_to_double(text, ret_seconds) && isfinite(*ret_seconds);
}

static bool
first(bool *has)
{
    bool is_first = !*has;
    *has = true;
    return is_first;
}

static bool
read_claim(struct json *json, struct arena *arena, struct slice name, struct slice audience,
           struct claims *claims)
{
    struct slice ignored;
    if (slice_eq(name, SLICE("sub")))
        return first(&claims->has_subject) && json_peek(json) == JSON_STRING &&
               json_string(json, arena, &claims->subject);
    if (slice_eq(name, SLICE("aud")))
        return first(&claims->has_audience) && read_audience(json, arena, audience, claims);
    if (slice_eq(name, SLICE("exp")))
        return first(&claims->has_expiry) && read_time(json, &claims->expires_s);
    if (slice_eq(name, SLICE("nbf")))
        return first(&claims->has_start) && read_time(json, &claims->starts_s);
    if (slice_eq(name, SLICE("iat")))
        return first(&claims->has_issue) && read_time(json, &claims->issued_s);
    return json_skip(json, &ignored);
}

static bool
read_claims(struct arena *arena, struct slice text, struct slice audience,
            struct claims *ret_claims)
{
    struct json json;
    struct slice name;
    json_init(&json, text);
    if (json_peek(&json) != JSON_OBJECT)
        return false;
    json_enter(&json);
    while (json_object_next(&json, arena, &name))
        if (!read_claim(&json, arena, name, audience, ret_claims))
            return false;
    return !json.failed && json_end(&json);
}

static err_t
check_claims(struct arena *arena, struct slice text, const struct jwt_expectation *expected,
             struct diag *diag)
{
    struct claims claims = { 0 };
    double now = (double)expected->now_s, skew = (double)expected->skew_s;
    if (!read_claims(arena, text, expected->audience, &claims))
        return INVALID(diag, "the claims are malformed");
    if (claims.has_expiry && now - skew >= claims.expires_s)
        return INVALID(diag, "\"exp\" not satisfied");
    if (claims.has_issue && now + skew < claims.issued_s)
        return INVALID(diag, "\"iat\" not satisfied");
    if (claims.has_start && now + skew < claims.starts_s)
        return INVALID(diag, "\"nbf\" not satisfied");
    if (!claims.is_for_us)
        return INVALID(diag, "\"aud\" not satisfied");
    if (!claims.has_subject || !slice_eq(claims.subject, expected->subject))
        return INVALID(diag, "\"sub\" not satisfied");
    return OK;
}

/* --- judging -----------------------------------------------------------------------------------*/

/* A token that names no key may be of any. */
static bool
is_candidate(const struct jwk *jwk, const struct header *header, const struct algorithm *algorithm)
{
    return fits(jwk->key, algorithm) &&
           (header->key_id.data == NULL || slice_eq(jwk->id, header->key_id)) &&
           (jwk->algorithm.len == 0 || slice_eq(jwk->algorithm, header->algorithm));
}

err_t
jwt_verify(struct arena *arena, const struct jwks *set, struct slice text,
           const struct jwt_expectation *expected, struct diag *diag)
{
    struct token token;
    struct header header;
    if (!take_apart(arena, text, &token) || !read_header(arena, token.header, &header))
        return INVALID(diag, "the token is malformed");
    const struct algorithm *algorithm = algorithm_of(header.algorithm);
    if (algorithm == NULL || header.has_critical)
        return INVALID(diag, "the token's algorithm is not supported");
    bool has_candidate = false, is_signed = false;
    for (size_t i = 0; i < set->count && !is_signed; i++) {
        if (!is_candidate(&set->items[i], &header, algorithm))
            continue;
        has_candidate = true;
        is_signed = is_signed_by(set->items[i].key, algorithm, token.text, token.signature);
    }
    if (!has_candidate)
        return INVALID(diag, "no key of the set fits the token");
    if (!is_signed)
        return INVALID(diag, "could not verify message using any of the signatures or keys");
    return check_claims(arena, token.claims, expected, diag);
}

/* --- making ------------------------------------------------------------------------------------*/

static struct slice
encoded(struct arena *arena, struct slice bytes)
{
    char *text = arena_alloc(arena, base64url_encoded_len(bytes.len) + 1);
    base64url_encode(bytes, text);
    return slice_of(text, base64url_encoded_len(bytes.len));
}

/* Of `text`, as tokens have it, in the arena; empty: OpenSSL failed. */
static struct slice
signature_of(struct arena *arena, EVP_PKEY *key, const struct algorithm *algorithm,
             struct slice text)
{
    EVP_PKEY_CTX *context = NULL;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    size_t len = (size_t)EVP_PKEY_get_size(key);
    unsigned char *bytes = arena_alloc(arena, len);
    struct slice signature = SLICE_EMPTY;
    if (digest != NULL &&
        EVP_DigestSignInit(digest, &context, algorithm->digest == NULL ? NULL : algorithm->digest(),
                           NULL, key) == 1 &&
        set_padding(context, algorithm) &&
        EVP_DigestSign(digest, bytes, &len, (const unsigned char *)text.data, text.len) == 1)
        signature = slice_of(bytes, len);
    EVP_MD_CTX_free(digest);
    key_clear_errors();
    if (signature.len == 0 || algorithm->curve_bits == 0)
        return signature;
    unsigned char *raw = arena_alloc(arena, 2 * coordinate_bytes(algorithm));
    return from_der(algorithm, signature, raw) ? slice_of(raw, 2 * coordinate_bytes(algorithm))
                                               : SLICE_EMPTY;
}

err_t
jwt_sign(struct arena *arena, const struct jwt_signer *signer, struct slice claims,
         struct slice *ret_token, struct diag *diag)
{
    const struct algorithm *algorithm = algorithm_of(signer->algorithm);
    if (algorithm == NULL || !fits(signer->key, algorithm))
        return DIAG_FAIL(diag, ERR_INTERNAL, "the key does not fit the algorithm");
    struct buf header;
    buf_init(&header, LIMIT_sentry_token_bytes);
    if (!buf_printf(&header, "{\"alg\":\"%s\",\"kid\":", algorithm->name) ||
        !json_write_string(&header, signer->key_id, false) ||
        !buf_append(&header, SLICE(",\"typ\":\"JWT\"}"))) {
        buf_fini(&header);
        return DIAG_FAIL(diag, ERR_INTERNAL, "the key id is too long");
    }
    struct slice head = encoded(arena, buf_slice(&header)), body = encoded(arena, claims);
    buf_fini(&header);
    struct arena_bytes token = { 0 };
    arena_append(arena, &token, head);
    arena_append(arena, &token, SLICE("."));
    arena_append(arena, &token, body);
    struct slice signature = signature_of(arena, signer->key, algorithm, arena_bytes_slice(&token));
    if (signature.len == 0)
        return DIAG_FAIL(diag, ERR_INTERNAL, "failed to sign a token");
    arena_append(arena, &token, SLICE("."));
    arena_append(arena, &token, encoded(arena, signature));
    *ret_token = arena_bytes_slice(&token);
    return OK;
}
