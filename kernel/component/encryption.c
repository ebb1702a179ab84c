/* SPDX-License-Identifier: Apache-2.0 */
/* Encryption at rest; see encryption.h. */
#include "component/encryption.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/base64.h"

enum { NONCE_BYTES = 12, TAG_BYTES = 16, KEY_BYTES_MAX = 32 };

#define SEPARATOR SLICE("||")

struct key {
    struct slice name; /* owned; data NULL: there is no such key */
    unsigned char bytes[KEY_BYTES_MAX];
    size_t len;
};

struct encryption {
    atomic_uint refs;
    struct key primary;
    struct key secondary;
};

/* --- keys --------------------------------------------------------------------------------------*/

/* The words are those of the libraries the reference runtime uses; which digit is wrong is not
 * said, because it is part of a secret. */
static bool
read_key(struct arena *arena, struct encryption_key from, struct key *ret_key,
         struct slice *ret_error)
{
    const size_t len = from.hex.len / 2;
    for (size_t i = 0; i < from.hex.len; i++) {
        if (hex_value(from.hex.data[i]) < 0) {
            *ret_error = SLICE("encoding/hex: invalid byte");
            return false;
        }
    }
    if (from.hex.len % 2 != 0) {
        *ret_error = SLICE("encoding/hex: odd length hex string");
        return false;
    }
    if (len != 16 && len != 24 && len != 32) {
        *ret_error = arena_printf(arena, "crypto/aes: invalid key size %zu", len);
        return false;
    }
    for (size_t i = 0; i < len; i++)
        ret_key->bytes[i] = (unsigned char)(hex_value(from.hex.data[2 * i]) << 4 |
                                            hex_value(from.hex.data[2 * i + 1]));
    ret_key->len = len;
    char *name = malloc(from.name.len + 1);
    if (name == NULL)
        abort();
    memcpy(name, from.name.data, from.name.len);
    ret_key->name = slice_of(name, from.name.len);
    return true;
}

struct encryption *
encryption_new(struct arena *arena, struct encryption_key primary, struct encryption_key secondary,
               struct slice *ret_error)
{
    struct encryption *encryption = calloc(1, sizeof *encryption);
    if (encryption == NULL)
        abort();
    atomic_init(&encryption->refs, 1);
    if (read_key(arena, primary, &encryption->primary, ret_error) &&
        (secondary.name.len == 0 || read_key(arena, secondary, &encryption->secondary, ret_error)))
        return encryption;
    encryption_unref(encryption);
    return NULL;
}

struct encryption *
encryption_ref(struct encryption *encryption)
{
    atomic_fetch_add_explicit(&encryption->refs, 1, memory_order_relaxed);
    return encryption;
}

static void
free_key(struct key *key)
{
    free((char *)(uintptr_t)key->name.data); /* ours, from read_key() */
    explicit_bzero(key, sizeof *key);
}

void
encryption_unref(struct encryption *encryption)
{
    /* The release of every holder before the wiping of the last. */
    if (encryption == NULL ||
        atomic_fetch_sub_explicit(&encryption->refs, 1, memory_order_acq_rel) != 1)
        return;
    free_key(&encryption->primary);
    free_key(&encryption->secondary);
    free(encryption);
}

/* --- values ------------------------------------------------------------------------------------*/

static const EVP_CIPHER *
cipher_of(const struct key *key)
{
    return key->len == 16   ? EVP_aes_128_gcm()
           : key->len == 24 ? EVP_aes_192_gcm()
                            : EVP_aes_256_gcm();
}

/* libcrypto counts in int; the limits of the API are far below. */
static bool
fits(struct slice bytes)
{
    return bytes.len <= INT32_MAX - 64;
}

size_t
encryption_sealed_len(const struct encryption *encryption, size_t value_bytes)
{
    return base64_encoded_len(NONCE_BYTES + value_bytes + TAG_BYTES) + SEPARATOR.len +
           encryption->primary.name.len;
}

static bool
encrypt(const struct key *key, struct slice value, unsigned char *nonce, unsigned char *text,
        unsigned char *tag)
{
    int len = 0, rest = 0;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    const bool ok = context != NULL && fits(value) && RAND_bytes(nonce, NONCE_BYTES) == 1 &&
                    EVP_EncryptInit_ex(context, cipher_of(key), NULL, key->bytes, nonce) == 1 &&
                    EVP_EncryptUpdate(context, text, &len, (const unsigned char *)value.data,
                                      (int)value.len) == 1 &&
                    EVP_EncryptFinal_ex(context, text + len, &rest) == 1 &&
                    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, tag) == 1;
    EVP_CIPHER_CTX_free(context);
    return ok;
}

