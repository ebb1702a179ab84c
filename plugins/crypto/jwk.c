/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Web Keys (RFC 7517, 7518, 8037) read; see parse.h. */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <string.h>

#include "base64_any.h"
#include "parse.h"

enum { MEMBERS_MAX = 8, DEPTH_MAX = 16, COORDINATE_BYTES_MAX = 66 };

/* --- JSON --------------------------------------------------------------------------------------*/

/* cJSON goes deeper than a stack should: 1,000 levels. */
static bool
is_shallow(const char *bytes, size_t len)
{
    unsigned depth = 0;
    bool is_text = false;
    for (size_t i = 0; i < len; i++) {
        if (is_text && bytes[i] == '\\')
            i++;
        else if (bytes[i] == '"')
            is_text = !is_text;
        else if (!is_text && (bytes[i] == '{' || bytes[i] == '[') && ++depth > DEPTH_MAX)
            return false;
        else if (!is_text && (bytes[i] == '}' || bytes[i] == ']') && depth > 0)
            depth--;
    }
    return true;
}

cJSON *
json_parse(const char *bytes, size_t len, struct why *why)
{
    cJSON *tree = is_shallow(bytes, len) ? cJSON_ParseWithLength(bytes, len) : NULL;
    if (tree == NULL)
        (void)why_set(why, "failed to parse JSON");
    return tree;
}

static const char *
text_of(const cJSON *jwk, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(jwk, name));
}

/* --- numbers -----------------------------------------------------------------------------------*/

struct octets {
    unsigned char *bytes; /* owned; NULL: there are none */
    size_t len, room;
};

/* False if the member is there and is no base64. */
static bool
read_octets(const cJSON *jwk, const char *name, struct octets *ret)
{
    const char *text = text_of(jwk, name);
    *ret = (struct octets){ 0 };
    if (text == NULL)
        return cJSON_GetObjectItemCaseSensitive(jwk, name) == NULL;
    ret->room = base64_any_decoded_max(strlen(text));
    ret->bytes = memory_new(ret->room);
    return base64_any_decode(text, strlen(text), ret->bytes, &ret->len);
}

static void
octets_free(struct octets *octets)
{
    if (octets->bytes != NULL)
        OPENSSL_cleanse(octets->bytes, octets->room);
    free(octets->bytes);
    *octets = (struct octets){ 0 };
}

/* What libcrypto makes a key of. The numbers have to live until it has been made. */
struct builder {
    OSSL_PARAM_BLD *params;
    BIGNUM *numbers[MEMBERS_MAX];
    size_t count;
};

/* False if the member is there and is not good. */
static bool
add_number(struct builder *builder, const cJSON *jwk, const char *name, const char *param)
{
    struct octets octets;
    bool ok = read_octets(jwk, name, &octets);
    if (ok && octets.bytes != NULL) {
        BIGNUM *number = BN_secure_new();
        ok = number != NULL && BN_bin2bn(octets.bytes, (int)octets.len, number) != NULL &&
             OSSL_PARAM_BLD_push_BN(builder->params, param, number) == 1;
        builder->numbers[builder->count++] = number;
    }
    octets_free(&octets);
    return ok;
}

static EVP_PKEY *
build(struct builder *builder, const char *type, int selection)
{
    EVP_PKEY *pair = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder->params);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params == NULL || context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &pair, selection, params) != 1)
        pair = NULL;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    ERR_clear_error();
    return pair;
}

static void
builder_free(struct builder *builder)
{
    OSSL_PARAM_BLD_free(builder->params);
    for (size_t i = 0; i < builder->count; i++)
        BN_clear_free(builder->numbers[i]);
}

/* --- kinds -------------------------------------------------------------------------------------*/

static struct key *
read_symmetric(const cJSON *jwk, struct why *why)
{
    struct octets octets;
    struct key *key = NULL;
    if (read_octets(jwk, "k", &octets) && octets.len > 0)
        key = key_new_octets(octets.bytes, octets.len);
    else
        (void)why_set(why, "the symmetric key has no valid 'k'");
    octets_free(&octets);
    return key;
}

/* All that speed it up or none (RFC 7518, 6.3.2); libcrypto 3.0 leaks when some are missing. */
static bool
has_all_or_none(const cJSON *jwk)
{
    static const char *const names[] = { "p", "q", "dp", "dq", "qi" };
    const size_t count = sizeof names / sizeof names[0];
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += text_of(jwk, names[i]) != NULL;
    return found == 0 || found == count;
}

