/* SPDX-License-Identifier: Apache-2.0 */
/* Cryptography: one operation with one key decoded, handed to the type's function, answered. */
#include "sdk.h"

#include <assert.h>

#include "base/pb.h"

typedef void crypto_fn(remora_call *call, void *self, const struct remora_crypto *crypto);

static crypto_fn *
function_of(const struct remora_crypto_ops *ops, uint32_t method)
{
    switch (method) {
    case METHOD(CRYPTO_ENCRYPT):
        return ops->encrypt;
    case METHOD(CRYPTO_DECRYPT):
        return ops->decrypt;
    case METHOD(CRYPTO_WRAP):
        return ops->wrap;
    case METHOD(CRYPTO_UNWRAP):
        return ops->unwrap;
    case METHOD(CRYPTO_SIGN):
        return ops->sign;
    default:
        return ops->verify;
    }
}

static struct remora_slice
slice_of_bytes(const ProtobufCBinaryData *bytes)
{
    return to_remora(slice_of((const char *)bytes->data, bytes->len));
}

static void
run(struct remora_call *call, crypto_fn *fn)
{
    const Remora__Plugin__V1__CryptoRequest *in = call_unpack(
        call, &remora__plugin__v1__crypto_request__descriptor);
    if (in == NULL || in->key[0] == '\0') {
        call_refuse_malformed(call, "CryptoRequest");
        return;
    }
    struct remora_crypto *crypto = ARENA_NEW(&call->arena, struct remora_crypto);
    *crypto = (struct remora_crypto){
        .key = to_remora(slice_str(in->key)),
        .algorithm = to_remora(slice_str(in->algorithm)),
        .data = to_remora(call->body),
        .nonce = slice_of_bytes(&in->nonce),
        .associated_data = slice_of_bytes(&in->associated_data),
        .tag = slice_of_bytes(&in->tag),
        .signature = slice_of_bytes(&in->signature),
    };
    fn(call, call->component->self, crypto);
}

static void
get_key(struct remora_call *call, const struct remora_crypto_ops *ops)
{
    const Remora__Plugin__V1__CryptoGetKey *in = call_unpack(
        call, &remora__plugin__v1__crypto_get_key__descriptor);
    if (in == NULL || in->key[0] == '\0')
        call_refuse_malformed(call, "CryptoGetKey");
    else
        ops->get_key(call, call->component->self, to_remora(slice_str(in->key)),
                     in->format == REMORA__PLUGIN__V1__CRYPTO_KEY_FORMAT__CRYPTO_KEY_FORMAT_JSON);
}

void
crypto_run(struct remora_call *call)
{
    const struct remora_crypto_ops *ops = call->component->type->crypto;
    if (ops == NULL ||
        (call->method == METHOD(CRYPTO_GET_KEY) ? ops->get_key == NULL
                                                : function_of(ops, call->method) == NULL))
        call_refuse_unsupported(call);
    else if (call->method == METHOD(CRYPTO_GET_KEY))
        get_key(call, ops);
    else
        run(call, function_of(ops, call->method));
}

void
remora_crypto_reply(remora_call *call, struct remora_slice data, struct remora_slice tag)
{
    assert(call->method >= METHOD(CRYPTO_GET_KEY) && call->method <= METHOD(CRYPTO_SIGN));
    Remora__Plugin__V1__CryptoReply reply = REMORA__PLUGIN__V1__CRYPTO_REPLY__INIT;
    const struct remora_bytes body = { .data = data.data, .len = data.len };
    reply.tag.data = (uint8_t *)(uintptr_t)tag.data;
    reply.tag.len = tag.len;
    call_reply(call, pb_pack(&call->arena, &reply.base), &body, 1);
}

void
remora_crypto_reply_valid(remora_call *call, bool valid)
{
    assert(call->method == METHOD(CRYPTO_VERIFY));
    Remora__Plugin__V1__CryptoVerifyReply reply = REMORA__PLUGIN__V1__CRYPTO_VERIFY_REPLY__INIT;
    reply.valid = valid;
    call_reply(call, pb_pack(&call->arena, &reply.base), NULL, 0);
}
