/* SPDX-License-Identifier: Apache-2.0 */
/* Words, bytes that grow, and how strings and numbers look in JSON; see avro_inside.h. */
#include "avro_inside.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- words -------------------------------------------------------------------------------------*/

bool
avro_fail(struct avro_words *words, const char *format, ...)
{
    va_list arguments;
    if (words->text == NULL)
        return false;
    va_start(arguments, format);
    (void)vsnprintf(words->text, AVRO_WHY_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

bool
avro_within(struct avro_words *words, const char *format, ...)
{
    char text[AVRO_WHY_BYTES];
    va_list arguments;
    if (words->text == NULL)
        return false;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t used = len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    size_t kept = strlen(words->text);
    if (kept > AVRO_WHY_BYTES - 1 - used)
        kept = AVRO_WHY_BYTES - 1 - used;
    memmove(words->text + used, words->text, kept);
    memcpy(words->text, text, used);
    words->text[used + kept] = '\0';
    return false;
}

bool
avro_add(struct avro_words *words, const char *format, ...)
{
    size_t used = words->text == NULL ? 0 : strlen(words->text);
    va_list arguments;
    if (words->text == NULL)
        return false;
    va_start(arguments, format);
    (void)vsnprintf(words->text + used, AVRO_WHY_BYTES - used, format, arguments);
    va_end(arguments);
    return false;
}

const char *
avro_show_byte(unsigned char byte, char ret[8])
{
    if (byte == '\'' || byte == '\\')
        (void)snprintf(ret, 8, "'\\%c'", byte);
    else
        (void)snprintf(ret, 8, byte >= ' ' && byte < 0x7f ? "'%c'" : "'\\x%02x'", byte);
    return ret;
}

/* --- bytes -------------------------------------------------------------------------------------*/

void
avro_put(struct avro_bytes *out, const void *bytes, size_t len)
{
    if (out->is_full || len > out->max - out->len) {
        out->is_full = true;
        return;
    }
    if (len > out->capacity - out->len) {
        size_t capacity = 2 * out->capacity + len + 64;
        char *data = realloc(out->data, capacity);
        if (data == NULL)
            abort();
        out->data = data;
        out->capacity = capacity;
    }
    if (len > 0)
        memcpy(out->data + out->len, bytes, len);
    out->len += len;
}

void
avro_bytes_fini(struct avro_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct avro_bytes){ .data = NULL };
}

void
avro_put_char(struct avro_bytes *out, char c)
{
    avro_put(out, &c, 1);
}

void
avro_put_long(struct avro_bytes *out, int64_t value)
{
    uint64_t left = (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
    do {
        avro_put_char(out, (char)((left & 0x7f) | (left > 0x7f ? 0x80 : 0)));
        left >>= 7;
    } while (left > 0);
}

const unsigned char *
avro_shorten(const unsigned char *bytes, size_t *len)
{
    static const unsigned char zero[1] = { 0 };
    while (*len > 1 &&
           ((bytes[0] == 0 && bytes[1] < 0x80) || (bytes[0] == 0xff && bytes[1] > 0x7f))) {
        bytes++;
        --*len;
    }
    if (*len > 0)
        return bytes;
    *len = 1;
    return zero;
}

/* --- keys --------------------------------------------------------------------------------------*/

void
avro_keys_add(struct avro_keys *keys, size_t at, size_t len)
{
    if (keys->count == keys->capacity) {
        keys->capacity = 2 * keys->capacity + 16;
        keys->list = realloc(keys->list, keys->capacity * sizeof *keys->list);
        if (keys->list == NULL)
            abort();
    }
    keys->list[keys->count++] = (struct avro_key){ at, len };
}

static int
compare_keys(const void *a, const void *b, void *arg)
{
    const struct avro_key *one = a, *other = b;
    const char *bytes = arg;
    int order = one->len != other->len ? (one->len > other->len) - (one->len < other->len)
                                       : memcmp(bytes + one->at, bytes + other->at, one->len);
    return order;
}

bool
avro_keys_repeat(struct avro_keys *keys, const char *bytes)
{
    void *arg = (void *)(uintptr_t)bytes;
    if (keys->count > 1)
        qsort_r(keys->list, keys->count, sizeof *keys->list, compare_keys, arg);
    for (size_t i = 1; i < keys->count; i++)
        if (compare_keys(&keys->list[i - 1], &keys->list[i], arg) == 0)
            return true;
    return false;
}

/* --- strings -----------------------------------------------------------------------------------*/

static void
put_unit(struct avro_bytes *out, unsigned unit)
{
    char text[8];
    (void)snprintf(text, sizeof text, "\\u%04X", unit & 0xffff);
    avro_put(out, text, 6);
}

static void
put_code(struct avro_bytes *out, unsigned code)
{
    static const char special[] = "\"\\/\b\f\n\r\t", escape[] = "\"\\/bfnrt";
    const char *at = code != 0 && code < 0x80 ? strchr(special, (int)code) : NULL;
    if (at != NULL) {
        avro_put_char(out, '\\');
        avro_put_char(out, escape[at - special]);
    } else if (code >= ' ' && code < 0x7f) {
        avro_put_char(out, (char)code);
    } else if (code < 0x10000) {
        put_unit(out, code);
    } else {
        put_unit(out, 0xd800 + ((code - 0x10000) >> 10));
        put_unit(out, 0xdc00 + ((code - 0x10000) & 0x3ff));
    }
}

/* The next character, and its bytes; what is not UTF-8 is U+FFFD, byte by byte. */
static size_t
read_utf8(const unsigned char *text, size_t len, unsigned *ret_code)
{
    static const unsigned least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t bytes = text[0] < 0x80   ? 1
                   : text[0] < 0xc2 ? 0
                   : text[0] < 0xe0 ? 2
                   : text[0] < 0xf0 ? 3
                   : text[0] < 0xf5 ? 4
                                    : 0;
    unsigned code = bytes < 2 ? text[0] : text[0] & (0x7fU >> bytes);
    bool is_sound = bytes > 0 && bytes <= len;
    for (size_t i = 1; is_sound && i < bytes; i++) {
        is_sound = (text[i] & 0xc0) == 0x80;
        code = code << 6 | (text[i] & 0x3f);
    }
    if (is_sound && code >= least[bytes] && code < 0x110000 && (code < 0xd800 || code > 0xdfff)) {
        *ret_code = code;
        return bytes;
    }
    *ret_code = 0xfffd;
    return 1;
}

void
avro_put_text(struct avro_bytes *out, const char *text, size_t len)
{
    avro_put_char(out, '"');
    while (len > 0 && !out->is_full) {
        unsigned code;
        size_t used = read_utf8((const unsigned char *)text, len, &code);
        put_code(out, code);
        text += used;
        len -= used;
    }
    avro_put_char(out, '"');
}

void
avro_put_byte_text(struct avro_bytes *out, const unsigned char *bytes, size_t len)
{
    avro_put_char(out, '"');
    for (size_t i = 0; i < len && !out->is_full; i++)
        put_code(out, bytes[i]);
    avro_put_char(out, '"');
}

/* --- numbers -----------------------------------------------------------------------------------*/

enum { DIGITS_MAX = 17 };

static bool
is_same(const char *text, double value, bool is_float)
{
    return is_float ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value;
}

/* One more in the last digit of "d.ddde-05". */
static void
count_up(char *text)
{
    char *at = strchr(text, 'e') - 1;
    while (at > text && (*at == '9' || *at == '.')) {
        *at = *at == '9' ? '0' : *at;
        at--;
    }
    *at += *at < '9';
}

/* "d.ddde-05" with as few digits as are needed. Below a power of two numbers are denser than above
 * it, so that the shortest may be the one above the nearest. */
static void
shortest(double value, bool is_float, char ret[32])
{
    int exponent;
    bool is_power = fabs(frexp(value, &exponent)) == 0.5;
    for (int digits = 0; digits < DIGITS_MAX; digits++) {
        (void)snprintf(ret, 32, "%.*e", digits, value);
        if (is_same(ret, value, is_float))
            return;
        if (is_power)
            count_up(ret);
        if (is_power && is_same(ret, value, is_float))
            return;
    }
}

/* With an exponent where Go's 'g' has one when it writes the fewest digits. */
static void
put_finite(struct avro_bytes *out, double value, bool is_float)
{
    char text[32];
    int exponent = 0;
    shortest(value, is_float, text);
    const char *e = strchr(text, 'e'), *point = strchr(text, '.');
    for (const char *at = e + 2; *at != '\0'; at++)
        exponent = 10 * exponent + (*at - '0');
    exponent = e[1] == '-' ? -exponent : exponent;
    if (exponent < -4 || exponent >= 6) {
        avro_put(out, text, strlen(text));
        return;
    }
    int digits = point == NULL ? 0 : (int)(e - point) - 1;
    char plain[32];
    int len = snprintf(plain, sizeof plain, "%.*f", digits > exponent ? digits - exponent : 0,
                       value);
    avro_put(out, plain, (size_t)len);
}

void
avro_put_number(struct avro_bytes *out, double value, bool is_float)
{
    const char *word = isnan(value) ? "null" : value > 0 ? "1e999" : "-1e999";
    if (isfinite(value))
        put_finite(out, value, is_float);
    else
        avro_put(out, word, strlen(word));
}
