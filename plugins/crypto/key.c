/* SPDX-License-Identifier: Apache-2.0 */
/* Keys; see key.h. */
#include "key.h"

#include <openssl/core_names.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { RSA_BITS_MIN = 1024 };

bool
why_set(struct why *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why->text, sizeof why->text, format, args); /* cut is fine */
    va_end(args);
    return false;
}

struct key *
key_new_octets(const unsigned char *bytes, size_t len)
{
    struct key *key = memory_new(sizeof *key);
    *key = (struct key){ .refs = 1, .kind = KEY_OCTETS, .is_private = true, .octet_count = len };
    key->octets = memory_new(len);
    memcpy(key->octets, bytes, len);
    return key;
}

static bool
find_kind(const EVP_PKEY *pair, enum key_kind *ret_kind)
{
    switch (EVP_PKEY_get_base_id(pair)) {
    case EVP_PKEY_RSA:
        *ret_kind = KEY_RSA;
        return true;
    case EVP_PKEY_EC:
        *ret_kind = KEY_EC;
        return true;
    case EVP_PKEY_ED25519:
        *ret_kind = KEY_ED25519;
        return true;
    default:
        return false;
    }
}

struct key *
key_new_pair(EVP_PKEY *pair, bool is_private, struct why *why)
{
    enum key_kind kind;
    if (!find_kind(pair, &kind)) {
        /* The words for the one kind that is met are the reference's. */
        (void)(EVP_PKEY_get_base_id(pair) == EVP_PKEY_X25519
                   ? why_set(why, "invalid key type '*ecdh.P%s' for jwk.New",
                             is_private ? "rivateKey" : "ublicKey")
                   : why_set(why, "invalid key type"));
        EVP_PKEY_free(pair);
        return NULL;
    }
    if (kind == KEY_RSA && EVP_PKEY_get_bits(pair) < RSA_BITS_MIN) {
        (void)why_set(why, "the RSA key is malformed or shorter than %d bits", RSA_BITS_MIN);
        EVP_PKEY_free(pair);
        return NULL;
    }
    struct key *key = memory_new(sizeof *key);
    *key = (struct key){ .refs = 1, .kind = kind, .is_private = is_private, .pair = pair };
    if (kind != KEY_EC || key_curve(key) != NULL)
        return key;
    (void)why_set(why, "unsupported elliptic curve");
    key_unref(key);
    return NULL;
}

struct key *
key_ref(struct key *key)
{
    key->refs++;
    return key;
}

void
key_unref(struct key *key)
{
    if (key == NULL || --key->refs > 0)
        return;
    if (key->octets != NULL)
        OPENSSL_cleanse(key->octets, key->octet_count);
    free(key->octets);
    EVP_PKEY_free(key->pair); /* which wipes the private half */
    free(key->id);
    free(key->algorithm);
    free(key->use);
    free(key);
}

static const char *
use_name(enum key_use use)
{
    switch (use) {
    case KEY_ENCRYPT:
        return "encrypt";
    case KEY_DECRYPT:
        return "decrypt";
    case KEY_WRAP:
        return "wrapKey";
    case KEY_UNWRAP:
        return "unwrapKey";
    case KEY_SIGN:
        return "sign";
    case KEY_VERIFY:
    default:
        return "verify";
    }
}

bool
key_allows(const struct key *key, enum key_use use, const char *algorithm, struct why *why)
{
    const bool is_signing = use == KEY_SIGN || use == KEY_VERIFY;
    const bool is_for_this = key->use == NULL || strcmp(key->use, is_signing ? "sig" : "enc") == 0;
    if ((key->uses != 0 && (key->uses & use) == 0) || (key->uses == 0 && !is_for_this))
        return why_set(why, "key cannot perform the '%s' operation", use_name(use));
    if (key->algorithm != NULL && strcmp(key->algorithm, algorithm) != 0)
        return why_set(why, "key cannot be used with algorithm '%s'", algorithm);
    return true;
}

const char *
key_curve(const struct key *key)
{
    char name[32];
    size_t len;
    if (key->kind != KEY_EC || EVP_PKEY_get_utf8_string_param(key->pair, OSSL_PKEY_PARAM_GROUP_NAME,
                                                              name, sizeof name, &len) != 1)
        return NULL;
    return strcmp(name, "prime256v1") == 0  ? "P-256"
           : strcmp(name, "secp384r1") == 0 ? "P-384"
           : strcmp(name, "secp521r1") == 0 ? "P-521"
                                            : NULL;
}
