/* SPDX-License-Identifier: Apache-2.0 */
/* Request bodies: framing, pieces, limits, expectations, what is left unread. */
#include "rig.h"

#define OK_EMPTY "HTTP/1.1 204 No Content\r\n" RIG_DATE "\r\n"
#define POST "POST / HTTP/1.1\r\nHost: x\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define GET "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

enum { BODY_MAX = 1024 * 1024 };

/* What the next request's handler does, and what it saw. */
enum mode { READ_ALL, READ_PIECES, READ_ONE, READ_NONE, READ_AFTER_WAIT, READ_TWICE };

static struct {
    enum mode mode;
    size_t bytes_max;
    err_t err;
    size_t bytes;
    size_t pieces;
    uint64_t hash;
    bool done;
    struct wait *wait;
    struct slice body;
    char first[64];
} seen;

static void
note(struct slice piece)
{
    if (seen.bytes == 0 && piece.len > 0)
        memcpy(seen.first, piece.data, piece.len < 63 ? piece.len : 63);
    for (size_t i = 0; i < piece.len; i++)
        seen.hash = seen.hash * 31 + (unsigned char)piece.data[i];
    seen.bytes += piece.len;
    seen.pieces++;
}

static void
read_pieces(struct http_exchange *x, size_t pieces_max)
{
    struct slice piece = SLICE_EMPTY;
    while (seen.pieces < pieces_max && (seen.err = http_body_read(x, &piece)) == OK &&
           piece.len > 0)
        note(piece);
}

static void
handle(struct http_exchange *x)
{
    struct wait wait;
    struct slice body = SLICE_EMPTY;
    seen.pieces = seen.bytes = 0;
    if (seen.mode == READ_AFTER_WAIT) {
        wait_init(&wait, x->task, NULL);
        seen.wait = &wait;
        CHECK_OK(TASK_WAIT(x->task, &wait));
    }
    if (seen.mode == READ_PIECES || seen.mode == READ_AFTER_WAIT) {
        read_pieces(x, SIZE_MAX);
    } else if (seen.mode == READ_ONE) {
        read_pieces(x, 1);
    } else if (seen.mode != READ_NONE) {
        seen.err = http_body_read_all(x, seen.bytes_max, &body);
        if (seen.err == OK)
            note(body);
    }
    if (seen.mode == READ_TWICE) {
        struct slice end = SLICE("x");
        CHECK_OK(http_body_read(x, &end));
        CHECK_EQ_U64(end.len, 0);
        note(body); /* still there */
    }
    (void)http_reply(x, seen.err == OK ? 204 : 400, NULL, 0, SLICE_EMPTY);
    seen.done = true;
}

static struct rig rig;

static void
expect_mode(enum mode mode)
{
    memset(&seen, 0, sizeof seen);
    seen.mode = mode;
    seen.bytes_max = BODY_MAX;
}

static int
start(enum mode mode)
{
    expect_mode(mode);
    rig_start(&rig, NULL, handle, NULL);
    return rig_connect(&rig);
}

static void
stop(int fd)
{
    (void)close(fd);
    rig_stop(&rig);
}

static uint64_t
hash_of(const char *data, size_t len)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < len; i++)
        hash = hash * 31 + (unsigned char)data[i];
    return hash;
}

TEST(a_small_body_comes_with_its_head)
{
    int fd = start(READ_TWICE);
    rig_send(&rig, fd, POST "Content-Length: 3\r\n\r\nabc" GET);
    rig_expect(&rig, fd, OK_EMPTY);
    CHECK_EQ_U64(seen.hash, hash_of("abcabc", 6));
    rig_expect(&rig, fd, OK_EMPTY);
    stop(fd);
}

TEST(a_body_may_come_later_and_in_pieces)
{
    int fd = start(READ_PIECES);
    rig_send(&rig, fd, POST "Content-Length: 6\r\n\r\n");
    rig_turn(&rig);
    rig_send(&rig, fd, "ab");
    rig_turn(&rig);
    rig_send(&rig, fd, "cd");
    rig_turn(&rig);
    CHECK_EQ_U64(seen.pieces, 2);
    rig_send(&rig, fd, "ef" GET);
    rig_expect(&rig, fd, OK_EMPTY OK_EMPTY);
    CHECK_EQ_U64(seen.pieces, 0); /* of the second request, which has no body */
    stop(fd);
}

