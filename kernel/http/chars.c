/* SPDX-License-Identifier: Apache-2.0 */
/* Classes of bytes; see chars.h. */
#include "http/chars.h"

enum {
    T = CHAR_TOKEN,
    V = CHAR_VALUE,
    G = CHAR_TARGET,
    H = CHAR_HOST,
    X = CHAR_HEX,
};

const unsigned char char_classes[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = T | V | G | H,
    ['"'] = V | G,
    ['#'] = T | V | G,
    ['$' ... '\''] = T | V | G | H,
    ['(' ... ')'] = V | G | H,
    ['*' ... '+'] = T | V | G | H,
    [','] = V | G | H,
    ['-' ... '.'] = T | V | G | H,
    ['/'] = V | G,
    ['0' ... '9'] = T | V | G | H | X,
    [':' ... ';'] = V | G | H,
    ['<'] = V | G,
    ['='] = V | G | H,
    ['>' ... '@'] = V | G,
    ['A' ... 'F'] = T | V | G | H | X,
    ['G' ... 'Z'] = T | V | G | H,
    ['['] = V | G | H,
    ['\\'] = V | G,
    [']'] = V | G | H,
    ['^'] = T | V | G,
    ['_'] = T | V | G | H,
    ['`'] = T | V | G,
    ['a' ... 'f'] = T | V | G | H | X,
    ['g' ... 'z'] = T | V | G | H,
    ['{'] = V | G,
    ['|'] = T | V | G,
    ['}'] = V | G,
    ['~'] = T | V | G | H,
    [0x80 ... 0xff] = V | G,
};

bool
chars_are(struct slice s, unsigned class)
{
    for (size_t i = 0; i < s.len; i++)
        if (!char_is(s.data[i], class))
            return false;
    return true;
}

/* Some byte is below 0x20 or is DEL. A tab counts too: rare enough for the slow way. */
static bool
has_control(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    uint64_t below = (word - ones * 0x20) & ~word;
    uint64_t del = word ^ (ones * 0x7f);
    return ((below | ((del - ones) & ~del)) & highs) != 0;
}

bool
chars_are_value(struct slice s)
{
    while (s.len >= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, s.data, sizeof word);
        if (has_control(word) && !chars_are(slice_first(s, sizeof word), CHAR_VALUE))
            return false;
        s = slice_of(s.data + sizeof word, s.len - sizeof word);
    }
    return chars_are(s, CHAR_VALUE);
}

int
char_hex(char c)
{
    return hex_value(c);
}
