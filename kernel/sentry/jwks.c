/* SPDX-License-Identifier: Apache-2.0 */
/* See jwks.h. */
#include "sentry/jwks.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/limits.h"
#include "sentry/key.h"

enum { POINT_BYTES_MAX = 66, NUMBER_BYTES_MAX = 2048 };

/* Members of a key as they stand in the text. */
struct members {
    struct slice kty, use, kid, alg, crv, n, e, x, y;
};

/* Curves by their names here and at OpenSSL's. */
static const struct curve {
    const char *name;
    const char *group;
    size_t bytes; /* of a coordinate */
} curves[] = {
    { "P-256", "prime256v1", 32 },
    { "P-384", "secp384r1", 48 },
    { "P-521", "secp521r1", 66 },
};

/* --- reading -----------------------------------------------------------------------------------*/

static struct slice *
member_of(struct members *members, struct slice name)
{
    const struct {
        struct slice name;
        struct slice *to;
    } known[] = {
        { SLICE("kty"), &members->kty }, { SLICE("use"), &members->use },
        { SLICE("kid"), &members->kid }, { SLICE("alg"), &members->alg },
        { SLICE("crv"), &members->crv }, { SLICE("n"), &members->n },
        { SLICE("e"), &members->e },     { SLICE("x"), &members->x },
        { SLICE("y"), &members->y },
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (slice_eq(name, known[i].name))
            return known[i].to;
    return NULL;
}

static bool
read_members(struct json *json, struct arena *arena, struct members *ret_members)
{
    struct slice name, ignored;
    if (json_peek(json) != JSON_OBJECT)
        return false;
    json_enter(json);
    while (json_object_next(json, arena, &name)) {
        struct slice *to = member_of(ret_members, name);
        bool is_read = to != NULL && json_peek(json) == JSON_STRING ? json_string(json, arena, to)
                                                                    : json_skip(json, &ignored);
        if (!is_read)
            return false;
    }
    return !json->failed;
}

static bool
decode(struct arena *arena, struct slice text, size_t max, struct slice *ret_bytes)
{
    if (text.len == 0 || text.len > base64url_encoded_len(max))
        return false;
    return base64url_decode_arena(arena, text, ret_bytes);
}

static EVP_PKEY *
key_from(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params == NULL || context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(context);
    return key;
}

static EVP_PKEY *
rsa_key(struct arena *arena, const struct members *members)
{
    struct slice n, e;
    if (!decode(arena, members->n, NUMBER_BYTES_MAX, &n) ||
        !decode(arena, members->e, sizeof(uint64_t), &e))
        return NULL;
    BIGNUM *modulus = BN_bin2bn((const unsigned char *)n.data, (int)n.len, NULL);
    BIGNUM *exponent = BN_bin2bn((const unsigned char *)e.data, (int)e.len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (modulus != NULL && exponent != NULL && build != NULL && BN_is_odd(modulus) &&
        BN_is_odd(exponent) && !BN_is_one(exponent) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        key = key_from("RSA", build);
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

static EVP_PKEY *
ec_key(struct arena *arena, const struct members *members)
{
    const struct curve *curve = NULL;
    struct slice x, y;
    for (size_t i = 0; i < ARRAY_LEN(curves); i++)
        if (slice_eq(members->crv, slice_str(curves[i].name)))
            curve = &curves[i];
    if (curve == NULL || !decode(arena, members->x, POINT_BYTES_MAX, &x) ||
        !decode(arena, members->y, POINT_BYTES_MAX, &y) || x.len != curve->bytes ||
        y.len != curve->bytes)
        return NULL;
    unsigned char point[1 + 2 * POINT_BYTES_MAX] = { POINT_CONVERSION_UNCOMPRESSED };
    memcpy(point + 1, x.data, x.len);
    memcpy(point + 1 + x.len, y.data, y.len);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (build != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point,
                                         1 + 2 * curve->bytes) == 1)
        key = key_from("EC", build);
    OSSL_PARAM_BLD_free(build);
    return key;
}

static EVP_PKEY *
okp_key(struct arena *arena, const struct members *members)
{
    struct slice x;
    if (!slice_eq(members->crv, SLICE("Ed25519")) || !decode(arena, members->x, 32, &x))
        return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)x.data,
                                       x.len);
}

/* NULL: not one that signs tokens, or no good. */
static EVP_PKEY *
key_of(struct arena *arena, const struct members *members)
{
    EVP_PKEY *key = NULL;
    if (members->use.len > 0 && !slice_eq(members->use, SLICE("sig")))
        return NULL;
    if (slice_eq(members->kty, SLICE("RSA")))
        key = rsa_key(arena, members);
    else if (slice_eq(members->kty, SLICE("EC")))
        key = ec_key(arena, members);
    else if (slice_eq(members->kty, SLICE("OKP")))
        key = okp_key(arena, members);
    if (key != NULL && key_complaint(key) != NULL) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    key_clear_errors();
    return key;
}

static bool
read_keys(struct json *json, struct jwks *set)
{
    if (json_peek(json) != JSON_ARRAY)
        return false;
    json_enter(json);
    while (json_array_next(json)) {
        struct members members = { 0 };
        if (!read_members(json, &set->arena, &members) || set->count == LIMIT_sentry_jwks_keys_max)
            return false;
        EVP_PKEY *key = key_of(&set->arena, &members);
        if (key != NULL)
            set->items[set->count++] = (struct jwk){ .key = key,
                                                     .id = members.kid,
                                                     .algorithm = members.alg };
    }
    return !json->failed;
}

static bool
read_set(struct slice text, struct jwks *set)
{
    struct json json;
    struct slice name, ignored;
    bool has_keys = false;
    json_init(&json, text);
    if (json_peek(&json) != JSON_OBJECT)
        return false;
    json_enter(&json);
    while (json_object_next(&json, &set->arena, &name)) {
        bool is_keys = slice_eq(name, SLICE("keys"));
        if ((is_keys && has_keys) ||
            !(is_keys ? read_keys(&json, set) : json_skip(&json, &ignored)))
            return false;
        has_keys |= is_keys;
    }
    return !json.failed && json_end(&json) && has_keys;
}

err_t
jwks_parse(struct slice json, struct jwks **ret_set, struct diag *diag)
{
    struct jwks *set = calloc(1, sizeof *set);
    if (set == NULL)
        abort();
    arena_init(&set->arena);
    set->items = ARENA_ARRAY(&set->arena, struct jwk, LIMIT_sentry_jwks_keys_max);
    /* Texts of keys may be spans of it. */
    struct slice text = arena_dup(&set->arena, slice_first(json, LIMIT_sentry_file_bytes + 1));
    err_t err = OK;
    if (text.len > LIMIT_sentry_file_bytes || !read_set(text, set))
        err = DIAG_FAIL(diag, ERR_MALFORMED, "failed to parse JWKS");
    else if (set->count == 0)
        err = DIAG_FAIL(diag, ERR_MALFORMED, "JWKS doesn't contain any keys");
    if (err == OK)
        *ret_set = set;
    else
        jwks_free(set);
    return err;
}

void
jwks_free(struct jwks *set)
{
    if (set == NULL)
        return;
    for (size_t i = 0; i < set->count; i++)
        EVP_PKEY_free(set->items[i].key);
    arena_fini(&set->arena);
    free(set);
}

/* --- writing -----------------------------------------------------------------------------------*/

static struct slice
encode(struct arena *arena, const unsigned char *bytes, size_t len)
{
    size_t chars = base64url_encoded_len(len);
    char *text = arena_alloc(arena, chars + 1);
    base64url_encode(slice_of(bytes, len), text);
    return slice_of(text, chars);
}

/* A number of the key; of `len` bytes, or as many as it needs. */
static struct slice
encode_number(struct arena *arena, EVP_PKEY *key, const char *name, size_t len)
{
    BIGNUM *number = NULL;
    struct slice text = SLICE_EMPTY;
    if (EVP_PKEY_get_bn_param(key, name, &number) == 1) {
        size_t bytes = len == 0 ? (size_t)BN_num_bytes(number) : len;
        unsigned char *to = arena_alloc(arena, bytes + 1);
        if (BN_bn2binpad(number, to, (int)bytes) == (int)bytes)
            text = encode(arena, to, bytes);
    }
    BN_free(number);
    return text;
}

/* The required members in the order of their names, which the thumbprint is made of. */
static struct slice
required_members(struct arena *arena, EVP_PKEY *key)
{
    if (EVP_PKEY_is_a(key, "RSA")) {
        struct slice e = encode_number(arena, key, OSSL_PKEY_PARAM_RSA_E, 0);
        struct slice n = encode_number(arena, key, OSSL_PKEY_PARAM_RSA_N, 0);
        return arena_printf(arena,
                            "\"e\":\"" SLICE_FMT "\",\"kty\":\"RSA\",\"n\":\"" SLICE_FMT "\"",
                            SLICE_ARG(e), SLICE_ARG(n));
    }
    if (EVP_PKEY_is_a(key, "EC")) {
        int bits = EVP_PKEY_get_bits(key);
        const struct curve *curve = &curves[bits == 256 ? 0 : bits == 384 ? 1 : 2];
        struct slice x = encode_number(arena, key, OSSL_PKEY_PARAM_EC_PUB_X, curve->bytes);
        struct slice y = encode_number(arena, key, OSSL_PKEY_PARAM_EC_PUB_Y, curve->bytes);
        return arena_printf(
            arena, "\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"" SLICE_FMT "\",\"y\":\"" SLICE_FMT "\"",
            curve->name, SLICE_ARG(x), SLICE_ARG(y));
    }
    unsigned char raw[32];
    size_t len = sizeof raw;
    if (EVP_PKEY_get_raw_public_key(key, raw, &len) != 1)
        return SLICE_EMPTY;
    struct slice x = encode(arena, raw, len);
    return arena_printf(arena, "\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"" SLICE_FMT "\"",
                        SLICE_ARG(x));
}

struct slice
jwks_write(struct arena *arena, EVP_PKEY *key, struct slice id, struct slice algorithm)
{
    struct slice members = required_members(arena, key), text = SLICE_EMPTY;
    struct buf out;
    buf_init(&out, LIMIT_sentry_file_bytes);
    if (members.len > 0 && buf_append(&out, SLICE("{\"keys\":[{\"alg\":")) &&
        json_write_string(&out, algorithm, false) && buf_append(&out, SLICE(",\"kid\":")) &&
        json_write_string(&out, id, false) && buf_append(&out, SLICE(",\"use\":\"sig\",")) &&
        buf_append(&out, members) && buf_append(&out, SLICE("}]}")))
        text = arena_dup(arena, buf_slice(&out));
    buf_fini(&out);
    return text;
}

struct slice
jwk_thumbprint(struct arena *arena, EVP_PKEY *key)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    struct slice members = required_members(arena, key);
    if (members.len == 0)
        return SLICE_EMPTY;
    struct slice text = arena_printf(arena, "{" SLICE_FMT "}", SLICE_ARG(members));
    (void)SHA256((const unsigned char *)text.data, text.len, digest); /* gives its last argument */
    char *to = arena_alloc(arena, base64_encoded_len(sizeof digest) + 1);
    base64_encode(slice_of(digest, sizeof digest), to);
    return slice_of(to, base64_encoded_len(sizeof digest));
}
