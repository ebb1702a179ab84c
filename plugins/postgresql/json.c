/* SPDX-License-Identifier: Apache-2.0 */
/* See json.h. */
#include "json.h"

#include <string.h>

/* The unit of an escape \uXXXX at `at`, or -1. */
static int
unit_at(struct remora_slice text, size_t at)
{
    int unit = 0;
    if (at + 6 > text.len || text.data[at] != '\\' || text.data[at + 1] != 'u')
        return -1;
    for (size_t i = at + 2; i < at + 6; i++) {
        char c = text.data[i];
        int digit = c >= '0' && c <= '9'                     ? c - '0'
                    : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                             : -1;
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

bool
json_fits_jsonb(struct remora_slice text)
{
    for (size_t at = 0; at < text.len; at++) {
        const char *escape = memchr(text.data + at, '\\', text.len - at);
        if (escape == NULL)
            return true;
        at = (size_t)(escape - text.data);
        int unit = unit_at(text, at);
        bool is_high = unit >= 0xd800 && unit <= 0xdbff;
        int next = is_high ? unit_at(text, at + 6) : -1;
        if (unit == 0 || (unit >= 0xdc00 && unit <= 0xdfff) ||
            (is_high && (next < 0xdc00 || next > 0xdfff)))
            return false;
        at += is_high ? 11 : 1; /* what follows a backslash is never the next one's */
    }
    return true;
}
