/* SPDX-License-Identifier: Apache-2.0 */
/* Operations of the API on keys; see provider.h. Words of failures are the reference's. */
#include "provider.h"

#include <string.h>

#include "operate.h"

enum { ALGORITHM_BYTES = 64 };

/* Empty if it is longer than any that there is. */
static const char *
name_of(const struct remora_crypto *crypto, char ret_name[ALGORITHM_BYTES])
{
    const size_t len = crypto->algorithm.len < ALGORITHM_BYTES ? crypto->algorithm.len : 0;
    memcpy(ret_name, crypto->algorithm.data, len);
    ret_name[len] = '\0';
    return ret_name;
}

struct question {
    remora_call *call;
    const struct remora_crypto *crypto;
    enum key_use use;
    const char *finding; /* what is said before why there is no key */
};

/* A reference to the key, if it may be used so; NULL: the call has been answered. */
static struct key *
ask(const struct question *question, void *self, struct why *why)
{
    struct provider *provider = self;
    char algorithm[ALGORITHM_BYTES];
    struct key *key = provider->find(provider, question->crypto->key, why);
    if (key == NULL) {
        remora_reply_error(question->call, REMORA_NOT_FOUND, "%s: %s", question->finding,
                           why->text);
        return NULL;
    }
    if (key_allows(key, question->use, name_of(question->crypto, algorithm), why))
        return key;
    remora_reply_error(question->call, REMORA_FAILED_PRECONDITION, "%s", why->text);
    key_unref(key);
    return NULL;
}

static struct input
input_of(const struct remora_crypto *crypto)
{
    return (struct input){ crypto->data, crypto->nonce, crypto->associated_data, crypto->tag };
}

static void
answer(remora_call *call, bool ok, struct output *output, const char *doing, const struct why *why)
{
    if (ok)
        remora_crypto_reply(call, (struct remora_slice){ (const char *)output->data, output->len },
                            (struct remora_slice){ (const char *)output->tag, output->tag_len });
    else
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s: %s", doing, why->text);
    output_free(output);
}

static void
encrypt_with(remora_call *call, void *self, const struct remora_crypto *crypto, enum key_use use,
             const char *finding)
{
    const struct question question = { call, crypto, use, finding };
    struct why why = { "" };
    struct key *key = ask(&question, self, &why);
    struct output output = { 0 };
    char algorithm[ALGORITHM_BYTES];
    if (key == NULL)
        return;
    const struct input input = input_of(crypto);
    const bool ok = operate_encrypt(key, name_of(crypto, algorithm), &input, &output, &why);
    key_unref(key);
    answer(call, ok, &output, "failed to encrypt data", &why);
}

static void
decrypt_with(remora_call *call, void *self, const struct remora_crypto *crypto, enum key_use use,
             const char *finding)
{
    const struct question question = { call, crypto, use, finding };
    struct why why = { "" };
    struct key *key = ask(&question, self, &why);
    struct output output = { 0 };
    char algorithm[ALGORITHM_BYTES];
    if (key == NULL)
        return;
    const struct input input = input_of(crypto);
    const bool ok = operate_decrypt(key, name_of(crypto, algorithm), &input, &output, &why);
    key_unref(key);
    answer(call, ok, &output, "failed to decrypt data", &why);
}

#define NO_KEY "failed to retrieve the key"
#define NO_WRAPPING_KEY "failed to retrieve the key encryption key"

static void
provider_encrypt(remora_call *call, void *self, const struct remora_crypto *crypto)
{
    encrypt_with(call, self, crypto, KEY_ENCRYPT, NO_KEY);
}

static void
provider_decrypt(remora_call *call, void *self, const struct remora_crypto *crypto)
{
    decrypt_with(call, self, crypto, KEY_DECRYPT, NO_KEY);
}

static void
provider_wrap(remora_call *call, void *self, const struct remora_crypto *crypto)
{
    encrypt_with(call, self, crypto, KEY_WRAP, NO_WRAPPING_KEY);
}

static void
provider_unwrap(remora_call *call, void *self, const struct remora_crypto *crypto)
{
    decrypt_with(call, self, crypto, KEY_UNWRAP, NO_WRAPPING_KEY);
}

static void
provider_sign(remora_call *call, void *self, const struct remora_crypto *crypto)
{
    const struct question question = { call, crypto, KEY_SIGN, NO_KEY };
    struct why why = { "" };
    struct key *key = ask(&question, self, &why);
    struct output output = { 0 };
    char algorithm[ALGORITHM_BYTES];
    if (key == NULL)
        return;
    const bool ok = operate_sign(key, name_of(crypto, algorithm), crypto->data, &output, &why);
    key_unref(key);
    answer(call, ok, &output, "failed to sign message", &why);
}

static void
provider_verify(remora_call *call, void *self, const struct remora_crypto *crypto)
{
    const struct question question = { call, crypto, KEY_VERIFY, NO_KEY };
    struct why why = { "" };
    struct key *key = ask(&question, self, &why);
    char algorithm[ALGORITHM_BYTES];
    bool is_valid = false;
    if (key == NULL)
        return;
    const bool ok = operate_verify(key, name_of(crypto, algorithm), crypto->data, crypto->signature,
                                   &is_valid, &why);
    key_unref(key);
    if (ok)
        remora_crypto_reply_valid(call, is_valid);
    else
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "failed to validate the signature: %s",
                           why.text);
}

static void
provider_get_key(remora_call *call, void *self, struct remora_slice name, bool as_jwk)
{
    struct provider *provider = self;
    struct why why = { "" };
    size_t len = 0;
    struct key *key = provider->find(provider, name, &why);
    if (key == NULL) {
        remora_reply_error(call, REMORA_NOT_FOUND, "%s", why.text);
        return;
    }
    /* A symmetric key has nothing to show. */
    char *text = as_jwk ? key_public_jwk(key, &len) : key_public_pem(key, &len);
    if (text == NULL)
        remora_reply_error(call, REMORA_NOT_FOUND, "key not found");
    else
        remora_crypto_reply(call, (struct remora_slice){ text, len },
                            (struct remora_slice){ "", 0 });
    free(text);
    key_unref(key);
}

const struct remora_crypto_ops provider_ops = {
    .get_key = provider_get_key,
    .encrypt = provider_encrypt,
    .decrypt = provider_decrypt,
    .wrap = provider_wrap,
    .unwrap = provider_unwrap,
    .sign = provider_sign,
    .verify = provider_verify,
};
