/* SPDX-License-Identifier: Apache-2.0 */
/* A validating cursor over JSON text; see json.h. */
#include "base/json.h"

#include <assert.h>
#include <stdio.h>

#include "base/limits.h"

void
json_init(struct json *json, struct slice text)
{
    *json = (struct json){ .text = text };
}

static bool
fail_text(struct json *json, const char *text)
{
    if (!json->failed)
        (void)snprintf(json->error, sizeof json->error, "%s", text); /* cut is fine */
    json->failed = true;
    return false;
}

/* Go quotes the character it stumbled over like a rune literal. */
static bool
fail_here(struct json *json, const char *expectation)
{
    if (json->failed)
        return false;
    if (json->at >= json->text.len)
        return fail_text(json, slice_trim(json->text).len == 0 ? "EOF" : "unexpected EOF");
    unsigned char c = (unsigned char)json->text.data[json->at];
    char shown[8];
    static const char letters[] = "abtnvfr"; /* of the escapes of bytes 7 to 13 */
    if (c == '\'' || c == '\\')
        (void)snprintf(shown, sizeof shown, "\\%c", c);
    else if (c >= '\a' && c <= '\r')
        (void)snprintf(shown, sizeof shown, "\\%c", letters[c - '\a']);
    else if (c < 0x20 || c == 0x7f)
        (void)snprintf(shown, sizeof shown, "\\x%02x", c);
    else if (c < 0x80)
        (void)snprintf(shown, sizeof shown, "%c", c);
    else if (c <= 0xA0 || c == 0xAD) /* Go converts the byte to a rune; these do not print */
        (void)snprintf(shown, sizeof shown, "\\u%04x", c);
    else
        (void)snprintf(shown, sizeof shown, "%c%c", 0xC0 | (c >> 6), 0x80 | (c & 0x3F));
    (void)snprintf(json->error, sizeof json->error, "invalid character '%s' %s", shown,
                   expectation);
    json->failed = true;
    return false;
}

static void
skip_blanks(struct json *json)
{
    while (json->at < json->text.len) {
        char c = json->text.data[json->at];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            return;
        json->at++;
    }
}

/* The byte at the cursor, or -1 at the end. */
static int
here(const struct json *json)
{
    return json->at < json->text.len ? (unsigned char)json->text.data[json->at] : -1;
}

enum json_type
json_peek(struct json *json)
{
    if (json->failed)
        return JSON_NONE;
    skip_blanks(json);
    int c = here(json);
    switch (c) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
    case 'f':
        return JSON_BOOL;
    case 'n':
        return JSON_NULL;
    default:
        if (c == '-' || (c >= '0' && c <= '9'))
            return JSON_NUMBER;
        (void)fail_here(json, "looking for beginning of value"); /* the state is the answer */
        return JSON_NONE;
    }
}

const char *
json_type_name(enum json_type type)
{
    static const char *const names[] = {
        [JSON_NONE] = "nothing",  [JSON_NULL] = "null",     [JSON_BOOL] = "bool",
        [JSON_NUMBER] = "number", [JSON_STRING] = "string", [JSON_ARRAY] = "array",
        [JSON_OBJECT] = "object",
    };
    return names[type];
}

