/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: framing, headers, back-pressure, and what a client sees of one that was cut. */
#include "rig.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: x\r\n\r\n"
#define GET10(target) "GET " target " HTTP/1.0\r\n\r\n"
#define OK_CHUNKED "HTTP/1.1 200 OK\r\n" RIG_DATE "Transfer-Encoding: chunked\r\n\r\n"

enum { BIG_BYTES = 24 * 1024 * 1024 };
static char big[BIG_BYTES];

static struct {
    unsigned done;
    err_t err;
    bool client_gone;
} seen;

static const struct http_header good = { .name = SLICE("X-Good"), .value = SLICE("yes\t\xc3\xbc") };

static void
reply_pieces(struct http_exchange *x, int64_t length, bool ends)
{
    seen.err = http_reply_start(x, 200, NULL, 0, length);
    for (int i = 0; i < 3 && seen.err == OK; i++)
        seen.err = http_reply_write(x, SLICE("abcdefghijklmnop"));
    if (seen.err == OK)
        seen.err = http_reply_write(x, SLICE_EMPTY);
    if (seen.err == OK && ends)
        seen.err = http_reply_end(x);
}

static void
reply_framing_headers(struct http_exchange *x)
{
    const struct http_header headers[] = {
        good,
        { SLICE("content-length"), SLICE("99") },
        { SLICE("Transfer-Encoding"), SLICE("chunked") },
        { SLICE("Keep-Alive"), SLICE("timeout=5") },
        { SLICE("Connection"), SLICE("X-Good") },
        { SLICE("Date"), SLICE("never") },
    };
    seen.err = http_reply(x, 299, headers, ARRAY_LEN(headers), SLICE("x"));
}

static void
reply_bad_header(struct http_exchange *x)
{
    static const struct http_header bad[] = {
        { SLICE("X-Bad"), SLICE("a\r\nX-Injected: 1") },
        { SLICE("X-Bad"), SLICE("a\nb") },
        { SLICE("X-Bad"), SLICE("a\0b") },
        { SLICE("X Bad"), SLICE("a") },
        { SLICE("X-Bad:"), SLICE("a") },
        { SLICE("X\r\nY"), SLICE("a") },
        { SLICE(""), SLICE("a") },
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const struct http_header both[] = { good, bad[i] };
        CHECK_EQ_INT(http_reply(x, 200, both, 2, SLICE_EMPTY), ERR_MALFORMED);
        CHECK(!x->reply_started);
    }
    seen.err = http_reply(x, 200, &good, 1, SLICE_EMPTY);
}

static void
handle(struct http_exchange *x)
{
    struct slice p = x->path;
    if (slice_eq(p, SLICE("/chunked")))
        reply_pieces(x, HTTP_LENGTH_UNKNOWN, true);
    else if (slice_eq(p, SLICE("/length")))
        reply_pieces(x, 48, true);
    else if (slice_eq(p, SLICE("/length/unended")))
        reply_pieces(x, 48, false);
    else if (slice_eq(p, SLICE("/chunked/cut")))
        reply_pieces(x, HTTP_LENGTH_UNKNOWN, false);
    else if (slice_eq(p, SLICE("/length/cut")))
        reply_pieces(x, 100, true);
    else if (slice_eq(p, SLICE("/length/over")))
        reply_pieces(x, 40, true);
    else if (slice_eq(p, SLICE("/framing")))
        reply_framing_headers(x);
    else if (slice_eq(p, SLICE("/bad")))
        reply_bad_header(x);
    else if (slice_eq(p, SLICE("/big")))
        seen.err = http_reply(x, 200, NULL, 0, slice_of(big, BIG_BYTES));
    else if (slice_eq(p, SLICE("/close")))
        seen.err = http_reply(x, 200, &(struct http_header){ SLICE("Connection"), SLICE("close") },
                              1, SLICE("x"));
    else
        seen.err = http_reply(x, slice_eq(p, SLICE("/304")) ? 304 : 200, NULL, 0, SLICE("body"));
    seen.client_gone = x->client_gone;
    seen.done++;
}

static struct rig rig;

