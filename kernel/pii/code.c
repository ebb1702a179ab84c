/* SPDX-License-Identifier: Apache-2.0 */
/* Codes of machines and banks: addresses of networks, hashes, accounts. */
#include <arpa/inet.h>
#include <string.h>

#include "base/macros.h"
#include "pii/internal.h"

static bool
is_hex(unsigned char c)
{
    return hex_value((char)c) >= 0;
}

size_t
hex_run(const struct scan *s, size_t at, size_t most)
{
    size_t count = 0;
    while (count < most && is_hex(byte_at(s, at + count)))
        count++;
    return count;
}

/* --- hashes and identifiers --------------------------------------------------------------------*/

static size_t
hash_match(const struct scan *s, size_t at, size_t digits)
{
    return s->hex == digits && !is_word(byte_at(s, at + digits)) ? digits : 0;
}

size_t
md5_match(const struct scan *s, size_t at)
{
    return hash_match(s, at, 32);
}

size_t
sha1_match(const struct scan *s, size_t at)
{
    return hash_match(s, at, 40);
}

size_t
sha256_match(const struct scan *s, size_t at)
{
    return hash_match(s, at, 64);
}

/* Groups of so many digits each with a mark between; the length of all, or 0. */
static size_t
hex_groups(const struct scan *s, size_t at, const unsigned char *lengths, size_t count, char mark)
{
    size_t next = at;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && byte_at(s, next++) != (unsigned char)mark)
            return 0;
        if (hex_run(s, next, lengths[i]) < lengths[i])
            return 0;
        next += lengths[i];
    }
    if (is_word(byte_at(s, next)) ||
        (byte_at(s, next) == (unsigned char)mark && is_hex(byte_at(s, next + 1))))
        return 0;
    return next - at;
}

size_t
guid_match(const struct scan *s, size_t at)
{
    static const unsigned char lengths[] = { 8, 4, 4, 4, 12 };
    return s->hex == lengths[0] ? hex_groups(s, at, lengths, ARRAY_LEN(lengths), '-') : 0;
}

size_t
mac_match(const struct scan *s, size_t at)
{
    static const unsigned char twos[] = { 2, 2, 2, 2, 2, 2 }, fours[] = { 4, 4, 4 };
    const unsigned char mark = byte_at(s, at + s->hex);
    if (s->hex != 2 && s->hex != 4)
        return 0;
    if (at >= 2 && byte_at(s, at - 1) == mark && is_hex(byte_at(s, at - 2)))
        return 0; /* the end of something longer */
    if (s->hex == 2 && (mark == ':' || mark == '-'))
        return hex_groups(s, at, twos, ARRAY_LEN(twos), (char)mark);
    return s->hex == 4 && mark == '.' ? hex_groups(s, at, fours, ARRAY_LEN(fours), '.') : 0;
}

/* --- networks ----------------------------------------------------------------------------------*/

size_t
ipv4_match(const struct scan *s, size_t at)
{
    char text[INET_ADDRSTRLEN];
    unsigned char address[4];
    size_t len = 0;
    if (s->digits.group[0] == 0 || s->digits.group[0] > 3 ||
        byte_at(s, at + s->digits.group[0]) != '.' || (at > 0 && byte_at(s, at - 1) == '.'))
        return 0;
    while (len + 1 < sizeof text && (is_digit(byte_at(s, at + len)) || byte_at(s, at + len) == '.'))
        len++;
    if (is_digit(byte_at(s, at + len)))
        return 0;
    while (len > 0 && byte_at(s, at + len - 1) == '.') /* of a sentence */
        len--;
    memcpy(text, s->text.data + at, len);
    text[len] = '\0';
    unsigned char next = byte_at(s, at + len);
    if (is_word(next) || (next == '.' && is_digit(byte_at(s, at + len + 1))))
        return 0;
    return inet_pton(AF_INET, text, address) == 1 ? len : 0;
}

