/* SPDX-License-Identifier: Apache-2.0 */
/* Text in and out; see text.h. */
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "base64.h"

/* --- in ----------------------------------------------------------------------------------------*/

static int
hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits at `at`; -1 if they are none. */
static long
unit_at(struct remora_slice text, size_t at)
{
    long unit = 0;
    if (at + 4 > text.len)
        return -1;
    for (size_t i = 0; i < 4; i++) {
        int digit = hex_of(text.data[at + i]);
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static size_t
put_utf8(char *out, unsigned long code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len; i-- > 1; code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf00 >> len & 0xff) | code); /* 110…, 1110…, 11110… */
    return len;
}

/* `*at` is behind "\u"; half of a pair alone is U+FFFD, as Go's decoder has it. */
static bool
take_code(struct remora_slice text, size_t *at, char *out, size_t *len)
{
    long high = unit_at(text, *at), low;
    unsigned long code;
    if (high < 0)
        return false;
    *at += 4;
    code = (unsigned long)high;
    if (high >= 0xd800 && high < 0xe000) {
        code = 0xfffd;
        if (high < 0xdc00 && *at + 6 <= text.len && text.data[*at] == '\\' &&
            text.data[*at + 1] == 'u' && (low = unit_at(text, *at + 2)) >= 0xdc00 && low < 0xe000) {
            code = 0x10000 + ((unsigned long)(high - 0xd800) << 10) + (unsigned long)(low - 0xdc00);
            *at += 6;
        }
    }
    *len += put_utf8(out + *len, code);
    return true;
}

static bool
take_escape(struct remora_slice text, size_t *at, char *out, size_t *len)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = text.data[(*at)++];
    if (c == 'u')
        return take_code(text, at, out, len);
    const char *found = c == '\0' ? NULL : strchr(from, c);
    if (found != NULL)
        out[(*len)++] = to[found - from];
    return found != NULL;
}

/* What stands between the quotes; no escape is shorter than what it says. */
static bool
unquote(struct remora_slice text, char *out, size_t *ret_len)
{
    size_t len = 0;
    for (size_t at = 0; at < text.len;) {
        char c = text.data[at++];
        if (c == '"' || (unsigned char)c < ' ' || (c == '\\' && at == text.len))
            return false;
        if (c != '\\')
            out[len++] = c;
        else if (!take_escape(text, &at, out, &len))
            return false;
    }
    *ret_len = len;
    return true;
}

struct remora_slice
text_unquote(remora_call *call, struct remora_slice data)
{
    size_t len;
    if (data.len < 2 || data.data[0] != '"' || data.data[data.len - 1] != '"')
        return data;
    char *out = remora_call_alloc(call, data.len);
    const struct remora_slice inner = { data.data + 1, data.len - 2 };
    return unquote(inner, out, &len) ? (struct remora_slice){ out, len } : data;
}

struct remora_slice
text_to_bytes(remora_call *call, struct remora_slice data)
{
    const struct remora_slice text = text_unquote(call, data);
    size_t len;
    if (text.len == 0)
        return text;
    char *decoded = remora_call_alloc(call, text.len);
    return base64_decode(text.data, text.len, decoded, &len) ? (struct remora_slice){ decoded, len }
                                                             : text;
}

/* --- out ---------------------------------------------------------------------------------------*/

void
text_put(struct text *out, const char *bytes, size_t len)
{
    if (len > out->capacity - out->len) {
        size_t capacity = (out->len + len) * 2 + 64;
        char *grown = realloc(out->bytes, capacity);
        if (grown == NULL)
            abort();
        out->bytes = grown;
        out->capacity = capacity;
    }
    memcpy(out->bytes + out->len, bytes, len);
    out->len += len;
}

void
text_put_string(struct text *out, const char *string)
{
    static const char digits[] = "0123456789abcdef";
    text_put(out, "\"", 1);
    for (const char *at = string; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        const char escape[] = { '\\', 'u', '0', '0', digits[c >> 4], digits[c & 15] };
        if (c == '"' || c == '\\')
            text_put(out, "\\", 1);
        if (c < ' ' || c == '<' || c == '>' || c == '&')
            text_put(out, escape, sizeof escape);
        else
            text_put(out, at, 1);
    }
    text_put(out, "\"", 1);
}
