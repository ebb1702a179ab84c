/* SPDX-License-Identifier: Apache-2.0 */
/* Go's duration syntax; see duration.h. */
#include "config/duration.h"

#include <stdio.h>

static const struct unit {
    const char *name;
    uint64_t ns;
} units[] = {
    { "ns", 1 },
    { "us", 1000 },
    { "\xC2\xB5s", 1000 }, /* micro sign */
    { "\xCE\xBCs", 1000 }, /* Greek mu */
    { "ms", DURATION_MS_NS },
    { "s", DURATION_S_NS },
    { "m", 60ull * DURATION_S_NS },
    { "h", 3600ull * DURATION_S_NS },
};

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const struct unit *
find_unit(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (slice_eq(name, slice_str(units[i].name)))
            return &units[i];
    return NULL;
}

/* A number as whole + fraction / scale. */
struct number {
    uint64_t whole;
    uint64_t fraction;
    double scale;
};

/* Takes "12.5" off the front. Digits that no longer fit the fraction are dropped, as Go does. */
static bool
take_number(struct slice *rest, struct number *ret)
{
    struct number n = { .scale = 1 };
    size_t digits = 0;
    for (; rest->len > 0 && is_digit(rest->data[0]); *rest = slice_from(*rest, 1), digits++)
        if (__builtin_mul_overflow(n.whole, 10u, &n.whole) ||
            __builtin_add_overflow(n.whole, (uint64_t)(rest->data[0] - '0'), &n.whole))
            return false;
    if (rest->len > 0 && rest->data[0] == '.') {
        *rest = slice_from(*rest, 1);
        for (; rest->len > 0 && is_digit(rest->data[0]); *rest = slice_from(*rest, 1), digits++) {
            if (n.fraction > ((uint64_t)INT64_MAX - 9) / 10)
                continue;
            n.fraction = n.fraction * 10 + (uint64_t)(rest->data[0] - '0');
            n.scale *= 10;
        }
    }
    *ret = n;
    return digits > 0;
}

static struct slice
take_unit_name(struct slice *rest)
{
    size_t len = 0;
    while (len < rest->len && rest->data[len] != '.' && !is_digit(rest->data[len]))
        len++;
    struct slice name = slice_first(*rest, len);
    *rest = slice_from(*rest, len);
    return name;
}

static bool
refuse(char *error, const char *what, struct slice shown, struct slice whole)
{
    const int len_max = 40;
    int len = shown.len > (size_t)len_max ? len_max : (int)shown.len;
    int whole_len = whole.len > (size_t)len_max ? len_max : (int)whole.len;
    if (what == NULL)
        (void)snprintf(error, DURATION_ERROR_BYTES, "time: invalid duration \"%.*s\"", whole_len,
                       whole.data); /* cut is fine */
    else if (shown.len == 0)
        (void)snprintf(error, DURATION_ERROR_BYTES, "time: %s in duration \"%.*s\"", what,
                       whole_len, whole.data);
    else
        (void)snprintf(error, DURATION_ERROR_BYTES, "time: %s \"%.*s\" in duration \"%.*s\"", what,
                       len, shown.data, whole_len, whole.data);
    return false;
}

static bool
add_part(uint64_t *total, const struct number *n, uint64_t unit_ns)
{
    uint64_t ns;
    if (__builtin_mul_overflow(n->whole, unit_ns, &ns))
        return false;
    if (n->fraction > 0)
        ns += (uint64_t)((double)n->fraction * ((double)unit_ns / n->scale));
    return !__builtin_add_overflow(*total, ns, total) && *total <= (uint64_t)INT64_MAX + 1;
}

bool
duration_parse(struct slice text, int64_t *ret_ns, char ret_error[DURATION_ERROR_BYTES])
{
    struct slice rest = text;
    bool negative = rest.len > 0 && rest.data[0] == '-';
    if (rest.len > 0 && (rest.data[0] == '-' || rest.data[0] == '+'))
        rest = slice_from(rest, 1);
    if (slice_eq(rest, SLICE("0"))) {
        *ret_ns = 0;
        return true;
    }
    if (rest.len == 0)
        return refuse(ret_error, NULL, SLICE_EMPTY, text);
    uint64_t total = 0;
    while (rest.len > 0) {
        struct number n;
        if (!take_number(&rest, &n))
            return refuse(ret_error, NULL, SLICE_EMPTY, text);
        struct slice name = take_unit_name(&rest);
        if (name.len == 0)
            return refuse(ret_error, "missing unit", SLICE_EMPTY, text);
        const struct unit *unit = find_unit(name);
        if (unit == NULL)
            return refuse(ret_error, "unknown unit", name, text);
        if (!add_part(&total, &n, unit->ns))
            return refuse(ret_error, NULL, SLICE_EMPTY, text);
    }
    if (total > (uint64_t)INT64_MAX && !negative)
        return refuse(ret_error, NULL, SLICE_EMPTY, text);
    *ret_ns = (int64_t)(negative ? 0 - total : total);
    return true;
}

/* Appends whole.fraction of a value in units of 10^digits, without trailing zeros. */
static int
print_fraction(char *out, size_t size, uint64_t value, unsigned digits)
{
    uint64_t scale = 1;
    for (unsigned i = 0; i < digits; i++)
        scale *= 10;
    uint64_t fraction = value % scale;
    if (fraction == 0)
        return snprintf(out, size, "%llu", (unsigned long long)(value / scale));
    while (fraction % 10 == 0) {
        fraction /= 10;
        digits--;
    }
    return snprintf(out, size, "%llu.%0*llu", (unsigned long long)(value / scale), (int)digits,
                    (unsigned long long)fraction);
}

struct slice
duration_print(int64_t ns, char ret_text[DURATION_TEXT_BYTES])
{
    uint64_t left = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    char number[24];
    const char *unit = "s";
    char hours_minutes[16] = "";
    if (left == 0) {
        (void)snprintf(number, sizeof number, "0");
    } else if (left < DURATION_S_NS) {
        unsigned digits = left < 1000 ? 0 : left < DURATION_MS_NS ? 3 : 6;
        unit = digits == 0 ? "ns" : digits == 3 ? "\xC2\xB5s" : "ms";
        (void)print_fraction(number, sizeof number, left, digits); /* at most 11 characters */
    } else {
        uint64_t minutes = left / (60ull * DURATION_S_NS);
        (void)print_fraction(number, sizeof number, left % (60ull * DURATION_S_NS), 9);
        if (minutes >= 60)
            (void)snprintf(hours_minutes, sizeof hours_minutes, "%uh%um", (unsigned)(minutes / 60),
                           (unsigned)(minutes % 60));
        else if (minutes > 0)
            (void)snprintf(hours_minutes, sizeof hours_minutes, "%um", (unsigned)minutes);
    }
    int len = snprintf(ret_text, DURATION_TEXT_BYTES, "%s%s%s%s", ns < 0 ? "-" : "", hours_minutes,
                       number, unit);
    return slice_of(ret_text, (size_t)len);
}
