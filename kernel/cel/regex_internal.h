/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program a pattern becomes: all threads of it go through the text at once, a character at a
 * time (Thompson's construction). regex.c makes it, regex_match.c runs it.
 */
#ifndef CEL_REGEX_INTERNAL_H
#define CEL_REGEX_INTERNAL_H

#include "cel/regex.h"

#include <stdint.h>

enum { RUNE_MAX = 0x10ffff, RUNE_BAD = 0xfffd };

enum op {
    OP_CLASS,
    OP_SPLIT,
    OP_JUMP,
    OP_BEGIN,
    OP_END,
    OP_LINE_BEGIN,
    OP_LINE_END,
    OP_WORD,
    OP_NOT_WORD,
    OP_MATCH
};

struct range {
    uint32_t from, to;
};

struct class
{
    struct range *ranges;
    size_t count;
    size_t room;
    bool is_negated;
};

struct instruction {
    enum op op;
    uint32_t next, other; /* of SPLIT both, of others the first */
    const struct class *class;
};

struct cel_regex {
    struct instruction *program;
    size_t count;
};

/* One code point; what is not UTF-8 is one replacement a byte. */
static inline uint32_t
rune_at(struct slice text, size_t *at)
{
    const unsigned char *s = (const unsigned char *)text.data + *at;
    size_t left = text.len - *at, more = s[0] >= 0xf0 ? 3 : s[0] >= 0xe0 ? 2 : s[0] >= 0xc0 ? 1 : 0;
    if (s[0] < 0x80 || more == 0 || more >= left) {
        ++*at;
        return s[0] < 0x80 ? s[0] : RUNE_BAD;
    }
    uint32_t rune = s[0] & (0x3fu >> more);
    for (size_t i = 1; i <= more; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            ++*at;
            return RUNE_BAD;
        }
        rune = rune << 6 | (s[i] & 0x3f);
    }
    *at += more + 1;
    return rune;
}

static inline bool
is_word(uint32_t rune)
{
    return (rune >= '0' && rune <= '9') || (rune >= 'a' && rune <= 'z') ||
           (rune >= 'A' && rune <= 'Z') || rune == '_';
}

#endif
