/* SPDX-License-Identifier: Apache-2.0 */
/* Classes of bytes against the grammar's own words. */
#include "http/chars.h"

#include "test.h"

static bool
is_alnum(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_one_of(int c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}

TEST(classes_are_what_the_standards_say)
{
    for (int c = 0; c < 256; c++) {
        bool visible = c > 0x20 && c != 0x7f;
        CHECK_EQ_INT(char_is((char)c, CHAR_TOKEN), is_alnum(c) || is_one_of(c, "!#$%&'*+-.^_`|~"));
        CHECK_EQ_INT(char_is((char)c, CHAR_VALUE), visible || c == ' ' || c == '\t');
        CHECK_EQ_INT(char_is((char)c, CHAR_TARGET), visible);
        CHECK_EQ_INT(char_is((char)c, CHAR_HOST),
                     is_alnum(c) || is_one_of(c, "!$%&'()*+,-.:;=[]_~"));
        bool is_hex = is_one_of(c, "0123456789abcdefABCDEF");
        CHECK_EQ_INT(char_is((char)c, CHAR_HEX), is_hex);
        CHECK_EQ_INT(char_hex((char)c) >= 0, is_hex);
    }
    CHECK_EQ_INT(char_hex('9'), 9);
    CHECK_EQ_INT(char_hex('f'), 15);
    CHECK_EQ_INT(char_hex('A'), 10);
}

TEST(values_are_checked_the_same_eight_bytes_at_a_time)
{
    char text[24];
    for (size_t len = 0; len <= sizeof text; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                memset(text, 'y', sizeof text);
                text[at] = (char)c;
                struct slice s = slice_of(text, len);
                CHECK_EQ_INT(chars_are_value(s), chars_are(s, CHAR_VALUE));
            }
        }
    }
    CHECK(chars_are_value(SLICE("\t\t\t\t\t\t\t\t\t")));
    CHECK(chars_are_value(SLICE_EMPTY));
}
