/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of people and things: telephones, credit cards, social security, books. */
#include <string.h>

#include "base/macros.h"
#include "pii/internal.h"

struct digits
digits_read(const struct scan *s, size_t at, const char *separators)
{
    struct digits d = { .groups = 1 };
    for (size_t next = at; d.count < DIGITS_MAX;) {
        unsigned char c = byte_at(s, next);
        if (is_digit(c)) {
            d.digit[d.count] = (unsigned char)(c - '0');
            d.end_of[d.count++] = (unsigned char)(++next - at);
            d.group[d.groups - 1]++;
        } else if ((c == (unsigned char)separators[0] || c == (unsigned char)separators[1]) &&
                   c != 0 && d.group[d.groups - 1] > 0 && is_digit(byte_at(s, next + 1)) &&
                   d.groups < GROUPS_MAX) {
            d.groups++;
            next++;
        } else {
            break;
        }
    }
    return d;
}

/* Whether the first so many digits are all of a number, and nothing goes on behind them. */
static bool
ends_at(const struct scan *s, size_t at, const struct digits *d, size_t count)
{
    return d->count >= count && !is_word(byte_at(s, at + d->end_of[count - 1]));
}

static bool
has_groups(const struct digits *d, const unsigned char *lengths, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (i >= d->groups || d->group[i] != lengths[i])
            return false;
    return true;
}

/* --- credit cards ------------------------------------------------------------------------------*/

static bool
is_luhn(const struct digits *d, size_t count)
{
    unsigned sum = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned value = (unsigned)d->digit[count - 1 - i];
        if (i % 2 == 1)
            value = value * 2 > 9 ? value * 2 - 9 : value * 2;
        sum += value;
    }
    return sum % 10 == 0;
}

size_t
card_match(const struct scan *s, size_t at)
{
    static const unsigned char by_four[] = { 4, 4, 4, 4, 3 }, amex[] = { 4, 6, 5 },
                               diners[] = { 4, 6, 4 };
    if (byte_at(s, at) < '2' || byte_at(s, at) > '6')
        return 0;
    const struct digits *const d = &s->digits;
    size_t count = d->group[0];
    if (has_groups(d, by_four, 5))
        count = 19;
    else if (has_groups(d, by_four, 4))
        count = 16;
    else if (has_groups(d, amex, 3))
        count = 15;
    else if (has_groups(d, diners, 3))
        count = 14;
    return count >= 13 && count <= 19 && ends_at(s, at, d, count) && is_luhn(d, count)
               ? d->end_of[count - 1]
               : 0;
}

/* --- social security ---------------------------------------------------------------------------*/

size_t
ssn_match(const struct scan *s, size_t at)
{
    static const unsigned char lengths[] = { 3, 2, 4 };
    if (!is_digit(byte_at(s, at)) || goes_on(s, at))
        return 0;
    const struct digits *const d = &s->digits;
    if (!has_groups(d, lengths, ARRAY_LEN(lengths)) || !ends_at(s, at, d, 9) ||
        byte_at(s, at + 3) != byte_at(s, at + 6))
        return 0;
    unsigned area = (unsigned)(d->digit[0] * 100 + d->digit[1] * 10 + d->digit[2]);
    bool has_group = d->digit[3] + d->digit[4] > 0;
    bool has_serial = d->digit[5] + d->digit[6] + d->digit[7] + d->digit[8] > 0;
    return area != 0 && area != 666 && area < 900 && has_group && has_serial ? d->end_of[8] : 0;
}

/* --- books -------------------------------------------------------------------------------------*/

static size_t
isbn13_match(const struct scan *s, size_t at, const struct digits *d)
{
    unsigned sum = 0;
    if (d->digit[0] != 9 || d->digit[1] != 7 || d->digit[2] < 8 || !ends_at(s, at, d, 13))
        return 0;
    for (size_t i = 0; i < 13; i++)
        sum += (unsigned)d->digit[i] * (i % 2 == 0 ? 1 : 3);
    return sum % 10 == 0 ? d->end_of[12] : 0;
}

