/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes quantities; see quantity.h. */
#include "config/quantity.h"

static const char bad_format[] = "quantities must match the regular expression "
                                 "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
static const char bad_suffix[] = "unable to parse quantity's suffix";

/* A factor is base^exponent. */
static const struct suffix {
    const char *name;
    int base;
    int exponent;
} suffixes[] = {
    { "", 10, 0 },   { "n", 10, -9 }, { "u", 10, -6 }, { "m", 10, -3 },
    { "k", 10, 3 },  { "M", 10, 6 },  { "G", 10, 9 },  { "T", 10, 12 },
    { "P", 10, 15 }, { "E", 10, 18 }, { "Ki", 2, 10 }, { "Mi", 2, 20 },
    { "Gi", 2, 30 }, { "Ti", 2, 40 }, { "Pi", 2, 50 }, { "Ei", 2, 60 },
};

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
suffix_factor(struct slice suffix, int *ret_base, int *ret_exponent)
{
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        if (slice_eq(suffix, slice_str(suffixes[i].name))) {
            *ret_base = suffixes[i].base;
            *ret_exponent = suffixes[i].exponent;
            return true;
        }
    }
    int64_t exponent;
    if (suffix.len < 2 || (suffix.data[0] != 'e' && suffix.data[0] != 'E') ||
        !slice_to_i64(slice_from(suffix, 1), &exponent))
        return false;
    *ret_base = 10;
    *ret_exponent = exponent > 100 ? 100 : exponent < -100 ? -100 : (int)exponent;
    return true;
}

/* Digits with at most 18 places kept; the point moves instead of more being read. What is dropped
 * only matters for rounding up. */
struct decimal {
    uint64_t digits;
    int exponent;
    bool has_rest;
};

static void
add_digit(struct decimal *d, char c, bool is_fraction)
{
    if (d->digits >= 100000000000000000ull) {
        d->has_rest |= c != '0';
        d->exponent += !is_fraction;
        return;
    }
    d->digits = d->digits * 10 + (uint64_t)(c - '0');
    d->exponent -= is_fraction;
}

/* digits * 10^exponent * base^power, rounded up. */
static uint64_t
scale(struct decimal d, int base, int power)
{
    unsigned __int128 value = d.digits;
    const unsigned __int128 top = (unsigned __int128)INT64_MAX + 1;
    if (value == 0)
        return 0;
    if (base == 2)
        value <<= power; /* at most 57 + 60 bits */
    else
        d.exponent += power;
    for (; d.exponent > 0 && value < top; d.exponent--)
        value *= 10;
    bool round_up = d.has_rest;
    for (; d.exponent < 0 && value > 0; d.exponent++) {
        round_up |= value % 10 != 0;
        value /= 10;
    }
    value += round_up;
    return value > (uint64_t)INT64_MAX ? (uint64_t)INT64_MAX : (uint64_t)value;
}

/* Whether the text behind the number has the form of a suffix at all. */
static bool
has_suffix_form(struct slice s)
{
    size_t at = 0;
    while (at < s.len && slice_find_byte(SLICE("eEinumkKMGTP"), s.data[at]) >= 0)
        at++;
    if (at < s.len && (s.data[at] == '-' || s.data[at] == '+'))
        at++;
    while (at < s.len && is_digit(s.data[at]))
        at++;
    return at == s.len;
}

bool
quantity_parse(struct slice text, int64_t *ret_value, const char **ret_error)
{
    struct slice rest = text;
    bool negative = rest.len > 0 && rest.data[0] == '-';
    if (rest.len > 0 && (rest.data[0] == '-' || rest.data[0] == '+'))
        rest = slice_from(rest, 1);
    struct decimal d = { 0 };
    bool has_digit = false, is_fraction = false;
    for (; rest.len > 0; rest = slice_from(rest, 1)) {
        if (rest.data[0] == '.' && !is_fraction)
            is_fraction = true;
        else if (is_digit(rest.data[0])) {
            add_digit(&d, rest.data[0], is_fraction);
            has_digit = true;
        } else
            break;
    }
    if (!has_digit || !has_suffix_form(rest)) {
        *ret_error = bad_format;
        return false;
    }
    int base, power;
    if (!suffix_factor(rest, &base, &power)) {
        *ret_error = bad_suffix;
        return false;
    }
    /* Rounding is away from zero, as Kubernetes does it. */
    uint64_t magnitude = scale(d, base, power);
    *ret_value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}
