/* SPDX-License-Identifier: Apache-2.0 */
/* See cell.h. What is not of the form that is expected here is told as a text. */
#include "cell.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../shared/base64.h"
#include "../shared/memory.h"

enum { DEPTH_MAX = 6, /* of arrays; the server has no more */ UUID_BYTES = 16, MAC_BYTES = 6 };

static void
put_words(struct text *out, const char *words)
{
    text_put(out, words, strlen(words));
}

/* --- plain ones --------------------------------------------------------------------------------*/

static bool
put_bool(struct text *out, const char *value)
{
    put_words(out, *value == 't' ? "true" : "false");
    return true;
}

/* As JSON has it, which is how the server writes all of its own but NaN and the infinities. */
static bool
is_number(const char *at)
{
    static const char digits[] = "0123456789";
    at += *at == '-';
    size_t len = strspn(at, digits);
    bool ok = len == 1 || (len > 1 && *at != '0');
    at += len;
    if (*at == '.') {
        len = strspn(at + 1, digits);
        ok = ok && len > 0;
        at += 1 + len;
    }
    if (*at == 'e' || *at == 'E') {
        at += at[1] == '+' || at[1] == '-' ? 2 : 1;
        len = strspn(at, digits);
        ok = ok && len > 0;
        at += len;
    }
    return ok && *at == '\0';
}

static bool
put_number(struct text *out, const char *value)
{
    if (is_number(value))
        put_words(out, value);
    else
        text_put_string(out, value);
    return true;
}

static bool
put_float(struct text *out, const char *value)
{
    return put_number(out, value) && strpbrk(value, "NI") == NULL; /* NaN, Infinity */
}

/* Blanks between its words are no part of it. */
static bool
put_json(struct text *out, const char *value)
{
    bool in_string = false;
    for (const char *at = value; *at != '\0'; at++) {
        if (!in_string && isspace((unsigned char)*at))
            continue;
        text_put(out, at, 1);
        if (in_string && *at == '\\' && at[1] != '\0')
            text_put(out, ++at, 1);
        else if (*at == '"')
            in_string = !in_string;
    }
    return true;
}

/* --- bytes -------------------------------------------------------------------------------------*/

static int
hex(char c)
{
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
}

/* What hexadecimal digits say, up to `max` bytes; `skipped` lie between pairs of them. */
static size_t
read_hex(const char *text, char skipped, unsigned char *out, size_t max)
{
    size_t len = 0;
    while (*text != '\0' && len < max) {
        if (*text == skipped) {
            text++;
            continue;
        }
        int high = hex(text[0]), low = high < 0 ? -1 : hex(text[1]);
        if (low < 0)
            return 0;
        out[len++] = (unsigned char)(high << 4 | low);
        text += 2;
    }
    return len;
}

static void
put_base64(struct text *out, const unsigned char *bytes, size_t len)
{
    size_t text_len = base64_encoded_len(len);
    char *text = memory_new(text_len + 1);
    base64_encode(bytes, len, text);
    text_put(out, "\"", 1);
    text_put(out, text, text_len);
    text_put(out, "\"", 1);
    free(text);
}

static bool
put_bytea(struct text *out, const char *value)
{
    if (strncmp(value, "\\x", 2) != 0) {
        text_put_string(out, value);
        return true;
    }
    size_t max = strlen(value) / 2;
    unsigned char *bytes = memory_new(max);
    put_base64(out, bytes, read_hex(value + 2, '\0', bytes, max - 1));
    free(bytes);
    return true;
}

static bool
put_mac(struct text *out, const char *value)
{
    unsigned char bytes[MAC_BYTES];
    put_base64(out, bytes, read_hex(value, ':', bytes, sizeof bytes));
    return true;
}

static bool
put_uuid(struct text *out, const char *value)
{
    unsigned char bytes[UUID_BYTES];
    size_t len = read_hex(value, '-', bytes, sizeof bytes);
    for (size_t i = 0; i < len; i++) {
        char number[8];
        snprintf(number, sizeof number, "%s%u", i == 0 ? "[" : ",", bytes[i]);
        put_words(out, number);
    }
    put_words(out, len == 0 ? "[]" : "]");
    return true;
}

static bool
put_char(struct text *out, const char *value)
{
    char number[8];
    snprintf(number, sizeof number, "%u", (unsigned char)*value);
    put_words(out, number);
    return true;
}

static bool
put_inet(struct text *out, const char *value)
{
    char *with_bits = memory_printf("%s%s", value,
                                    strchr(value, '/') != NULL   ? ""
                                    : strchr(value, ':') != NULL ? "/128"
                                                                 : "/32");
    text_put_string(out, with_bits);
    free(with_bits);
    return true;
}