size_t
ipv6_match(const struct scan *s, size_t at)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char address[16];
    size_t len = 0, colons = 0, digits = 0;
    if (s->hex > 4 || byte_at(s, at + s->hex) != ':' || (at > 0 && byte_at(s, at - 1) == ':'))
        return 0;
    for (; len + 1 < sizeof text; len++) {
        unsigned char c = byte_at(s, at + len);
        if (!is_hex(c) && c != ':' && c != '.')
            break;
        colons += c == ':' ? 1 : 0;
        digits += is_digit(c) ? 1 : 0;
    }
    /* Words of programs have colons between them too. */
    if (colons < 2 || digits == 0 || is_word(byte_at(s, at + len)))
        return 0;
    while (len > 2 && (byte_at(s, at + len - 1) == '.' ||
                       (byte_at(s, at + len - 1) == ':' && byte_at(s, at + len - 2) != ':')))
        len--;
    memcpy(text, s->text.data + at, len);
    text[len] = '\0';
    return inet_pton(AF_INET6, text, address) == 1 ? len : 0;
}

/* --- accounts ----------------------------------------------------------------------------------*/

/* Lengths of the registry of the standard (ISO 13616). */
static size_t
iban_chars(unsigned char one, unsigned char other)
{
    static const char lengths[] =
        "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29"
        "ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28"
        "LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25"
        "QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30";
    for (size_t i = 0; i + 4 < sizeof lengths; i += 4)
        if ((unsigned char)lengths[i] == one && (unsigned char)lengths[i + 1] == other)
            return (size_t)(lengths[i + 2] - '0') * 10 + (size_t)(lengths[i + 3] - '0');
    return 0;
}

static unsigned
iban_value(unsigned char c)
{
    return is_digit(c) ? (unsigned)(c - '0') : (unsigned)(c - 'A') + 10;
}

static unsigned
iban_add(unsigned rest, unsigned char c)
{
    unsigned value = iban_value(c);
    return (rest * (value > 9 ? 100 : 10) + value) % 97;
}

/* In one piece or in groups; with the first four characters behind the others its rest by 97 is 1.
 */
size_t
iban_match(const struct scan *s, size_t at)
{
    const unsigned char *const text = (const unsigned char *)s->text.data;
    size_t chars = iban_chars(byte_at(s, at), byte_at(s, at + 1)), seen = 0, next = at;
    unsigned rest = 0;
    if (chars == 0 || !is_digit(byte_at(s, at + 2)) || !is_digit(byte_at(s, at + 3)))
        return 0;
    for (; seen < chars && next < s->text.len; next++) {
        if ((text[next] == ' ' || text[next] == '-') && seen > 0 && text[next - 1] != ' ')
            continue;
        if (!is_digit(text[next]) && !is_upper(text[next]))
            return 0;
        if (seen++ >= 4)
            rest = iban_add(rest, text[next]);
    }
    for (size_t i = 0; i < 4; i++)
        rest = iban_add(rest, text[at + i]);
    return seen == chars && rest == 1 && !is_word(byte_at(s, next)) ? next - at : 0;
}

static bool
is_base58(unsigned char c)
{
    return (is_digit(c) || is_letter(c)) && c != '0' && c != 'O' && c != 'I' && c != 'l';
}

/* "bc1…": digits and letters without b, i, o and 1. */
static size_t
segwit_match(const struct scan *s, size_t at)
{
    enum { LEAST = 39, MOST = 87 };
    size_t len = 3;
    while (len <= MOST && is_word(byte_at(s, at + len)) && byte_at(s, at + len) != 0 &&
           strchr("qpzry9x8gf2tvdw0s3jn54khce6mua7l", lower(byte_at(s, at + len))) != NULL)
        len++;
    return len >= LEAST && len <= MOST && !is_word(byte_at(s, at + len)) ? len : 0;
}

size_t
bitcoin_match(const struct scan *s, size_t at)
{
    enum { LEAST = 26, MOST = 35 };
    size_t len = 0, upper = 0, small = 0;
    if (lower(byte_at(s, at)) == 'b' && lower(byte_at(s, at + 1)) == 'c' &&
        byte_at(s, at + 2) == '1')
        return segwit_match(s, at);
    if (byte_at(s, at) != '1' && byte_at(s, at) != '3')
        return 0;
    for (; len <= MOST && is_base58(byte_at(s, at + len)); len++) {
        upper += is_upper(byte_at(s, at + len)) ? 1 : 0;
        small += is_letter(byte_at(s, at + len)) && !is_upper(byte_at(s, at + len)) ? 1 : 0;
    }
    return len >= LEAST && len <= MOST && upper > 0 && small > 0 && !is_word(byte_at(s, at + len))
               ? len
               : 0;
}