static int
start(void)
{
    memset(&seen, 0, sizeof seen);
    for (size_t i = 0; big[BIG_BYTES - 1] == 0 && i < BIG_BYTES; i++)
        big[i] = (char)(i % 251 + 1);
    rig_start(&rig, NULL, handle, NULL);
    return rig_connect(&rig);
}

static void
stop(int fd)
{
    (void)close(fd);
    rig_stop(&rig);
}

TEST(an_answer_of_unknown_length_is_chunked)
{
    int fd = start();
    rig_send(&rig, fd, GET("/chunked") GET("/"));
    rig_expect(&rig, fd,
               OK_CHUNKED "10\r\nabcdefghijklmnop\r\n10\r\nabcdefghijklmnop\r\n"
                          "10\r\nabcdefghijklmnop\r\n0\r\n\r\n"
                          "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 4\r\n\r\nbody");
    stop(fd);
}

TEST(an_answer_of_unknown_length_ends_with_the_connection_in_http_1_0)
{
    int fd = start();
    rig_send(&rig, fd, "GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    rig_expect_end(&rig, fd,
                   "HTTP/1.0 200 OK\r\n" RIG_DATE "Connection: close\r\n\r\n"
                   "abcdefghijklmnopabcdefghijklmnopabcdefghijklmnop");
    stop(fd);
}

TEST(an_answer_of_known_length_may_come_in_pieces)
{
    int fd = start();
    static const char text[] = "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 48\r\n\r\n"
                               "abcdefghijklmnopabcdefghijklmnopabcdefghijklmnop";
    rig_send(&rig, fd, GET("/length") GET("/length/unended") GET("/length"));
    for (int i = 0; i < 3; i++)
        rig_expect(&rig, fd, text);
    stop(fd);
}

TEST(answers_without_a_body_have_none)
{
    int fd = start();
    rig_send(&rig, fd,
             "HEAD / HTTP/1.1\r\nHost: x\r\n\r\nHEAD /chunked HTTP/1.1\r\nHost: x\r\n\r\n" GET(
                 "/304") "HEAD /big HTTP/1.1\r\nHost: x\r\n\r\n");
    rig_expect(&rig, fd,
               "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 4\r\n\r\n"
               "HTTP/1.1 200 OK\r\n" RIG_DATE "\r\n"
               "HTTP/1.1 304 Not Modified\r\n" RIG_DATE "\r\n"
               "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 25165824\r\n\r\n");
    rig_expect_nothing(&rig, fd);
    stop(fd);
}

TEST(framing_headers_of_a_handler_are_left_out)
{
    int fd = start();
    rig_send(&rig, fd, GET("/framing"));
    rig_expect(&rig, fd,
               "HTTP/1.1 299 status code 299\r\nX-Good: yes\t\xc3\xbc\r\nDate: never\r\n"
               "Content-Length: 1\r\n\r\nx");
    rig_send(&rig, fd, GET("/close"));
    rig_expect_end(
        &rig, fd, "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 1\r\nConnection: close\r\n\r\nx");
    stop(fd);
}

TEST(a_header_cannot_inject_another)
{
    int fd = start();
    rig_send(&rig, fd, GET("/bad"));
    rig_expect(&rig, fd,
               "HTTP/1.1 200 OK\r\nX-Good: yes\t\xc3\xbc\r\n" RIG_DATE "Content-Length: 0\r\n\r\n");
    CHECK_OK(seen.err);
    stop(fd);
}

TEST(an_answer_cut_short_is_seen_as_cut)
{
    bool is_reset;
    static char text[512];
    int fd = start();
    rig_send(&rig, fd, GET("/chunked/cut") GET("/"));
    rig_expect_end(&rig, fd,
                   OK_CHUNKED "10\r\nabcdefghijklmnop\r\n10\r\nabcdefghijklmnop\r\n"
                              "10\r\nabcdefghijklmnop\r\n");
    (void)close(fd);
    fd = rig_connect(&rig);
    rig_send(&rig, fd, GET("/length/cut") GET("/"));
    rig_expect_end(&rig, fd,
                   "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 100\r\n\r\n"
                   "abcdefghijklmnopabcdefghijklmnopabcdefghijklmnop");
    CHECK_EQ_INT(seen.err, ERR_INTERNAL);
    (void)close(fd);
    fd = rig_connect(&rig);
    rig_send(&rig, fd, GET("/length/over") GET("/"));
    rig_expect_end(&rig, fd,
                   "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 40\r\n\r\n"
                   "abcdefghijklmnopabcdefghijklmnop");
    CHECK_EQ_INT(seen.err, ERR_INTERNAL);
    (void)close(fd);
    fd = rig_connect(&rig);
    rig_send(&rig, fd, GET10("/chunked/cut"));
    (void)rig_receive(&rig, fd, text, sizeof text, &is_reset);
    CHECK(is_reset);
    stop(fd);
}