/* Ten digits are many things: its four groups, or a word, say that it is a book. */
static size_t
isbn10_match(const struct scan *s, size_t at, const struct digits *d)
{
    static const char *const words[] = { "isbn" };
    unsigned sum = 0;
    if (d->count < 9)
        return 0;
    size_t end = at + d->end_of[8], marks = d->end_of[8] - 9u;
    for (size_t i = 0; i < 9; i++)
        sum += (unsigned)d->digit[i] * (unsigned)(10 - i);
    if (byte_at(s, end) == '-' || byte_at(s, end) == ' ') {
        marks++;
        end++;
    }
    unsigned char last = byte_at(s, end);
    if (!is_digit(last) && last != 'X' && last != 'x')
        return 0;
    sum += is_digit(last) ? (unsigned)(last - '0') : 10;
    end++;
    return sum % 11 == 0 && !is_word(byte_at(s, end)) &&
                   (marks == 3 || is_named(s, at, words, ARRAY_LEN(words)))
               ? end - at
               : 0;
}

size_t
isbn_match(const struct scan *s, size_t at)
{
    if (!is_digit(byte_at(s, at)))
        return 0;
    size_t len = isbn13_match(s, at, &s->digits);
    return len > 0 ? len : isbn10_match(s, at, &s->digits);
}

/* --- telephones --------------------------------------------------------------------------------*/

/* "x12", "ext. 12": where it ends, or where it would begin. */
static size_t
extension_end(const struct scan *s, size_t at)
{
    static const char *const words[] = { "extension", "ext.", "ext", "x" };
    enum { DIGITS = 6 };
    size_t from = at;
    while (byte_at(s, from) == ' ' && from < at + 2)
        from++;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t next = from, word = 0;
        while (words[i][word] != '\0' && lower(byte_at(s, next)) == (unsigned char)words[i][word]) {
            word++;
            next++;
        }
        if (words[i][word] != '\0')
            continue;
        next += byte_at(s, next) == ' ' ? 1 : 0;
        size_t end = next;
        while (is_digit(byte_at(s, end)) && end < next + DIGITS)
            end++;
        if (end > next && !is_word(byte_at(s, end)))
            return end;
    }
    return at;
}

/* Digits with up to two marks between, as people write them. */
struct spelt {
    size_t digits;
    size_t marks;
    size_t end;
};

static struct spelt
spell(const struct scan *s, size_t at, size_t digits_max)
{
    enum { MARKS_MAX = 2, GROUP_MIN = 2, LONG = 10 };
    struct spelt p = { .end = at };
    size_t marks = 0, group_from = at;
    for (; p.digits < digits_max; at++) {
        unsigned char c = byte_at(s, at);
        if (is_digit(c)) {
            if (marks > 0)
                group_from = at;
            /* A long number that is complete is not followed by a single digit. */
            if (p.digits >= LONG && at == group_from && !is_digit(byte_at(s, at + 1)))
                break;
            p.digits++;
            p.end = at + 1;
            p.marks += marks > 0 ? 1 : 0;
            marks = 0;
        } else if (c == 0 || strchr(" -.()/", c) == NULL || ++marks > MARKS_MAX) {
            break;
        }
    }
    return p;
}

/* "+44 20 7946 0958" */
static size_t
international_match(const struct scan *s, size_t at)
{
    enum { DIGITS_LEAST = 8, DIGITS_MOST = 15, NORTH_AMERICA = 11 };
    size_t from = at + (byte_at(s, at) == '(' ? 1 : 0);
    if (byte_at(s, from) != '+' || !is_digit(byte_at(s, from + 1)))
        return 0;
    struct spelt p = spell(s, from + 1, byte_at(s, from + 1) == '1' ? NORTH_AMERICA : DIGITS_MOST);
    if (p.digits < DIGITS_LEAST || is_word(byte_at(s, p.end)))
        return 0;
    return extension_end(s, p.end) - at;
}

