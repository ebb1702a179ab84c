/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of digests: RSA (PKCS #1 v1.5, PSS), ECDSA in DER, and Ed25519, whose "digest" is the
 * message. A digest has the length that the algorithm says, and a curve is the algorithm's; the
 * reference checks neither for ECDSA. PSS salts are as long as the digest (RFC 7518, 3.5) and read
 * in any length.
 */
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#include "operate.h"

static const struct algorithm {
    const char *name;
    enum key_kind kind;
    const EVP_MD *(*digest)(void); /* NULL: the message itself is signed */
    size_t digest_bytes;
    int padding;       /* RSA */
    const char *curve; /* EC */
} algorithms[] = {
    { "RS256", KEY_RSA, EVP_sha256, 32, RSA_PKCS1_PADDING, NULL },
    { "RS384", KEY_RSA, EVP_sha384, 48, RSA_PKCS1_PADDING, NULL },
    { "RS512", KEY_RSA, EVP_sha512, 64, RSA_PKCS1_PADDING, NULL },
    { "PS256", KEY_RSA, EVP_sha256, 32, RSA_PKCS1_PSS_PADDING, NULL },
    { "PS384", KEY_RSA, EVP_sha384, 48, RSA_PKCS1_PSS_PADDING, NULL },
    { "PS512", KEY_RSA, EVP_sha512, 64, RSA_PKCS1_PSS_PADDING, NULL },
    { "ES256", KEY_EC, EVP_sha256, 32, 0, "P-256" },
    { "ES384", KEY_EC, EVP_sha384, 48, 0, "P-384" },
    { "ES512", KEY_EC, EVP_sha512, 64, 0, "P-521" },
    { "EdDSA", KEY_ED25519, NULL, 0, 0, NULL },
};

static const struct algorithm *
find(const char *name)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++)
        if (strcmp(name, algorithms[i].name) == 0)
            return &algorithms[i];
    return NULL;
}

static const unsigned char *
bytes_of(struct remora_slice slice)
{
    return (const unsigned char *)slice.data;
}

/* NULL: why. */
static const struct algorithm *
check(const struct key *key, const char *name, struct remora_slice digest, struct why *why)
{
    const struct algorithm *algorithm = find(name);
    const char *curve = key_curve(key);
    bool ok = false;
    if (algorithm == NULL)
        (void)why_set(why, "unsupported algorithm");
    else if (key->kind != algorithm->kind || (algorithm->curve != NULL && curve == NULL) ||
             (algorithm->curve != NULL && strcmp(curve, algorithm->curve) != 0))
        (void)why_set(why, "key type mismatch");
    else if (algorithm->digest != NULL && digest.len != algorithm->digest_bytes)
        (void)why_set(why, "the digest has not the length of the algorithm's");
    else
        ok = true;
    return ok ? algorithm : NULL;
}

static bool
set_up(EVP_PKEY_CTX *context, const struct algorithm *algorithm, int salt_bytes)
{
    if (EVP_PKEY_CTX_set_signature_md(context, algorithm->digest()) != 1)
        return false;
    if (algorithm->kind != KEY_RSA)
        return true;
    return EVP_PKEY_CTX_set_rsa_padding(context, algorithm->padding) == 1 &&
           (algorithm->padding != RSA_PKCS1_PSS_PADDING ||
            EVP_PKEY_CTX_set_rsa_pss_saltlen(context, salt_bytes) == 1);
}

/* --- sign --------------------------------------------------------------------------------------*/

static bool
sign_message(const struct key *key, struct remora_slice message, struct output *output)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t len = output->room;
    const bool ok = context != NULL &&
                    EVP_DigestSignInit(context, NULL, NULL, NULL, key->pair) == 1 &&
                    EVP_DigestSign(context, output->data, &len, bytes_of(message), message.len) ==
                        1;
    EVP_MD_CTX_free(context);
    output->len = ok ? len : 0;
    return ok;
}

static bool
sign_digest(const struct key *key, const struct algorithm *algorithm, struct remora_slice digest,
            struct output *output)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key->pair, NULL);
    size_t len = output->room;
    const bool ok = context != NULL && EVP_PKEY_sign_init(context) == 1 &&
                    set_up(context, algorithm, RSA_PSS_SALTLEN_DIGEST) &&
                    EVP_PKEY_sign(context, output->data, &len, bytes_of(digest), digest.len) == 1;
    EVP_PKEY_CTX_free(context);
    output->len = ok ? len : 0;
    return ok;
}

bool
operate_sign(const struct key *key, const char *algorithm, struct remora_slice digest,
             struct output *output, struct why *why)
{
    const struct algorithm *found = check(key, algorithm, digest, why);
    if (found == NULL)
        return false;
    if (!key->is_private)
        return why_set(why, "key type mismatch");
    output_reserve(output, (size_t)EVP_PKEY_get_size(key->pair));
    const bool ok = found->digest == NULL ? sign_message(key, digest, output)
                                          : sign_digest(key, found, digest, output);
    ERR_clear_error();
    return ok || why_set(why, "the digest cannot be signed");
}

/* --- verify ------------------------------------------------------------------------------------*/

static bool
verify_message(const struct key *key, struct remora_slice message, struct remora_slice signature)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const bool ok = context != NULL &&
                    EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->pair) == 1 &&
                    EVP_DigestVerify(context, bytes_of(signature), signature.len, bytes_of(message),
                                     message.len) == 1;
    EVP_MD_CTX_free(context);
    return ok;
}

static bool
verify_digest(const struct key *key, const struct algorithm *algorithm, struct remora_slice digest,
              struct remora_slice signature)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key->pair, NULL);
    const bool ok = context != NULL && EVP_PKEY_verify_init(context) == 1 &&
                    set_up(context, algorithm, RSA_PSS_SALTLEN_AUTO) &&
                    EVP_PKEY_verify(context, bytes_of(signature), signature.len, bytes_of(digest),
                                    digest.len) == 1;
    EVP_PKEY_CTX_free(context);
    return ok;
}

bool
operate_verify(const struct key *key, const char *algorithm, struct remora_slice digest,
               struct remora_slice signature, bool *ret_valid, struct why *why)
{
    const struct algorithm *found = check(key, algorithm, digest, why);
    if (found == NULL)
        return false;
    *ret_valid = found->digest == NULL ? verify_message(key, digest, signature)
                                       : verify_digest(key, found, digest, signature);
    ERR_clear_error();
    return true;
}
