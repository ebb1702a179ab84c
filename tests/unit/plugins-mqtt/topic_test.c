/* SPDX-License-Identifier: Apache-2.0 */
/* Which topics may be named, which filters asked for, and which matches which. */
#include "plugins/mqtt/topic.h"

#include "test.h"

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static bool
matches(const char *filter, const char *name)
{
    return topic_matches(topic_shared(slice(filter)), slice(name));
}

TEST(wildcards_match_as_the_protocol_has_it)
{
    static const char *const yes[][2] = {
        { "a", "a" },          { "a/b", "a/b" },
        { "+", "a" },          { "a/+", "a/" },
        { "a/+/c", "a/b/c" },  { "+/+", "/a" },
        { "/+", "/a" },        { "#", "a/b/c" },
        { "#", "/" },          { "a/#", "a" },
        { "a/#", "a/b/c" },    { "a/+/#", "a/b" },
        { "+/#", "a" },        { "$SYS/#", "$SYS/x" },
        { "a/$b", "a/$b" },    { "$share/g/a/+", "a/b" },
        { "$share/g/#", "x" },
    };
    static const char *const no[][2] = {
        { "a", "b" },        { "a", "a/" },  { "a/+", "a" },   { "a/+", "a/b/c" },
        { "+", "a/b" },      { "+", "/a" },  { "a/#", "ab" },  { "#", "$SYS/x" },
        { "+/x", "$SYS/x" }, { "a/b", "a" }, { "a/+/#", "a" }, { "$share/g/a", "b" },
    };
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (!matches(yes[i][0], yes[i][1]))
            CHECK_EQ_STR(yes[i][0], yes[i][1]);
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (matches(no[i][0], no[i][1]))
            CHECK_EQ_STR(no[i][0], no[i][1]);
}

TEST(filters_are_refused_that_a_server_would_hang_up_over)
{
    static const char *const good[] = { "a",  "a/b", "+",     "#",          "a/#",
                                        "/",  "+/+", "a/+/#", "$share/g/a", "$share/g/+/#",
                                        "$a", "ä/ö", "$share" };
    static const char *const bad[] = { "",          "a#",        "a/#/b",       "#/a",
                                       "a+/b",      "++",        "$share/",     "$share/g",
                                       "$share/g/", "$share//a", "$share/g+/a", "$share/#/a" };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK_EQ_PTR(topic_filter_fault(slice(good[i])), NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (topic_filter_fault(slice(bad[i])) == NULL)
            CHECK_EQ_STR(bad[i], "refused");
}

TEST(names_have_no_wildcards_and_are_utf_8)
{
    static const char *const good[] = { "a", "/", "$SYS/x", "ä", "\xf0\x9f\x90\x9f", "a b" };
    static const char *const bad[] = {
        "", "a/+", "#", "\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\xe2\x82"
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK_EQ_PTR(topic_name_fault(slice(good[i])), NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (topic_name_fault(slice(bad[i])) == NULL)
            CHECK_EQ_STR(bad[i], "refused");
    CHECK(topic_name_fault((struct remora_slice){ "a\0b", 3 }) != NULL);
}

TEST(a_name_longer_than_the_protocol_has_is_refused)
{
    static char name[65536];
    memset(name, 'a', sizeof name);
    CHECK(topic_name_fault((struct remora_slice){ name, 65535 }) == NULL);
    CHECK(topic_name_fault((struct remora_slice){ name, 65536 }) != NULL);
}
