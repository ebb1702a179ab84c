/* SPDX-License-Identifier: Apache-2.0 */
/* The request head parser; much of it is a table of heads and what becomes of them. */
#include "http/h1_head.h"

#include "test.h"

static struct h1_head head;

static enum h1_fault
parse_mem(const char *text, size_t len)
{
    size_t end = h1_head_end(slice_of(text, len), 0);
    REQUIRE(end > 0);
    return h1_head_parse(slice_of(text, end), &head);
}

static enum h1_fault
parse(const char *text)
{
    return parse_mem(text, strlen(text));
}

TEST(an_ordinary_head_is_taken_apart)
{
    REQUIRE(parse("POST /v1.0/state/mem?a=1&b HTTP/1.1\r\nHost: x:80\r\nContent-Type:  a/b \t\r\n"
                  "content-length: 12\r\nX-Empty:\r\n\r\nbody") == H1_FAULT_NONE);
    CHECK_SLICE_IS(head.method, "POST");
    CHECK_SLICE_IS(head.target, "/v1.0/state/mem?a=1&b");
    CHECK_SLICE_IS(head.path, "/v1.0/state/mem");
    CHECK_SLICE_IS(head.query, "a=1&b");
    CHECK_SLICE_IS(head.authority, "x:80");
    CHECK_EQ_INT(head.version_minor, 1);
    CHECK_EQ_INT(head.content_length, 12);
    CHECK(head.keeps_alive && !head.is_chunked && !head.expects_continue);
    CHECK_EQ_INT(head.header_count, 4);
    CHECK_SLICE_IS(head.headers[1].name, "Content-Type");
    CHECK_SLICE_IS(head.headers[1].value, "a/b");
    CHECK_SLICE_IS(head.headers[3].value, "");
}

TEST(the_end_of_a_head_is_found_however_it_arrives)
{
    const char text[] = "\r\nGET / HTTP/1.1\r\nA: b\r\n\r\nGET /";
    size_t end = sizeof "\r\nGET / HTTP/1.1\r\nA: b\r\n\r\n" - 1;
    for (size_t len = 0; len < end; len++)
        for (size_t scanned = 0; scanned <= len; scanned++)
            CHECK_EQ_U64(h1_head_end(slice_of(text, len), scanned), 0);
    for (size_t scanned = 0; scanned < end; scanned++)
        CHECK_EQ_U64(h1_head_end(slice_of(text, sizeof text - 1), scanned), end);
    CHECK_EQ_U64(h1_head_end(SLICE("GET / HTTP/1.1\nA: b\n\nrest"), 0), 21);
    CHECK_EQ_U64(h1_head_end(SLICE("A\n\r\n"), 0), 4);
    CHECK_EQ_U64(h1_head_end(SLICE("\r\n\r\n"), 0), 4);
    CHECK_EQ_U64(h1_head_end(SLICE("\n\n"), 0), 2);
    CHECK_EQ_U64(h1_head_end(SLICE("A\r\r\n"), 0), 0);
}

TEST(what_can_never_become_a_head_is_seen_at_its_first_byte)
{
    CHECK(h1_head_may_begin(SLICE("")));
    CHECK(h1_head_may_begin(SLICE("\r")));
    CHECK(h1_head_may_begin(SLICE("\r\n")));
    CHECK(h1_head_may_begin(SLICE("\r\nG")));
    CHECK(h1_head_may_begin(SLICE("G")));
    CHECK(!h1_head_may_begin(SLICE("\x16\x03\x01")));
    CHECK(!h1_head_may_begin(SLICE("\r\n\r")));
    CHECK(!h1_head_may_begin(SLICE(" GET")));
}

struct verdict {
    const char *text;
    enum h1_fault fault;
};

static void
check_verdicts(const struct verdict *verdicts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!CHECK_EQ_INT(parse(verdicts[i].text), verdicts[i].fault))
            fprintf(stderr, "  of: %s\n", verdicts[i].text);
}

#define GET "GET / HTTP/1.1\r\nHost: x\r\n"
#define POST "POST / HTTP/1.1\r\nHost: x\r\n"
#define END "\r\n\r\n"