static void
check_large(const char *head, bool is_chunked, enum mode mode)
{
    enum { BYTES = 1000000 };
    static char body[BYTES + 16], answer[sizeof OK_EMPTY];
    for (size_t i = 0; i < BYTES; i++)
        body[i] = (char)(i * 7 + i / 251);
    int fd = start(mode);
    rig_send(&rig, fd, head);
    for (size_t at = 0; at < BYTES;) {
        char line[32];
        size_t len = is_chunked ? at % 30011 + 1 : BYTES;
        len = len < BYTES - at ? len : BYTES - at;
        snprintf(line, sizeof line, "%zX\r\n", len);
        if (is_chunked)
            rig_send(&rig, fd, line);
        rig_send_mem(&rig, fd, body + at, len);
        if (is_chunked)
            rig_send(&rig, fd, "\r\n");
        at += len;
    }
    if (is_chunked)
        rig_send(&rig, fd, "0\r\n\r\n");
    size_t got = rig_receive(&rig, fd, answer, sizeof OK_EMPTY - 1, NULL);
    CHECK_EQ_MEM(answer, got, OK_EMPTY, sizeof OK_EMPTY - 1);
    CHECK_EQ_U64(seen.bytes, BYTES);
    CHECK_EQ_U64(seen.hash, hash_of(body, BYTES));
    expect_mode(READ_ALL);
    rig_send(&rig, fd, GET);
    rig_expect(&rig, fd, OK_EMPTY);
    stop(fd);
}

TEST(a_large_body_arrives_whole)
{
    check_large(POST "Content-Length: 1000000\r\n\r\n", false, READ_ALL);
    check_large(POST "Content-Length: 1000000\r\n\r\n", false, READ_PIECES);
}

TEST(a_large_chunked_body_arrives_whole)
{
    check_large(CHUNKED, true, READ_ALL);
    check_large(CHUNKED, true, READ_PIECES);
}

TEST(a_chunked_body_ends_where_it_says)
{
    int fd = start(READ_ALL);
    rig_send(&rig, fd,
             CHUNKED
             "19;x=y\r\n[{\"key\":\"ch\",\"value\":\"c\"}\r\n1\r\n]\r\n0\r\nX-T: 1\r\n\r\n" GET);
    rig_expect(&rig, fd, OK_EMPTY OK_EMPTY);
    rig_send(&rig, fd, CHUNKED "0\r\n\r\n");
    rig_expect(&rig, fd, OK_EMPTY);
    CHECK_EQ_U64(seen.bytes, 0);
    stop(fd);
}

TEST(broken_framing_is_malformed_and_ends_the_connection)
{
    int fd = start(READ_ALL);
    rig_send(&rig, fd, CHUNKED "3\r\nabcX\r\n0\r\n\r\n" GET);
    rig_expect_end(&rig, fd,
                   "HTTP/1.1 400 Bad Request\r\n" RIG_DATE
                   "Content-Length: 0\r\nConnection: close\r\n\r\n");
    CHECK_EQ_INT(seen.err, ERR_MALFORMED);
    stop(fd);
}

TEST(a_body_beyond_the_limit_is_too_large_and_the_client_sees_the_answer)
{
    static char body[200 * 1024];
    memset(body, 'x', sizeof body);
    static const char *const heads[] = { POST "Content-Length: 204800\r\n\r\n",
                                         CHUNKED "32000\r\n" };
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        int fd = start(READ_ALL);
        seen.bytes_max = 65536;
        rig_send(&rig, fd, heads[i]);
        rig_send_mem(&rig, fd, body, sizeof body);
        if (i == 1)
            rig_send(&rig, fd, "\r\n0\r\n\r\n");
        rig_expect(&rig, fd, "HTTP/1.1 400 Bad Request\r\n" RIG_DATE "Content-Length: 0\r\n");
        static char rest[256];
        bool is_reset;
        (void)rig_receive(&rig, fd, rest, sizeof rest, &is_reset);
        CHECK(!is_reset);
        CHECK_EQ_INT(seen.err, ERR_TOO_LARGE);
        stop(fd);
    }
}

TEST(an_unread_body_is_read_away)
{
    int fd = start(READ_NONE);
    rig_send(&rig, fd, POST "Content-Length: 5000\r\n\r\nabc");
    rig_expect(&rig, fd, OK_EMPTY);
    static char rest[4997];
    memset(rest, 'x', sizeof rest);
    rig_send_mem(&rig, fd, rest, sizeof rest);
    rig_send(&rig, fd, CHUNKED "3\r\nabc\r\n");
    rig_expect(&rig, fd, OK_EMPTY);
    rig_send(&rig, fd, "0\r\n\r\n" GET);
    rig_expect(&rig, fd, OK_EMPTY);
    stop(fd);
}

TEST(an_unread_body_without_an_end_in_sight_closes_the_connection)
{
    int fd = start(READ_NONE);
    rig_send(&rig, fd, POST "Content-Length: 1000000\r\n\r\nabc");
    rig_expect_end(&rig, fd, "HTTP/1.1 204 No Content\r\n" RIG_DATE "Connection: close\r\n\r\n");
    (void)close(fd);
    rig_stop(&rig);
    fd = start(READ_NONE);
    rig_send(&rig, fd, CHUNKED "1000000\r\n");
    rig_expect(&rig, fd, OK_EMPTY);
    static char rest[LIMIT_http_discard_bytes + LIMIT_http_read_bytes];
    rig_send_mem(&rig, fd, rest, sizeof rest);
    rig_expect_end(&rig, fd, "");
    stop(fd);
}

