/* SPDX-License-Identifier: Apache-2.0 */
/* The public half of a key as text: PEM (PKIX) or a JWK in the reference's form, its members in
 * alphabetical order. */
#include <cjson/cJSON.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <string.h>

#include "base64_any.h"
#include "key.h"

char *
key_public_pem(const struct key *key, size_t *ret_len)
{
    char *text = NULL, *data;
    BIO *out = BIO_new(BIO_s_mem());
    if (key->pair != NULL && out != NULL && PEM_write_bio_PUBKEY(out, key->pair) == 1) {
        const long len = BIO_get_mem_data(out, &data);
        text = memory_new((size_t)len + 1);
        memcpy(text, data, (size_t)len);
        *ret_len = (size_t)len;
    }
    BIO_free(out);
    return text;
}

static bool
add_bytes(cJSON *jwk, const char *name, const unsigned char *bytes, size_t len)
{
    char *text = memory_new(len * 2 + 4);
    base64url_encode(bytes, len, text);
    const bool ok = cJSON_AddStringToObject(jwk, name, text) != NULL;
    free(text);
    return ok;
}

/* `width` 0: as many bytes as the number needs. */
static bool
add_number(cJSON *jwk, const char *name, const struct key *key, const char *param, size_t width)
{
    BIGNUM *number = NULL;
    if (EVP_PKEY_get_bn_param(key->pair, param, &number) != 1)
        return false;
    const size_t len = width == 0 ? (size_t)BN_num_bytes(number) : width;
    unsigned char *bytes = memory_new(len);
    const bool ok = BN_bn2binpad(number, bytes, (int)len) >= 0 && add_bytes(jwk, name, bytes, len);
    free(bytes);
    BN_free(number);
    return ok;
}

static bool
add_text(cJSON *jwk, const char *name, const char *text)
{
    return text == NULL || cJSON_AddStringToObject(jwk, name, text) != NULL;
}

static bool
add_point(cJSON *jwk, const struct key *key)
{
    const size_t width = ((size_t)EVP_PKEY_get_bits(key->pair) + 7) / 8;
    return add_number(jwk, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, width) &&
           add_number(jwk, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, width);
}

static bool
add_raw(cJSON *jwk, const struct key *key)
{
    unsigned char bytes[64];
    size_t len = sizeof bytes;
    return EVP_PKEY_get_raw_public_key(key->pair, bytes, &len) == 1 &&
           add_bytes(jwk, "x", bytes, len);
}

static bool
add_all(cJSON *jwk, const struct key *key)
{
    const bool is_rsa = key->kind == KEY_RSA, is_ec = key->kind == KEY_EC;
    const char *curve = is_ec ? key_curve(key) : is_rsa ? NULL : "Ed25519";
    return add_text(jwk, "alg", key->algorithm) && add_text(jwk, "crv", curve) &&
           (!is_rsa || add_number(jwk, "e", key, OSSL_PKEY_PARAM_RSA_E, 0)) &&
           add_text(jwk, "kid", key->id) &&
           add_text(jwk, "kty",
                    is_rsa  ? "RSA"
                    : is_ec ? "EC"
                            : "OKP") &&
           (!is_rsa || add_number(jwk, "n", key, OSSL_PKEY_PARAM_RSA_N, 0)) &&
           add_text(jwk, "use", key->use) &&
           (is_rsa || (is_ec ? add_point(jwk, key) : add_raw(jwk, key)));
}

char *
key_public_jwk(const struct key *key, size_t *ret_len)
{
    cJSON *jwk = key->pair == NULL ? NULL : cJSON_CreateObject();
    char *text = NULL;
    if (jwk != NULL && add_all(jwk, key))
        text = cJSON_PrintUnformatted(jwk);
    cJSON_Delete(jwk);
    if (text != NULL)
        *ret_len = strlen(text);
    return text;
}
