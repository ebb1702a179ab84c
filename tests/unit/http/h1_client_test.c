/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/1.1 client against servers that are played by the test: what is sent, what is made of
 * every kind of answer, and which connections are used again.
 */
#include "client_bed.h"

#define GET "GET /x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:"

/* The head of a GET without headers of its own. */
static const char *
plain_get(const struct bed *bed)
{
    static char text[128];
    snprintf(text, sizeof text, GET "%u\r\n\r\n", bed->port);
    return text;
}

/* --- requests ----------------------------------------------------------------------------------*/

TEST(a_body_with_a_length_and_headers_are_sent_as_given)
{
    struct bed bed;
    char wanted[256];
    bed_open(&bed, NULL);
    struct ask ask = { .method = "POST",
                       .body = "twelve bytes",
                       .headers = { { SLICE("X-A"), SLICE("1") },
                                    { SLICE("content-LENGTH"), SLICE("99") },
                                    { SLICE("Host"), SLICE("evil") },
                                    { SLICE("x-a"), SLICE_EMPTY } },
                       .header_count = 4 };
    bed_ask(&bed, &ask);
    int fd = bed_accept(&bed);
    snprintf(wanted, sizeof wanted,
             "POST /x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nX-A: 1\r\nx-a: \r\n"
             "Content-Length: 12\r\n\r\ntwelve bytes",
             bed.port);
    bed_expect(&bed, fd, wanted);
    bed_send(&bed, fd, "HTTP/1.1 201 Created\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\r\nhi");
    BED_WAIT(&bed, &ask);
    CHECK_OK(ask.err);
    CHECK_EQ_INT(ask.status, 201);
    CHECK_EQ_MEM(ask.answer, ask.answer_len, "hi", 2);
    CHECK_EQ_STR(ask.content_type, "a/b");
    CHECK(ask.was_sent);
    bed_close(&bed);
    (void)close(fd);
}

TEST(a_body_of_unknown_length_is_sent_in_chunks)
{
    struct bed bed;
    char wanted[256];
    bed_open(&bed, NULL);
    struct ask ask = { .method = "PUT", .body = "twelve bytes", .is_chunked = true };
    bed_ask(&bed, &ask);
    int fd = bed_accept(&bed);
    snprintf(wanted, sizeof wanted,
             "PUT /x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nTransfer-Encoding: chunked\r\n\r\n"
             "7\r\ntwelve \r\n5\r\nbytes\r\n0\r\n\r\n",
             bed.port);
    bed_expect(&bed, fd, wanted);
    bed_send(&bed, fd, "HTTP/1.1 204 No Content\r\n\r\n");
    BED_WAIT(&bed, &ask);
    CHECK_OK(ask.err);
    CHECK_EQ_INT(ask.status, 204);
    bed_close(&bed);
    (void)close(fd);
}

TEST(a_post_without_a_body_says_so)
{
    struct bed bed;
    char wanted[256];
    bed_open(&bed, NULL);
    struct ask ask = { .method = "POST" };
    bed_ask(&bed, &ask);
    int fd = bed_accept(&bed);
    snprintf(wanted, sizeof wanted,
             "POST /x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Length: 0\r\n\r\n", bed.port);
    bed_expect(&bed, fd, wanted);
    bed_send(&bed, fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    BED_WAIT(&bed, &ask);
    CHECK_OK(ask.err);
    bed_close(&bed);
    (void)close(fd);
}

TEST(a_header_that_would_break_out_of_its_line_is_not_sent)
{
    static const struct http_header bad[] = { { SLICE("X-A"), SLICE("1\r\nX-B: 2") },
                                              { SLICE("X A"), SLICE("1") },
                                              { SLICE(""), SLICE("1") },
                                              { SLICE("X-A"), SLICE("a\0b") } };
    struct bed bed;
    bed_open(&bed, NULL);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct ask ask = { .headers = { bad[i] }, .header_count = 1 };
        bed_ask(&bed, &ask);
        BED_WAIT(&bed, &ask);
        CHECK_EQ_INT(ask.err, ERR_MALFORMED);
        CHECK(!ask.was_sent);
    }
    CHECK_EQ_U64(client_connections(bed.client), 0);
    bed_close(&bed);
}

