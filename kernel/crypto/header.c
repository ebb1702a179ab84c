/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a document: names, text, MAC; see document.h. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "crypto/derive.h"
#include "crypto/document.h"

enum {
    MAC_BYTES = 32,
    MAC_CHARS = 44,
    HEADER_LINES = 3,
    HEADER_BYTES_MAX = DOCUMENT_SEGMENT_BYTES,
};

#define SCHEME SLICE("dapr.io/enc/v1")

/* --- names -------------------------------------------------------------------------------------*/

static const struct {
    const char *name;
    enum document_wrap wrap;
} wraps[] = {
    { "A256KW", DOCUMENT_A256KW },
    { "A128CBC-NOPAD", DOCUMENT_A128CBC_NOPAD },
    { "A192CBC-NOPAD", DOCUMENT_A192CBC_NOPAD },
    { "A256CBC-NOPAD", DOCUMENT_A256CBC_NOPAD },
    { "RSA-OAEP-256", DOCUMENT_RSA_OAEP_256 },
    /* Behind the names that are told to plugins. */
    { "AES", DOCUMENT_A256KW },
    { "RSA", DOCUMENT_RSA_OAEP_256 },
};

bool
document_wrap_parse(struct slice name, enum document_wrap *ret_wrap)
{
    for (size_t i = 0; i < ARRAY_LEN(wraps); i++) {
        if (slice_eq_nocase(name, slice_str(wraps[i].name))) {
            *ret_wrap = wraps[i].wrap;
            return true;
        }
    }
    return false;
}

struct slice
document_wrap_name(enum document_wrap wrap)
{
    for (size_t i = 0; i < ARRAY_LEN(wraps); i++)
        if (wraps[i].wrap == wrap)
            return slice_str(wraps[i].name);
    return SLICE_EMPTY;
}

bool
document_cipher_parse(struct slice name, enum document_cipher *ret_cipher)
{
    bool is_aes = slice_eq_nocase(name, SLICE("AES-GCM"));
    if (!is_aes && !slice_eq_nocase(name, SLICE("CHACHA20-POLY1305")))
        return false;
    *ret_cipher = is_aes ? DOCUMENT_AES_GCM : DOCUMENT_CHACHA20_POLY1305;
    return true;
}

/* --- MAC ---------------------------------------------------------------------------------------*/

static bool
sign(struct slice text, const unsigned char *file_key, unsigned char ret_mac[MAC_BYTES])
{
    unsigned char key[DOCUMENT_KEY_BYTES];
    unsigned len = 0;
    bool ok = derive(file_key, SLICE_EMPTY, SLICE("header"), key) &&
              HMAC(EVP_sha256(), key, sizeof key, (const unsigned char *)text.data, text.len,
                   ret_mac, &len) != NULL &&
              len == MAC_BYTES;
    OPENSSL_cleanse(key, sizeof key);
    return ok;
}

bool
document_header_verify(const struct document_header *header, const unsigned char *file_key)
{
    unsigned char mac[MAC_BYTES];
    char text[MAC_CHARS];
    if (!sign(header->signed_text, file_key, mac))
        return false;
    base64_encode(slice_of(mac, sizeof mac), text);
    return header->mac.len == MAC_CHARS && CRYPTO_memcmp(header->mac.data, text, sizeof text) == 0;
}

/* --- writing -----------------------------------------------------------------------------------*/

static bool
put_base64(struct buf *out, struct slice bytes)
{
    char *at = buf_reserve(out, base64_encoded_len(bytes.len));
    if (at == NULL)
        return false;
    base64_encode(bytes, at);
    buf_commit(out, base64_encoded_len(bytes.len));
    return true;
}

/* The order and form in which the reference writes it. */
static bool
put_manifest(struct buf *out, const struct document_header *header)
{
    bool has_name = header->key_name.len > 0;
    return buf_append(out, SLICE("{")) &&
           (!has_name ||
            (buf_append(out, SLICE("\"k\":")) && json_write_string(out, header->key_name, true) &&
             buf_append(out, SLICE(",")))) &&
           buf_printf(out, "\"kw\":%d,\"wfk\":\"", (int)header->wrap) &&
           put_base64(out, header->wrapped_key) &&
           buf_printf(out, "\",\"cph\":%d,\"np\":\"", (int)header->cipher) &&
           put_base64(out, slice_of(header->nonce_prefix, sizeof header->nonce_prefix)) &&
           buf_append(out, SLICE("\"}\n"));
}

