/* SPDX-License-Identifier: Apache-2.0 */
/* Ciphers with octets as keys: AES in CBC, GCM, key wrap (RFC 3394) and CBC with HMAC (RFC 7518,
 * 5.2), ChaCha20-Poly1305 with both lengths of nonces; see operate.h. */
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "operate.h"

enum { BLOCK_BYTES = 16, AEAD_NONCE_BYTES = 12, AEAD_TAG_BYTES = 16, XNONCE_BYTES = 24 };

enum form { CBC, GCM, RFC3394, CBC_HMAC, CHACHA, XCHACHA };

static const struct algorithm {
    const char *name;
    enum form form;
    size_t key_bytes;
} algorithms[] = {
    { "A128CBC", CBC, 16 },
    { "A192CBC", CBC, 24 },
    { "A256CBC", CBC, 32 },
    { "A128GCM", GCM, 16 },
    { "A192GCM", GCM, 24 },
    { "A256GCM", GCM, 32 },
    { "A128KW", RFC3394, 16 },
    { "A192KW", RFC3394, 24 },
    { "A256KW", RFC3394, 32 },
    { "A128CBC-HS256", CBC_HMAC, 32 },
    { "A192CBC-HS384", CBC_HMAC, 48 },
    { "A256CBC-HS512", CBC_HMAC, 64 },
    { "C20P", CHACHA, 32 },
    { "C20PKW", CHACHA, 32 },
    { "XC20P", XCHACHA, 32 },
    { "XC20PKW", XCHACHA, 32 },
};

static const struct algorithm *
find(const char *name)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++)
        if (strcmp(name, algorithms[i].name) == 0)
            return &algorithms[i];
    return NULL;
}

bool
symmetric_knows(const char *algorithm)
{
    return find(algorithm) != NULL;
}

static const unsigned char *
bytes_of(struct remora_slice slice)
{
    return (const unsigned char *)slice.data;
}

/* --- checks ------------------------------------------------------------------------------------*/

static size_t
nonce_bytes(enum form form)
{
    switch (form) {
    case CBC:
    case CBC_HMAC:
        return BLOCK_BYTES;
    case GCM:
    case CHACHA:
        return AEAD_NONCE_BYTES;
    case XCHACHA:
        return XNONCE_BYTES;
    case RFC3394:
    default:
        return 0;
    }
}

static bool
check(const struct key *key, const struct algorithm *algorithm, const struct input *input,
      struct why *why)
{
    if (key->kind != KEY_OCTETS || key->octet_count != algorithm->key_bytes)
        return why_set(why, "key type mismatch");
    if (algorithm->form != RFC3394 && input->nonce.len != nonce_bytes(algorithm->form))
        return why_set(why, "invalid nonce");
    /* libcrypto counts in int. */
    if (input->data.len > INT_MAX - 64 || input->associated_data.len > INT_MAX - 64)
        return why_set(why, "the message is too large");
    return true;
}

/* --- plain modes -------------------------------------------------------------------------------*/

static const EVP_CIPHER *
cbc_of(size_t key_bytes)
{
    return key_bytes == 16   ? EVP_aes_128_cbc()
           : key_bytes == 24 ? EVP_aes_192_cbc()
                             : EVP_aes_256_cbc();
}

static const EVP_CIPHER *
wrap_of(size_t key_bytes)
{
    return key_bytes == 16   ? EVP_aes_128_wrap()
           : key_bytes == 24 ? EVP_aes_192_wrap()
                             : EVP_aes_256_wrap();
}

struct run {
    const EVP_CIPHER *cipher;
    const unsigned char *key;
    const unsigned char *nonce; /* NULL: there is none */
    bool encrypts;
};

/* Padding as the cipher has it by default. */
static bool
run_plain(const struct run *run, struct remora_slice data, struct output *output)
{
    int len = 0, rest = 0;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    output_reserve(output, data.len + 2 * BLOCK_BYTES);
    if (context != NULL)
        EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    const bool ok = context != NULL &&
                    EVP_CipherInit_ex(context, run->cipher, NULL, run->key, run->nonce,
                                      run->encrypts) == 1 &&
                    EVP_CipherUpdate(context, output->data, &len, bytes_of(data), (int)data.len) ==
                        1 &&
                    EVP_CipherFinal_ex(context, output->data + len, &rest) == 1;
    EVP_CIPHER_CTX_free(context);
    output->len = ok ? (size_t)len + (size_t)rest : 0;
    return ok;
}

static bool
run_wrap(const struct algorithm *algorithm, const struct key *key, bool encrypts,
         const struct input *input, struct output *output)
{
    const struct run run = { wrap_of(algorithm->key_bytes), key->octets, NULL, encrypts };
    const size_t least = encrypts ? 16 : 24;
    return input->data.len % 8 == 0 && input->data.len >= least &&
           run_plain(&run, input->data, output);
}

/* --- authenticated modes -----------------------------------------------------------------------*/

struct aead {
    const EVP_CIPHER *cipher;
    unsigned char key[32];
    unsigned char nonce[AEAD_NONCE_BYTES];
};

static bool
aead_init(struct aead *aead, const struct algorithm *algorithm, const struct key *key,
          const struct input *input)
{
    aead->cipher = algorithm->form != GCM       ? EVP_chacha20_poly1305()
                   : algorithm->key_bytes == 16 ? EVP_aes_128_gcm()
                   : algorithm->key_bytes == 24 ? EVP_aes_192_gcm()
                                                : EVP_aes_256_gcm();
    if (algorithm->form == XCHACHA)
        return xchacha_derive(key->octets, bytes_of(input->nonce), aead->key, aead->nonce);
    memcpy(aead->key, key->octets, key->octet_count);
    memcpy(aead->nonce, input->nonce.data, sizeof aead->nonce);
    return true;
}