TEST(a_partly_read_body_is_read_to_its_end)
{
    int fd = start(READ_ONE);
    rig_send(&rig, fd, CHUNKED "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n" GET);
    rig_expect(&rig, fd, OK_EMPTY OK_EMPTY);
    stop(fd);
}

TEST(a_stalled_body_is_a_deadline)
{
    int fd = start(READ_ALL);
    rig_send(&rig, fd, POST "Content-Length: 6\r\n\r\nab");
    rig_turn(&rig);
    clock_advance_ms(LIMIT_http_body_stall_ms - 1);
    rig_turn(&rig);
    CHECK(!seen.done);
    clock_advance_ms(1);
    rig_expect(&rig, fd, "HTTP/1.1 400 Bad Request\r\n");
    CHECK_EQ_INT(seen.err, ERR_DEADLINE);
    stop(fd);
}

static void
drain(struct rig *r)
{
    h1_server_drain(r->server);
}

TEST(a_body_that_stalls_does_not_hold_up_a_server_that_is_to_end)
{
    int fd = start(READ_ALL);
    rig_send(&rig, fd, POST "Content-Length: 6\r\n\r\nab");
    rig_turn(&rig);
    clock_advance_ms(LIMIT_http_drain_silence_ms + 1);
    rig_turn(&rig);
    CHECK(!seen.done);
    rig_run(&rig, drain);
    rig_send(&rig, fd, "c");
    rig_turn(&rig);
    CHECK(!seen.done);
    clock_advance_ms(LIMIT_http_drain_silence_ms);
    rig_expect(&rig, fd, "HTTP/1.1 400 Bad Request\r\n");
    CHECK_EQ_INT(seen.err, ERR_DEADLINE);
    stop(fd);
}

TEST(a_client_that_leaves_in_the_middle_is_noticed)
{
    int fd = start(READ_ALL);
    rig_send(&rig, fd, POST "Content-Length: 6\r\n\r\nab");
    rig_turn(&rig);
    (void)shutdown(fd, SHUT_WR);
    RIG_UNTIL(&rig, seen.done);
    CHECK_EQ_INT(seen.err, ERR_CLOSED);
    stop(fd);
    fd = start(READ_ALL);
    rig_send(&rig, fd, CHUNKED "6\r\nab");
    rig_turn(&rig);
    rig_reset(fd);
    RIG_UNTIL(&rig, seen.done);
    CHECK_EQ_INT(seen.err, ERR_CLOSED);
    rig_stop(&rig);
}

TEST(continue_is_sent_when_the_handler_wants_the_body)
{
    int fd = start(READ_AFTER_WAIT);
    rig_send(&rig, fd, POST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    RIG_UNTIL(&rig, seen.wait != NULL);
    rig_expect_nothing(&rig, fd);
    wait_done(seen.wait, OK);
    rig_expect(&rig, fd, "HTTP/1.1 100 Continue\r\n\r\n");
    rig_send(&rig, fd, "[]");
    rig_expect(&rig, fd, OK_EMPTY);
    stop(fd);
}

TEST(a_refused_expectation_ends_the_connection)
{
    int fd = start(READ_NONE);
    rig_send(&rig, fd, POST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    rig_expect_end(&rig, fd, "HTTP/1.1 204 No Content\r\n" RIG_DATE "Connection: close\r\n\r\n");
    stop(fd);
}

TEST(reading_pauses_while_a_handler_does_not_read)
{
    int fd = start(READ_AFTER_WAIT);
    static char body[8 * 1024 * 1024];
    rig_send(&rig, fd, POST "Content-Length: 8388608\r\n\r\n");
    RIG_UNTIL(&rig, seen.wait != NULL);
    size_t at = 0;
    for (int still = 0; still < 50 && at < sizeof body; still++) {
        ssize_t sent = send(fd, body + at, sizeof body - at, MSG_NOSIGNAL);
        at += sent > 0 ? (size_t)sent : 0;
        still = sent > 0 ? 0 : still;
        worker_turn(&rig.worker, 0);
    }
    CHECK(at < sizeof body); /* the rest is in no buffer of ours */
    wait_done(seen.wait, OK);
    rig_send_mem(&rig, fd, body + at, sizeof body - at);
    rig_expect(&rig, fd, OK_EMPTY);
    CHECK_EQ_U64(seen.bytes, sizeof body);
    stop(fd);
}
