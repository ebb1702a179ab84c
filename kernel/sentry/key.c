/* SPDX-License-Identifier: Apache-2.0 */
/* See key.h. */
#include "sentry/key.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "base/limits.h"

enum { GROUP_NAME_BYTES = 64 };

EVP_PKEY *
key_generate(void)
{
    return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

EVP_PKEY *
key_generate_rsa(void)
{
    return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
}

bool
key_write(EVP_PKEY *key, struct key_text *ret_text)
{
    char *data = NULL;
    BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when it is freed */
    bool is_good = bio != NULL &&
                   PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    long len = is_good ? BIO_get_mem_data(bio, &data) : 0;
    if (is_good)
        *ret_text = (struct key_text){ .data = slice_copy(slice_of(data, (size_t)len)),
                                       .len = (size_t)len };
    BIO_free(bio);
    key_clear_errors();
    return is_good;
}

void
key_text_free(struct key_text *text)
{
    if (text->data != NULL)
        OPENSSL_cleanse(text->data, text->len);
    free(text->data);
    *text = (struct key_text){ 0 };
}

/* Parameters spelled out instead of named would be copied into the certificate. */
static const char *
curve_complaint(const EVP_PKEY *key)
{
    char group[GROUP_NAME_BYTES], encoding[GROUP_NAME_BYTES];
    size_t len;
    if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, encoding, sizeof encoding,
                                       &len) != 1 ||
        !slice_eq(slice_str(encoding), SLICE(OSSL_PKEY_EC_ENCODING_GROUP)) ||
        EVP_PKEY_get_group_name(key, group, sizeof group, &len) != 1)
        return "the elliptic curve has no name";
    struct slice name = slice_str(group);
    if (slice_eq(name, SLICE("prime256v1")) || slice_eq(name, SLICE("secp384r1")) ||
        slice_eq(name, SLICE("secp521r1")))
        return NULL;
    return "the elliptic curve is none of P-256, P-384 and P-521";
}

const char *
key_complaint(const EVP_PKEY *key)
{
    const char *why = "the key is none of Ed25519, ECDSA and RSA";
    if (EVP_PKEY_is_a(key, "ED25519"))
        why = NULL;
    else if (EVP_PKEY_is_a(key, "EC"))
        why = curve_complaint(key);
    else if (EVP_PKEY_is_a(key, "RSA"))
        why = EVP_PKEY_get_bits(key) < 2048                         ? "the RSA key is too short"
              : EVP_PKEY_get_bits(key) > (int)LIMIT_sentry_rsa_bits ? "the RSA key is too long"
                                                                    : NULL;
    key_clear_errors();
    return why;
}

const EVP_MD *
key_digest(const EVP_PKEY *key)
{
    if (EVP_PKEY_is_a(key, "ED25519"))
        return NULL;
    int bits = EVP_PKEY_is_a(key, "EC") ? EVP_PKEY_get_bits(key) : 0;
    return bits > 384 ? EVP_sha512() : bits > 256 ? EVP_sha384() : EVP_sha256();
}

void
key_clear_errors(void)
{
    ERR_clear_error();
}