static bool
aead_run(EVP_CIPHER_CTX *context, const struct aead *aead, bool encrypts, const struct input *input,
         struct output *output)
{
    int len = 0, rest = 0;
    const struct remora_slice aad = input->associated_data;
    if (EVP_CipherInit_ex(context, aead->cipher, NULL, aead->key, aead->nonce, encrypts) != 1 ||
        (aad.len > 0 && EVP_CipherUpdate(context, NULL, &len, bytes_of(aad), (int)aad.len) != 1) ||
        (input->data.len > 0 && EVP_CipherUpdate(context, output->data, &len, bytes_of(input->data),
                                                 (int)input->data.len) != 1))
        return false;
    if (!encrypts) {
        unsigned char tag[AEAD_TAG_BYTES]; /* the library asks for one it may write to */
        memcpy(tag, input->tag.data, sizeof tag);
        if (EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) != 1)
            return false;
    }
    if (EVP_CipherFinal_ex(context, output->data + input->data.len, &rest) != 1)
        return false;
    output->len = input->data.len;
    output->tag_len = encrypts ? AEAD_TAG_BYTES : 0;
    return !encrypts ||
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_BYTES, output->tag) == 1;
}

static bool
run_aead(const struct algorithm *algorithm, const struct key *key, bool encrypts,
         const struct input *input, struct output *output)
{
    struct aead aead;
    if (!encrypts && input->tag.len != AEAD_TAG_BYTES)
        return false;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    output_reserve(output, input->data.len + BLOCK_BYTES);
    const bool ok = context != NULL && aead_init(&aead, algorithm, key, input) &&
                    aead_run(context, &aead, encrypts, input, output);
    EVP_CIPHER_CTX_free(context);
    OPENSSL_cleanse(&aead, sizeof aead);
    if (!ok)
        output_free(output);
    return ok;
}

/* --- CBC with HMAC -----------------------------------------------------------------------------*/

/* Of associated data, nonce, ciphertext and the first one's length in bits: half of it is the tag.
 * The key's first half is the HMAC's. */
static bool
cbc_hmac_tag(const struct key *key, const struct input *input, struct remora_slice ciphertext,
             unsigned char ret_mac[EVP_MAX_MD_SIZE])
{
    const size_t half = key->octet_count / 2;
    const EVP_MD *digest = half == 16 ? EVP_sha256() : half == 24 ? EVP_sha384() : EVP_sha512();
    const struct remora_slice aad = input->associated_data;
    const size_t len = aad.len + input->nonce.len + ciphertext.len + 8;
    unsigned char *text = memory_new(len), *at = text;
    const struct remora_slice parts[] = { aad, input->nonce, ciphertext };
    for (size_t i = 0; i < 3; i++) {
        if (parts[i].len > 0)
            memcpy(at, parts[i].data, parts[i].len);
        at += parts[i].len;
    }
    for (unsigned i = 0; i < 8; i++)
        at[i] = (unsigned char)((uint64_t)aad.len * 8 >> (56 - 8 * i));
    unsigned mac_len;
    const bool ok = HMAC(digest, key->octets, (int)half, text, len, ret_mac, &mac_len) != NULL;
    free(text);
    return ok;
}

static bool
run_cbc_hmac(const struct key *key, bool encrypts, const struct input *input, struct output *output)
{
    const size_t half = key->octet_count / 2;
    unsigned char mac[EVP_MAX_MD_SIZE];
    const struct run run = { cbc_of(half), key->octets + half, bytes_of(input->nonce), encrypts };
    if (!encrypts)
        return input->tag.len == half && cbc_hmac_tag(key, input, input->data, mac) &&
               CRYPTO_memcmp(mac, input->tag.data, half) == 0 &&
               run_plain(&run, input->data, output);
    if (!run_plain(&run, input->data, output))
        return false;
    const struct remora_slice text = { (const char *)output->data, output->len };
    if (!cbc_hmac_tag(key, input, text, mac))
        return false;
    memcpy(output->tag, mac, half);
    output->tag_len = half;
    return true;
}

/* --- either way --------------------------------------------------------------------------------*/

static bool
run_any(const struct algorithm *algorithm, const struct key *key, bool encrypts,
        const struct input *input, struct output *output)
{
    const struct run cbc = { cbc_of(algorithm->key_bytes), key->octets, bytes_of(input->nonce),
                             encrypts };
    switch (algorithm->form) {
    case CBC:
        return run_plain(&cbc, input->data, output);
    case RFC3394:
        return run_wrap(algorithm, key, encrypts, input, output);
    case CBC_HMAC:
        return run_cbc_hmac(key, encrypts, input, output);
    case GCM:
    case CHACHA:
    case XCHACHA:
    default:
        return run_aead(algorithm, key, encrypts, input, output);
    }
}

bool
symmetric_encrypt(const struct key *key, const char *algorithm, const struct input *input,
                  struct output *output, struct why *why)
{
    const struct algorithm *found = find(algorithm);
    return check(key, found, input, why) && (run_any(found, key, true, input, output) ||
                                             why_set(why, "the message cannot be encrypted"));
}

bool
symmetric_decrypt(const struct key *key, const char *algorithm, const struct input *input,
                  struct output *output, struct why *why)
{
    const struct algorithm *found = find(algorithm);
    return check(key, found, input, why) && (run_any(found, key, false, input, output) ||
                                             why_set(why, "the message cannot be decrypted"));
}