static bool
is_hex(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool
skip_escape(struct json *json)
{
    json->at++;
    int c = here(json);
    if (c < 0 || strchr("\"\\/bfnrtu", c) == NULL || c == 0)
        return fail_here(json, "in string escape code");
    json->at++;
    if (c != 'u')
        return true;
    for (int i = 0; i < 4; i++, json->at++)
        if (!is_hex(here(json)))
            return fail_here(json, "in \\u hexadecimal character escape");
    return true;
}

/* Zero bytes of `x` get their high bit set; right up to the first one, which is what counts. */
static uint64_t
zero_bytes(uint64_t x)
{
    return (x - 0x0101010101010101u) & ~x & 0x8080808080808080u;
}

/* Passes over printable ASCII within a string, eight bytes at a time: most of a body is that. */
static void
skip_plain(struct json *json)
{
    while (json->text.len - json->at >= 8) {
        uint64_t x;
        memcpy(&x, json->text.data + json->at, 8);
        uint64_t control_or_high = ((x - 0x2020202020202020u) | x) & 0x8080808080808080u;
        if ((control_or_high | zero_bytes(x ^ 0x2222222222222222u) |
             zero_bytes(x ^ 0x5c5c5c5c5c5c5c5cu)) != 0) /* a quote, a backslash */
            return;
        json->at += 8;
    }
}

/* From the opening quote to behind the closing one. */
static bool
skip_string(struct json *json, bool *ret_is_plain)
{
    bool is_plain = true;
    json->at++;
    for (;;) {
        skip_plain(json);
        int c = here(json);
        if (c == '"') {
            json->at++;
            *ret_is_plain = is_plain;
            return true;
        }
        if (c == '\\') {
            is_plain = false;
            if (!skip_escape(json))
                return false;
        } else if (c < 0x20) {
            return fail_here(json, "in string literal");
        } else {
            is_plain &= c < 0x80;
            json->at++;
        }
    }
}

static bool
skip_digits(struct json *json, const char *expectation)
{
    if (here(json) < '0' || here(json) > '9')
        return fail_here(json, expectation);
    while (here(json) >= '0' && here(json) <= '9')
        json->at++;
    return true;
}

static bool
skip_number(struct json *json)
{
    if (here(json) == '-')
        json->at++;
    if (here(json) == '0')
        json->at++;
    else if (!skip_digits(json, "in numeric literal"))
        return false;
    if (here(json) == '.') {
        json->at++;
        if (!skip_digits(json, "after decimal point in numeric literal"))
            return false;
    }
    if (here(json) == 'e' || here(json) == 'E') {
        json->at++;
        if (here(json) == '+' || here(json) == '-')
            json->at++;
        return skip_digits(json, "in exponent of numeric literal");
    }
    return true;
}

static bool
skip_word(struct json *json, const char *word)
{
    for (size_t i = 0; word[i] != '\0'; i++, json->at++) {
        if (here(json) == word[i])
            continue;
        char expectation[48];
        (void)snprintf(expectation, sizeof expectation, "in literal %s (expecting '%c')", word,
                       word[i]);
        return fail_here(json, expectation);
    }
    return true;
}

static bool
skip_scalar(struct json *json, enum json_type type)
{
    switch (type) {
    case JSON_NULL:
        return skip_word(json, "null");
    case JSON_BOOL:
        return skip_word(json, here(json) == 't' ? "true" : "false");
    case JSON_NUMBER:
        return skip_number(json);
    case JSON_NONE:
    case JSON_STRING:
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    return fail_here(json, "looking for beginning of value");
}

void
json_enter(struct json *json)
{
    if (json->failed)
        return;
    assert(here(json) == '{' || here(json) == '[');
    if (++json->depth > LIMIT_json_depth_max)
        (void)fail_text(json, "exceeded max depth"); /* the state is the answer */
    json->at++;
}

/* True if another element follows; `first` because a comma comes before all but the first. */
static bool
next_element(struct json *json, char close, bool is_first, const char *expectation)
{
    skip_blanks(json);
    if (here(json) == close) {
        json->at++;
        json->depth--;
        return false;
    }
    if (is_first)
        return true;
    if (here(json) != ',')
        return fail_here(json, expectation);
    json->at++;
    skip_blanks(json);
    return true;
}

/* Whether the cursor stands right behind the opening bracket. */
static bool
is_at_start(const struct json *json, char open)
{
    size_t at = json->at;
    while (at > 0 && strchr(" \t\r\n", json->text.data[at - 1]) != NULL && json->text.data[at - 1])
        at--;
    return at > 0 && json->text.data[at - 1] == open;
}

bool
json_array_next(struct json *json)
{
    if (json->failed)
        return false;
    return next_element(json, ']', is_at_start(json, '['), "after array element");
}

static bool
skip_name(struct json *json)
{
    bool is_plain;
    if (here(json) != '"')
        return fail_here(json, "looking for beginning of object key string");
    if (!skip_string(json, &is_plain))
        return false;
    skip_blanks(json);
    if (here(json) != ':')
        return fail_here(json, "after object key");
    json->at++;
    return true;
}

bool
json_object_next(struct json *json, struct arena *arena, struct slice *ret_name)
{
    if (json->failed ||
        !next_element(json, '}', is_at_start(json, '{'), "after object key:value pair"))
        return false;
    if (here(json) != '"')
        return fail_here(json, "looking for beginning of object key string");
    if (!json_string(json, arena, ret_name))
        return false;
    skip_blanks(json);
    if (here(json) != ':')
        return fail_here(json, "after object key");
    json->at++;
    return true;
}

/* Bit i of the stack says whether level i is an object; no recursion, so depth costs no stack. */
static bool
skip_nested(struct json *json)
{
    bool is_object[LIMIT_json_depth_max + 1];
    bool is_first = true, is_plain;
    unsigned level = 0, outer = json->depth;
    do {
        if (level > 0) {
            bool object = is_object[level];
            if (!next_element(json, object ? '}' : ']', is_first,
                              object ? "after object key:value pair" : "after array element")) {
                if (json->failed)
                    return false;
                level--;
                is_first = false;
                continue;
            }
            if (object && !skip_name(json))
                return false;
        }
        is_first = false;
        enum json_type type = json_peek(json);
        if (type == JSON_OBJECT || type == JSON_ARRAY) {
            json_enter(json);
            if (json->failed)
                return false;
            is_object[++level] = type == JSON_OBJECT;
            is_first = true;
        } else if (type == JSON_STRING) {
            if (!skip_string(json, &is_plain))
                return false;
        } else if (type == JSON_NONE || !skip_scalar(json, type)) {
            return false;
        }
    } while (level > 0);
    assert(json->depth == outer);
    return true;
}

bool
json_skip(struct json *json, struct slice *ret_raw)
{
    if (json->failed)
        return false;
    skip_blanks(json);
    size_t start = json->at;
    if (!skip_nested(json))
        return false;
    *ret_raw = slice_of(json->text.data + start, json->at - start);
    return true;
}

bool
json_scalar(struct json *json, struct slice *ret_raw)
{
    enum json_type type = json_peek(json);
    size_t start = json->at;
    if (type == JSON_NONE || !skip_scalar(json, type))
        return false;
    *ret_raw = slice_of(json->text.data + start, json->at - start);
    return true;
}

static unsigned
hex4(const char *p)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)p[i];
        value = value * 16 + (c <= '9' ? c - (unsigned)'0' : (c | 0x20u) - 'a' + 10u);
    }
    return value;
}

