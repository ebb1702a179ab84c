/* SPDX-License-Identifier: Apache-2.0 */
/* Targets and headers of bindings.http. */
#include "plugins/http/target.h"

#include <stdlib.h>

#include "test.h"

static struct remora_slice
slice_of(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static void
check_target(const char *url, const char *path, const char *wanted)
{
    char *target = target_make(url, slice_of(path));
    if (wanted == NULL)
        CHECK(target == NULL);
    else if (CHECK(target != NULL))
        CHECK_EQ_STR(target, wanted);
    free(target);
}

TEST(a_path_stands_behind_the_url_with_one_slash_between)
{
    check_target("http://h/base", "", "http://h/base");
    check_target("http://h/base/", "", "http://h/base/");
    check_target("http://h/base", "p", "http://h/base/p");
    check_target("http://h/base//", "//p/q?c=d", "http://h/base/p/q?c=d");
    check_target("http://h", "../x", "http://h/../x");
    check_target("", "x", "/x");
}

TEST(what_may_not_stand_in_a_request_line_is_encoded_or_refused)
{
    check_target("http://h", "a b", "http://h/a%20b");
    check_target("http://h", "\xc3\xbc", "http://h/%C3%BC");
    check_target("http://h", "%41\"<>\\^`{|}", "http://h/%41%22%3C%3E%5C%5E%60%7B%7C%7D");
    check_target("http://h", "a\r\nb", NULL);
    check_target("http://h", "a\x7f", NULL);
    check_target("http://h\n", "", NULL);
}

TEST(a_target_that_no_server_takes_is_refused)
{
    char *path = malloc(70000);
    REQUIRE(path != NULL);
    memset(path, 'x', 69999);
    path[69999] = '\0';
    check_target("http://h", path, NULL);
    free(path);
}

static void
check_shown(const char *target, const char *wanted)
{
    char *shown = target_shown(target);
    CHECK_EQ_STR(shown, wanted);
    free(shown);
}

TEST(user_and_password_are_not_shown)
{
    check_shown("http://u:p@h:1/x?q=a@b", "http://h:1/x?q=a@b");
    check_shown("http://u@x:p@h/", "http://h/");
    check_shown("http://h/u@p", "http://h/u@p");
    check_shown("http://h?u@p", "http://h?u@p");
    check_shown("u:p@h/x", "h/x");
    check_shown("", "");
}

TEST(headers_are_tokens_and_lines)
{
    const struct remora_slice nul = { "a\0b", 3 };
    CHECK(target_is_header_name(slice_of("X-Own_1.~")));
    CHECK(!target_is_header_name(slice_of("")));
    CHECK(!target_is_header_name(slice_of("X Own")));
    CHECK(!target_is_header_name(slice_of("X:Own")));
    CHECK(!target_is_header_name(slice_of("\xc3\xbc")));
    CHECK(!target_is_header_name(nul));
    CHECK(target_is_header_value(slice_of("")));
    CHECK(target_is_header_value(slice_of("caf\xc3\xa9\tx")));
    CHECK(!target_is_header_value(slice_of("a\nb")));
    CHECK(!target_is_header_value(slice_of("a\x7f")));
    CHECK(!target_is_header_value(nul));
}
