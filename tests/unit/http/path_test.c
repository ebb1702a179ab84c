/* SPDX-License-Identifier: Apache-2.0 */
/* Path cleaning, splitting and decoding. */
#include "http/path.h"

#include "test.h"

static struct arena arena;

static void
check_clean(const char *raw, const char *clean)
{
    CHECK_SLICE_IS(path_clean(&arena, slice_str(raw)), clean);
}

TEST(a_clean_path_is_left_where_it_is)
{
    struct slice raw = SLICE("/v1.0/state/mem/a%20b");
    CHECK_EQ_PTR(path_clean(&arena, raw).data, raw.data);
    check_clean("/v1.0/state/mem/a%20b", "/v1.0/state/mem/a%20b");
    check_clean("/", "/");
    check_clean("*", "*");
}

TEST(empty_and_dot_segments_vanish)
{
    check_clean("", "/");
    check_clean("//", "/");
    check_clean("///", "/");
    check_clean("/v1.0//healthz", "/v1.0/healthz");
    check_clean("//v1.0/healthz", "/v1.0/healthz");
    check_clean("/v1.0////invoke//A/method//x", "/v1.0/invoke/A/method/x");
    check_clean("/v1.0/healthz/", "/v1.0/healthz");
    check_clean("/v1.0/state/mem/ct//", "/v1.0/state/mem/ct");
    check_clean("/v1.0/state//ct", "/v1.0/state/ct");
    check_clean("/v1.0/./healthz", "/v1.0/healthz");
    check_clean("/v1.0/healthz/.", "/v1.0/healthz");
    check_clean("/.", "/");
}

TEST(double_dots_climb_but_not_above_the_root)
{
    check_clean("/v1.0/state/../healthz", "/v1.0/healthz");
    check_clean("/v1.0/state/mem/../mem/a%20b", "/v1.0/state/mem/a%20b");
    check_clean("/../../etc", "/etc");
    check_clean("/a/..", "/");
    check_clean("/a/b/../../..", "/");
}

TEST(names_that_begin_with_dots_are_names)
{
    check_clean("/.well-known/x", "/.well-known/x");
    check_clean("/a/...", "/a/...");
    check_clean("/a/..b/.c", "/a/..b/.c");
}

TEST(encoded_slashes_and_dots_neither_separate_nor_climb)
{
    check_clean("/v1.0%2Fhealthz", "/v1.0%2Fhealthz");
    check_clean("/v1.0/state/%2e%2e/healthz", "/v1.0/state/%2e%2e/healthz");
    check_clean("/v1.0/state/a%2f..%2fb", "/v1.0/state/a%2f..%2fb");
}

TEST(the_slashes_of_an_invoked_url_stay)
{
    check_clean("/v1.0/invoke/http://host:80/method/x", "/v1.0/invoke/http://host:80/method/x");
    check_clean("/v1.0//invoke/https:///host//method/x", "/v1.0/invoke/https://host/method/x");
    check_clean("/v1.0/state/http://x", "/v1.0/state/http:/x");
    check_clean("/v1.0/invoke/http://", "/v1.0/invoke/http:");
    check_clean("/v1.0/invoke/http://a/../b", "/v1.0/invoke/http://b");
    check_clean("/v1.0/invoke/http:/a/../", "/v1.0/invoke/http:");
}

TEST(segments_come_one_by_one)
{
    struct slice rest = SLICE("/v1.0/state/a%2Fb"), segment;
    REQUIRE(path_next(&rest, &segment));
    CHECK_SLICE_IS(segment, "v1.0");
    REQUIRE(path_next(&rest, &segment));
    CHECK_SLICE_IS(segment, "state");
    CHECK_SLICE_IS(rest, "/a%2Fb");
    REQUIRE(path_next(&rest, &segment));
    CHECK_SLICE_IS(segment, "a%2Fb");
    CHECK(!path_next(&rest, &segment));
    rest = SLICE("/");
    CHECK(!path_next(&rest, &segment));
    rest = SLICE("*");
    REQUIRE(path_next(&rest, &segment));
    CHECK_SLICE_IS(segment, "*");
}

static void
check_decoded(const char *raw, const char *text, size_t len)
{
    struct slice decoded;
    if (CHECK(path_decode(&arena, slice_str(raw), &decoded)))
        CHECK_EQ_MEM(decoded.data, decoded.len, text, len);
}

TEST(escapes_are_decoded_once)
{
    check_decoded("plain", "plain", 5);
    check_decoded("a%20b", "a b", 3);
    check_decoded("a+b", "a+b", 3);
    check_decoded("a%2Fb%2fc", "a/b/c", 5);
    check_decoded("schl%C3%BCssel", "schl\xc3\xbcssel", 10);
    check_decoded("a%00b", "a\0b", 3);
    check_decoded("%25%32%35", "%25", 3);
    check_decoded("%ff", "\xff", 1);
    check_decoded("", "", 0);
}

TEST(bad_escapes_are_refused)
{
    static const char *const bad[] = { "a%zz", "%", "a%", "a%2", "%2g", "%%20", "%-1", "% 2" };
    struct slice decoded;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CHECK(!path_decode(&arena, slice_str(bad[i]), &decoded));
        CHECK(!path_escapes_are_valid(slice_str(bad[i])));
    }
    CHECK(path_escapes_are_valid(SLICE("/a%20b/%41")));
}

TEST(nothing_is_left_in_the_arena)
{
    arena_fini(&arena);
}
