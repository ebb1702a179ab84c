/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of the Common Expression Language; see internal.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cel/internal.h"

enum { NUMBER_CHARS_MAX = 64 };

static char
peek(const struct cel_lexer *l, size_t ahead)
{
    return l->at + ahead < l->text.len ? l->text.data[l->at + ahead] : '\0';
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static void
bad(struct cel_lexer *l, const char *error)
{
    l->token = TOKEN_BAD;
    l->error = error;
}

static void
skip_blanks(struct cel_lexer *l)
{
    for (;;) {
        char c = peek(l, 0);
        if (l->at < l->text.len && (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f')) {
            l->at++;
        } else if (c == '/' && peek(l, 1) == '/') {
            while (l->at < l->text.len && l->text.data[l->at] != '\n')
                l->at++;
        } else {
            return;
        }
    }
}

/* --- numbers -----------------------------------------------------------------------------------*/

static void
lex_hex(struct cel_lexer *l)
{
    uint64_t number = 0;
    l->at += 2;
    size_t first = l->at;
    for (; hex_value(peek(l, 0)) >= 0; l->at++) {
        if (number >> 60 != 0) {
            bad(l, "the number is too large");
            return;
        }
        number = number << 4 | (unsigned)hex_value(peek(l, 0));
    }
    l->number = number;
    l->token = TOKEN_INT;
    if (l->at == first)
        bad(l, "digits are missing");
}

static void
lex_decimal(struct cel_lexer *l)
{
    char text[NUMBER_CHARS_MAX + 1];
    size_t first = l->at;
    bool is_real = false;
    while (is_digit(peek(l, 0)))
        l->at++;
    if (peek(l, 0) == '.' && is_digit(peek(l, 1))) {
        is_real = true;
        l->at++;
        while (is_digit(peek(l, 0)))
            l->at++;
    }
    size_t sign = peek(l, 1) == '+' || peek(l, 1) == '-' ? 2 : 1;
    if ((peek(l, 0) == 'e' || peek(l, 0) == 'E') && is_digit(peek(l, sign))) {
        is_real = true;
        l->at += sign;
        while (is_digit(peek(l, 0)))
            l->at++;
    }
    size_t len = l->at - first;
    if (len > NUMBER_CHARS_MAX) {
        bad(l, "the number is too long");
        return;
    }
    memcpy(text, l->text.data + first, len);
    text[len] = '\0';
    l->token = is_real ? TOKEN_DOUBLE : TOKEN_INT;
    l->real = strtod(text, NULL); /* only digits, a point and an exponent: no locale of ours */
    if (!is_real && !slice_to_u64(slice_of(text, len), &l->number))
        bad(l, "the number is too large");
}

static void
lex_number(struct cel_lexer *l)
{
    if (peek(l, 0) == '0' && (peek(l, 1) == 'x' || peek(l, 1) == 'X'))
        lex_hex(l);
    else
        lex_decimal(l);
    if (l->token == TOKEN_INT && (peek(l, 0) == 'u' || peek(l, 0) == 'U')) {
        l->at++;
        l->token = TOKEN_UINT;
    }
    if (l->token != TOKEN_BAD && is_letter(peek(l, 0)))
        bad(l, "a letter stands behind a number");
}

/* --- strings -----------------------------------------------------------------------------------*/

static size_t
put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char marks[] = { 0, 0xc0, 0xe0, 0xf0 };
    out[0] = (char)(marks[more] | c >> (6 * more));
    for (size_t i = 1; i <= more; i++)
        out[i] = (char)(0x80 | ((c >> (6 * (more - i))) & 0x3f));
    return more + 1;
}

/* So many digits of a base behind a backslash; false: they are not there. */
static bool
take_code(struct cel_lexer *l, unsigned digits, unsigned base, uint32_t *ret_code)
{
    uint32_t code = 0;
    for (unsigned i = 0; i < digits; i++, l->at++) {
        int digit = hex_value(peek(l, 0));
        if (digit < 0 || (unsigned)digit >= base)
            return false;
        code = code * base + (unsigned)digit;
    }
    *ret_code = code;
    return true;
}

/* Behind the backslash. How many bytes; 0: there is no such escape. */
static size_t
take_escape(struct cel_lexer *l, bool is_bytes, char *out)
{
    static const char from[] = "abfnrtv\\'\"`?", to[] = "\a\b\f\n\r\t\v\\'\"`?";
    char c = peek(l, 0);
    uint32_t code = 0;
    const char *found = c == '\0' ? NULL : strchr(from, c);
    if (found != NULL) {
        l->at++;
        *out = to[found - from];
        return 1;
    }
    bool is_octal = c >= '0' && c <= '3';
    if (!is_octal)
        l->at++;
    bool is_good = is_octal                ? take_code(l, 3, 8, &code)
                   : c == 'x' || c == 'X'  ? take_code(l, 2, 16, &code)
                   : c == 'u' && !is_bytes ? take_code(l, 4, 16, &code)
                   : c == 'U' && !is_bytes ? take_code(l, 8, 16, &code)
                                           : false;
    if (!is_good || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return 0;
    if (!is_bytes)
        return put_utf8(out, code);
    *out = (char)code;
    return 1;
}

/* At the quote; of any form. */
static void
lex_string(struct cel_lexer *l, bool is_raw, bool is_bytes)
{
    char quote = peek(l, 0);
    bool is_long = peek(l, 1) == quote && peek(l, 2) == quote;
    char *out = arena_alloc(l->arena, l->text.len - l->at + 4);
    size_t len = 0;
    l->at += is_long ? 3 : 1;
    for (;;) {
        char c = peek(l, 0);
        if (l->at >= l->text.len || (!is_long && (c == '\n' || c == '\r'))) {
            bad(l, "the string has no end");
            return;
        }
        if (c == quote && (!is_long || (peek(l, 1) == quote && peek(l, 2) == quote)))
            break;
        l->at++;
        if (c != '\\' || is_raw) {
            out[len++] = c;
            continue;
        }
        size_t more = take_escape(l, is_bytes, out + len);
        if (more == 0) {
            bad(l, "there is no such escape");
            return;
        }
        len += more;
    }
    l->at += is_long ? 3 : 1;
    l->token = is_bytes ? TOKEN_BYTES : TOKEN_STRING;
    l->value = slice_of(out, len);
    if (!is_bytes && !slice_is_utf8(l->value))
        bad(l, "the string is not UTF-8");
}

/* r"…", b'…' and both together; false: an identifier begins here. */
static bool
lex_prefixed(struct cel_lexer *l)
{
    bool is_raw = false, is_bytes = false;
    size_t n = 0;
    while (n < 2) {
        char c = (char)(peek(l, n) | 0x20);
        if (c == 'r' && !is_raw)
            is_raw = true;
        else if (c == 'b' && !is_bytes)
            is_bytes = true;
        else
            break;
        n++;
    }
    if (peek(l, n) != '"' && peek(l, n) != '\'')
        return false;
    l->at += n;
    lex_string(l, is_raw, is_bytes);
    return true;
}

/* --- the rest ----------------------------------------------------------------------------------*/

static void
lex_sign(struct cel_lexer *l)
{
    static const char *const signs[] = { "&&", "||", "<=", ">=", "==", "!=", "<", ">",
                                         "!",  "+",  "-",  "*",  "/",  "%",  "?", ":",
                                         ".",  ",",  "(",  ")",  "[",  "]",  "{", "}" };
    struct slice rest = slice_from(l->text, l->at);
    for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
        if (!slice_has_prefix(rest, slice_str(signs[i])))
            continue;
        l->token = TOKEN_SIGN;
        l->word = slice_str(signs[i]);
        l->at += l->word.len;
        return;
    }
    bad(l, "a character that means nothing here");
}

void
cel_next(struct cel_lexer *l)
{
    skip_blanks(l);
    l->begin = l->at;
    char c = peek(l, 0);
    if (l->at >= l->text.len) {
        l->token = TOKEN_END;
    } else if (is_digit(c) || (c == '.' && is_digit(peek(l, 1)))) {
        lex_number(l);
    } else if (c == '"' || c == '\'') {
        lex_string(l, false, false);
    } else if (is_letter(c)) {
        if (lex_prefixed(l))
            return;
        while (is_letter(peek(l, 0)) || is_digit(peek(l, 0)))
            l->at++;
        l->token = TOKEN_IDENT;
        l->word = slice_of(l->text.data + l->begin, l->at - l->begin);
    } else {
        lex_sign(l);
    }
}
