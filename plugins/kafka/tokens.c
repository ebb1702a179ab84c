/* SPDX-License-Identifier: Apache-2.0 */
/* JSON taken apart, without recursion; see tokens.h. */
#include "tokens.h"

#include <stdlib.h>
#include <string.h>

struct scan {
    const char *text;
    size_t len, at;
    struct tokens *to;
    uint32_t capacity;
    uint32_t open[TOKENS_DEPTH_MAX]; /* arrays and objects that have not ended */
    unsigned depth;
    const char *why;
};

static bool
fail(struct scan *scan, const char *why)
{
    if (scan->why == NULL)
        scan->why = why;
    return false;
}

static void
skip_blanks(struct scan *scan)
{
    while (scan->at < scan->len && memchr(" \t\r\n", scan->text[scan->at], 4) != NULL)
        scan->at++;
}

/* The next byte; 0 at the end, where a zero byte is refused as well. */
static char
look(const struct scan *scan)
{
    return scan->at < scan->len ? scan->text[scan->at] : '\0';
}

static bool
put(struct scan *scan, enum token_type type, size_t at, size_t len)
{
    struct tokens *to = scan->to;
    if (to->count == TOKENS_MAX)
        return fail(scan, "JSON has too many values");
    if (to->count == scan->capacity) {
        scan->capacity = scan->capacity == 0 ? 64 : 2 * scan->capacity;
        struct token *list = realloc(to->list, scan->capacity * sizeof *list);
        if (list == NULL)
            abort();
        to->list = list;
    }
    to->list[to->count] = (struct token){
        .at = (uint32_t)at, .len = (uint32_t)len, .end = to->count + 1, .type = (uint32_t)type
    };
    to->count++;
    return true;
}

/* --- scalars -----------------------------------------------------------------------------------*/

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
scan_digits(struct scan *scan)
{
    if (!is_digit(look(scan)))
        return fail(scan, "JSON has a number that is none");
    while (is_digit(look(scan)))
        scan->at++;
    return true;
}

static bool
scan_number(struct scan *scan)
{
    size_t from = scan->at;
    scan->at += look(scan) == '-';
    if (look(scan) == '0')
        scan->at++;
    else if (!scan_digits(scan))
        return false;
    if (look(scan) == '.') {
        scan->at++;
        if (!scan_digits(scan))
            return false;
    }
    if (look(scan) == 'e' || look(scan) == 'E') {
        scan->at++;
        scan->at += look(scan) == '+' || look(scan) == '-';
        if (!scan_digits(scan))
            return false;
    }
    return put(scan, TOKEN_NUMBER, from, scan->at - from);
}

/* -1: it is no hexadecimal digit. */
static int
hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
scan_escape(struct scan *scan)
{
    scan->at++;
    char c = look(scan);
    scan->at++;
    if (c != '\0' && strchr("\"\\/bfnrt", c) != NULL)
        return true;
    if (c != 'u')
        return fail(scan, "JSON has an escape that is none");
    for (int i = 0; i < 4; i++, scan->at++)
        if (hex_value(look(scan)) < 0)
            return fail(scan, "JSON has an escape that is none");
    return true;
}

static bool
scan_string(struct scan *scan)
{
    size_t from = ++scan->at;
    while (look(scan) != '"') {
        if (scan->at >= scan->len)
            return fail(scan, "JSON ends too early");
        if ((unsigned char)look(scan) < ' ')
            return fail(scan, "JSON has a control character in a string");
        if (look(scan) != '\\')
            scan->at++;
        else if (!scan_escape(scan))
            return false;
    }
    return put(scan, TOKEN_STRING, from, scan->at++ - from);
}

static bool
scan_word(struct scan *scan, enum token_type type, const char *word)
{
    size_t from = scan->at, len = strlen(word);
    if (scan->len - from < len || memcmp(scan->text + from, word, len) != 0)
        return fail(scan, "JSON has a word that is none");
    scan->at += len;
    return put(scan, type, from, len);
}

static bool
scan_scalar(struct scan *scan)
{
    switch (look(scan)) {
    case '"':
        return scan_string(scan);
    case 'n':
        return scan_word(scan, TOKEN_NULL, "null");
    case 't':
        return scan_word(scan, TOKEN_TRUE, "true");
    case 'f':
        return scan_word(scan, TOKEN_FALSE, "false");
    default:
        return scan->at >= scan->len ? fail(scan, "JSON ends too early") : scan_number(scan);
    }
}

/* --- structure ---------------------------------------------------------------------------------*/

static bool
scan_name(struct scan *scan)
{
    skip_blanks(scan);
    if (look(scan) != '"')
        return fail(scan, "JSON has no name where one belongs");
    if (!scan_string(scan))
        return false;
    skip_blanks(scan);
    if (look(scan) != ':')
        return fail(scan, "JSON has no colon where one belongs");
    scan->at++;
    return true;
}