static size_t
put_utf8(char *out, unsigned rune)
{
    if (rune < 0x80) {
        out[0] = (char)rune;
        return 1;
    }
    if (rune < 0x800) {
        out[0] = (char)(0xC0 | (rune >> 6));
        out[1] = (char)(0x80 | (rune & 0x3F));
        return 2;
    }
    if (rune < 0x10000) {
        out[0] = (char)(0xE0 | (rune >> 12));
        out[1] = (char)(0x80 | ((rune >> 6) & 0x3F));
        out[2] = (char)(0x80 | (rune & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | (rune >> 18));
    out[1] = (char)(0x80 | ((rune >> 12) & 0x3F));
    out[2] = (char)(0x80 | ((rune >> 6) & 0x3F));
    out[3] = (char)(0x80 | (rune & 0x3F));
    return 4;
}

/* Decodes \uXXXX at raw[*at] (behind the backslash and the u), a pair of surrogates as one rune. */
static unsigned
decode_unicode(struct slice raw, size_t *at)
{
    unsigned rune = hex4(raw.data + *at);
    *at += 4;
    if (rune < 0xD800 || rune > 0xDFFF)
        return rune;
    if (rune < 0xDC00 && *at + 6 <= raw.len && raw.data[*at] == '\\' && raw.data[*at + 1] == 'u') {
        unsigned low = hex4(raw.data + *at + 2);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *at += 6;
            return 0x10000 + ((rune - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    return 0xFFFD;
}

static size_t
decode_escape(struct slice raw, size_t *at, char *out)
{
    char c = raw.data[(*at)++];
    switch (c) {
    case 'b':
        return put_utf8(out, '\b');
    case 'f':
        return put_utf8(out, '\f');
    case 'n':
        return put_utf8(out, '\n');
    case 'r':
        return put_utf8(out, '\r');
    case 't':
        return put_utf8(out, '\t');
    case 'u':
        return put_utf8(out, decode_unicode(raw, at));
    default:
        return put_utf8(out, (unsigned char)c);
    }
}

/* `raw` is a checked string without its quotes. A bad byte grows to three, an escape shrinks. */
static struct slice
decode_string(struct arena *arena, struct slice raw)
{
    char *out = arena_alloc(arena, slice_is_utf8(raw) ? raw.len : raw.len * 3);
    size_t len = 0;
    for (size_t at = 0; at < raw.len;) {
        if (raw.data[at] == '\\') {
            at++;
            len += decode_escape(raw, &at, out + len);
            continue;
        }
        size_t sequence = slice_utf8_len(slice_from(raw, at));
        if (sequence == 0) {
            len += put_utf8(out + len, 0xFFFD);
            at++;
            continue;
        }
        memcpy(out + len, raw.data + at, sequence);
        len += sequence;
        at += sequence;
    }
    return slice_of(out, len);
}

bool
json_string(struct json *json, struct arena *arena, struct slice *ret_text)
{
    if (json_peek(json) != JSON_STRING)
        return json->failed ? false : fail_here(json, "looking for beginning of string");
    size_t start = json->at + 1;
    bool is_plain;
    if (!skip_string(json, &is_plain))
        return false;
    struct slice raw = slice_of(json->text.data + start, json->at - 1 - start);
    bool has_escape = !is_plain && slice_find_byte(raw, '\\') >= 0;
    *ret_text = is_plain || (!has_escape && slice_is_utf8(raw)) ? raw : decode_string(arena, raw);
    return true;
}

bool
json_end(struct json *json)
{
    if (json->failed)
        return false;
    skip_blanks(json);
    return json->at == json->text.len || fail_here(json, "after top-level value");
}

bool
json_is_valid(struct slice text)
{
    struct json json;
    struct slice raw;
    json_init(&json, text);
    return json_skip(&json, &raw) && json_end(&json);
}

/* Length of the escape for the sequence, 0 if it may stand as it is. */
static size_t
escape_for(struct slice s, bool escape_html, char out[8])
{
    unsigned char c = (unsigned char)s.data[0];
    static const char shorts[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    for (size_t i = 0; i + 1 < sizeof shorts; i += 2)
        if (c == (unsigned char)shorts[i])
            return (size_t)snprintf(out, 8, "\\%c", shorts[i + 1]);
    if (c < 0x20 || (escape_html && (c == '<' || c == '>' || c == '&')))
        return (size_t)snprintf(out, 8, "\\u%04x", c);
    if (escape_html && s.len == 3 && c == 0xE2 && (unsigned char)s.data[1] == 0x80 &&
        ((unsigned char)s.data[2] & 0xFE) == 0xA8)
        return (size_t)snprintf(out, 8, "\\u202%c", (unsigned char)s.data[2] == 0xA8 ? '8' : '9');
    return 0;
}

/* Bytes at the front that may stand as they are. */
static size_t
plain_len(struct slice s, bool escape_html)
{
    size_t len = 0;
    for (; len < s.len; len++) {
        unsigned char c = (unsigned char)s.data[len];
        if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\' ||
            (escape_html && (c == '<' || c == '>' || c == '&')))
            break;
    }
    return len;
}

bool
json_write_string(struct buf *out, struct slice s, bool escape_html)
{
    bool ok = buf_append_byte(out, '"');
    for (size_t at = 0; at < s.len && ok;) {
        size_t plain = plain_len(slice_from(s, at), escape_html);
        if (plain > 0) {
            ok = buf_append(out, slice_of(s.data + at, plain));
            at += plain;
            continue;
        }
        unsigned char c = (unsigned char)s.data[at];
        size_t len = c < 0x80 ? 1 : slice_utf8_len(slice_from(s, at));
        struct slice sequence = len == 0 ? SLICE("\xEF\xBF\xBD") : slice_of(s.data + at, len);
        char escape[8];
        size_t escaped = escape_for(sequence, escape_html, escape);
        ok = buf_append(out, escaped > 0 ? slice_of(escape, escaped) : sequence);
        at += len == 0 ? 1 : len;
    }
    return ok && buf_append_byte(out, '"');
}
