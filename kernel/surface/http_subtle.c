/* SPDX-License-Identifier: Apache-2.0 */
/* The subtle cryptography API over HTTP: bodies are the messages of the gRPC API as JSON. */
#include <stddef.h>

#include "api/crypto_call.h"
#include "base/base64.h"
#include "surface/body_proto.h"
#include "surface/http_surface.h"

#define FIELD(name, own_name, type, member)                                                        \
    {                                                                                              \
        (name), (own_name), BODY_PROTO_##type, offsetof(struct crypto_operation, member)           \
    }

static const struct body_proto_field data_fields[CRYPTO_METHODS] = {
    [CRYPTO_ENCRYPT] = FIELD("plaintext", "plaintext", BYTES, data),
    [CRYPTO_DECRYPT] = FIELD("ciphertext", "ciphertext", BYTES, data),
    [CRYPTO_WRAP] = FIELD("plaintextKey", "plaintext_key", BYTES, data),
    [CRYPTO_UNWRAP] = FIELD("wrappedKey", "wrapped_key", BYTES, data),
    [CRYPTO_SIGN] = FIELD("digest", "digest", BYTES, data),
    [CRYPTO_VERIFY] = FIELD("digest", "digest", BYTES, data),
};

/* What is sent where something else is not is of no meaning there, and skipped or ignored. */
static const struct body_proto_field common_fields[] = {
    FIELD("algorithm", "algorithm", STRING, algorithm),
    FIELD("keyName", "key_name", STRING, key_name),
    FIELD("nonce", "nonce", BYTES, nonce),
    FIELD("associatedData", "associated_data", BYTES, associated_data),
    FIELD("tag", "tag", BYTES, tag),
    FIELD("signature", "signature", BYTES, signature),
};

enum { COMMON_FIELDS = ARRAY_LEN(common_fields) };

static err_t
parse(struct request *rq, struct slice body, void *ret)
{
    struct crypto_operation *operation = ret;
    struct body_proto_field fields[COMMON_FIELDS + 1];
    memcpy(fields, common_fields, sizeof common_fields);
    fields[COMMON_FIELDS] = data_fields[operation->method];
    rq->arena->is_secret = true; /* the body may be a key */
    return body_proto_read(rq, body, fields, COMMON_FIELDS + 1, operation);
}

/* False: the call has been answered. */
static bool
run(struct http_call *call, enum crypto_method method, struct crypto_result *ret_result)
{
    struct crypto_operation operation = { .method = method,
                                          .key_name = SLICE_EMPTY,
                                          .algorithm = SLICE_EMPTY,
                                          .data = SLICE_EMPTY,
                                          .nonce = SLICE_EMPTY,
                                          .associated_data = SLICE_EMPTY,
                                          .tag = SLICE_EMPTY,
                                          .signature = SLICE_EMPTY };
    struct component *provider;
    if (!http_parse(call, parse, &operation)) /* these suspend */
        return false;
    if (crypto_provider_find(&call->rq, call->params[0], &provider) == OK &&
        crypto_subtle(&call->rq, provider, &operation, ret_result) == OK)
        return true;
    http_fail(call);
    return false;
}

/* What is empty is left out, as protobuf JSON does. */
static void
put_bytes(struct http_json_writer *writer, const char *name, struct slice bytes, bool *has_any)
{
    if (bytes.len == 0)
        return;
    size_t len = base64_encoded_len(bytes.len);
    char *text = arena_alloc(writer->call->rq.arena, len + 1);
    base64_encode(bytes, text);
    http_json_put(writer, *has_any ? SLICE(",\"") : SLICE("\""));
    http_json_put(writer, slice_str(name));
    http_json_put(writer, SLICE("\":\""));
    http_json_put(writer, slice_of(text, len));
    http_json_put(writer, SLICE("\""));
    *has_any = true;
}

static void
answer(struct http_call *call, enum crypto_method method, const char *name)
{
    struct crypto_result result;
    struct http_json_writer writer;
    bool has_any = false;
    if (!run(call, method, &result)) /* suspends */
        return;
    http_json_writer_init(&writer, call);
    http_json_put(&writer, SLICE("{"));
    put_bytes(&writer, name, result.data, &has_any);
    put_bytes(&writer, "tag", result.tag, &has_any);
    http_json_put(&writer, SLICE("}"));
    http_json_writer_end(&writer);
}

void
http_subtle_encrypt(struct http_call *call)
{
    answer(call, CRYPTO_ENCRYPT, "ciphertext");
}

void
http_subtle_decrypt(struct http_call *call)
{
    answer(call, CRYPTO_DECRYPT, "plaintext");
}

void
http_subtle_wrap(struct http_call *call)
{
    answer(call, CRYPTO_WRAP, "wrappedKey");
}

void
http_subtle_unwrap(struct http_call *call)
{
    answer(call, CRYPTO_UNWRAP, "plaintextKey");
}

void
http_subtle_sign(struct http_call *call)
{
    answer(call, CRYPTO_SIGN, "signature");
}

void
http_subtle_verify(struct http_call *call)
{
    struct crypto_result result;
    if (run(call, CRYPTO_VERIFY, &result)) /* suspends */
        http_json(call, 200, result.is_valid ? SLICE("{\"valid\":true}") : SLICE("{}"));
}

/* --- the public key ----------------------------------------------------------------------------*/

struct key_request {
    struct slice name;
    struct slice format;
};

static err_t
parse_key(struct request *rq, struct slice body, void *ret)
{
    static const struct body_proto_field fields[] = {
        { "name", "name", BODY_PROTO_STRING, offsetof(struct key_request, name) },
        { "format", "format", BODY_PROTO_ENUM, offsetof(struct key_request, format) },
    };
    return body_proto_read(rq, body, fields, ARRAY_LEN(fields), ret);
}

void
http_subtle_get_key(struct http_call *call)
{
    struct key_request in = { .name = SLICE_EMPTY, .format = SLICE_EMPTY };
    struct component *provider;
    struct slice key;
    if (!http_parse(call, parse_key, &in)) /* these suspend */
        return;
    bool as_jwk = slice_eq(in.format, SLICE("JSON")) || slice_eq(in.format, SLICE("1"));
    if (crypto_provider_find(&call->rq, call->params[0], &provider) != OK ||
        crypto_get_key(&call->rq, provider, in.name, as_jwk, &key) != OK) {
        http_fail(call);
        return;
    }
    struct http_json_writer writer;
    http_json_writer_init(&writer, call);
    http_json_put(&writer, SLICE("{\"name\":"));
    http_json_put_string(&writer, in.name);
    http_json_put(&writer, SLICE(",\"publicKey\":"));
    http_json_put_string(&writer, key);
    http_json_put(&writer, SLICE("}"));
    http_json_writer_end(&writer);
}
