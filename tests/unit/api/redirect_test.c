/* SPDX-License-Identifier: Apache-2.0 */
/* Redirections: which are followed, how it is asked then, and what is not told to others. */
#include "api/redirect.h"

#include "test.h"

static void
check(int status, const char *method, bool can_repeat, const char *expected, bool expected_body)
{
    struct slice next = SLICE_EMPTY;
    bool keeps_body = false;
    bool is_followed = redirect_is_followed(status, slice_str(method), can_repeat, &next,
                                            &keeps_body);
    CHECK_EQ_INT(is_followed, expected != NULL);
    if (!is_followed || expected == NULL)
        return;
    CHECK_SLICE_IS(next, expected);
    CHECK_EQ_INT(keeps_body, expected_body);
}

TEST(a_changed_place_is_read_and_a_temporary_one_is_asked_the_same)
{
    for (int status = 301; status <= 303; status++) {
        check(status, "GET", true, "GET", false);
        check(status, "HEAD", true, "HEAD", false);
        check(status, "POST", true, "GET", false);
        check(status, "DELETE", false, "GET", false);
    }
    for (int status = 307; status <= 308; status++) {
        check(status, "GET", true, "GET", true);
        check(status, "POST", true, "POST", true);
        check(status, "POST", false, NULL, false);
    }
}

TEST(other_answers_stay_answers)
{
    static const int others[] = { 200, 300, 304, 305, 306, 309, 399, 404 };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        check(others[i], "GET", true, NULL, false);
}

static bool
is_confidential(const char *first, const char *next)
{
    struct arena arena;
    struct url from, to;
    struct slice error;
    arena_init(&arena);
    REQUIRE(url_parse(&arena, slice_str(first), &from, &error) &&
            url_parse(&arena, slice_str(next), &to, &error));
    bool is = redirect_is_confidential(&from, &to);
    arena_fini(&arena);
    return is;
}

TEST(credentials_stay_with_their_host_and_inside_tls)
{
    CHECK(is_confidential("https://a.test/x", "https://a.test:8443/y"));
    CHECK(is_confidential("http://a.test", "https://A.test"));
    CHECK(is_confidential("http://a.test", "http://sub.a.test"));
    CHECK(is_confidential("http://[::1]:1", "http://[::1]:2"));
    CHECK(!is_confidential("https://a.test", "http://a.test"));
    CHECK(!is_confidential("http://sub.a.test", "http://a.test"));
    CHECK(!is_confidential("http://a.test", "http://eviLa.test"));
    CHECK(!is_confidential("http://a.test", "http://a.test.evil"));
    CHECK(!is_confidential("http://1.2.3.4", "http://1.2.3.5"));
    CHECK(!is_confidential("http://a.test", "http://b.test"));
    CHECK(redirect_drops(SLICE("authorization")) && redirect_drops(SLICE("Cookie")));
    CHECK(!redirect_drops(SLICE("X-Mine")));
    CHECK(redirect_describes_body(SLICE("Content-Type")) &&
          !redirect_describes_body(SLICE("Accept")));
}

TEST(a_referer_never_tells_in_plain_text_what_was_encrypted)
{
    struct arena arena;
    struct url secure, plain;
    struct slice error;
    arena_init(&arena);
    REQUIRE(url_parse(&arena, SLICE("https://u:p@a.test/x?y"), &secure, &error) &&
            url_parse(&arena, SLICE("http://a.test/z"), &plain, &error));
    CHECK_SLICE_IS(redirect_referer(&arena, &secure, &plain), "");
    CHECK_SLICE_IS(redirect_referer(&arena, &secure, &secure), "https://a.test/x?y");
    CHECK_SLICE_IS(redirect_referer(&arena, &plain, &secure), "http://a.test/z");
    arena_fini(&arena);
}
