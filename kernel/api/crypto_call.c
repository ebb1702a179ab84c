/* SPDX-License-Identifier: Apache-2.0 */
/* One operation with one key; see crypto_call.h. */
#include "api/crypto_call.h"

#include "api/operation.h"
#include "base/limits.h"
#include "base/log.h"

#define METHOD(name) REMORA__PLUGIN__V1__METHOD__METHOD_CRYPTO_##name

static const struct {
    uint32_t method;
    const char *failure; /* in the reference's words */
} methods[CRYPTO_METHODS] = {
    [CRYPTO_ENCRYPT] = { METHOD(ENCRYPT), "failed to encrypt" },
    [CRYPTO_DECRYPT] = { METHOD(DECRYPT), "failed to decrypt" },
    [CRYPTO_WRAP] = { METHOD(WRAP), "failed to wrap key" },
    [CRYPTO_UNWRAP] = { METHOD(UNWRAP), "failed to unwrap key" },
    [CRYPTO_SIGN] = { METHOD(SIGN), "failed to sign" },
    [CRYPTO_VERIFY] = { METHOD(VERIFY), "failed to verify" },
};

err_t
crypto_provider_find(struct request *rq, struct slice name, struct component **ret_provider)
{
    if (rq->components->kind_count[COMPONENT_CRYPTO] > 0 && name.len == 0)
        return fail(rq, ERR_BAD_REQUEST, "invalid request: missing component name");
    *ret_provider = operation_component(rq, COMPONENT_CRYPTO, name); /* suspends */
    if (*ret_provider != NULL)
        return OK;
    return rq->components->kind_count[COMPONENT_CRYPTO] == 0
               ? fail(rq, ERR_CRYPTO_PROVIDERS_NOT_CONFIGURED, "crypto providers not configured")
               : fail(rq, ERR_CRYPTO_PROVIDER_NOT_FOUND, "crypto provider " SLICE_FMT " not found",
                      SLICE_ARG(slice_first(name, LIMIT_crypto_key_name_bytes_max)));
}

/* Whether a name can be told to a plugin at all. */
static bool
is_name(struct slice name)
{
    return name.len > 0 && name.len <= LIMIT_crypto_key_name_bytes_max &&
           slice_find_byte(name, '\0') < 0;
}

static err_t
run(struct request *rq, struct component *provider, const struct operation *operation,
    struct component_call *ret_call, struct slice *ret_reason)
{
    err_t err = operation_run(rq, provider, operation, ret_call); /* suspends */
    if (!operation_has_failed(err, ret_call))
        return OK;
    *ret_reason = arena_dup(rq->arena, operation_reason(rq, err, ret_call));
    return err == OK ? ERR_PLUGIN_FAILED : err;
}

static struct slice
pack_request(struct request *rq, const struct crypto_operation *operation)
{
    Remora__Plugin__V1__CryptoRequest message = REMORA__PLUGIN__V1__CRYPTO_REQUEST__INIT;
    message.key = pb_string(rq->arena, operation->key_name);
    message.algorithm = pb_string(rq->arena, operation->algorithm);
    message.nonce = pb_bytes(operation->nonce);
    message.associated_data = pb_bytes(operation->associated_data);
    message.tag = pb_bytes(operation->tag);
    message.signature = pb_bytes(operation->signature);
    return pb_pack(rq->arena, &message.base);
}

static err_t
read_body(struct request *rq, struct component_call *call, struct slice *ret_body)
{
    struct slice body;
    err_t err = bus_call_body_all(rq->task, &call->bus, LIMIT_crypto_answer_bytes_max, &body);
    if (err == OK)
        *ret_body = arena_dup(rq->arena, body);
    return err;
}

