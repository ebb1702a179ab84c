/* SPDX-License-Identifier: Apache-2.0 */
/* Base64; see base64.h. */
#include "base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(struct slice bytes, char *ret_text)
{
    const unsigned char *from = (const unsigned char *)bytes.data;
    size_t len = 0;
    for (size_t i = 0; i < bytes.len; i += 3) {
        const size_t left = bytes.len - i;
        unsigned group = (unsigned)from[i] << 16;
        group |= left > 1 ? (unsigned)from[i + 1] << 8 : 0;
        group |= left > 2 ? (unsigned)from[i + 2] : 0;
        ret_text[len++] = digits[group >> 18];
        ret_text[len++] = digits[(group >> 12) & 63];
        ret_text[len++] = left > 1 ? digits[(group >> 6) & 63] : '=';
        ret_text[len++] = left > 2 ? digits[group & 63] : '=';
    }
}

/* 64 for what is no digit. */
static unsigned
value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (unsigned)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (unsigned)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* The bytes of four characters; 0 if they are none. Bits that are left over must be zero. */
static size_t
decode_group(const char *text, bool is_last, char ret_bytes[3])
{
    const unsigned a = value_of(text[0]), b = value_of(text[1]);
    const bool ends_early = is_last && text[3] == '=';
    const bool ends_at_once = ends_early && text[2] == '=';
    const unsigned c = ends_at_once ? 0 : value_of(text[2]);
    const unsigned d = ends_early ? 0 : value_of(text[3]);
    if (a > 63 || b > 63 || c > 63 || d > 63)
        return 0;
    const unsigned group = a << 18 | b << 12 | c << 6 | d;
    const size_t len = ends_at_once ? 1 : ends_early ? 2 : 3;
    if ((group & ((1u << (24 - 8 * len)) - 1)) != 0)
        return 0;
    for (size_t i = 0; i < len; i++)
        ret_bytes[i] = (char)(group >> (16 - 8 * i));
    return len;
}

bool
base64_decode(struct slice text, char *ret_bytes, size_t *ret_len)
{
    size_t len = 0;
    if (text.len % 4 != 0)
        return false;
    for (size_t i = 0; i < text.len; i += 4) {
        char group[3];
        const size_t count = decode_group(text.data + i, i + 4 == text.len, group);
        if (count == 0)
            return false;
        memcpy(ret_bytes + len, group, count);
        len += count;
    }
    *ret_len = len;
    return true;
}

/* --- for URLs ----------------------------------------------------------------------------------*/

void
base64url_encode(struct slice bytes, char *ret_text)
{
    size_t len = 0;
    for (size_t i = 0; i < bytes.len; i += 3) {
        const struct slice part = slice_first(slice_from(bytes, i), 3);
        char group[4];
        base64_encode(part, group);
        for (size_t k = 0; k < part.len + 1; k++)
            ret_text[len++] = (char)(group[k] == '+' ? '-' : group[k] == '/' ? '_' : group[k]);
    }
}

bool
base64url_decode(struct slice text, char *ret_bytes, size_t *ret_len)
{
    size_t len = 0;
    if (text.len % 4 == 1)
        return false;
    for (size_t i = 0; i < text.len; i += 4) {
        const struct slice part = slice_first(slice_from(text, i), 4);
        char padded[4] = { '=', '=', '=', '=' }, group[3];
        for (size_t k = 0; k < part.len; k++) {
            const char c = part.data[k];
            if (c == '+' || c == '/' || c == '=')
                return false;
            padded[k] = (char)(c == '-' ? '+' : c == '_' ? '/' : c);
        }
        const size_t count = decode_group(padded, true, group);
        if (count == 0)
            return false;
        memcpy(ret_bytes + len, group, count);
        len += count;
    }
    *ret_len = len;
    return true;
}

bool
base64_decode_arena(struct arena *arena, struct slice text, struct slice *ret_bytes)
{
    char *bytes = arena_alloc(arena, base64_decoded_max(text.len) + 1);
    size_t len;
    if (!base64_decode(text, bytes, &len))
        return false;
    *ret_bytes = slice_of(bytes, len);
    return true;
}

bool
base64url_decode_arena(struct arena *arena, struct slice text, struct slice *ret_bytes)
{
    char *bytes = arena_alloc(arena, base64url_decoded_max(text.len) + 1);
    size_t len;
    if (!base64url_decode(text, bytes, &len))
        return false;
    *ret_bytes = slice_of(bytes, len);
    return true;
}
