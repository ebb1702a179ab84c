/* SPDX-License-Identifier: Apache-2.0 */
/* Path cleaning and decoding; see path.h. */
#include "http/path.h"

#include "http/chars.h"

/* A slash followed by what cleaning removes, or a slash at the end. */
static bool
needs_cleaning(struct slice raw)
{
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.data[i] != '/')
            continue;
        if (i + 1 == raw.len)
            return raw.len > 1;
        if (raw.data[i + 1] == '/' || raw.data[i + 1] == '.')
            return true;
    }
    return false;
}

/* The scheme of a URL that is invoked: its double slash is not an empty segment. */
static bool
ends_in_invoked_scheme(const char *out, size_t len)
{
    struct slice s = slice_of(out, len);
    return slice_has_suffix(s, SLICE("/invoke/http:")) ||
           slice_has_suffix(s, SLICE("/invoke/https:"));
}

static size_t
without_last_segment(const char *out, size_t len)
{
    while (len > 0 && out[len - 1] != '/')
        len--;
    return len > 0 ? len - 1 : 0;
}

struct slice
path_clean(struct arena *arena, struct slice raw)
{
    if (raw.len == 0)
        return SLICE("/");
    if (raw.data[0] != '/' || !needs_cleaning(raw))
        return raw;
    char *out = arena_alloc(arena, raw.len + 1);
    size_t len = 0;
    struct slice rest = slice_from(raw, 1), segment;
    while (slice_split(&rest, '/', &segment)) {
        bool keeps_empty = segment.len == 0 && ends_in_invoked_scheme(out, len);
        if ((segment.len == 0 && !keeps_empty) || slice_eq(segment, SLICE(".")))
            continue;
        if (slice_eq(segment, SLICE(".."))) {
            len = without_last_segment(out, len);
            continue;
        }
        out[len++] = '/';
        if (segment.len > 0)
            memcpy(out + len, segment.data, segment.len);
        len += segment.len;
    }
    while (len > 0 && out[len - 1] == '/') /* a URL without a host */
        len--;
    return len == 0 ? SLICE("/") : slice_of(out, len);
}

bool
path_next(struct slice *rest, struct slice *ret_segment)
{
    if (rest->len == 0 || slice_eq(*rest, SLICE("/")))
        return false;
    struct slice from = rest->data[0] == '/' ? slice_from(*rest, 1) : *rest;
    ptrdiff_t slash = slice_find_byte(from, '/');
    *ret_segment = slash < 0 ? from : slice_first(from, (size_t)slash);
    *rest = slice_from(from, ret_segment->len);
    return true;
}

bool
path_escapes_are_valid(struct slice raw)
{
    ptrdiff_t percent;
    while ((percent = slice_find_byte(raw, '%')) >= 0) {
        size_t at = (size_t)percent;
        if (at + 2 >= raw.len || !char_is(raw.data[at + 1], CHAR_HEX) ||
            !char_is(raw.data[at + 2], CHAR_HEX))
            return false;
        raw = slice_from(raw, at + 3);
    }
    return true;
}

bool
path_decode(struct arena *arena, struct slice raw, struct slice *ret_text)
{
    if (slice_find_byte(raw, '%') < 0) {
        *ret_text = raw;
        return true;
    }
    if (!path_escapes_are_valid(raw))
        return false;
    char *out = arena_alloc(arena, raw.len);
    size_t len = 0;
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.data[i];
        if (c == '%') {
            c = (char)(char_hex(raw.data[i + 1]) * 16 + char_hex(raw.data[i + 2]));
            i += 2;
        }
        out[len++] = c;
    }
    *ret_text = slice_of(out, len);
    return true;
}
