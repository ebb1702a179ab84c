/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64, standard alphabet, padded.
 */
#include "base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(const void *data, size_t len, char *out)
{
    const uint8_t *in = data;
    for (; len >= 3; len -= 3, in += 3, out += 4) {
        uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        out[0] = alphabet[bits >> 18];
        out[1] = alphabet[bits >> 12 & 63];
        out[2] = alphabet[bits >> 6 & 63];
        out[3] = alphabet[bits & 63];
    }
    if (len == 0)
        return;
    uint32_t bits = (uint32_t)in[0] << 16 | (len == 2 ? (uint32_t)in[1] << 8 : 0);
    out[0] = alphabet[bits >> 18];
    out[1] = alphabet[bits >> 12 & 63];
    out[2] = len == 2 ? alphabet[bits >> 6 & 63] : '=';
    out[3] = '=';
}

static int
digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool
base64_decode(const char *text, size_t len, void *out, size_t *ret_len)
{
    uint8_t *to = out;
    uint32_t bits = 0;
    size_t digits = 0, padding = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n' || text[i] == '\r')
            continue;
        if (text[i] == '=') {
            padding++;
            continue;
        }
        int value = digit(text[i]);
        if (value < 0 || padding > 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (++digits % 4 == 0) {
            *to++ = (uint8_t)(bits >> 16);
            *to++ = (uint8_t)(bits >> 8);
            *to++ = (uint8_t)bits;
        }
    }
    if ((digits + padding) % 4 != 0 || padding > 2)
        return false;
    if (digits % 4 == 3) {
        *to++ = (uint8_t)(bits >> 10);
        *to++ = (uint8_t)(bits >> 2);
    } else if (digits % 4 == 2) {
        *to++ = (uint8_t)(bits >> 4);
    }
    *ret_len = (size_t)(to - (uint8_t *)out);
    return true;
}