TEST(a_large_answer_waits_for_a_slow_client)
{
    int fd = start();
    rig_send(&rig, fd, GET("/big"));
    for (int i = 0; i < 100; i++)
        worker_turn(&rig.worker, 0);
    CHECK_EQ_INT(seen.done, 0);
    static const char head[] = "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 25165824\r\n\r\n";
    rig_expect(&rig, fd, head);
    static char got[BIG_BYTES];
    CHECK_EQ_U64(rig_receive(&rig, fd, got, BIG_BYTES, NULL), BIG_BYTES);
    CHECK(memcmp(got, big, BIG_BYTES) == 0);
    RIG_UNTIL(&rig, seen.done == 1);
    CHECK_OK(seen.err);
    stop(fd);
}

TEST(a_client_that_takes_nothing_is_given_up)
{
    int fd = start();
    rig_send(&rig, fd, GET("/big"));
    for (int i = 0; i < 100; i++)
        worker_turn(&rig.worker, 0);
    for (int i = 0; i < 3; i++) { /* slow is not stalled */
        clock_advance_ms(LIMIT_http_write_stall_ms - 1);
        static char some[300 * 1024];
        CHECK_EQ_U64(rig_receive(&rig, fd, some, sizeof some, NULL), sizeof some);
        for (int j = 0; j < 100; j++)
            worker_turn(&rig.worker, 0);
    }
    CHECK_EQ_INT(seen.done, 0);
    clock_advance_ms(LIMIT_http_write_stall_ms);
    for (int i = 0; i < 100; i++)
        worker_turn(&rig.worker, 0);
    clock_advance_ms(LIMIT_http_write_stall_ms);
    RIG_UNTIL(&rig, seen.done == 1);
    CHECK_EQ_INT(seen.err, ERR_CLOSED);
    CHECK(seen.client_gone);
    CHECK_EQ_U64(h1_server_connections(rig.server), 0);
    stop(fd);
}

TEST(a_client_that_leaves_while_it_is_answered_ends_the_answer)
{
    int fd = start();
    rig_send(&rig, fd, GET("/big"));
    for (int i = 0; i < 100; i++)
        worker_turn(&rig.worker, 0);
    rig_reset(fd);
    RIG_UNTIL(&rig, seen.done == 1);
    CHECK_EQ_INT(seen.err, ERR_CLOSED);
    CHECK(seen.client_gone);
    rig_stop(&rig);
}

TEST(a_client_that_has_half_closed_gets_a_large_answer)
{
    int fd = start();
    rig_send(&rig, fd, GET("/big"));
    (void)shutdown(fd, SHUT_WR);
    static char got[BIG_BYTES + 1024];
    CHECK_EQ_U64(rig_receive(&rig, fd, got, sizeof got, NULL),
                 BIG_BYTES +
                     strlen("HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 25165824\r\n\r\n"));
    stop(fd);
}

TEST(the_date_moves_with_the_clock)
{
    int fd = start();
    rig_send(&rig, fd, GET("/"));
    rig_expect(&rig, fd, "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 4\r\n\r\nbody");
    clock_advance_ms(999);
    rig_send(&rig, fd, GET("/"));
    rig_expect(&rig, fd, "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 4\r\n\r\nbody");
    clock_advance_ms(51001);
    rig_send(&rig, fd, GET("/"));
    rig_expect(&rig, fd, "HTTP/1.1 200 OK\r\nDate: Wed, 25 Nov 2026 16:48:01 GMT\r\n");
    stop(fd);
}
