/* SPDX-License-Identifier: Apache-2.0 */
/* The chunked decoder, whole and byte by byte. */
#include "http/h1_chunked.h"

#include "base/limits.h"
#include "test.h"

struct result {
    enum h1_got got;
    size_t len;
    size_t left; /* input behind the end */
    char data[256];
};

/* Feeds the text in pieces of `step` bytes, each in memory of its own. */
static struct result
decode(const char *text, size_t len, size_t step)
{
    struct h1_chunked c = { 0 };
    struct result r = { .got = H1_GOT_MORE };
    for (size_t at = 0; at < len && r.got == H1_GOT_MORE; at += step) {
        struct slice in = slice_of(text + at, len - at < step ? len - at : step), data;
        while ((r.got = h1_chunked_next(&c, &in, &data)) == H1_GOT_DATA) {
            CHECK(data.len > 0);
            REQUIRE(r.len + data.len <= sizeof r.data);
            memcpy(r.data + r.len, data.data, data.len);
            r.len += data.len;
        }
        r.left = in.len;
    }
    return r;
}

static void
check_good(const char *text, const char *data, size_t left)
{
    size_t len = strlen(text);
    for (size_t step = 1; step <= len; step++) {
        struct result r = decode(text, len, step);
        CHECK_EQ_INT(r.got, H1_GOT_END);
        CHECK_EQ_MEM(r.data, r.len, data, strlen(data));
        if (step == len)
            CHECK_EQ_U64(r.left, left);
    }
}

static void
check_result(const char *text, size_t len, enum h1_got got)
{
    for (size_t step = 1; step <= len; step += step == 1 && len > 1 ? len - 1 : 1) {
        struct result r = decode(text, len, step);
        if (!CHECK_EQ_INT(r.got, got))
            fprintf(stderr, "  of: %s\n", text);
    }
}

TEST(chunks_become_data)
{
    check_good("0\r\n\r\n", "", 0);
    check_good("3\r\nabc\r\n0\r\n\r\n", "abc", 0);
    check_good("3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n", "abcdefg", 0);
    check_good("A\r\n0123456789\r\n00a\r\n0123456789\r\n00\r\n\r\n", "01234567890123456789", 0);
}

TEST(what_follows_the_end_is_left)
{
    check_good("1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n", "a", 18);
}

TEST(extensions_and_trailers_are_dropped)
{
    check_good("3;a=b\r\nabc\r\n0;last\r\n\r\n", "abc", 0);
    check_good("3 ; a=\"b c\"\t\r\nabc\r\n0\r\n\r\n", "abc", 0);
    check_good("3\t \r\nabc\r\n0\r\nX-T: 1\r\nY: \xc3\xbc\r\n\r\nrest", "abc", 4);
}

TEST(framing_that_two_readers_could_read_differently_is_refused)
{
    static const char *const bad[] = {
        "\r\n",
        ";\r\n",
        "x\r\n",
        "-1\r\n",
        "+1\r\n",
        " 1\r\n",
        "0x1\r\n",
        "1 1\r\n",
        "1,\r\n",
        "3\nabc\n0\n\n",          /* bare LF after the size */
        "3\r\nabc\n0\r\n\r\n",    /* … after the data */
        "3\r\nabcd\r\n0\r\n\r\n", /* longer than said */
        "3\r\nab\r\n0\r\n\r\n",   /* shorter than said */
        "3;a\nb\r\nabc\r\n",      /* LF in an extension */
        "3;a\rb\r\nabc\r\n",      /* CR in an extension */
        "3\rabc",
        "0\r\n\n",
        "0\r\nX: 1\n\r\n",
        "0\r\nX: \x01\r\n\r\n",
        "0\r\n X: folded\r\n\r\n",
        "0\r\n\rX",
        "00000000000000001\r\n", /* 17 digits */
        "ffffffffffffffff\r\n",
        "8000000000000000\r\n",
        "fffffffffffffffff\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check_result(bad[i], strlen(bad[i]), H1_GOT_BROKEN);
    check_result("3;\0\r\nabc\r\n", 11, H1_GOT_BROKEN);
}

TEST(the_largest_size_is_what_fits)
{
    check_result("7fffffffffffffff\r\nabc", 21, H1_GOT_MORE);
    check_result("3\r\nab", 5, H1_GOT_MORE);
}

TEST(long_size_lines_and_trailers_are_refused)
{
    char text[2 * LIMIT_http_chunk_line_bytes];
    size_t len = (size_t)snprintf(text, sizeof text, "1;%01000d\r\na\r\n0\r\n\r\n", 7);
    CHECK_EQ_INT(decode(text, len, len).got, H1_GOT_END);
    len = (size_t)snprintf(text, sizeof text, "1;%01030d\r\na\r\n0\r\n\r\n", 7);
    CHECK_EQ_INT(decode(text, len, len).got, H1_GOT_BROKEN);
    len = (size_t)snprintf(text, sizeof text, "0\r\nA: %0500d\r\nB: %0500d\r\n\r\n", 7, 7);
    CHECK_EQ_INT(decode(text, len, len).got, H1_GOT_END);
    len = (size_t)snprintf(text, sizeof text, "0\r\nA: %0510d\r\nB: %0510d\r\n\r\n", 7, 7);
    CHECK_EQ_INT(decode(text, len, len).got, H1_GOT_BROKEN);
}

TEST(chunks_that_are_mostly_framing_are_refused)
{
    struct h1_chunked c = { 0 };
    char chunk[1024];
    size_t len = (size_t)snprintf(chunk, sizeof chunk, "1;%0900d\r\na\r\n", 7);
    enum h1_got got = H1_GOT_MORE;
    unsigned count = 0;
    while (got == H1_GOT_MORE && count++ < 1000) {
        struct slice in = slice_of(chunk, len), data;
        do
            got = h1_chunked_next(&c, &in, &data);
        while (got == H1_GOT_DATA);
    }
    CHECK_EQ_INT(got, H1_GOT_BROKEN);
    CHECK(count < 25);
}

TEST(small_chunks_without_waste_go_on_for_ever)
{
    struct h1_chunked c = { 0 };
    for (unsigned i = 0; i < 100000; i++) {
        struct slice in = SLICE("1\r\na\r\n"), data;
        REQUIRE(h1_chunked_next(&c, &in, &data) == H1_GOT_DATA);
        REQUIRE(h1_chunked_next(&c, &in, &data) == H1_GOT_MORE);
    }
}

TEST(a_broken_body_stays_broken)
{
    struct h1_chunked c = { 0 };
    struct slice in = SLICE("zz"), data;
    CHECK_EQ_INT(h1_chunked_next(&c, &in, &data), H1_GOT_BROKEN);
    in = SLICE("0\r\n\r\n");
    CHECK_EQ_INT(h1_chunked_next(&c, &in, &data), H1_GOT_BROKEN);
    CHECK_EQ_U64(in.len, 5);
}
