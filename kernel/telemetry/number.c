/* SPDX-License-Identifier: Apache-2.0 */
/* Go's strconv.FormatFloat(v, 'g', -1, 64); see number.h. */
#include "telemetry/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIGITS_MAX = 17, PLAIN_FROM = -4, PLAIN_BELOW = 6 };

/* The fewest digits that read back as `value`, as "d.ddde±XX"; returns how many. */
static int
shortest(double value, char text[NUMBER_TEXT_BYTES])
{
    for (int digits = 1; digits < DIGITS_MAX; digits++) {
        (void)snprintf(text, NUMBER_TEXT_BYTES, "%.*e", digits - 1, value);
        if (strtod(text, NULL) == value)
            return digits;
    }
    (void)snprintf(text, NUMBER_TEXT_BYTES, "%.*e", DIGITS_MAX - 1, value);
    return DIGITS_MAX;
}

/* Of "d.ddde±XX", which is the value's after rounding. */
static int
exponent_of(const char *text)
{
    const char *e = strchr(text, 'e');
    if (e == NULL)
        return 0;
    int exponent = 0;
    for (const char *digit = e + 2; *digit != '\0'; digit++)
        exponent = exponent * 10 + (*digit - '0');
    return e[1] == '-' ? -exponent : exponent;
}

struct slice
number_text(double value, char ret_text[NUMBER_TEXT_BYTES])
{
    if (isnan(value))
        return SLICE("NaN");
    if (isinf(value))
        return value > 0 ? SLICE("+Inf") : SLICE("-Inf");
    if (fabs(value) < 1e6 && value == floor(value)) { /* nearly all of them */
        int len = snprintf(ret_text, NUMBER_TEXT_BYTES, "%d", (int)value);
        return slice_of(ret_text, (size_t)len);
    }
    int digits = shortest(value, ret_text);
    int exponent = exponent_of(ret_text);
    if (exponent >= PLAIN_FROM && exponent < PLAIN_BELOW) {
        int decimals = digits - 1 - exponent;
        (void)snprintf(ret_text, NUMBER_TEXT_BYTES, "%.*f", decimals > 0 ? decimals : 0, value);
    }
    return slice_str(ret_text);
}
