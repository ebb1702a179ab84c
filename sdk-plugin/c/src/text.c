/* SPDX-License-Identifier: Apache-2.0 */
/* Small helpers for handlers: slices, component metadata, UUIDs. */
#include "sdk.h"

#include <stdlib.h>
#include <sys/random.h>

bool
remora_slice_eq(struct remora_slice a, const char *text)
{
    return slice_eq(from_remora(a), slice_str(text));
}

bool
remora_metadata_get(const struct remora_pair *metadata, size_t count, const char *name,
                    struct remora_slice *ret_value)
{
    const struct slice wanted = slice_str(name);
    for (size_t i = count; i > 0; i--) {
        if (slice_eq_nocase(from_remora(metadata[i - 1].name), wanted)) {
            *ret_value = metadata[i - 1].value;
            return true;
        }
    }
    return false;
}

char *
remora_slice_dup(struct remora_slice slice)
{
    return slice_dup_str(from_remora(slice));
}

static bool
is_one_of(struct slice text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq_nocase(text, slice_str(words[i])))
            return true;
    return false;
}

bool
remora_parse_bool(struct remora_slice text, bool *ret_value)
{
    static const char *const truthy[] = { "1", "t", "true", "y", "yes", "on" };
    static const char *const falsy[] = { "0", "f", "false", "n", "no", "off" };
    const struct slice word = slice_trim(from_remora(text));
    const bool is_true = is_one_of(word, truthy, ARRAY_LEN(truthy));
    if (!is_true && !is_one_of(word, falsy, ARRAY_LEN(falsy)))
        return false;
    *ret_value = is_true;
    return true;
}

bool
remora_parse_i64(struct remora_slice text, int64_t *ret_value)
{
    return slice_to_i64(from_remora(text), ret_value);
}

/* --- durations ---------------------------------------------------------------------------------*/

struct unit {
    const char *name;
    uint64_t ns;
};

/* Longer names first, so that "ms" is not taken for "m". */
static const struct unit units[] = {
    { "ns", 1 },           { "us", 1000 },      { "\xc2\xb5s", 1000 }, /* micro sign */
    { "\xce\xbcs", 1000 },                                             /* Greek mu */
    { "ms", 1000000 },     { "s", 1000000000 }, { "m", 60000000000 },  { "h", 3600000000000 },
};

static bool
take_digits(struct slice *rest, struct slice *ret_digits)
{
    size_t len = 0;
    while (len < rest->len && rest->data[len] >= '0' && rest->data[len] <= '9')
        len++;
    *ret_digits = slice_first(*rest, len);
    *rest = slice_from(*rest, len);
    return len > 0;
}

/* "1.5h" off the front, added to *total_ns. */
static bool
take_part(struct slice *rest, uint64_t *total_ns)
{
    struct slice whole, fraction = SLICE_EMPTY;
    const bool has_whole = take_digits(rest, &whole);
    bool has_fraction = false;
    if (rest->len > 0 && rest->data[0] == '.') {
        *rest = slice_from(*rest, 1);
        has_fraction = take_digits(rest, &fraction);
    }
    if (!has_whole && !has_fraction)
        return false;
    uint64_t count = 0;
    if (has_whole && !slice_to_u64(whole, &count))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (!slice_has_prefix(*rest, slice_str(units[i].name)))
            continue;
        *rest = slice_from(*rest, strlen(units[i].name));
        uint64_t ns, digit = units[i].ns;
        if (__builtin_mul_overflow(count, units[i].ns, &ns))
            return false;
        for (size_t k = 0; k < fraction.len; k++) {
            digit /= 10;
            ns += digit * (uint64_t)(fraction.data[k] - '0');
        }
        return !__builtin_add_overflow(*total_ns, ns, total_ns);
    }
    return false;
}

bool
remora_parse_duration_ms(struct remora_slice text, int64_t *ret_ms)
{
    struct slice rest = from_remora(text);
    int64_t seconds;
    if (slice_to_i64(rest, &seconds))
        return !__builtin_mul_overflow(seconds, 1000, ret_ms);
    const bool is_negative = rest.len > 0 && rest.data[0] == '-';
    if (is_negative || (rest.len > 0 && rest.data[0] == '+'))
        rest = slice_from(rest, 1);
    uint64_t total_ns = 0;
    if (rest.len == 0)
        return false;
    while (rest.len > 0)
        if (!take_part(&rest, &total_ns))
            return false;
    if (total_ns > INT64_MAX)
        return false;
    const int64_t ms = (int64_t)(total_ns / 1000000);
    *ret_ms = is_negative ? -ms : ms;
    return true;
}

/* --- UUIDs -------------------------------------------------------------------------------------*/

void
remora_uuid(char ret_uuid[37])
{
    /* Drawn for many at a time: the system call would be most of the cost. */
    static unsigned char drawn[64 * 16];
    static size_t left;
    static const char hex[] = "0123456789abcdef";
    if (left == 0) {
        size_t got = 0;
        while (got < sizeof drawn) {
            ssize_t n = getrandom(drawn + got, sizeof drawn - got, 0);
            if (n > 0)
                got += (size_t)n;
        }
        left = sizeof drawn;
    }
    left -= 16;
    unsigned char *bytes = drawn + left;
    bytes[6] = (bytes[6] & 0x0F) | 0x40; /* version 4 */
    bytes[8] = (bytes[8] & 0x3F) | 0x80; /* RFC 9562 variant */
    char *at = ret_uuid;
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = hex[bytes[i] >> 4];
        *at++ = hex[bytes[i] & 0x0F];
    }
    *at = '\0';
}

/* --- text for others ---------------------------------------------------------------------------*/

struct slice
text_clean(struct arena *arena, struct slice text, size_t max)
{
    struct slice cut = slice_first(text, max);
    /* Not in the middle of a character. */
    while (cut.len < text.len && cut.len > 0 && ((unsigned char)text.data[cut.len] & 0xC0) == 0x80)
        cut.len--;
    if (slice_is_utf8(cut))
        return cut;
    char *copy = arena_str(arena, cut);
    for (size_t i = 0; i < cut.len; i++)
        if ((unsigned char)copy[i] >= 0x80)
            copy[i] = '?';
    return slice_of(copy, cut.len);
}