bool
document_header_write(const struct document_header *header, const unsigned char *file_key,
                      struct arena *arena, struct slice *ret_text)
{
    struct buf out;
    unsigned char mac[MAC_BYTES];
    buf_init(&out, HEADER_BYTES_MAX);
    bool ok = buf_append(&out, SCHEME) && buf_append(&out, SLICE("\n")) &&
              put_manifest(&out, header) && sign(buf_slice(&out), file_key, mac) &&
              put_base64(&out, slice_of(mac, sizeof mac)) && buf_append(&out, SLICE("\n"));
    if (ok)
        *ret_text = arena_dup(arena, buf_slice(&out));
    buf_fini(&out);
    return ok;
}

/* --- reading -----------------------------------------------------------------------------------*/

static enum document_found
invalid(struct slice error, struct slice *ret_error)
{
    *ret_error = error;
    return DOCUMENT_INVALID;
}

enum document_found
document_header_find(struct slice bytes, bool is_all, size_t *ret_len, struct slice *ret_error)
{
    static const char *const missing[HEADER_LINES] = {
        "scheme name not found",
        "manifest not found",
        "message authentication code not found",
    };
    struct slice rest = slice_first(bytes, HEADER_BYTES_MAX);
    for (size_t line = 0; line < HEADER_LINES; line++) {
        ptrdiff_t end = slice_find_byte(rest, '\n');
        if (end < 0 && !is_all && bytes.len < HEADER_BYTES_MAX)
            return DOCUMENT_INCOMPLETE;
        if (end < 0)
            return invalid(slice_str(missing[line]), ret_error);
        if (end == 0)
            return invalid(SLICE("invalid format"), ret_error);
        if (line == 0 && !slice_eq(slice_first(rest, (size_t)end), SCHEME))
            return invalid(SLICE("unsupported scheme"), ret_error);
        rest = slice_from(rest, (size_t)end + 1);
    }
    *ret_len = (size_t)(rest.data - bytes.data);
    return DOCUMENT_FOUND;
}

static bool
read_number(struct json *json, uint64_t *ret_number)
{
    struct slice raw;
    return json_peek(json) == JSON_NUMBER && json_scalar(json, &raw) &&
           slice_to_u64(raw, ret_number);
}

static bool
read_bytes(struct json *json, struct arena *arena, struct slice *ret_bytes)
{
    struct slice text;
    return json_peek(json) == JSON_STRING && json_string(json, arena, &text) &&
           base64_decode_arena(arena, text, ret_bytes);
}

static bool
read_member(struct json *json, struct arena *arena, struct slice name,
            struct document_header *header)
{
    uint64_t number;
    struct slice bytes;
    if (slice_eq(name, SLICE("k")))
        return json_peek(json) == JSON_STRING && json_string(json, arena, &header->key_name);
    if (slice_eq(name, SLICE("kw"))) {
        bool ok = read_number(json, &number) && number >= DOCUMENT_A256KW &&
                  number <= DOCUMENT_RSA_OAEP_256;
        header->wrap = ok ? (enum document_wrap)number : header->wrap;
        return ok;
    }
    if (slice_eq(name, SLICE("cph"))) {
        bool ok = read_number(json, &number) && number >= DOCUMENT_AES_GCM &&
                  number <= DOCUMENT_CHACHA20_POLY1305;
        header->cipher = ok ? (enum document_cipher)number : header->cipher;
        return ok;
    }
    if (slice_eq(name, SLICE("wfk")))
        return read_bytes(json, arena, &header->wrapped_key);
    if (!slice_eq(name, SLICE("np")))
        return json_skip(json, &bytes);
    if (!read_bytes(json, arena, &bytes) || bytes.len != DOCUMENT_NONCE_PREFIX_BYTES)
        return false;
    memcpy(header->nonce_prefix, bytes.data, bytes.len);
    return true;
}

bool
document_header_read(struct slice text, struct arena *arena, struct document_header *ret_header)
{
    struct slice rest = text, scheme, manifest, mac, name;
    struct document_header header = { .key_name = SLICE_EMPTY, .wrapped_key = SLICE_EMPTY };
    struct json json;
    unsigned seen = 0, members = 0;
    if (!slice_split(&rest, '\n', &scheme) || !slice_split(&rest, '\n', &manifest) ||
        !slice_split(&rest, '\n', &mac))
        return false;
    header.signed_text = slice_of(text.data, scheme.len + manifest.len + 2);
    header.mac = mac;
    json_init(&json, manifest);
    if (json_peek(&json) != JSON_OBJECT)
        return false;
    json_enter(&json);
    while (json_object_next(&json, arena, &name)) {
        if (++members > LIMIT_crypto_manifest_members_max ||
            !read_member(&json, arena, name, &header))
            return false;
        seen |= slice_eq(name, SLICE("np")) ? 1U : 0U;
    }
    if (json.failed || !json_end(&json) || seen == 0 || header.wrap == 0 || header.cipher == 0 ||
        header.wrapped_key.len == 0)
        return false;
    *ret_header = header;
    return true;
}