/* --- times -------------------------------------------------------------------------------------*/

/* Digits, as many as there are up to `max`, and then `end`. */
static bool
take_number(const char **at, int max, int64_t *ret)
{
    int digits = 0;
    for (*ret = 0; digits < max && isdigit((unsigned char)**at); digits++)
        *ret = *ret * 10 + (*(*at)++ - '0');
    return digits > 0;
}

static bool
take_date(const char **at, struct tm *tm)
{
    int64_t year, month, day;
    if (!take_number(at, 4, &year) || *(*at)++ != '-' || !take_number(at, 2, &month) ||
        *(*at)++ != '-' || !take_number(at, 2, &day))
        return false;
    *tm = (struct tm){ .tm_year = (int)year - 1900, .tm_mon = (int)month - 1, .tm_mday = (int)day };
    return true;
}

/* "04:05:06.789", hours being any number, in microseconds. */
static bool
take_clock(const char **at, int64_t *ret_us)
{
    int64_t hours, minutes, seconds, us = 0;
    if (!take_number(at, 9, &hours) || *(*at)++ != ':' || !take_number(at, 2, &minutes) ||
        *(*at)++ != ':' || !take_number(at, 2, &seconds))
        return false;
    if (**at == '.') {
        (*at)++;
        int64_t scale = 100000;
        for (; isdigit((unsigned char)**at); (*at)++, scale /= 10)
            us += (**at - '0') * scale;
    }
    *ret_us = ((hours * 60 + minutes) * 60 + seconds) * 1000000 + us;
    return true;
}

/* "+02", "-05:30", "+01:02:03", or nothing; in seconds. */
static bool
take_offset(const char **at, int64_t *ret_s)
{
    int64_t parts[3] = { 0, 0, 0 };
    *ret_s = 0;
    if (**at != '+' && **at != '-')
        return true;
    int sign = *(*at)++ == '-' ? -1 : 1;
    for (int i = 0; i < 3; i++) {
        if (i > 0 && **at != ':')
            break;
        *at += i > 0;
        if (!take_number(at, 2, &parts[i]))
            return false;
    }
    *ret_s = sign * (parts[0] * 3600 + parts[1] * 60 + parts[2]);
    return true;
}

/* Of the driver's constants for both infinities JSON makes numbers. */
static bool
put_infinity(struct text *out, const char *value)
{
    bool is_below = strcmp(value, "-infinity") == 0;
    if (!is_below && strcmp(value, "infinity") != 0)
        return false;
    put_words(out, is_below ? "-1" : "1");
    return true;
}

/* Dates and points in time, as Go writes them; in UTC, since the zone of a sidecar is an accident.
 */
static bool
put_time_point(struct text *out, const char *value)
{
    const char *at = value;
    struct tm tm;
    int64_t us = 0, offset = 0;
    if (put_infinity(out, value))
        return true;
    bool ok = take_date(&at, &tm);
    if (ok && *at == ' ') {
        at++;
        ok = take_clock(&at, &us) && take_offset(&at, &offset);
    }
    if (!ok || *at != '\0') { /* before Christ, or after the year 9999 */
        text_put_string(out, value);
        return true;
    }
    time_t seconds = timegm(&tm) + us / 1000000 - offset;
    char text[64], fraction[16] = "";
    if (us % 1000000 != 0) {
        snprintf(fraction, sizeof fraction, ".%06d", (int)(us % 1000000));
        for (size_t len = strlen(fraction); fraction[len - 1] == '0';)
            fraction[--len] = '\0';
    }
    (void)gmtime_r(&seconds, &tm);
    snprintf(text, sizeof text, "\"%04d-%02d-%02dT%02d:%02d:%02d%sZ\"", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, fraction);
    put_words(out, text);
    return true;
}

static bool
put_clock(struct text *out, const char *value)
{
    const char *at = value;
    int64_t us;
    char text[64];
    if (!take_clock(&at, &us) || *at != '\0') {
        text_put_string(out, value);
        return true;
    }
    snprintf(text, sizeof text, "{\"Microseconds\":%" PRId64 ",\"Valid\":true}", us);
    put_words(out, text);
    return true;
}

