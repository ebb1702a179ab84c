/* SPDX-License-Identifier: Apache-2.0 */
/* Reading bytes that belong to someone else; see slice.h. */
#include "base/slice.h"

#include <stdlib.h>

static unsigned char
ascii_lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

int
slice_cmp(struct slice a, struct slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

bool
slice_eq_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i]))
            return false;
    return true;
}

bool
slice_is_one_of_nocase(struct slice s, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq_nocase(s, slice_str(names[i])))
            return true;
    return false;
}

bool
slice_has_prefix(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_eq(slice_first(s, prefix.len), prefix);
}

bool
slice_has_prefix_nocase(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_eq_nocase(slice_first(s, prefix.len), prefix);
}

bool
slice_has_suffix(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len && slice_eq(slice_from(s, s.len - suffix.len), suffix);
}

ptrdiff_t
slice_find(struct slice s, struct slice needle)
{
    if (needle.len == 0)
        return 0;
    const char *at = memmem(s.data, s.len, needle.data, needle.len);
    return at == NULL ? -1 : at - s.data;
}

ptrdiff_t
slice_find_byte(struct slice s, char byte)
{
    const char *at = s.len == 0 ? NULL : memchr(s.data, byte, s.len);
    return at == NULL ? -1 : at - s.data;
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice
slice_trim(struct slice s)
{
    while (s.len > 0 && is_blank(s.data[0]))
        s = slice_from(s, 1);
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

bool
slice_split(struct slice *rest, char separator, struct slice *ret_part)
{
    if (rest->data == NULL)
        return false;
    ptrdiff_t at = slice_find_byte(*rest, separator);
    if (at < 0) {
        *ret_part = *rest;
        *rest = (struct slice){ 0 };
        return true;
    }
    *ret_part = slice_first(*rest, (size_t)at);
    *rest = slice_of(rest->data + at + 1, rest->len - (size_t)at - 1);
    return true;
}

bool
slice_to_u64(struct slice s, uint64_t *ret_value)
{
    if (s.len == 0)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.data[i] - '0'), &value))
            return false;
    }
    *ret_value = value;
    return true;
}

bool
slice_to_i64(struct slice s, int64_t *ret_value)
{
    bool negative = s.len > 0 && s.data[0] == '-';
    if (s.len > 0 && (s.data[0] == '-' || s.data[0] == '+'))
        s = slice_from(s, 1);
    uint64_t magnitude;
    if (!slice_to_u64(s, &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *ret_value = (int64_t)(negative ? 0 - magnitude : magnitude);
    return true;
}

bool
slice_is_truthy(struct slice s)
{
    static const char *const words[] = { "y", "yes", "true", "t", "on", "1" };
    return slice_is_one_of_nocase(slice_trim(s), words, ARRAY_LEN(words));
}

bool
slice_to_bool(struct slice s, bool *ret_value)
{
    static const struct {
        const char *text;
        bool value;
    } forms[] = {
        { "1", true },    { "t", true },      { "T", true },      { "true", true },
        { "TRUE", true }, { "True", true },   { "0", false },     { "f", false },
        { "F", false },   { "false", false }, { "FALSE", false }, { "False", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (slice_eq(s, slice_str(forms[i].text))) {
            *ret_value = forms[i].value;
            return true;
        }
    }
    return false;
}

/* Length of the well-formed sequence at `p`, 0 if it is not one (Unicode 15, table 3-7). */
static size_t
utf8_sequence(const unsigned char *p, size_t left)
{
    unsigned char low = 0x80, high = 0xBF;
    size_t len;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xC2 && p[0] <= 0xDF)
        len = 2;
    else if (p[0] >= 0xE0 && p[0] <= 0xEF)
        len = 3;
    else if (p[0] >= 0xF0 && p[0] <= 0xF4)
        len = 4;
    else
        return 0;
    if (left < len)
        return 0;
    if (p[0] == 0xE0)
        low = 0xA0;
    else if (p[0] == 0xED)
        high = 0x9F;
    else if (p[0] == 0xF0)
        low = 0x90;
    else if (p[0] == 0xF4)
        high = 0x8F;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (p[i] < 0x80 || p[i] > 0xBF)
            return 0;
    return len;
}

size_t
slice_utf8_len(struct slice s)
{
    return s.len == 0 ? 0 : utf8_sequence((const unsigned char *)s.data, s.len);
}

bool
slice_is_utf8(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.data;
    for (size_t at = 0; at < s.len;) {
        uint64_t eight = 0;
        if (s.len - at >= sizeof eight)
            memcpy(&eight, p + at, sizeof eight);
        if (s.len - at >= sizeof eight && (eight & 0x8080808080808080u) == 0) { /* all ASCII */
            at += sizeof eight;
            continue;
        }
        size_t len = utf8_sequence(p + at, s.len - at);
        if (len == 0)
            return false;
        at += len;
    }
    return true;
}

/* FNV-1a with a final mix: short keys, no adversarial use (maps bound their size). */
uint64_t
slice_hash(struct slice s)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (unsigned char)s.data[i]) * 0x100000001b3u;
    hash ^= hash >> 32;
    hash *= 0xd6e8feb86659fd93u;
    return hash ^ (hash >> 32);
}

char *
slice_copy(struct slice s)
{
    char *copy = malloc(s.len + 1);
    if (copy == NULL)
        abort();
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return copy;
}

char *
slice_dup_str(struct slice s)
{
    return slice_find_byte(s, '\0') >= 0 ? NULL : slice_copy(s);
}
