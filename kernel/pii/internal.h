/* SPDX-License-Identifier: Apache-2.0 */
/* What the forms of personal data share; see pii.h. */
#ifndef PII_INTERNAL_H
#define PII_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* Numbers with separators between: "4111 1111 1111 1111". */
enum { DIGITS_MAX = 20, GROUPS_MAX = 8, HEX_MAX = 65 };
struct digits {
    unsigned char digit[DIGITS_MAX];  /* values, not characters */
    unsigned char end_of[DIGITS_MAX]; /* where the text goes on behind each, from the beginning */
    unsigned char group[GROUPS_MAX];  /* lengths */
    unsigned char count;
    unsigned char groups;
};

struct scan {
    struct slice text;
    size_t link_end;    /* what comes before it is part of a link */
    size_t run_end;     /* up to there, characters may stand before the @ of an address */
    size_t address_end; /* of the last street address; 0: there is none */
    /* Of where something may begin now. */
    struct digits digits; /* with blanks and dashes between; none if it is no digit */
    size_t hex;           /* hexadecimal digits from there on, at most HEX_MAX */
};

/* Length of what begins there, which is the beginning of a word, or 0. Looks back only for words
 * that say what a number is. */
typedef size_t match_fn(const struct scan *s, size_t at);

match_fn mail_match, phone_match, card_match, ssn_match, isbn_match, zip_match, street_match,
    po_box_match, ipv4_match, ipv6_match, mac_match, iban_match, bitcoin_match, guid_match,
    md5_match, sha1_match, sha256_match;

/* 0 behind the end. */
static inline unsigned char
byte_at(const struct scan *s, size_t at)
{
    return at < s->text.len ? (unsigned char)s->text.data[at] : 0;
}

static inline bool
is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static inline bool
is_upper(unsigned char c)
{
    return c >= 'A' && c <= 'Z';
}

static inline bool
is_letter(unsigned char c)
{
    return is_upper(c) || (c >= 'a' && c <= 'z');
}

static inline bool
is_word(unsigned char c)
{
    return is_digit(c) || is_letter(c) || c == '_';
}

static inline unsigned char
lower(unsigned char c)
{
    return is_upper(c) ? (unsigned char)(c - 'A' + 'a') : c;
}

/* Whether what begins there goes on from a number before it: "978-0…", "1.2.…". */
static inline bool
goes_on(const struct scan *s, size_t at)
{
    unsigned char mark = at >= 2 ? byte_at(s, at - 1) : 0;
    return (mark == '-' || mark == '.' || mark == ':' || mark == '/') &&
           is_digit(byte_at(s, at - 2));
}

/* Whether one of some words, which are in lower case, stands in the few bytes before. */
bool is_named(const struct scan *s, size_t at, const char *const *words, size_t count);

/* Hexadecimal digits from there on, at most so many. */
size_t hex_run(const struct scan *s, size_t at, size_t most);

/* As many as there are, up to the bounds; one of two `separators` between two groups. */
struct digits digits_read(const struct scan *s, size_t at, const char *separators);

#endif
