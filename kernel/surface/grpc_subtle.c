/* SPDX-License-Identifier: Apache-2.0 */
/* The subtle cryptography API over gRPC: one handler a row of methods.def. */
#include "api/crypto_call.h"
#include "dapr/proto/runtime/v1/crypto.pb-c.h"
#include "surface/grpc_surface.h"

#define TYPE(name) dapr__proto__runtime__v1__subtle_##name##_request__descriptor

/* False: the call has been ended. */
static bool
run(struct rpc *rpc, const char *provider_name, const struct crypto_operation *operation,
    struct crypto_result *ret_result)
{
    struct component *provider;
    if (crypto_provider_find(&rpc->rq, slice_str(provider_name), &provider) == OK && /* suspends */
        crypto_subtle(&rpc->rq, provider, operation, ret_result) == OK)
        return true;
    rpc_fail(rpc);
    return false;
}

void
grpc_subtle_get_key(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__SubtleGetKeyRequest *in = rpc_request(rpc, &TYPE(get_key));
    Dapr__Proto__Runtime__V1__SubtleGetKeyResponse out =
        DAPR__PROTO__RUNTIME__V1__SUBTLE_GET_KEY_RESPONSE__INIT;
    struct component *provider;
    struct slice key;
    if (in == NULL)
        return;
    bool as_jwk = in->format == DAPR__PROTO__RUNTIME__V1__SUBTLE_GET_KEY_REQUEST__KEY_FORMAT__JSON;
    if (crypto_provider_find(&rpc->rq, slice_str(in->component_name), &provider) != OK ||
        crypto_get_key(&rpc->rq, provider, slice_str(in->name), as_jwk, &key) != OK) {
        rpc_fail(rpc);
        return;
    }
    out.name = in->name;
    out.public_key = pb_string(rpc->rq.arena, key);
    rpc_reply(rpc, &out.base);
}

void
grpc_subtle_encrypt(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__SubtleEncryptRequest *in = rpc_request(rpc, &TYPE(encrypt));
    Dapr__Proto__Runtime__V1__SubtleEncryptResponse out =
        DAPR__PROTO__RUNTIME__V1__SUBTLE_ENCRYPT_RESPONSE__INIT;
    struct crypto_result result;
    if (in == NULL)
        return;
    const struct crypto_operation operation = { .method = CRYPTO_ENCRYPT,
                                                .key_name = slice_str(in->key_name),
                                                .algorithm = slice_str(in->algorithm),
                                                .data = pb_slice(in->plaintext),
                                                .nonce = pb_slice(in->nonce),
                                                .associated_data = pb_slice(in->associated_data) };
    if (!run(rpc, in->component_name, &operation, &result))
        return;
    out.ciphertext = pb_bytes(result.data);
    out.tag = pb_bytes(result.tag);
    rpc_reply(rpc, &out.base);
}

void
grpc_subtle_decrypt(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__SubtleDecryptRequest *in = rpc_request(rpc, &TYPE(decrypt));
    Dapr__Proto__Runtime__V1__SubtleDecryptResponse out =
        DAPR__PROTO__RUNTIME__V1__SUBTLE_DECRYPT_RESPONSE__INIT;
    struct crypto_result result;
    if (in == NULL)
        return;
    const struct crypto_operation operation = { .method = CRYPTO_DECRYPT,
                                                .key_name = slice_str(in->key_name),
                                                .algorithm = slice_str(in->algorithm),
                                                .data = pb_slice(in->ciphertext),
                                                .nonce = pb_slice(in->nonce),
                                                .tag = pb_slice(in->tag),
                                                .associated_data = pb_slice(in->associated_data) };
    if (!run(rpc, in->component_name, &operation, &result))
        return;
    out.plaintext = pb_bytes(result.data);
    rpc_reply(rpc, &out.base);
}

void
grpc_subtle_wrap(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__SubtleWrapKeyRequest *in = rpc_request(rpc, &TYPE(wrap_key));
    Dapr__Proto__Runtime__V1__SubtleWrapKeyResponse out =
        DAPR__PROTO__RUNTIME__V1__SUBTLE_WRAP_KEY_RESPONSE__INIT;
    struct crypto_result result;
    if (in == NULL)
        return;
    const struct crypto_operation operation = { .method = CRYPTO_WRAP,
                                                .key_name = slice_str(in->key_name),
                                                .algorithm = slice_str(in->algorithm),
                                                .data = pb_slice(in->plaintext_key),
                                                .nonce = pb_slice(in->nonce),
                                                .associated_data = pb_slice(in->associated_data) };
    if (!run(rpc, in->component_name, &operation, &result))
        return;
    out.wrapped_key = pb_bytes(result.data);
    out.tag = pb_bytes(result.tag);
    rpc_reply(rpc, &out.base);
}

void
grpc_subtle_unwrap(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__SubtleUnwrapKeyRequest *in = rpc_request(rpc,
                                                                             &TYPE(unwrap_key));
    Dapr__Proto__Runtime__V1__SubtleUnwrapKeyResponse out =
        DAPR__PROTO__RUNTIME__V1__SUBTLE_UNWRAP_KEY_RESPONSE__INIT;
    struct crypto_result result;
    if (in == NULL)
        return;
    const struct crypto_operation operation = { .method = CRYPTO_UNWRAP,
                                                .key_name = slice_str(in->key_name),
                                                .algorithm = slice_str(in->algorithm),
                                                .data = pb_slice(in->wrapped_key),
                                                .nonce = pb_slice(in->nonce),
                                                .tag = pb_slice(in->tag),
                                                .associated_data = pb_slice(in->associated_data) };
    if (!run(rpc, in->component_name, &operation, &result))
        return;
    out.plaintext_key = pb_bytes(result.data);
    rpc_reply(rpc, &out.base);
}

void
grpc_subtle_sign(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__SubtleSignRequest *in = rpc_request(rpc, &TYPE(sign));
    Dapr__Proto__Runtime__V1__SubtleSignResponse out =
        DAPR__PROTO__RUNTIME__V1__SUBTLE_SIGN_RESPONSE__INIT;
    struct crypto_result result;
    if (in == NULL)
        return;
    const struct crypto_operation operation = { .method = CRYPTO_SIGN,
                                                .key_name = slice_str(in->key_name),
                                                .algorithm = slice_str(in->algorithm),
                                                .data = pb_slice(in->digest) };
    if (!run(rpc, in->component_name, &operation, &result))
        return;
    out.signature = pb_bytes(result.data);
    rpc_reply(rpc, &out.base);
}

void
grpc_subtle_verify(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__SubtleVerifyRequest *in = rpc_request(rpc, &TYPE(verify));
    Dapr__Proto__Runtime__V1__SubtleVerifyResponse out =
        DAPR__PROTO__RUNTIME__V1__SUBTLE_VERIFY_RESPONSE__INIT;
    struct crypto_result result;
    if (in == NULL)
        return;
    const struct crypto_operation operation = { .method = CRYPTO_VERIFY,
                                                .key_name = slice_str(in->key_name),
                                                .algorithm = slice_str(in->algorithm),
                                                .data = pb_slice(in->digest),
                                                .signature = pb_slice(in->signature) };
    if (!run(rpc, in->component_name, &operation, &result))
        return;
    out.valid = result.is_valid;
    rpc_reply(rpc, &out.base);
}
