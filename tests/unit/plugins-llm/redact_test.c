/* SPDX-License-Identifier: Apache-2.0 */
/* What of a provider's words is told: nothing that was said, no key, whole characters. */
#include "plugins/llm/redact.h"

#include "test.h"

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static const char *
redacted(const char *message, const char *said, const char *key)
{
    static char out[REDACT_BYTES_MAX + 1];
    char key_copy[64];
    struct settings settings = { .key = key == NULL ? NULL : key_copy };
    const struct remora_slice content[] = { slice("be brief"), slice(said) };
    const struct remora_turn turns[] = { { .content = content, .content_count = 2 } };
    const struct remora_conversation conversation = { .turns = turns, .turn_count = 1 };
    (void)snprintf(key_copy, sizeof key_copy, "%s", key == NULL ? "" : key);
    redact(message, &settings, &conversation, out);
    return out;
}

TEST(what_was_said_is_left_out_wherever_it_stands)
{
    CHECK_EQ_STR(redacted("bad: 'I owe Ann 500 dollars' is bad", "I owe Ann 500 dollars", NULL),
                 "bad: '...' is bad");
    CHECK_EQ_STR(redacted("I owe Ann 500 dollars", "well, I owe Ann 500 dollars, and you?", NULL),
                 "...");
    CHECK_EQ_STR(redacted("at Ann 500 dollars an", "I owe Ann 500 dollars and more", NULL),
                 "at...");
    CHECK_EQ_STR(redacted("pin 1234, again 1234", "1234", NULL), "pin ..., again ...");
    CHECK_EQ_STR(redacted("nothing of it", "something else that is long", NULL), "nothing of it");
    CHECK_EQ_STR(redacted("a b", "a", NULL), "a b");
}

TEST(overlapping_repetitions_are_left_out_as_a_whole)
{
    CHECK_EQ_STR(redacted("x: abcdefghijklmnopqrstuvwxyz0123456789 !",
                          "abcdefghijklmnopqrst and qrstuvwxyz0123456789 and ijklmnopqrstuvwxyz",
                          NULL),
                 "x: ...!");
    CHECK_EQ_STR(
        redacted("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaa", NULL),
        "...");
}

TEST(the_key_is_left_out_even_in_part)
{
    CHECK_EQ_STR(redacted("key sk-0123456789abcdef is wrong", "x", "sk-0123456789abcdef"),
                 "key ... is wrong");
    CHECK_EQ_STR(redacted("key sk-0123456789abc* is wrong", "x", "sk-0123456789abcdef"),
                 "key ...* is wrong");
}

TEST(what_is_told_is_one_line_of_whole_characters)
{
    char message[2000];
    CHECK_EQ_STR(redacted("a\r\nb\tc\x7f", "x", NULL), "a  b c ");
    CHECK_EQ_STR(redacted("", "x", NULL), "");
    for (size_t shift = 0; shift < 4; shift++) {
        memset(message, 'x', shift);
        for (size_t at = shift; at + 4 < sizeof message; at += 4)
            memcpy(message + at, "\xf0\x9f\x98\x80", 5);
        const char *out = redacted(message, "something else that is long", NULL);
        CHECK(strlen(out) <= REDACT_BYTES_MAX && strlen(out) > REDACT_BYTES_MAX - 10);
        CHECK_EQ_INT((strlen(out) - shift) % 4, 0);
    }
    /* A part of a character is hidden: all of it is. */
    CHECK_EQ_STR(redacted("\xc3\xa4 0123456789abcdefghi", "\xa4 0123456789abcdefghi", NULL), "...");
}

TEST(a_conversation_of_any_length_is_searched_once)
{
    const size_t len = 16 * 1024 * 1024;
    char *said = malloc(len + 1);
    REQUIRE(said != NULL);
    memset(said, 'a', len);
    memcpy(said + len - 30, "the end of all this, my secret", 30);
    said[len] = '\0';
    /* 785 windows for each of 16 million places would take minutes. */
    char message[1000];
    memset(message, 'a', sizeof message);
    message[700] = '\0';
    CHECK_EQ_STR(redacted(message, said, NULL), "...");
    CHECK_EQ_STR(redacted("is it 'of all this, my secret'?", said, NULL), "is it '...'?");
    free(said);
}