bool
encryption_seal(const struct encryption *encryption, struct arena *arena, struct slice value,
                struct slice *ret_stored)
{
    const struct key *key = &encryption->primary;
    const size_t raw_len = NONCE_BYTES + value.len + TAG_BYTES;
    const size_t text_len = base64_encoded_len(raw_len);
    const size_t len = encryption_sealed_len(encryption, value.len);
    unsigned char *raw = malloc(raw_len); /* large ones should not stay in the arena twice */
    char *stored = arena_alloc(arena, len);
    if (raw == NULL)
        abort();
    const bool ok = encrypt(key, value, raw, raw + NONCE_BYTES, raw + NONCE_BYTES + value.len);
    if (ok) {
        base64_encode(slice_of(raw, raw_len), stored);
        memcpy(stored + text_len, SEPARATOR.data, SEPARATOR.len);
        memcpy(stored + text_len + SEPARATOR.len, key->name.data, key->name.len);
        *ret_stored = slice_of(stored, len);
    }
    free(raw);
    return ok;
}

static bool
decrypt(const struct key *key, struct slice raw, unsigned char *ret_value)
{
    const unsigned char *nonce = (const unsigned char *)raw.data;
    const unsigned char *text = nonce + NONCE_BYTES;
    const size_t text_len = raw.len - NONCE_BYTES - TAG_BYTES;
    unsigned char tag[TAG_BYTES]; /* the library asks for one it may write to */
    int len = 0, rest = 0;
    memcpy(tag, text + text_len, TAG_BYTES);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    const bool ok = context != NULL && fits(raw) &&
                    EVP_DecryptInit_ex(context, cipher_of(key), NULL, key->bytes, nonce) == 1 &&
                    EVP_DecryptUpdate(context, ret_value, &len, text, (int)text_len) == 1 &&
                    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1 &&
                    EVP_DecryptFinal_ex(context, ret_value + len, &rest) == 1;
    EVP_CIPHER_CTX_free(context);
    return ok;
}

/* Where the last separator begins, or -1. */
static ptrdiff_t
find_separator(struct slice stored)
{
    for (size_t i = stored.len; i >= SEPARATOR.len; i--)
        if (slice_eq(slice_of(stored.data + i - SEPARATOR.len, SEPARATOR.len), SEPARATOR))
            return (ptrdiff_t)(i - SEPARATOR.len);
    return -1;
}

static bool
is_named(const struct key *key, struct slice name)
{
    return key->len > 0 && slice_eq(key->name, name);
}

/* With whichever key has that name; both may, if they are two values of one secret. */
static bool
decrypt_named(const struct encryption *encryption, struct slice name, struct slice raw,
              unsigned char *ret_value)
{
    return (is_named(&encryption->primary, name) &&
            decrypt(&encryption->primary, raw, ret_value)) ||
           (is_named(&encryption->secondary, name) &&
            decrypt(&encryption->secondary, raw, ret_value));
}

bool
encryption_open(const struct encryption *encryption, struct arena *arena, struct slice stored,
                struct slice *ret_value, struct slice *ret_error)
{
    *ret_value = SLICE_EMPTY;
    if (stored.len == 0)
        return true;
    const ptrdiff_t at = find_separator(stored);
    const struct slice name = at < 0 ? SLICE_EMPTY : slice_from(stored, (size_t)at + SEPARATOR.len);
    if (name.len == 0) {
        *ret_error = SLICE("encryption key name not found on record");
        return false;
    }
    if (!is_named(&encryption->primary, name) && !is_named(&encryption->secondary, name)) {
        *ret_error = arena_printf(arena,
                                  "the record was encrypted with the key " SLICE_FMT
                                  ", which is neither the primary nor the secondary one",
                                  SLICE_ARG(slice_first(name, 256)));
        return false;
    }
    const struct slice text = slice_first(stored, (size_t)at);
    char *raw = arena_alloc(arena, base64_decoded_max(text.len));
    size_t raw_len = 0;
    if (!base64_decode(text, raw, &raw_len) || raw_len < NONCE_BYTES + TAG_BYTES) {
        *ret_error = SLICE("the record is damaged: not what encryption writes");
        return false;
    }
    const size_t len = raw_len - NONCE_BYTES - TAG_BYTES;
    char *value = arena_alloc(arena, len + 1);
    if (!decrypt_named(encryption, name, slice_of(raw, raw_len), (unsigned char *)value)) {
        *ret_error = SLICE("cipher: message authentication failed");
        return false;
    }
    *ret_value = slice_of(value, len);
    return true;
}