/* One part of "1 year -2 mons 3 days -04:05:06". */
static bool
take_interval_part(const char **at, int64_t *months, int64_t *days, int64_t *us)
{
    int sign = 1;
    int64_t number;
    if (**at == '-' || **at == '+')
        sign = *(*at)++ == '-' ? -1 : 1;
    const char *digits = *at;
    if (take_clock(&digits, &number)) {
        *us = sign * number;
        *at = digits;
        return true;
    }
    if (!take_number(at, 10, &number) || *(*at)++ != ' ')
        return false;
    size_t len = strcspn(*at, " ");
    if (strncmp(*at, "year", 4) == 0)
        *months += sign * number * 12;
    else if (strncmp(*at, "mon", 3) == 0)
        *months += sign * number;
    else if (strncmp(*at, "day", 3) == 0)
        *days += sign * number;
    else
        return false;
    *at += len;
    return true;
}

static bool
put_interval(struct text *out, const char *value)
{
    int64_t months = 0, days = 0, us = 0;
    char text[128];
    for (const char *at = value; *at != '\0'; at += strspn(at, " ")) {
        if (!take_interval_part(&at, &months, &days, &us)) {
            text_put_string(out, value);
            return true;
        }
    }
    snprintf(text, sizeof text,
             "{\"Microseconds\":%" PRId64 ",\"Days\":%" PRId64 ",\"Months\":%" PRId64
             ",\"Valid\":true}",
             us, days, months);
    put_words(out, text);
    return true;
}

static bool
put_text(struct text *out, const char *value)
{
    text_put_string(out, value);
    return true;
}

/* --- types -------------------------------------------------------------------------------------*/

/* Numbers of types never change; those of arrays of them beside them. */
struct kind {
    Oid type, array;
    bool (*put)(struct text *out, const char *value);
};

static const struct kind kinds[] = {
    { 16, 1000, put_bool },         { 17, 1001, put_bytea },        { 18, 1002, put_char },
    { 19, 1003, put_text },         { 20, 1016, put_number },       { 21, 1005, put_number },
    { 23, 1007, put_number },       { 25, 1009, put_text },         { 26, 1028, put_number },
    { 28, 1011, put_number },       { 29, 1012, put_number },       { 114, 199, put_json },
    { 650, 651, put_inet },         { 700, 1021, put_float },       { 701, 1022, put_float },
    { 829, 1040, put_mac },         { 869, 1041, put_inet },        { 1042, 1014, put_text },
    { 1043, 1015, put_text },       { 1082, 1182, put_time_point }, { 1083, 1183, put_clock },
    { 1114, 1115, put_time_point }, { 1184, 1185, put_time_point }, { 1186, 1187, put_interval },
    { 1700, 1231, put_number },     { 2950, 2951, put_uuid },       { 3802, 3807, put_json },
};

/* --- arrays ------------------------------------------------------------------------------------*/

/* An element up to its end, unescaped, of malloc(). */
static char *
take_element(const char **at, bool *ret_is_quoted)
{
    char *element = memory_new(strlen(*at) + 1), *to = element;
    *ret_is_quoted = **at == '"';
    if (*ret_is_quoted)
        (*at)++;
    while (**at != '\0' && (*ret_is_quoted ? **at != '"' : strchr(",}", **at) == NULL)) {
        if (**at == '\\' && (*at)[1] != '\0')
            (*at)++;
        *to++ = *(*at)++;
    }
    if (*ret_is_quoted && **at == '"')
        (*at)++;
    return element;
}

static bool
put_array(struct text *out, const struct kind *kind, const char **at, int depth)
{
    bool ok = true;
    if (**at != '{' || depth > DEPTH_MAX)
        return false;
    (*at)++;
    put_words(out, "[");
    for (bool is_first = true; ok && **at != '}'; is_first = false) {
        if (!is_first && **at != ',')
            return false; /* it may be the end of the text */
        *at += !is_first;
        put_words(out, is_first ? "" : ",");
        if (**at == '{') {
            ok = put_array(out, kind, at, depth + 1);
            continue;
        }
        bool is_quoted;
        char *element = take_element(at, &is_quoted);
        if (!is_quoted && strcmp(element, "NULL") == 0)
            put_words(out, "null");
        else
            ok = kind->put(out, element);
        free(element);
        ok = ok && **at != '\0';
    }
    put_words(out, "]");
    *at += **at == '}';
    return ok;
}

bool
cell_put(struct text *out, Oid type, const char *value)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i].type == type)
            return kinds[i].put(out, value);
        if (kinds[i].array == type) {
            const char *equals = *value == '[' ? strchr(value, '=') : NULL; /* bounds in front */
            const char *at = equals != NULL ? equals + 1 : value;
            return put_array(out, &kinds[i], &at, 1);
        }
    }
    return put_text(out, value);
}