TEST(request_lines)
{
    static const struct verdict verdicts[] = {
        { "GET /v1.0/healthz HTTP/1.1\nHost: x\n\n", H1_FAULT_NONE }, /* bare LF */
        { "\r\nGET / HTTP/1.1\r\nHost: x" END, H1_FAULT_NONE },
        { "\r\n\r\nGET / HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "get / HTTP/1.1\r\nHost: x" END, H1_FAULT_NONE },
        { "M-SEARCH * HTTP/1.1\r\nHost: x" END, H1_FAULT_NONE },
        { "GET /a#x HTTP/1.1\r\nHost: x" END, H1_FAULT_NONE },
        { "GET /\xc3\xbc HTTP/1.1\r\nHost: x" END, H1_FAULT_NONE },
        { "GET /a%00b HTTP/1.1\r\nHost: x" END, H1_FAULT_NONE },
        { "GET /?% HTTP/1.1\r\nHost: x" END, H1_FAULT_NONE },
        { "GET / HTTP/1.0" END, H1_FAULT_NONE },
        { "GET / HTTP/1.2\r\nHost: x" END, H1_FAULT_NONE },
        { "GET / HTTP/2.0\r\nHost: x" END, H1_FAULT_VERSION },
        { "GET / HTTP/0.9" END, H1_FAULT_VERSION },
        { "PRI * HTTP/2.0" END, H1_FAULT_VERSION },
        { "HELLO" END, H1_FAULT_MALFORMED },
        { "GET /" END, H1_FAULT_MALFORMED },
        { "GET  / HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET /  HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET / HTTP/1.1 \r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET\t/ HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET /a b HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET /a\tb HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET /a\rb HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET /a\x7f HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET /a%zz HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET /a% HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET a HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET ** HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "CONNECT x:80 HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "G@T / HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "G\xc3T / HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET / http/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET / HTTP/1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET / HTTP/1.10\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET / HTTP/11\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET / HTTP/1.x\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET / HTTP/+.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET / XTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "/ HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { " / HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { END, H1_FAULT_MALFORMED },
    };
    check_verdicts(verdicts, ARRAY_LEN(verdicts));
    CHECK_EQ_INT(parse_mem("GET /\0 HTTP/1.1\r\nHost: x" END, 29), H1_FAULT_MALFORMED);
}

TEST(header_lines)
{
    static const struct verdict verdicts[] = {
        { GET "A:b\r\nA: c\r\na:\t d \t" END, H1_FAULT_NONE },
        { GET "A: tab\tinside \xc3\xbc" END, H1_FAULT_NONE },
        { GET "A: b\nC: d\r\n\n", H1_FAULT_NONE },
        { GET "Bad Header" END, H1_FAULT_MALFORMED },
        { GET "Bad" END, H1_FAULT_MALFORMED },
        { GET "Bad : x" END, H1_FAULT_MALFORMED },
        { GET "Bad\t: x" END, H1_FAULT_MALFORMED },
        { GET ": x" END, H1_FAULT_MALFORMED },
        { GET " : x" END, H1_FAULT_MALFORMED },
        { GET "A: b\r\n c" END, H1_FAULT_MALFORMED }, /* folded */
        { GET "A: b\r\n\tc: d" END, H1_FAULT_MALFORMED },
        { "GET / HTTP/1.1\r\n Host: x" END, H1_FAULT_MALFORMED },
        { GET "A: b\rC: d" END, H1_FAULT_MALFORMED }, /* bare CR */
        { GET "A: b\r\r\nC: d" END, H1_FAULT_MALFORMED },
        { GET "A: b\x01" END, H1_FAULT_MALFORMED },
        { GET "A: 12345678\x0b" END, H1_FAULT_MALFORMED },
        { GET "A: \x7f" END, H1_FAULT_MALFORMED },
        { GET "A\xc3: x" END, H1_FAULT_MALFORMED },
        { GET "A(: x" END, H1_FAULT_MALFORMED },
    };
    check_verdicts(verdicts, ARRAY_LEN(verdicts));
    CHECK_EQ_INT(parse_mem(GET "A: \0" END, sizeof GET "A: \0" END - 1), H1_FAULT_MALFORMED);
    CHECK_EQ_INT(parse_mem(GET "A\0: b" END, sizeof GET "A\0: b" END - 1), H1_FAULT_MALFORMED);
}

TEST(message_length_has_one_reading)
{
    static const struct verdict verdicts[] = {
        { POST "Content-Length: 0" END, H1_FAULT_NONE },
        { POST "Content-Length: 007" END, H1_FAULT_NONE },
        { POST "Content-Length: 9223372036854775807" END, H1_FAULT_NONE },
        { POST "Transfer-Encoding: chunked" END, H1_FAULT_NONE },
        { POST "Transfer-Encoding: CHUNKED" END, H1_FAULT_NONE },
        { POST "Content-Length: 2\r\nContent-Length: 3" END, H1_FAULT_MALFORMED },
        { POST "Content-Length: 2\r\nContent-Length: 2" END, H1_FAULT_MALFORMED },
        { POST "Content-Length: 2, 2" END, H1_FAULT_MALFORMED },
        { POST "Content-Length:" END, H1_FAULT_MALFORMED },
        { POST "Content-Length: +2" END, H1_FAULT_MALFORMED },
        { POST "Content-Length: -2" END, H1_FAULT_MALFORMED },
        { POST "Content-Length: 0x2" END, H1_FAULT_MALFORMED },
        { POST "Content-Length: 2 2" END, H1_FAULT_MALFORMED },
        { POST "Content-Length: 2\r\n 2" END, H1_FAULT_MALFORMED },
        { POST "Content-Length: 9223372036854775808" END, H1_FAULT_MALFORMED },
        { POST "Content-Length: 18446744073709551618" END, H1_FAULT_MALFORMED },
        { POST "Content-Length: 2\r\nTransfer-Encoding: chunked" END, H1_FAULT_MALFORMED },
        { POST "Transfer-Encoding: chunked\r\nContent-Length: 2" END, H1_FAULT_MALFORMED },
        { POST "Transfer-Encoding: xchunked\r\nContent-Length: 2" END, H1_FAULT_MALFORMED },
        { POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked" END, H1_FAULT_CODING },
        { POST "Transfer-Encoding: chunked, chunked" END, H1_FAULT_CODING },
        { POST "Transfer-Encoding: gzip, chunked" END, H1_FAULT_CODING },
        { POST "Transfer-Encoding: chunked, identity" END, H1_FAULT_CODING },
        { POST "Transfer-Encoding: identity" END, H1_FAULT_CODING },
        { POST "Transfer-Encoding: xchunked" END, H1_FAULT_CODING },
        { POST "Transfer-Encoding: \"chunked\"" END, H1_FAULT_CODING },
        { POST "Transfer-Encoding:" END, H1_FAULT_CODING },
        { POST "Transfer-Encoding: chunked;q=1" END, H1_FAULT_CODING },
        { POST "Transfer-Encoding : chunked" END, H1_FAULT_MALFORMED },
        { POST "Transfer-Encoding: \x0b"
               "chunked" END,
          H1_FAULT_MALFORMED },
        { POST "Transfer-Encoding\n : chunked" END, H1_FAULT_MALFORMED },
        { "POST / HTTP/1.0\r\nTransfer-Encoding: chunked" END, H1_FAULT_MALFORMED },
    };
    check_verdicts(verdicts, ARRAY_LEN(verdicts));
    REQUIRE(parse(POST "Transfer-Encoding: chunked" END) == H1_FAULT_NONE);
    CHECK(head.is_chunked);
    CHECK_EQ_INT(head.content_length, HTTP_LENGTH_UNKNOWN);
}

TEST(hosts)
{
    static const struct verdict verdicts[] = {
        { "GET / HTTP/1.1" END, H1_FAULT_NO_HOST },
        { "GET / HTTP/1.0" END, H1_FAULT_NONE },
        { "GET / HTTP/1.1\r\nHost:" END, H1_FAULT_NONE },
        { "GET / HTTP/1.1\r\nHost: [::1]:3500" END, H1_FAULT_NONE },
        { "GET / HTTP/1.1\r\nHost: x\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET / HTTP/1.0\r\nHost: x\r\nHost: y" END, H1_FAULT_MALFORMED },
        { "GET / HTTP/1.1\r\nHost: a/b" END, H1_FAULT_BAD_HOST },
        { "GET / HTTP/1.1\r\nHost: a b" END, H1_FAULT_BAD_HOST },
        { "GET / HTTP/1.1\r\nHost: a@b" END, H1_FAULT_BAD_HOST },
        { "GET http://a@b/ HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET http:///x HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET ftp://a/ HTTP/1.1\r\nHost: x" END, H1_FAULT_MALFORMED },
        { "GET http://a/ HTTP/1.1" END, H1_FAULT_NO_HOST },
    };
    check_verdicts(verdicts, ARRAY_LEN(verdicts));
}

TEST(an_absolute_target_names_the_authority)
{
    REQUIRE(parse("GET HTTP://one:80/v1.0/healthz?a HTTP/1.1\r\nHost: two" END) == H1_FAULT_NONE);
    CHECK_SLICE_IS(head.authority, "one:80");
    CHECK_SLICE_IS(head.target, "/v1.0/healthz?a");
    CHECK_SLICE_IS(head.path, "/v1.0/healthz");
    CHECK_SLICE_IS(head.query, "a");
    REQUIRE(parse("GET http://one HTTP/1.1\r\nHost: two" END) == H1_FAULT_NONE);
    CHECK_SLICE_IS(head.target, "/");
    CHECK_SLICE_IS(head.path, "/");
    REQUIRE(parse("GET https://one?q HTTP/1.1\r\nHost: two" END) == H1_FAULT_NONE);
    CHECK_SLICE_IS(head.path, "/");
    CHECK_SLICE_IS(head.query, "q");
}

TEST(connections_stay_open_as_both_sides_say)
{
    static const struct {
        const char *text;
        bool keeps_alive;
    } cases[] = {
        { GET "\r\n", true },
        { GET "Connection: close" END, false },
        { GET "Connection: Keep-Alive , CLOSE" END, false },
        { GET "Connection: keep-alive\r\nConnection: close" END, false },
        { GET "Connection: closed" END, true },
        { "GET / HTTP/1.0" END, false },
        { "GET / HTTP/1.0\r\nConnection: Keep-Alive" END, true },
        { "GET / HTTP/1.0\r\nConnection: keep-alive, close" END, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        REQUIRE(parse(cases[i].text) == H1_FAULT_NONE);
        CHECK_EQ_INT(head.keeps_alive, cases[i].keeps_alive);
    }
}

TEST(expectations)
{
    REQUIRE(parse(POST "Expect: 100-Continue\r\nContent-Length: 2" END) == H1_FAULT_NONE);
    CHECK(head.expects_continue);
    REQUIRE(parse(GET "Expect: 100-continue" END) == H1_FAULT_NONE);
    CHECK(!head.expects_continue); /* no body, nothing to wait for */
    CHECK_EQ_INT(parse(POST "Expect: magic\r\nContent-Length: 2" END), H1_FAULT_EXPECTATION);
    REQUIRE(parse("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2" END) ==
            H1_FAULT_NONE);
    CHECK(!head.expects_continue);
}

TEST(header_lines_are_counted)
{
    static char text[4096];
    for (unsigned count = LIMIT_http_headers_max; count <= LIMIT_http_headers_max + 1; count++) {
        size_t len = (size_t)snprintf(text, sizeof text, GET);
        for (unsigned i = 1; i < count; i++)
            len += (size_t)snprintf(text + len, sizeof text - len, "X-%u: y\r\n", i);
        (void)snprintf(text + len, sizeof text - len, "\r\n"); /* fits */
        CHECK_EQ_INT(parse(text),
                     count <= LIMIT_http_headers_max ? H1_FAULT_NONE : H1_FAULT_TOO_LARGE);
    }
}

TEST(refusals_read_as_the_reference_words_them)
{
    CHECK_SLICE_IS(h1_fault_answer(H1_FAULT_MALFORMED),
                   "400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
                   "Connection: close\r\n\r\n400 Bad Request");
    CHECK_SLICE_IS(h1_fault_answer(H1_FAULT_NO_HOST),
                   "400 Bad Request: missing required Host header\r\n"
                   "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
                   "400 Bad Request: missing required Host header");
}
