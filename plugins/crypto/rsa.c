/* SPDX-License-Identifier: Apache-2.0 */
/* RSA encryption (RFC 8017): PKCS #1 v1.5 and OAEP with four digests, the associated data being the
 * label; see operate.h. */
#include <openssl/rsa.h>
#include <string.h>

#include "operate.h"

static const struct algorithm {
    const char *name;
    const EVP_MD *(*digest)(void); /* NULL: PKCS #1 v1.5 */
} algorithms[] = {
    { "RSA1_5", NULL },
    { "RSA-OAEP", EVP_sha1 },
    { "RSA-OAEP-256", EVP_sha256 },
    { "RSA-OAEP-384", EVP_sha384 },
    { "RSA-OAEP-512", EVP_sha512 },
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
rsa_knows(const char *algorithm)
{
    return find(algorithm) != NULL;
}

static bool
set_padding(EVP_PKEY_CTX *context, const struct algorithm *algorithm, struct remora_slice label)
{
    if (algorithm->digest == NULL)
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
    if (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) != 1 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(context, algorithm->digest()) != 1 ||
        EVP_PKEY_CTX_set_rsa_mgf1_md(context, algorithm->digest()) != 1)
        return false;
    if (label.len == 0)
        return true;
    void *copy = OPENSSL_memdup(label.data, label.len);
    if (copy != NULL && EVP_PKEY_CTX_set0_rsa_oaep_label(context, copy, (int)label.len) == 1)
        return true;
    OPENSSL_free(copy);
    return false;
}

typedef int init_fn(EVP_PKEY_CTX *context);
typedef int run_fn(EVP_PKEY_CTX *context, unsigned char *out, size_t *out_len,
                   const unsigned char *in, size_t in_len);

static bool
run(const struct key *key, const char *algorithm, const struct input *input, init_fn *init,
    run_fn *fn, struct output *output)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key->pair, NULL);
    output_reserve(output, (size_t)EVP_PKEY_get_size(key->pair));
    size_t len = output->room;
    const bool ok = context != NULL && init(context) == 1 &&
                    set_padding(context, find(algorithm), input->associated_data) &&
                    fn(context, output->data, &len, (const unsigned char *)input->data.data,
                       input->data.len) == 1;
    EVP_PKEY_CTX_free(context);
    output->len = ok ? len : 0;
    return ok;
}

bool
rsa_encrypt(const struct key *key, const char *algorithm, const struct input *input,
            struct output *output, struct why *why)
{
    if (key->kind != KEY_RSA)
        return why_set(why, "key type mismatch");
    return run(key, algorithm, input, EVP_PKEY_encrypt_init, EVP_PKEY_encrypt, output) ||
           why_set(why, "the message cannot be encrypted");
}

bool
rsa_decrypt(const struct key *key, const char *algorithm, const struct input *input,
            struct output *output, struct why *why)
{
    if (key->kind != KEY_RSA || !key->is_private)
        return why_set(why, "key type mismatch");
    return run(key, algorithm, input, EVP_PKEY_decrypt_init, EVP_PKEY_decrypt, output) ||
           why_set(why, "the message cannot be decrypted");
}