static EVP_PKEY *
build_rsa(const cJSON *jwk, bool is_private)
{
    static const struct {
        const char *name, *param;
        bool is_private;
    } members[MEMBERS_MAX] = {
        { "n", OSSL_PKEY_PARAM_RSA_N, false },
        { "e", OSSL_PKEY_PARAM_RSA_E, false },
        { "d", OSSL_PKEY_PARAM_RSA_D, true },
        { "p", OSSL_PKEY_PARAM_RSA_FACTOR1, true },
        { "q", OSSL_PKEY_PARAM_RSA_FACTOR2, true },
        { "dp", OSSL_PKEY_PARAM_RSA_EXPONENT1, true },
        { "dq", OSSL_PKEY_PARAM_RSA_EXPONENT2, true },
        { "qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1, true },
    };
    struct builder builder = { .params = OSSL_PARAM_BLD_new() };
    bool ok = builder.params != NULL && text_of(jwk, "n") != NULL && text_of(jwk, "e") != NULL &&
              has_all_or_none(jwk);
    for (size_t i = 0; i < MEMBERS_MAX && ok; i++)
        ok = (members[i].is_private && !is_private) ||
             add_number(&builder, jwk, members[i].name, members[i].param);
    EVP_PKEY *pair = ok ? build(&builder, "RSA",
                                is_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY)
                        : NULL;
    builder_free(&builder);
    return pair;
}

/* 04, x, y: both as wide as the curve. */
static size_t
join_point(const cJSON *jwk, size_t width, unsigned char *ret_point)
{
    struct octets x, y;
    bool has_x = read_octets(jwk, "x", &x), has_y = read_octets(jwk, "y", &y);
    const bool ok = has_x && has_y && x.len == width && y.len == width;
    if (ok) {
        ret_point[0] = 4;
        memcpy(ret_point + 1, x.bytes, width);
        memcpy(ret_point + 1 + width, y.bytes, width);
    }
    octets_free(&x);
    octets_free(&y);
    return ok ? 2 * width + 1 : 0;
}

static EVP_PKEY *
build_ec(const cJSON *jwk, bool is_private)
{
    static const struct {
        const char *curve, *group;
        size_t width;
    } curves[] = { { "P-256", "prime256v1", 32 },
                   { "P-384", "secp384r1", 48 },
                   { "P-521", "secp521r1", 66 } };
    unsigned char point[2 * COORDINATE_BYTES_MAX + 1];
    const char *curve = text_of(jwk, "crv");
    struct builder builder = { .params = OSSL_PARAM_BLD_new() };
    EVP_PKEY *pair = NULL;
    for (size_t i = 0; i < sizeof curves / sizeof curves[0] && curve != NULL; i++) {
        if (strcmp(curve, curves[i].curve) != 0)
            continue;
        const size_t len = join_point(jwk, curves[i].width, point);
        if (len > 0 && builder.params != NULL &&
            OSSL_PARAM_BLD_push_utf8_string(builder.params, OSSL_PKEY_PARAM_GROUP_NAME,
                                            curves[i].group, 0) == 1 &&
            OSSL_PARAM_BLD_push_octet_string(builder.params, OSSL_PKEY_PARAM_PUB_KEY, point, len) ==
                1 &&
            (!is_private || add_number(&builder, jwk, "d", OSSL_PKEY_PARAM_PRIV_KEY)))
            pair = build(&builder, "EC", is_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY);
    }
    builder_free(&builder);
    return pair;
}

static EVP_PKEY *
build_okp(const cJSON *jwk, bool is_private)
{
    const char *curve = text_of(jwk, "crv");
    const int type = curve != NULL && strcmp(curve, "Ed25519") == 0 ? EVP_PKEY_ED25519
                                                                    : EVP_PKEY_X25519;
    struct octets octets;
    EVP_PKEY *pair = NULL;
    if (curve == NULL || (type == EVP_PKEY_X25519 && strcmp(curve, "X25519") != 0))
        return NULL;
    if (read_octets(jwk, is_private ? "d" : "x", &octets))
        pair = is_private ? EVP_PKEY_new_raw_private_key(type, NULL, octets.bytes, octets.len)
                          : EVP_PKEY_new_raw_public_key(type, NULL, octets.bytes, octets.len);
    octets_free(&octets);
    ERR_clear_error();
    return pair;
}

static struct key *
read_pair(const cJSON *jwk, const char *type, struct why *why)
{
    const bool is_private = text_of(jwk, "d") != NULL;
    EVP_PKEY *pair = strcmp(type, "RSA") == 0  ? build_rsa(jwk, is_private)
                     : strcmp(type, "EC") == 0 ? build_ec(jwk, is_private)
                                               : build_okp(jwk, is_private);
    if (pair != NULL)
        return key_new_pair(pair, is_private, why);
    (void)why_set(why, "the %s key is malformed", type);
    return NULL;
}

/* --- what it is for ----------------------------------------------------------------------------*/

static char *
copy_text(const cJSON *jwk, const char *name)
{
    const char *text = text_of(jwk, name);
    char *copy = text == NULL || *text == '\0' ? NULL : strdup(text);
    if (copy == NULL && text != NULL && *text != '\0')
        abort();
    return copy;
}

static unsigned
read_uses(const cJSON *jwk)
{
    static const char *const names[] = { "encrypt",   "decrypt", "wrapKey",
                                         "unwrapKey", "sign",    "verify" };
    unsigned uses = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(jwk, "key_ops"))
    {
        const char *text = cJSON_GetStringValue(item);
        for (size_t i = 0; i < sizeof names / sizeof names[0] && text != NULL; i++)
            uses |= strcmp(text, names[i]) == 0 ? 1U << i : 0;
    }
    return uses;
}

struct key *
jwk_read(const cJSON *jwk, struct why *why)
{
    const char *type = cJSON_IsObject(jwk) ? text_of(jwk, "kty") : NULL;
    struct key *key = NULL;
    if (type == NULL)
        (void)why_set(why, "the JWK has no 'kty'");
    else if (strcmp(type, "oct") == 0)
        key = read_symmetric(jwk, why);
    else if (strcmp(type, "RSA") == 0 || strcmp(type, "EC") == 0 || strcmp(type, "OKP") == 0)
        key = read_pair(jwk, type, why);
    else
        (void)why_set(why, "invalid key type");
    if (key == NULL)
        return NULL;
    key->id = copy_text(jwk, "kid");
    key->algorithm = copy_text(jwk, "alg");
    key->use = copy_text(jwk, "use");
    key->uses = read_uses(jwk);
    return key;
}
