/* SPDX-License-Identifier: Apache-2.0 */
/* Base64; see base64.h. */
#include "base64_any.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* -1: no digit. What belongs to one alphabet alone is noted. */
static int
digit(char c, bool *is_plain, bool *is_url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    *is_plain = *is_plain || c == '+' || c == '/';
    *is_url = *is_url || c == '-' || c == '_';
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

bool
base64_any_decode(const char *text, size_t len, unsigned char *ret_bytes, size_t *ret_len)
{
    uint32_t bits = 0;
    unsigned bit_count = 0;
    bool is_plain = false, is_url = false;
    size_t count = 0;
    while (len > 0 && text[len - 1] == '=')
        len--;
    if (len % 4 == 1)
        return false;
    for (size_t i = 0; i < len; i++) {
        int value = digit(text[i], &is_plain, &is_url);
        if (value < 0 || (is_plain && is_url))
            return false;
        bits = bits << 6 | (uint32_t)value;
        bit_count += 6;
        if (bit_count < 8)
            continue;
        bit_count -= 8;
        ret_bytes[count++] = (unsigned char)(bits >> bit_count);
        bits &= (1U << bit_count) - 1;
    }
    *ret_len = count;
    return true;
}

void
base64url_encode(const unsigned char *bytes, size_t len, char *ret_text)
{
    uint32_t bits = 0;
    unsigned bit_count = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | bytes[i];
        for (bit_count += 8; bit_count >= 6; bit_count -= 6)
            *ret_text++ = alphabet[bits >> (bit_count - 6) & 63];
        bits &= (1U << bit_count) - 1;
    }
    if (bit_count > 0)
        *ret_text++ = alphabet[bits << (6 - bit_count) & 63];
    *ret_text = '\0';
}
