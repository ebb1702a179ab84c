/* SPDX-License-Identifier: Apache-2.0 */
/* LIKE patterns of the in-memory store. */
#include "plugins/in-memory/like.h"

#include "test.h"

static bool
matches(const char *pattern, const char *text)
{
    return like_matches((struct remora_slice){ pattern, strlen(pattern) },
                        (struct remora_slice){ text, strlen(text) });
}

TEST(patterns_match_what_sql_says)
{
    static const struct {
        const char *pattern, *text;
        bool expected;
    } cases[] = {
        { "", "", true },
        { "", "a", false },
        { "%", "", true },
        { "%", "anything", true },
        { "a", "a", true },
        { "a", "A", false },
        { "a%", "abc", true },
        { "%c", "abc", true },
        { "%b%", "abc", true },
        { "a%c", "abcbc", true },
        { "a%d", "abcbc", false },
        { "_", "", false },
        { "_", "a", true },
        { "_", "ü", true },
        { "__", "ü", false },
        { "a_c", "aüc", true },
        { "%__", "x", false },
        { "%_%", "x", true },
        { "\\%", "%", true },
        { "\\%", "a", false },
        { "\\_", "_", true },
        { "\\_", "a", false },
        { "a\\\\b", "a\\b", true },
        { "a\\", "a\\", true },
        { "%a%b%c%", "xaxbxcx", true },
        { "%%%", "", true },
        { "a%%b", "ab", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (!CHECK_EQ_INT(matches(cases[i].pattern, cases[i].text), cases[i].expected))
            fprintf(stderr, "  %s against %s\n", cases[i].pattern, cases[i].text);
}

TEST(a_pattern_of_many_runs_does_not_explode)
{
    char text[2001] = { 0 };
    memset(text, 'a', 2000);
    CHECK(!matches("%a%a%a%a%a%a%a%a%a%a%a%a%a%a%a%a%b", text));
}