static err_t
read_answer(struct request *rq, enum crypto_method method, struct component_call *call,
            struct crypto_result *ret_result)
{
    struct crypto_result result = { .data = SLICE_EMPTY, .tag = SLICE_EMPTY };
    if (method == CRYPTO_VERIFY) {
        const Remora__Plugin__V1__CryptoVerifyReply *reply = operation_unpack(
            rq, &remora__plugin__v1__crypto_verify_reply__descriptor, 1, call);
        if (reply == NULL)
            return ERR_PLUGIN_PROTOCOL;
        result.is_valid = reply->valid;
        *ret_result = result;
        return OK;
    }
    const Remora__Plugin__V1__CryptoReply *reply = operation_unpack(
        rq, &remora__plugin__v1__crypto_reply__descriptor, 1, call);
    if (reply == NULL)
        return ERR_PLUGIN_PROTOCOL;
    result.tag = arena_dup(rq->arena, pb_slice(reply->tag));
    err_t err = read_body(rq, call, &result.data); /* suspends */
    if (err == OK)
        *ret_result = result;
    return err;
}

err_t
crypto_call(struct request *rq, struct component *provider,
            const struct crypto_operation *operation, struct crypto_result *ret_result,
            struct slice *ret_reason)
{
    struct component_call call;
    const struct operation sent = { .method = methods[operation->method].method,
                                    .message = pack_request(rq, operation),
                                    .parts = &operation->data,
                                    .part_count = operation->data.len > 0 ? 1 : 0 };
    rq->arena->is_secret = task_arena(rq->task)->is_secret = true;
    *ret_reason = SLICE("key not found");
    if (!is_name(operation->key_name) || slice_find_byte(operation->algorithm, '\0') >= 0)
        return ERR_PLUGIN_FAILED;
    err_t err = run(rq, provider, &sent, &call, ret_reason); /* suspends */
    if (err == OK) {
        *ret_reason = SLICE("the plugin's answer is malformed");
        err = read_answer(rq, operation->method, &call, ret_result); /* suspends */
    }
    component_call_finish(rq->task, &call);
    return err;
}

/* --- the subtle API ----------------------------------------------------------------------------*/

err_t
crypto_get_key(struct request *rq, struct component *provider, struct slice key_name, bool as_jwk,
               struct slice *ret_key)
{
    struct component_call call = { 0 };
    struct slice reason = SLICE("key not found");
    Remora__Plugin__V1__CryptoGetKey message = REMORA__PLUGIN__V1__CRYPTO_GET_KEY__INIT;
    err_t err = ERR_PLUGIN_FAILED;
    if (is_name(key_name)) {
        message.key = pb_string(rq->arena, key_name);
        message.format = as_jwk ? REMORA__PLUGIN__V1__CRYPTO_KEY_FORMAT__CRYPTO_KEY_FORMAT_JSON
                                : REMORA__PLUGIN__V1__CRYPTO_KEY_FORMAT__CRYPTO_KEY_FORMAT_PEM;
        const struct operation sent = { .method = METHOD(GET_KEY),
                                        .message = pb_pack(rq->arena, &message.base) };
        err = run(rq, provider, &sent, &call, &reason); /* suspends */
    }
    if (err == OK) {
        reason = SLICE("the plugin's answer is malformed");
        err = read_body(rq, &call, ret_key); /* suspends */
    }
    component_call_finish(rq->task, &call);
    if (err == OK)
        return OK;
    return fail(rq, ERR_CRYPTO_KEY, "failed to retrieve key " SLICE_FMT ": " SLICE_FMT,
                SLICE_ARG(slice_first(key_name, LIMIT_crypto_key_name_bytes_max)),
                SLICE_ARG(reason));
}

err_t
crypto_subtle(struct request *rq, struct component *provider,
              const struct crypto_operation *operation, struct crypto_result *ret_result)
{
    struct slice reason;
    const char *failure = methods[operation->method].failure;
    err_t err = crypto_call(rq, provider, operation, ret_result, &reason); /* suspends */
    if (err == OK)
        return OK;
    if (err != ERR_PLUGIN_FAILED)
        return fail(rq, ERR_CRYPTO, "failed to perform operation: %s: " SLICE_FMT, failure,
                    SLICE_ARG(reason));
    LOG_AT(LOG_DEBUG, "dapr.runtime.crypto", "%s: " SLICE_FMT, failure, SLICE_ARG(reason));
    return fail(rq, ERR_CRYPTO, "failed to perform operation: %s", failure);
}
