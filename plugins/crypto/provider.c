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

/* What one method does with a key that may be used so. It answers the call. */
struct method {
    enum key_use use;
    const char *finding; /* what is said before why there is no key */
    void (*run)(remora_call *call, const struct remora_crypto *crypto, const struct key *key,
                const char *algorithm);
};

/* A call whose key is looked for, in its memory. */
struct question {
    remora_call *call;
    const struct method *method;
    const struct remora_crypto *crypto;
    bool as_jwk; /* of get_key */
};

static void
on_key(struct key *key, const struct why *why, void *arg)
{
    const struct question *question = arg;
    const struct method *method = question->method;
    char algorithm[ALGORITHM_BYTES];
    struct why reason;
    if (key == NULL) {
        remora_reply_error(question->call, REMORA_NOT_FOUND, "%s: %s", method->finding, why->text);
        return;
    }
    (void)name_of(question->crypto, algorithm);
    if (key_allows(key, method->use, algorithm, &reason))
        method->run(question->call, question->crypto, key, algorithm);
    else
        remora_reply_error(question->call, REMORA_FAILED_PRECONDITION, "%s", reason.text);
    key_unref(key);
}

static void
ask(remora_call *call, void *self, const struct remora_crypto *crypto, const struct method *method)
{
    struct provider *provider = self;
    struct question *question = remora_call_alloc(call, sizeof *question);
    *question = (struct question){ .call = call, .method = method, .crypto = crypto };
    provider->find(provider, call, crypto->key, on_key, question);
}

/* --- what they do ------------------------------------------------------------------------------*/

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
encrypt(remora_call *call, const struct remora_crypto *crypto, const struct key *key,
        const char *algorithm)
{
    struct why why = { "" };
    struct output output = { 0 };
    const struct input input = input_of(crypto);
    const bool ok = operate_encrypt(key, algorithm, &input, &output, &why);
    answer(call, ok, &output, "failed to encrypt data", &why);
}

static void
decrypt(remora_call *call, const struct remora_crypto *crypto, const struct key *key,
        const char *algorithm)
{
    struct why why = { "" };
    struct output output = { 0 };
    const struct input input = input_of(crypto);
    const bool ok = operate_decrypt(key, algorithm, &input, &output, &why);
    answer(call, ok, &output, "failed to decrypt data", &why);
}

static void
sign(remora_call *call, const struct remora_crypto *crypto, const struct key *key,
     const char *algorithm)
{
    struct why why = { "" };
    struct output output = { 0 };
    const bool ok = operate_sign(key, algorithm, crypto->data, &output, &why);
    answer(call, ok, &output, "failed to sign message", &why);
}

static void
verify(remora_call *call, const struct remora_crypto *crypto, const struct key *key,
       const char *algorithm)
{
    struct why why = { "" };
    bool is_valid = false;
    if (operate_verify(key, algorithm, crypto->data, crypto->signature, &is_valid, &why))
        remora_crypto_reply_valid(call, is_valid);
    else
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "failed to validate the signature: %s",
                           why.text);
}

/* --- the methods -------------------------------------------------------------------------------*/

#define NO_KEY "failed to retrieve the key"
#define NO_WRAPPING_KEY "failed to retrieve the key encryption key"

static void
provider_encrypt(remora_call *call, void *self, const struct remora_crypto *crypto)
{
    static const struct method method = { KEY_ENCRYPT, NO_KEY, encrypt };
    ask(call, self, crypto, &method);
}

static void
provider_decrypt(remora_call *call, void *self, const struct remora_crypto *crypto)
{
    static const struct method method = { KEY_DECRYPT, NO_KEY, decrypt };
    ask(call, self, crypto, &method);
}

static void
provider_wrap(remora_call *call, void *self, const struct remora_crypto *crypto)
{
    static const struct method method = { KEY_WRAP, NO_WRAPPING_KEY, encrypt };
    ask(call, self, crypto, &method);
}

static void
provider_unwrap(remora_call *call, void *self, const struct remora_crypto *crypto)
{
    static const struct method method = { KEY_UNWRAP, NO_WRAPPING_KEY, decrypt };
    ask(call, self, crypto, &method);
}

static void
provider_sign(remora_call *call, void *self, const struct remora_crypto *crypto)
{
    static const struct method method = { KEY_SIGN, NO_KEY, sign };
    ask(call, self, crypto, &method);
}

static void
provider_verify(remora_call *call, void *self, const struct remora_crypto *crypto)
{
    static const struct method method = { KEY_VERIFY, NO_KEY, verify };
    ask(call, self, crypto, &method);
}

static void
on_public_key(struct key *key, const struct why *why, void *arg)
{
    const struct question *question = arg;
    size_t len = 0;
    if (key == NULL) {
        remora_reply_error(question->call, REMORA_NOT_FOUND, "%s", why->text);
        return;
    }
    /* A symmetric key has nothing to show. */
    char *text = question->as_jwk ? key_public_jwk(key, &len) : key_public_pem(key, &len);
    if (text == NULL)
        remora_reply_error(question->call, REMORA_NOT_FOUND, "key not found");
    else
        remora_crypto_reply(question->call, (struct remora_slice){ text, len },
                            (struct remora_slice){ "", 0 });
    free(text);
    key_unref(key);
}

static void
provider_get_key(remora_call *call, void *self, struct remora_slice name, bool as_jwk)
{
    struct provider *provider = self;
    struct question *question = remora_call_alloc(call, sizeof *question);
    *question = (struct question){ .call = call, .as_jwk = as_jwk };
    provider->find(provider, call, name, on_public_key, question);
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
