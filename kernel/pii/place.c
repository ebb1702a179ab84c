/* SPDX-License-Identifier: Apache-2.0 */
/* Where people live: streets, boxes, codes of the post. */
#include <string.h>

#include "base/macros.h"
#include "pii/internal.h"

enum { WORD_BYTES_MAX = 20 };

static struct slice
word_at(const struct scan *s, size_t at)
{
    size_t len = 0;
    while (len <= WORD_BYTES_MAX &&
           (is_word(byte_at(s, at + len)) || byte_at(s, at + len) == '\'' ||
            byte_at(s, at + len) == '-' || byte_at(s, at + len) >= 0x80))
        len++;
    return slice_of(s->text.data + at, len > WORD_BYTES_MAX ? 0 : len);
}

/* --- streets -----------------------------------------------------------------------------------*/

/* What streets are called; some of them are words for other things too, in small letters. */
static bool
is_street(struct slice word)
{
    static const char *const plain[] = { "street",  "st",      "avenue", "ave",  "road",
                                         "rd",      "highway", "hwy",    "blvd", "boulevard",
                                         "parkway", "pkwy",    "ln",     "lane" };
    static const char *const other[] = { "square", "sq", "trail",   "trl",    "drive", "dr",
                                         "court",  "ct", "park",    "circle", "cir",   "way",
                                         "place",  "pl", "terrace", "row",    "close" };
    return slice_is_one_of_nocase(word, plain, ARRAY_LEN(plain)) ||
           (word.len > 0 && is_upper((unsigned char)word.data[0]) &&
            slice_is_one_of_nocase(word, other, ARRAY_LEN(other)));
}

/* A word of a name: "Main", "5th", "N". */
static bool
is_name(struct slice word)
{
    unsigned char first = (unsigned char)word.data[0];
    return is_upper(first) || is_digit(first) || first >= 0x80;
}

/* What may stand between: "1 Avenue of the Americas". */
static bool
is_link(struct slice word)
{
    static const char *const links[] = { "of", "the", "de", "la", "del" };
    return slice_is_one_of_nocase(word, links, ARRAY_LEN(links));
}

/* A word in small letters that may be a street's name all the same: "12 main street". */
static bool
is_plain_name(struct slice word)
{
    static const char *const never[] = { "of",   "the",  "on",   "in",    "at",   "a",    "an",
                                         "to",   "this", "that", "is",    "and",  "or",   "from",
                                         "for",  "with", "more", "other", "big",  "new",  "busy",
                                         "lane", "side", "per",  "way",   "long", "main-" };
    for (size_t i = 0; i < word.len; i++)
        if (!is_letter((unsigned char)word.data[i]))
            return false;
    return !slice_is_one_of_nocase(word, never, ARRAY_LEN(never));
}

/* A number, one to four words of a name, and what streets are called. */
size_t
street_match(const struct scan *s, size_t at)
{
    enum { NUMBER_DIGITS_MAX = 6, WORDS_MAX = 4 };
    size_t next = at;
    bool are_names = true, has_name = false, are_plain = true;
    while (is_digit(byte_at(s, next)))
        if (++next - at > NUMBER_DIGITS_MAX)
            return 0;
    if (next == at)
        return 0;
    next += is_letter(byte_at(s, next)) ? 1 : 0; /* 221B */
    for (size_t words = 0; words <= WORDS_MAX; words++) {
        if (byte_at(s, next) != ' ')
            return 0;
        struct slice word = word_at(s, ++next);
        if (word.len == 0)
            return 0;
        next += word.len;
        if (words > 0 && is_street(word) && ((are_names && has_name) || (are_plain && words <= 2)))
            return next - at;
        are_names = are_names && (is_name(word) || is_link(word));
        has_name = has_name || is_name(word);
        are_plain = are_plain && is_plain_name(word);
        next += byte_at(s, next) == '.' ? 1 : 0; /* "N. Main" */
    }
    return 0;
}

/* --- boxes -------------------------------------------------------------------------------------*/

static bool
take_letter(const struct scan *s, size_t *at, char letter)
{
    if (lower(byte_at(s, *at)) != (unsigned char)letter)
        return false;
    (*at)++;
    *at += byte_at(s, *at) == '.' ? 1 : 0;
    *at += byte_at(s, *at) == ' ' ? 1 : 0;
    return true;
}

size_t
po_box_match(const struct scan *s, size_t at)
{
    enum { DIGITS_MAX_OF_BOX = 8 };
    size_t next = at;
    if (!take_letter(s, &next, 'p') || !take_letter(s, &next, 'o') ||
        lower(byte_at(s, next)) != 'b' || lower(byte_at(s, next + 1)) != 'o' ||
        lower(byte_at(s, next + 2)) != 'x' || byte_at(s, next + 3) != ' ')
        return 0;
    size_t end = next += 4;
    while (is_digit(byte_at(s, end)) && end - next < DIGITS_MAX_OF_BOX)
        end++;
    return end > next && !is_word(byte_at(s, end)) ? end - at : 0;
}

/* --- codes -------------------------------------------------------------------------------------*/

static bool
is_state(unsigned char one, unsigned char other)
{
    static const char states[] = "ALAKAZARCACOCTDEDCFLGAHIIDILINIAKSKYLAMEMDMAMIMNMSMOMTNENVNHNJNM"
                                 "NYNCNDOHOKORPARISCSDTNTXUTVTVAWAWVWIWYPRGUVIASMP";
    for (size_t i = 0; i + 2 < sizeof states; i += 2)
        if ((unsigned char)states[i] == one && (unsigned char)states[i + 1] == other)
            return true;
    return false;
}

/* Whether only words stand between the last street and that: "1 Main Street, Old Town". */
static bool
is_in_address(const struct scan *s, size_t at)
{
    enum { BYTES_MAX = 48 };
    if (s->address_end == 0 || at - s->address_end > BYTES_MAX)
        return false;
    for (size_t i = s->address_end; i < at; i++) {
        unsigned char c = byte_at(s, i);
        if (!is_letter(c) && c < 0x80 && strchr(" ,.\n\r", c) == NULL)
            return false;
    }
    return true;
}

/* Five digits are mostly something else: a state, a street or a word must stand before them. */
static bool
is_placed(const struct scan *s, size_t at)
{
    static const char *const words[] = { "zip", "postal", "postcode" };
    size_t state = at;
    while (state > 0 && byte_at(s, state - 1) == ' ' && at - state < 2)
        state--;
    if (state < at && state >= 2 && is_state(byte_at(s, state - 2), byte_at(s, state - 1)) &&
        (state == 2 || !is_word(byte_at(s, state - 3))))
        return true;
    return is_named(s, at, words, ARRAY_LEN(words)) || is_in_address(s, at);
}

size_t
zip_match(const struct scan *s, size_t at)
{
    enum { SHORT = 5, LONG = 9 };
    const struct digits *const d = &s->digits;
    if (d->group[0] != SHORT || goes_on(s, at))
        return 0;
    bool is_long = d->groups >= 2 && d->group[1] == LONG - SHORT && byte_at(s, at + SHORT) == '-' &&
                   !is_word(byte_at(s, at + d->end_of[LONG - 1]));
    size_t end = at + d->end_of[is_long ? LONG - 1 : SHORT - 1];
    unsigned char next = byte_at(s, end);
    bool is_longer = is_word(next) ||
                     ((next == '.' || next == ',' || next == '-') && is_digit(byte_at(s, end + 1)));
    return !is_longer && (is_long || is_placed(s, at)) ? end - at : 0;
}
