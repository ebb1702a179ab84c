/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of invocations: what is refused, what is cleaned, and how they are encoded again. */
#include "api/invoke.h"

#include "test.h"

static struct arena arena;

static void
check_clean(const char *method, const char *path)
{
    struct slice got = SLICE_EMPTY;
    CHECK(invoke_clean_method(&arena, slice_str(method), &got));
    CHECK_SLICE_IS(got, path);
}

TEST(a_method_becomes_a_path_that_stays_below_the_root)
{
    check_clean("", "/");
    check_clean("orders", "/orders");
    check_clean("/orders/", "/orders");
    check_clean("a//b///c", "/a/b/c");
    check_clean("a/../b/./c", "/b/c");
    check_clean("../../../etc", "/etc");
    check_clean("a/b/../../..", "/");
    check_clean("a\\..\\b", "/a\\..\\b");
    check_clean("a%2Fb", "/a%2Fb");
    check_clean("x/method/y", "/x/method/y");
}

TEST(bytes_that_no_method_may_have_are_refused)
{
    static const char *const bad[] = { "a?b", "a#b", "a\nb", "\x01", "a\x7f" };
    struct slice got;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(!invoke_clean_method(&arena, slice_str(bad[i]), &got));
    CHECK(!invoke_clean_method(&arena, slice_of("a\0b", 3), &got));
    CHECK(invoke_clean_method(&arena, SLICE("caf\xc3\xa9 \xff"), &got));
}

static void
check_encoded(const char *path, const char *encoded)
{
    struct slice got = SLICE_EMPTY, bad = SLICE_EMPTY;
    CHECK(invoke_encode_path(&arena, slice_str(path), &got, &bad));
    CHECK_SLICE_IS(got, encoded);
}

TEST(what_is_well_formed_is_sent_as_it_is)
{
    check_encoded("/", "/");
    check_encoded("/a;b=1/c@d:e!$&'()*,~", "/a;b=1/c@d:e!$&'()*,~");
    check_encoded("/a%2Fb%20c", "/a%2Fb%20c");
    check_encoded("/[x]", "/[x]");
}

TEST(what_is_not_is_decoded_and_encoded_anew)
{
    check_encoded("/a b", "/a%20b");
    check_encoded("/caf\xc3\xa9", "/caf%C3%A9");
    check_encoded("/a b%2Fc", "/a%20b/c"); /* all of it, as the reference does */
    check_encoded("/a b!(c)*", "/a%20b%21%28c%29%2A");
    check_encoded("/a b$&+,:;=@", "/a%20b$&+,:;=@");
    check_encoded("/\"<>\\^`{|}", "/%22%3C%3E%5C%5E%60%7B%7C%7D");
}

TEST(an_escape_that_is_none_is_shown)
{
    static const struct {
        const char *path, *bad;
    } rows[] = { { "/a%", "%" }, { "/a%f", "%f" }, { "/%zz/b", "%zz" }, { "/%41%4", "%4" } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice got, bad = SLICE_EMPTY;
        CHECK(!invoke_encode_path(&arena, slice_str(rows[i].path), &got, &bad));
        CHECK_SLICE_IS(bad, rows[i].bad);
    }
}
