/* SPDX-License-Identifier: Apache-2.0 */
/* URLs: what is taken apart, what a Location header leads to, what is refused and shown. */
#include "base/url.h"

#include "base/macros.h"
#include "test.h"

static struct arena arena;

static struct url
parse(const char *text)
{
    struct url url = { 0 };
    struct slice error = SLICE_EMPTY;
    if (!url_parse(&arena, slice_str(text), &url, &error))
        CHECK_SLICE_IS(error, "");
    return url;
}

static void
check_refused(const char *text, const char *words)
{
    struct url url;
    struct slice error = SLICE_EMPTY;
    CHECK(!url_parse(&arena, slice_str(text), &url, &error));
    CHECK_SLICE_IS(error, words);
}

TEST(a_url_is_taken_apart)
{
    arena_init(&arena);
    struct url url = parse("https://user:pa%3Ass@Host.example:8443/a%2Fb/?x=1&y#part");
    CHECK(url.is_https && url.has_userinfo);
    CHECK_SLICE_IS(url.userinfo, "user:pa%3Ass");
    CHECK_SLICE_IS(url.authority, "Host.example:8443");
    CHECK_SLICE_IS(url.host, "Host.example");
    CHECK(url.port == 8443);
    CHECK_SLICE_IS(url.path, "/a%2Fb/");
    CHECK_SLICE_IS(url.query, "x=1&y");
    url = parse("HTTP://h");
    CHECK(!url.is_https && !url.has_userinfo && url.port == 80 && url.path.len == 0);
    url = parse("https://[::1]/x");
    CHECK_SLICE_IS(url.host, "::1");
    CHECK_SLICE_IS(url.authority, "[::1]");
    CHECK(url.port == 443);
    url = parse("http://[fe80::1%25lo]:1");
    CHECK_SLICE_IS(url.host, "fe80::1%25lo");
    CHECK(url.port == 1);
    url = parse("http://h:?q");
    CHECK(url.port == 80);
    CHECK_SLICE_IS(url.query, "q");
    url = parse("http:///x"); /* whoever calls it says so */
    CHECK(url.host.len == 0);
}

TEST(what_is_no_url_of_ours_is_refused)
{
    check_refused("", "unsupported protocol scheme \"\"");
    check_refused("/x", "unsupported protocol scheme \"\"");
    check_refused("ftp://h/x", "unsupported protocol scheme \"ftp\"");
    check_refused("1http://h/x", "unsupported protocol scheme \"\"");
    check_refused("http:h", "http: no Host in request URL");
    check_refused("http://h:70000/", "invalid port \":70000\" after host");
    check_refused("http://h:1x/", "invalid port \":1x\" after host");
    check_refused("http://h:-1/", "invalid port \":-1\" after host");
    check_refused("http://[::1/", "missing ']' in host");
    check_refused("http://[::1]x/", "invalid port \"x\" after host");
    check_refused("http://[]/", "invalid host \"[]\"");
    check_refused("http://a b/", "invalid character \" \" in host name");
    check_refused("http://a\\b/", "invalid character \"\\\" in host name");
    check_refused("http://h/\r\nX: y", "net/url: invalid control character in URL");
    check_refused("http://h/\x7f", "net/url: invalid control character in URL");
}

static void
check_resolved(const char *reference, const char *expected)
{
    struct url base = parse("http://u:p@h:81/b/c/d;p?q"), url;
    struct slice error = SLICE_EMPTY;
    if (!url_resolve(&arena, &base, slice_str(reference), &url, &error))
        CHECK_SLICE_IS(error, expected);
    else
        CHECK_SLICE_IS(url_referer(&arena, &url), expected);
}

TEST(references_are_resolved_as_rfc_3986_shows)
{
    static const char *const cases[][2] = {
        { "g", "/b/c/g" },
        { "./g", "/b/c/g" },
        { "g/", "/b/c/g/" },
        { "/g", "/g" },
        { "?y", "/b/c/d;p?y" },
        { "g?y", "/b/c/g?y" },
        { "#s", "/b/c/d;p?q" },
        { "g#s", "/b/c/g" },
        { ";x", "/b/c/;x" },
        { "", "/b/c/d;p?q" },
        { ".", "/b/c/" },
        { "./", "/b/c/" },
        { "..", "/b/" },
        { "../g", "/b/g" },
        { "../..", "/" },
        { "../../../g", "/g" },
        { "/./g", "/g" },
        { "/../g", "/g" },
        { "g.", "/b/c/g." },
        { "..g", "/b/c/..g" },
        { "./g/.", "/b/c/g/" },
        { "g;x=1/../y", "/b/c/y" },
        { "g?y/../x", "/b/c/g?y/../x" },
        { "/a//b/../c", "/a//c" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice expected = arena_printf(&arena, "http://h:81%s", cases[i][1]);
        check_resolved(cases[i][0], expected.data);
    }
    check_resolved("//other/x?y", "http://other/x?y");
    check_resolved("https://other", "https://other");
    check_resolved("ftp://other", "unsupported protocol scheme \"ftp\"");
    check_resolved("javascript:alert(1)", "unsupported protocol scheme \"javascript\"");
    check_resolved("//h:x", "invalid port \":x\" after host");
    check_resolved("/a\nb", "net/url: invalid control character in URL");
    struct url base = parse("http://h"), url;
    struct slice error;
    CHECK(url_resolve(&arena, &base, SLICE("x"), &url, &error));
    CHECK_SLICE_IS(url.path, "/x");
}

TEST(a_long_reference_is_not_cut)
{
    char *text = malloc(10001);
    memset(text, 'x', 10000);
    text[10000] = '\0';
    struct url base = parse("http://h/a/b"), url;
    struct slice error;
    CHECK(url_resolve(&arena, &base, slice_str(text), &url, &error));
    CHECK(url.path.len == 10003 && url_referer(&arena, &url).len == 10011);
    free(text);
}

TEST(a_password_is_not_shown)
{
    struct url url = parse("http://user:secret@h/x?y");
    CHECK_SLICE_IS(url_show(&arena, &url), "http://user:***@h/x?y");
    CHECK_SLICE_IS(url_referer(&arena, &url), "http://h/x?y");
    url = parse("http://user@h");
    CHECK_SLICE_IS(url_show(&arena, &url), "http://user@h");
    arena_fini(&arena);
}