/* Three digits the first of which is 2 to 9; where they end, or 0. */
static size_t
three(const struct scan *s, size_t at)
{
    return byte_at(s, at) >= '2' && byte_at(s, at) <= '9' && is_digit(byte_at(s, at + 1)) &&
                   is_digit(byte_at(s, at + 2))
               ? at + 3
               : 0;
}

static size_t
skip_mark(const struct scan *s, size_t at)
{
    unsigned char c = byte_at(s, at);
    return at + (c == ' ' || c == '-' || c == '.' ? 1 : 0);
}

/* Four digits that end a number; where, or 0. */
static size_t
four(const struct scan *s, size_t at)
{
    for (size_t i = 0; i < 4; i++)
        if (!is_digit(byte_at(s, at + i)))
            return 0;
    unsigned char next = byte_at(s, at + 4);
    if ((is_word(next) && lower(next) != 'x') ||
        ((next == '.' || next == '-') && is_digit(byte_at(s, at + 5))))
        return 0;
    return at + 4;
}

/* "(212) 555-0100", "1-212-555-0100", "2125550100" */
static size_t
north_american_match(const struct scan *s, size_t at)
{
    size_t next = at;
    if (byte_at(s, next) == '1')
        next = skip_mark(s, next + 1);
    bool is_in_brackets = byte_at(s, next) == '(';
    next = three(s, next + (is_in_brackets ? 1 : 0));
    if (next == 0 || (is_in_brackets && byte_at(s, next++) != ')'))
        return 0;
    next = three(s, skip_mark(s, next));
    if (next == 0 || (next = four(s, skip_mark(s, next))) == 0)
        return 0;
    return extension_end(s, next) - at;
}

/* A number of seven digits, where a word says that it is one. */
static size_t
local_match(const struct scan *s, size_t at)
{
    static const char *const words[] = { "call", "phone", "tel", "mobile", "cell", "fax" };
    size_t next = three(s, at);
    if (next == 0 || byte_at(s, next) != '-' || (next = four(s, next + 1)) == 0 ||
        !is_named(s, at, words, ARRAY_LEN(words)))
        return 0;
    return extension_end(s, next) - at;
}

/* "12.05.2024", and what may follow one. */
static bool
is_date(const struct scan *s, size_t at)
{
    unsigned char mark = byte_at(s, at + 2);
    return (mark == '.' || mark == '-' || mark == '/') && is_digit(byte_at(s, at + 3)) &&
           is_digit(byte_at(s, at + 4)) && byte_at(s, at + 5) == mark;
}

/* "020 7946 0958", "0049 30 1234567": national and international prefixes of most of the world. */
static size_t
prefixed_match(const struct scan *s, size_t at)
{
    enum { DIGITS_LEAST = 9, DIGITS_MOST = 12, WITH_COUNTRY = 15 };
    size_t from = at + (byte_at(s, at) == '(' ? 1 : 0);
    const bool has_country = byte_at(s, from + 1) == '0';
    if (at >= 2 && byte_at(s, at - 1) == ' ' && is_digit(byte_at(s, at - 2)))
        return 0; /* the end of something longer */
    if (byte_at(s, from) != '0' || is_date(s, from) || !is_digit(byte_at(s, from + 1)) ||
        (has_country && (byte_at(s, from + 2) < '1' || byte_at(s, from + 2) > '9')))
        return 0;
    const size_t most = has_country ? WITH_COUNTRY : DIGITS_MOST;
    struct spelt p = spell(s, from, most + 1);
    unsigned char next = byte_at(s, p.end);
    if (p.digits < DIGITS_LEAST || p.marks == 0 || is_word(next) || next == ':' || next == '/' ||
        p.digits > most)
        return 0;
    return extension_end(s, p.end) - at;
}

size_t
phone_match(const struct scan *s, size_t at)
{
    match_fn *const forms[] = { international_match, north_american_match, prefixed_match,
                                local_match };
    for (size_t i = 0; i < ARRAY_LEN(forms) && !goes_on(s, at); i++) {
        size_t len = forms[i](s, at);
        if (len > 0)
            return len;
    }
    return 0;
}
