/* SPDX-License-Identifier: Apache-2.0 */
/* Go's number syntax; see number.h. */
#include "config/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { DOUBLE_CHARS_MAX = 400, DIGITS_MAX = 17 };

static unsigned
digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

/* Takes the prefix off and says which base it announced. */
static unsigned
take_base(struct slice *text)
{
    if (text->len < 2 || text->data[0] != '0')
        return 10;
    char c = (char)(text->data[1] | 0x20);
    unsigned base = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
    *text = slice_from(*text, base == 0 ? 1 : 2);
    return base == 0 ? 8 : base;
}

enum number_result
number_to_u64(struct slice text, uint64_t *ret_value)
{
    unsigned base = take_base(&text);
    uint64_t value = 0;
    bool overflow = false;
    if (text.len == 0)
        return NUMBER_SYNTAX;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = digit_value(text.data[i]);
        if (digit >= base)
            return NUMBER_SYNTAX;
        overflow |= __builtin_mul_overflow(value, base, &value) ||
                    __builtin_add_overflow(value, digit, &value);
    }
    if (overflow)
        return NUMBER_RANGE;
    *ret_value = value;
    return NUMBER_OK;
}

enum number_result
number_to_i64(struct slice text, int64_t *ret_value)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    if (text.len > 0 && (text.data[0] == '-' || text.data[0] == '+'))
        text = slice_from(text, 1);
    uint64_t magnitude = 0;
    enum number_result result = number_to_u64(text, &magnitude);
    if (result != NUMBER_OK)
        return result;
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return NUMBER_RANGE;
    *ret_value = (int64_t)(negative ? 0 - magnitude : magnitude);
    return NUMBER_OK;
}

static size_t
skip_digits(struct slice text, size_t at)
{
    while (at < text.len && text.data[at] >= '0' && text.data[at] <= '9')
        at++;
    return at;
}

/* The grammar comes first: strtod() alone would also take "nan", hexadecimal and leading blanks. */
static bool
is_decimal(struct slice text)
{
    size_t at = text.len > 0 && (text.data[0] == '-' || text.data[0] == '+');
    size_t whole = skip_digits(text, at) - at, fraction = 0;
    at += whole;
    if (at < text.len && text.data[at] == '.') {
        fraction = skip_digits(text, at + 1) - at - 1;
        at += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (at < text.len && (text.data[at] == 'e' || text.data[at] == 'E')) {
        at++;
        at += at < text.len && (text.data[at] == '-' || text.data[at] == '+');
        size_t end = skip_digits(text, at);
        if (end == at)
            return false;
        at = end;
    }
    return at == text.len;
}

bool
number_to_double(struct slice text, double *ret_value)
{
    char copy[DOUBLE_CHARS_MAX + 1];
    if (text.len > DOUBLE_CHARS_MAX || !is_decimal(text))
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    double value = strtod(copy, NULL);
    if (!isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

/* value = 0.digits * 10^point */
struct digits {
    char text[DIGITS_MAX + 1];
    int count;
    int point;
};

static struct digits
shortest_digits(double value)
{
    struct digits d = { 0 };
    char text[40];
    for (int precision = 0; precision < DIGITS_MAX; precision++) {
        (void)snprintf(text, sizeof text, "%.*e", precision, value); /* at most 24 characters */
        if (strtod(text, NULL) == value)
            break;
    }
    const char *p = text;
    for (; *p != 'e' && *p != '\0'; p++)
        if (*p != '.')
            d.text[d.count++] = *p;
    int64_t exponent = 0;
    if (!slice_to_i64(slice_str(p + 1), &exponent))
        exponent = 0; /* cannot happen: printf wrote it */
    while (d.count > 1 && d.text[d.count - 1] == '0')
        d.count--;
    d.point = (int)exponent + 1;
    return d;
}

static int
print_exponent(char *out, const struct digits *d, bool short_exponent)
{
    int exponent = d->point - 1;
    int len = snprintf(out, NUMBER_TEXT_BYTES, "%c%s%.*s", d->text[0], d->count > 1 ? "." : "",
                       d->count - 1, d->text + 1);
    bool one_digit = short_exponent && exponent < 0 && exponent > -10;
    return len + snprintf(out + len, NUMBER_TEXT_BYTES - (size_t)len, one_digit ? "e%+d" : "e%+03d",
                          exponent);
}

static int
print_plain(char *out, const struct digits *d)
{
    if (d->point <= 0)
        return snprintf(out, NUMBER_TEXT_BYTES, "0.%0*d%.*s", -d->point, 0, d->count, d->text);
    int whole = d->point < d->count ? d->point : d->count;
    int len = snprintf(out, NUMBER_TEXT_BYTES, "%.*s", whole, d->text);
    for (int i = whole; i < d->point; i++)
        out[len++] = '0';
    if (d->count > d->point)
        len += snprintf(out + len, NUMBER_TEXT_BYTES - (size_t)len, ".%.*s", d->count - d->point,
                        d->text + d->point);
    return len;
}

static struct slice
print(double value, bool as_json, char *out)
{
    bool negative = signbit(value);
    double magnitude = fabs(value);
    size_t len = 0;
    if (negative)
        out[len++] = '-';
    char text[NUMBER_TEXT_BYTES];
    int text_len;
    struct digits d = magnitude == 0 ? (struct digits){ .text = "0", .count = 1, .point = 1 }
                                     : shortest_digits(magnitude);
    bool exponent_form = as_json ? magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21)
                                 : d.point - 1 < -4 || d.point - 1 >= 6;
    if (exponent_form)
        text_len = print_exponent(text, &d, as_json);
    else if (d.point == 0)
        text_len = snprintf(text, sizeof text, "0.%.*s", d.count, d.text);
    else
        text_len = print_plain(text, &d);
    memcpy(out + len, text, (size_t)text_len);
    len += (size_t)text_len;
    return slice_of(out, len);
}

struct slice
number_print_json(double value, char ret_text[NUMBER_TEXT_BYTES])
{
    return print(value, true, ret_text);
}

struct slice
number_print_g(double value, char ret_text[NUMBER_TEXT_BYTES])
{
    return print(value, false, ret_text);
}