static bool
enter(struct scan *scan, enum token_type type)
{
    if (scan->depth == TOKENS_DEPTH_MAX)
        return fail(scan, "JSON is nested too deeply");
    scan->open[scan->depth] = scan->to->count;
    if (!put(scan, type, scan->at, 0))
        return false;
    scan->depth++;
    scan->at++;
    return true;
}

/* A value: a scalar as a whole, or the beginning of more. */
static bool
scan_value(struct scan *scan)
{
    skip_blanks(scan);
    if (scan->depth > 0)
        scan->to->list[scan->open[scan->depth - 1]].count++;
    if (look(scan) == '{')
        return enter(scan, TOKEN_OBJECT);
    if (look(scan) == '[')
        return enter(scan, TOKEN_ARRAY);
    return scan_scalar(scan);
}

/* What follows within the innermost that is open: another value, or its end. */
static bool
scan_inside(struct scan *scan)
{
    struct token *open = &scan->to->list[scan->open[scan->depth - 1]];
    bool is_object = open->type == TOKEN_OBJECT;
    skip_blanks(scan);
    if (look(scan) == (is_object ? '}' : ']')) {
        scan->at++;
        open->end = scan->to->count;
        open->len = (uint32_t)scan->at - open->at;
        scan->depth--;
        return true;
    }
    if (open->count > 0) {
        if (look(scan) != ',')
            return fail(scan, scan->at >= scan->len ? "JSON ends too early"
                                                    : "JSON has no comma where one belongs");
        scan->at++;
    }
    return (!is_object || scan_name(scan)) && scan_value(scan);
}

bool
tokens_read(struct tokens *ret, const char *text, size_t len, const char **why)
{
    struct scan scan = { .text = text, .len = len, .to = ret };
    *ret = (struct tokens){ .text = text };
    bool is_sound = len <= TOKENS_TEXT_BYTES_MAX || fail(&scan, "JSON is too long");
    is_sound = is_sound && scan_value(&scan);
    while (is_sound && scan.depth > 0)
        is_sound = scan_inside(&scan);
    skip_blanks(&scan);
    if (is_sound && scan.at < len)
        is_sound = fail(&scan, "JSON has something behind its end");
    if (is_sound)
        return true;
    *why = scan.why;
    tokens_fini(ret);
    return false;
}

void
tokens_fini(struct tokens *tokens)
{
    free(tokens->list);
    *tokens = (struct tokens){ .list = NULL };
}

/* --- use ---------------------------------------------------------------------------------------*/

bool
tokens_is(const struct tokens *tokens, uint32_t token, const char *word)
{
    const struct token *it = &tokens->list[token];
    return it->type == TOKEN_STRING && it->len == strlen(word) &&
           memcmp(tokens->text + it->at, word, it->len) == 0;
}

uint32_t
tokens_member(const struct tokens *tokens, uint32_t object, const char *name)
{
    const struct token *it = &tokens->list[object];
    uint32_t found = 0;
    if (it->type != TOKEN_OBJECT)
        return 0;
    for (uint32_t at = object + 1; at < it->end; at = tokens->list[at + 1].end)
        if (tokens_is(tokens, at, name))
            found = at + 1; /* of several the last one counts */
    return found;
}

/* Four digits that have been looked at. */
static unsigned
read_hex(const char *text)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 4 | ((unsigned)hex_value(text[i]) & 0xf);
    return value;
}

static size_t
put_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* `text` is behind the \u. Gives how many bytes of it were used, or 0: it is half a character. */
static size_t
read_character(const char *text, size_t len, unsigned *ret_code)
{
    *ret_code = read_hex(text);
    if (*ret_code < 0xd800 || *ret_code > 0xdfff)
        return 4;
    if (*ret_code > 0xdbff || len < 10 || text[4] != '\\' || text[5] != 'u')
        return 0;
    unsigned low = read_hex(text + 6);
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    *ret_code = 0x10000 + ((*ret_code - 0xd800) << 10) + (low - 0xdc00);
    return 10;
}

bool
tokens_unescape(const struct tokens *tokens, uint32_t token, enum token_unescape how, char *out,
                size_t *ret_len, const char **why)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const struct token *it = &tokens->list[token];
    const char *at = tokens->text + it->at, *end = at + it->len;
    char *begin = out;
    while (at < end) {
        if (*at != '\\') {
            *out++ = *at++;
            continue;
        }
        const char *short_one = strchr(from, at[1]);
        if (at[1] != 'u') {
            *out++ = short_one != NULL ? to[short_one - from] : at[1];
            at += 2;
            continue;
        }
        unsigned code;
        size_t used = read_character(at + 2, (size_t)(end - at) - 2, &code);
        if (how == TOKEN_AS_BYTES ? code > 0xff : used == 0) {
            *why = how == TOKEN_AS_BYTES ? "an escape is no byte"
                                         : "missing second half of surrogate pair";
            return false;
        }
        if (how == TOKEN_AS_BYTES)
            *out++ = (char)code;
        else
            out += put_utf8(out, code);
        at += 2 + used;
    }
    *ret_len = (size_t)(out - begin);
    return true;
}