/* --- answers -----------------------------------------------------------------------------------*/

static const struct answer {
    const char *name;
    const char *text;
    bool is_closed; /* behind it */
    err_t err;
    int status;
    const char *body;
    const char *words; /* part of them */
    bool is_reused;
    const char *method;
} answers[] = {
    { "length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false, OK, 200, "abc", NULL,
      true, NULL },
    { "chunks",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n"
      "X-T: 1\r\n\r\n",
      false, OK, 200, "abc", NULL, true, NULL },
    { "until the end", "HTTP/1.1 200 OK\r\n\r\nabc", true, OK, 200, "abc", NULL, false, NULL },
    { "HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", false, OK, 200, "abc", NULL,
      false, NULL },
    { "HTTP/1.0 that keeps the connection",
      "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 3\r\n\r\nabc", false, OK, 200,
      "abc", NULL, true, NULL },
    { "close is said", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
      false, OK, 200, "abc", NULL, false, NULL },
    { "no content", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false, OK, 204, "",
      NULL, true, NULL },
    { "not modified", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", false, OK, 304, "", NULL,
      true, NULL },
    { "to HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, OK, 200, "", NULL, true,
      "HEAD" },
    { "informational ones before it",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz",
      false, OK, 200, "z", NULL, true, NULL },
    { "no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, OK, 200, "", NULL, true,
      NULL },
    { "an odd status", "HTTP/1.1 999 ?\r\nContent-Length: 0\r\n\r\n", false, OK, 999, "", NULL,
      true, NULL },
    { "line feeds alone", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", false, OK, 200, "ok", NULL,
      true, NULL },
    { "more than announced", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc", false, OK, 200, "a",
      NULL, false, NULL },

    { "nothing", "", true, ERR_PEER_LOST, 0, "", "EOF", false, "POST" },
    { "half a head", "HTTP/1.1 200 OK\r\nConte", true, ERR_PEER_LOST, 0, "", "unexpected EOF",
      false, NULL },
    { "half a body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", true, ERR_PEER_LOST, 200,
      "abc", "unexpected EOF", false, NULL },
    { "no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", true,
      ERR_PEER_LOST, 200, "ab", "unexpected EOF", false, NULL },
    { "a chunk size that is none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      false, ERR_PEER_PROTOCOL, 200, "", "malformed chunked encoding", false, NULL },
    { "no HTTP", "SSH-2.0-OpenSSH\r\n\r\n", false, ERR_PEER_PROTOCOL, 0, "",
      "malformed HTTP response \"SSH-2.0-OpenSSH\"", false, NULL },
    { "another version", "HTTP/2.0 200 OK\r\n\r\n", false, ERR_PEER_PROTOCOL, 0, "",
      "malformed HTTP version", false, NULL },
    { "a status of letters", "HTTP/1.1 abc OK\r\n\r\n", false, ERR_PEER_PROTOCOL, 0, "",
      "malformed HTTP status code \"abc\"", false, NULL },
    { "a status of two digits", "HTTP/1.1 99 x\r\n\r\n", false, ERR_PEER_PROTOCOL, 0, "",
      "malformed HTTP status code \"99\"", false, NULL },
    { "a status of four digits", "HTTP/1.1 2000 x\r\n\r\n", false, ERR_PEER_PROTOCOL, 0, "",
      "malformed HTTP status code \"2000\"", false, NULL },
    { "an upgrade", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", false,
      ERR_PEER_PROTOCOL, 0, "", "upgrade", false, NULL },
    { "a folded line", "HTTP/1.1 200 OK\r\nX-A: 1\r\n b\r\nContent-Length: 0\r\n\r\n", false,
      ERR_PEER_PROTOCOL, 0, "", "malformed MIME header", false, NULL },
    { "a blank before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", false,
      ERR_PEER_PROTOCOL, 0, "", "malformed MIME header", false, NULL },
    { "no colon", "HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n", false, ERR_PEER_PROTOCOL, 0, "",
      "malformed MIME header", false, NULL },
    { "a control byte", "HTTP/1.1 200 OK\r\nX-A: \x01\r\n\r\n", false, ERR_PEER_PROTOCOL, 0, "",
      "malformed MIME header", false, NULL },
    { "a bare CR", "HTTP/1.1 200 OK\r\nX-A: a\rb\r\n\r\n", false, ERR_PEER_PROTOCOL, 0, "",
      "malformed MIME header", false, NULL },
    { "two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", false,
      ERR_PEER_PROTOCOL, 0, "", "bad Content-Length", false, NULL },
    { "a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", false,
      ERR_PEER_PROTOCOL, 0, "", "bad Content-Length \"-1\"", false, NULL },
    { "a length beyond all", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
      false, ERR_PEER_PROTOCOL, 0, "", "bad Content-Length", false, NULL },
    { "both framings",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false,
      ERR_PEER_PROTOCOL, 0, "", "transfer encoding", false, NULL },
    { "another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", false,
      ERR_PEER_PROTOCOL, 0, "", "unsupported transfer encoding \"gzip\"", false, NULL },
    { "chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      false, ERR_PEER_PROTOCOL, 0, "", "transfer encoding", false, NULL },
    { "a blank line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", false, ERR_PEER_PROTOCOL, 0, "",
      "malformed HTTP response", false, NULL },
};

/* `step` bytes at a time, with turns between. */
static void
try_answer(const struct answer *answer, size_t step)
{
    struct bed bed;
    char got[256];
    bed_open(&bed, NULL);
    struct ask ask = { .method = answer->method };
    bed_ask(&bed, &ask);
    int fd = bed_accept(&bed);
    DRIVE_UNTIL(&bed.worker, recv(fd, got, sizeof got, 0) > 0);
    for (size_t at = 0, len = strlen(answer->text); at < len; at += step) {
        ssize_t sent = send(fd, answer->text + at, len - at < step ? len - at : step, MSG_NOSIGNAL);
        if (sent < 0)
            break; /* seen enough */
        turns(&bed.worker, 2);
    }
    if (answer->is_closed)
        (void)shutdown(fd, SHUT_WR);
    BED_WAIT(&bed, &ask);
    bool is_right = CHECK_EQ_INT(ask.err, answer->err) & CHECK_EQ_INT(ask.status, answer->status) &
                    CHECK_EQ_MEM(ask.answer, ask.answer_len, answer->body, strlen(answer->body));
    if (answer->words != NULL)
        is_right &= CHECK(strstr(ask.words, answer->words) != NULL);
    if (step > 1) /* else what is too much comes after the end */
        is_right &= CHECK_EQ_U64(client_connections(bed.client), answer->is_reused ? 1 : 0);
    if (!is_right)
        fprintf(stderr, "  of the answer: %s, %zu bytes at a time; words: %s\n", answer->name, step,
                ask.words);
    bed_close(&bed);
    (void)close(fd);
}

TEST(answers_that_come_at_once)
{
    for (size_t i = 0; i < ARRAY_LEN(answers); i++)
        try_answer(&answers[i], 1000);
}

TEST(answers_that_come_byte_by_byte)
{
    for (size_t i = 0; i < ARRAY_LEN(answers); i++)
        try_answer(&answers[i], 1);
}

TEST(a_head_without_end_is_given_up)
{
    struct bed bed;
    bed_open(&bed, &(struct client_config){ .head_bytes_max = 4096 });
    struct ask ask = { 0 };
    bed_ask(&bed, &ask);
    int fd = bed_accept(&bed);
    bed_send(&bed, fd, "HTTP/1.1 200 OK\r\nX-A: ");
    static char filler[64 * 1024];
    memset(filler, 'a', sizeof filler);
    for (int i = 0; i < 64 && !ask.is_done; i++)
        if (send(fd, filler, sizeof filler, MSG_NOSIGNAL) < 0 || ask.is_done)
            worker_turn(&bed.worker, 1);
    BED_WAIT(&bed, &ask);
    CHECK_EQ_INT(ask.err, ERR_PEER_PROTOCOL);
    CHECK(strstr(ask.words, "exceeded 4096 bytes") != NULL);
    bed_close(&bed);
    (void)close(fd);
}

TEST(informational_answers_without_end_are_given_up)
{
    struct bed bed;
    bed_open(&bed, NULL);
    struct ask ask = { 0 };
    bed_ask(&bed, &ask);
    int fd = bed_accept(&bed);
    for (int i = 0; i < LIMIT_client_interim_max + 2; i++)
        bed_send(&bed, fd, "HTTP/1.1 102 Processing\r\n\r\n");
    BED_WAIT(&bed, &ask);
    CHECK_EQ_INT(ask.err, ERR_PEER_PROTOCOL);
    bed_close(&bed);
    (void)close(fd);
}

/* --- connections -------------------------------------------------------------------------------*/

TEST(a_connection_is_used_again_and_one_is_enough)
{
    struct bed bed;
    bed_open(&bed, NULL);
    int fd = -1;
    for (int i = 0; i < 5; i++) {
        struct ask ask = { 0 };
        bed_ask(&bed, &ask);
        if (fd < 0)
            fd = bed_accept(&bed);
        bed_expect(&bed, fd, plain_get(&bed));
        bed_send(&bed, fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        BED_WAIT(&bed, &ask);
        CHECK_OK(ask.err);
        CHECK_EQ_U64(client_connections(bed.client), 1);
    }
    bed_close(&bed);
    bed_expect_end(&bed, fd);
}

TEST(calls_at_once_have_connections_of_their_own_up_to_a_bound)
{
    struct bed bed;
    bed_open(&bed, &(struct client_config){ .connections_max = 2 });
    struct ask asks[3] = { 0 };
    for (int i = 0; i < 3; i++)
        bed_ask(&bed, &asks[i]);
    int first = bed_accept(&bed), second = bed_accept(&bed);
    turns(&bed.worker, 5);
    CHECK(bed_accept_now(&bed) < 0);
    CHECK_EQ_U64(client_connections(bed.client), 2);
    bed_expect(&bed, second, plain_get(&bed));
    bed_send(&bed, second, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    bed_expect(&bed, second, plain_get(&bed)); /* the third */
    bed_send(&bed, second, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    bed_expect(&bed, first, plain_get(&bed));
    bed_send(&bed, first, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        BED_WAIT(&bed, &asks[i]);
        CHECK_OK(asks[i].err);
    }
    bed_close(&bed);
    (void)close(first);
    (void)close(second);
}

TEST(too_many_waiters_are_refused)
{
    struct bed bed;
    bed_open(&bed, &(struct client_config){ .connections_max = 1, .waiters_max = 1 });
    struct ask asks[3] = { 0 };
    for (int i = 0; i < 3; i++)
        bed_ask(&bed, &asks[i]);
    BED_WAIT(&bed, &asks[2]);
    CHECK_EQ_INT(asks[2].err, ERR_OVERLOADED);
    CHECK(!asks[2].was_sent);
    bed_cancel(&bed, &asks[1]); /* leaves the queue */
    BED_WAIT(&bed, &asks[1]);
    CHECK_EQ_INT(asks[1].err, ERR_CANCELLED);
    bed_cancel(&bed, &asks[0]);
    BED_WAIT(&bed, &asks[0]);
    bed_close(&bed);
}

/* A connection that has carried one call and is unused. */
static int
make_used(struct bed *bed)
{
    struct ask ask = { 0 };
    bed_ask(bed, &ask);
    int fd = bed_accept(bed);
    bed_expect(bed, fd, plain_get(bed));
    bed_send(bed, fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    BED_WAIT(bed, &ask);
    CHECK_OK(ask.err);
    CHECK_EQ_U64(client_connections(bed->client), 1);
    return fd;
}

TEST(an_unused_connection_that_the_server_ends_goes)
{
    struct bed bed;
    bed_open(&bed, NULL);
    int fd = make_used(&bed);
    (void)close(fd);
    DRIVE_UNTIL(&bed.worker, client_connections(bed.client) == 0);
    fd = make_used(&bed);
    bed_send(&bed, fd, "HTTP/1.1 408 Request Timeout\r\n\r\n"); /* nobody has asked */
    DRIVE_UNTIL(&bed.worker, client_connections(bed.client) == 0);
    (void)close(fd);
    bed_close(&bed);
}

TEST(an_unused_connection_ends_in_time)
{
    struct bed bed;
    bed_open(&bed, &(struct client_config){ .idle_ms = 20 });
    int fd = make_used(&bed);
    bed_expect_end(&bed, fd);
    CHECK_EQ_U64(client_connections(bed.client), 0);
    bed_close(&bed);
}

/* The server closes just when the next request comes. */
static void
close_under(struct bed *bed, struct ask *ask)
{
    char got[512];
    int fd = make_used(bed);
    bed_ask(bed, ask);
    DRIVE_UNTIL(&bed->worker, recv(fd, got, sizeof got, 0) > 0);
    bed_reset(fd);
}

TEST(a_safe_request_on_a_connection_just_closed_is_sent_again)
{
    struct bed bed;
    bed_open(&bed, NULL);
    struct ask ask = { .headers = { { SLICE("X-A"), SLICE("1") } }, .header_count = 1 };
    close_under(&bed, &ask);
    int fd = bed_accept(&bed);
    char wanted[128];
    snprintf(wanted, sizeof wanted, GET "%u\r\nX-A: 1\r\n\r\n", bed.port);
    bed_expect(&bed, fd, wanted);
    bed_send(&bed, fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    BED_WAIT(&bed, &ask);
    CHECK_OK(ask.err);
    CHECK_EQ_MEM(ask.answer, ask.answer_len, "ok", 2);
    CHECK_EQ_U64(client_connections(bed.client), 1);
    bed_close(&bed);
    (void)close(fd);
}

TEST(it_is_sent_again_once)
{
    struct bed bed;
    bed_open(&bed, NULL);
    struct ask ask = { 0 };
    close_under(&bed, &ask);
    int fd = bed_accept(&bed);
    bed_expect(&bed, fd, plain_get(&bed));
    (void)close(fd);
    BED_WAIT(&bed, &ask);
    CHECK_EQ_INT(ask.err, ERR_PEER_LOST);
    CHECK(bed_accept_now(&bed) < 0);
    bed_close(&bed);
}

TEST(a_request_that_may_have_had_an_effect_is_not_sent_again)
{
    static const struct ask kinds[] = { { .method = "POST" },
                                        { .method = "DELETE" },
                                        { .method = "PUT", .body = "x" },
                                        { .method = "GET", .body = "x" } };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct bed bed;
        bed_open(&bed, NULL);
        struct ask ask = kinds[i];
        close_under(&bed, &ask);
        BED_WAIT(&bed, &ask);
        CHECK_EQ_INT(ask.err, ERR_PEER_LOST);
        CHECK(ask.was_sent);
        CHECK(bed_accept_now(&bed) < 0);
        bed_close(&bed);
    }
}

TEST(nobody_listens)
{
    struct bed bed;
    char wanted[128];
    bed_open(&bed, NULL);
    (void)close(bed.listening);
    bed.listening = -1;
    struct ask ask = { 0 };
    bed_ask(&bed, &ask);
    BED_WAIT(&bed, &ask);
    CHECK_EQ_INT(ask.err, ERR_PEER_UNREACHABLE);
    snprintf(wanted, sizeof wanted, "dial tcp 127.0.0.1:%u: connect: connection refused", bed.port);
    CHECK_EQ_STR(ask.words, wanted);
    CHECK(!ask.was_sent);
    bed_close(&bed);
}

TEST(a_server_that_says_nothing_is_waited_for_until_the_deadline)
{
    struct bed bed;
    bed_open(&bed, NULL);
    struct ask ask = { .deadline_ms = 30 };
    bed_ask(&bed, &ask);
    int fd = bed_accept(&bed);
    BED_WAIT(&bed, &ask);
    CHECK_EQ_INT(ask.err, ERR_DEADLINE);
    CHECK_EQ_U64(client_connections(bed.client), 0);
    bed_close(&bed);
    bed_expect(&bed, fd, plain_get(&bed));
    (void)close(fd);
}

TEST(a_client_closed_in_the_middle_of_a_call_lets_it_end)
{
    struct bed bed;
    bed_open(&bed, NULL);
    struct ask ask = { 0 };
    bed_ask(&bed, &ask);
    int fd = bed_accept(&bed);
    bed_expect(&bed, fd, plain_get(&bed));
    client_close(bed.client);
    bed.client = NULL;
    bed_send(&bed, fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    BED_WAIT(&bed, &ask);
    CHECK_OK(ask.err);
    bed_expect_end(&bed, fd);
    bed_close(&bed);
}

/* --- both directions at once -------------------------------------------------------------------*/

TEST(an_answer_before_the_body_has_gone_out_is_had)
{
    struct bed bed;
    static char body[3 * 1024 * 1024];
    memset(body, 'b', sizeof body - 1);
    bed_open(&bed, NULL);
    static struct ask ask;
    ask = (struct ask){ .method = "POST", .body = body };
    struct client_call call;
    (void)call;
    bed_ask(&bed, &ask);
    int fd = bed_accept(&bed);
    bed_send(&bed, fd,
             "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
    (void)shutdown(fd, SHUT_WR);
    turns(&bed.worker, 5);
    (void)close(fd); /* with unread bytes: a reset */
    BED_WAIT(&bed, &ask);
    CHECK_OK(ask.err);
    CHECK_EQ_INT(ask.status, 413);
    CHECK_EQ_MEM(ask.answer, ask.answer_len, "no", 2);
    bed_close(&bed);
}

struct flood {
    struct client *client;
    size_t total;
    size_t got;
    err_t err;
    bool may_read;
    bool is_done;
    struct wait *wait;
};

static void
flood_main(struct task *t, void *arg)
{
    struct flood *flood = arg;
    struct client_call call;
    struct slice chunk;
    const struct client_head head = { .method = SLICE("GET"), .target = SLICE("/") };
    REQUIRE_OK(client_start(t, flood->client, &head, &call));
    REQUIRE_OK(client_end(t, &call));
    REQUIRE_OK(client_head(t, &call));
    struct wait wait;
    wait_init(&wait, t, NULL);
    flood->wait = &wait;
    REQUIRE_OK(TASK_WAIT(t, &wait));
    while ((flood->err = client_read(t, &call, &chunk)) == OK && chunk.len > 0) {
        for (size_t i = 0; i < chunk.len; i++)
            if (chunk.data[i] != (char)('a' + (flood->got + i) % 26))
                flood->err = ERR_INTERNAL;
        flood->got += chunk.len;
    }
    client_finish(&call);
    flood->is_done = true;
}

TEST(an_answer_nobody_reads_is_not_taken_in)
{
    enum { TOTAL = 26 * 1024 * 1024 };
    struct bed bed;
    static char piece[26 * 1024];
    for (size_t i = 0; i < sizeof piece; i++)
        piece[i] = (char)('a' + i % 26);
    bed_open(&bed, NULL);
    struct flood flood = { .client = bed.client };
    REQUIRE(task_spawn(&bed.worker, "flood", flood_main, &flood) != NULL);
    int fd = bed_accept(&bed);
    const int small = 64 * 1024;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    char head[96];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", TOTAL);
    bed_send(&bed, fd, head);
    DRIVE_UNTIL(&bed.worker, flood.wait != NULL);
    size_t sent = 0;
    for (int quiet = 0; quiet < 20 && sent < TOTAL;) {
        size_t at = sent % sizeof piece;
        ssize_t n = send(fd, piece + at, sizeof piece - at, MSG_NOSIGNAL);
        quiet = n < 0 ? quiet + 1 : 0;
        sent += n < 0 ? 0 : (size_t)n;
        worker_turn(&bed.worker, 1);
    }
    CHECK(sent < TOTAL); /* the buffers of the system and a bounded read-ahead, no more */
    wait_done(flood.wait, OK);
    while (sent < TOTAL) {
        size_t at = sent % sizeof piece;
        ssize_t n = send(fd, piece + at, sizeof piece - at, MSG_NOSIGNAL);
        sent += n < 0 ? 0 : (size_t)n;
        worker_turn(&bed.worker, 0);
    }
    DRIVE_UNTIL(&bed.worker, flood.is_done);
    CHECK_OK(flood.err);
    CHECK_EQ_U64(flood.got, TOTAL);
    bed_close(&bed);
    (void)close(fd);
}
