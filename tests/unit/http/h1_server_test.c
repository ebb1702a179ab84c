/* SPDX-License-Identifier: Apache-2.0 */
/* Connections as clients see them: order, keeping alive, limits, leaving, draining. */
#include "http/h1_server.h"

#include <sys/un.h>

#include "base/inject.h"
#include "rig.h"

#define OK_EMPTY "HTTP/1.1 204 No Content\r\n" RIG_DATE "\r\n"
#define GET(target) "GET " target " HTTP/1.1\r\nHost: x\r\n\r\n"

/* What the handler saw. */
static struct {
    unsigned begun;
    unsigned ended;
    err_t err;
    bool client_gone;
    bool is_local;
    struct wait *wait; /* of a handler that waits */
} seen;

static void
wait_until_told(struct http_exchange *x)
{
    struct wait wait;
    wait_init(&wait, x->task, NULL);
    seen.wait = &wait;
    seen.err = TASK_WAIT(x->task, &wait);
    seen.wait = NULL;
    seen.client_gone = x->client_gone;
}

/* Does what the path says. */
static void
handle(struct http_exchange *x)
{
    seen.begun++;
    seen.is_local = x->is_local;
    struct arena *arena = task_arena(x->task);
    struct slice body;
    if (slice_eq(x->path, SLICE("/echo"))) {
        err_t err = http_body_read_all(x, 1024 * 1024, &body);
        if (err == OK)
            (void)http_reply(x, 200, NULL, 0,
                             arena_printf(arena, SLICE_FMT " " SLICE_FMT, SLICE_ARG(x->method),
                                          SLICE_ARG(body)));
        else
            (void)http_reply(x, 400, NULL, 0, slice_str(err_info(err)->name));
    } else if (slice_eq(x->path, SLICE("/wait"))) {
        wait_until_told(x);
        (void)http_reply(x, 200, NULL, 0,
                         slice_str(seen.err == OK ? "told" : err_info(seen.err)->name));
    } else if (slice_has_prefix(x->path, SLICE("/name/"))) {
        (void)http_reply(x, 200, NULL, 0, slice_from(x->path, 6));
    } else if (!slice_eq(x->path, SLICE("/silent"))) {
        (void)http_reply(x, 204, NULL, 0, SLICE_EMPTY);
    }
    seen.ended++;
}

static struct rig rig;

static void
start(void)
{
    memset(&seen, 0, sizeof seen);
    rig_start(&rig, NULL, handle, NULL);
}

static void
tell(void)
{
    REQUIRE(seen.wait != NULL);
    wait_done(seen.wait, OK);
}

TEST(a_connection_serves_one_request_after_another)
{
    start();
    int fd = rig_connect(&rig);
    for (int i = 0; i < 3; i++) {
        rig_send(&rig, fd, GET("/"));
        rig_expect(&rig, fd, OK_EMPTY);
    }
    CHECK_EQ_U64(h1_server_connections(rig.server), 1);
    CHECK_EQ_INT(seen.ended, 3);
    (void)close(fd);
    RIG_UNTIL(&rig, h1_server_connections(rig.server) == 0);
    rig_stop(&rig);
}

TEST(a_head_may_come_byte_by_byte)
{
    start();
    int fd = rig_connect(&rig);
    const char *text = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
    for (size_t i = 0; i < strlen(text); i++) {
        rig_send_mem(&rig, fd, text + i, 1);
        rig_turn(&rig);
    }
    rig_expect(&rig, fd, "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 8\r\n\r\nPOST abc");
    (void)close(fd);
    rig_stop(&rig);
}

TEST(pipelined_requests_are_answered_in_order)
{
    start();
    int fd = rig_connect(&rig);
    rig_send(&rig, fd,
             GET("/wait") GET("/name/two") "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
                                           "\r\nb" GET("/"));
    RIG_UNTIL(&rig, seen.wait != NULL);
    rig_expect_nothing(&rig, fd);
    CHECK_EQ_INT(seen.begun, 1);
    tell();
    rig_expect(&rig, fd, "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 4\r\n\r\ntold");
    rig_expect(&rig, fd, "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 3\r\n\r\ntwo");
    rig_expect(&rig, fd, "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 6\r\n\r\nPOST b");
    rig_expect(&rig, fd, OK_EMPTY);
    (void)close(fd);
    rig_stop(&rig);
}

TEST(many_pipelined_requests_of_a_client_that_reads_late_are_all_answered)
{
    enum { COUNT = 20000 };
    start();
    int fd = rig_connect(&rig);
    static char answers[COUNT * (sizeof OK_EMPTY - 1)];
    static char requests[COUNT * (sizeof GET("/") - 1)];
    for (size_t i = 0; i < COUNT; i++) {
        memcpy(answers + i * (sizeof OK_EMPTY - 1), OK_EMPTY, sizeof OK_EMPTY - 1);
        memcpy(requests + i * (sizeof GET("/") - 1), GET("/"), sizeof GET("/") - 1);
    }
    rig_send_mem(&rig, fd, requests, sizeof requests);
    static char got[sizeof answers];
    CHECK_EQ_U64(rig_receive(&rig, fd, got, sizeof got, NULL), sizeof got);
    CHECK(memcmp(got, answers, sizeof got) == 0);
    (void)close(fd);
    rig_stop(&rig);
}

TEST(a_half_closed_client_gets_what_it_asked_for)
{
    start();
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, GET("/wait") GET("/name/last"));
    RIG_UNTIL(&rig, seen.wait != NULL);
    (void)shutdown(fd, SHUT_WR);
    rig_turn(&rig);
    REQUIRE(seen.wait != NULL); /* not cancelled: more was asked for */
    tell();
    rig_expect_end(&rig, fd,
                   "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 4\r\n\r\ntold"
                   "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 4\r\n\r\nlast");
    RIG_UNTIL(&rig, h1_server_connections(rig.server) == 0);
    (void)close(fd);
    rig_stop(&rig);
}

TEST(the_end_of_input_cancels_the_wait_and_the_answer_is_still_sent)
{
    start();
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, GET("/wait"));
    RIG_UNTIL(&rig, seen.wait != NULL);
    (void)shutdown(fd, SHUT_WR);
    rig_expect_end(&rig, fd,
                   "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 13\r\n\r\nERR_CANCELLED");
    CHECK(!seen.client_gone);
    (void)close(fd);
    rig_stop(&rig);
}

TEST(a_reset_cancels_and_nothing_is_answered)
{
    start();
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, GET("/wait"));
    RIG_UNTIL(&rig, seen.wait != NULL);
    rig_reset(fd);
    RIG_UNTIL(&rig, seen.ended == 1);
    CHECK_EQ_INT(seen.err, ERR_CANCELLED);
    CHECK(seen.client_gone);
    RIG_UNTIL(&rig, h1_server_connections(rig.server) == 0);
    rig_stop(&rig);
}

TEST(connection_close_is_honoured_and_said)
{
    start();
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" GET("/"));
    rig_expect_end(&rig, fd, "HTTP/1.1 204 No Content\r\n" RIG_DATE "Connection: close\r\n\r\n");
    CHECK_EQ_INT(seen.begun, 1);
    (void)close(fd);
    RIG_UNTIL(&rig, h1_server_connections(rig.server) == 0);
    rig_stop(&rig);
}

TEST(http_1_0_closes_unless_asked_to_stay)
{
    start();
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    rig_expect(&rig, fd, "HTTP/1.0 204 No Content\r\n" RIG_DATE "Connection: keep-alive\r\n\r\n");
    rig_send(&rig, fd, "GET /name/x HTTP/1.0\r\n\r\n");
    rig_expect_end(
        &rig, fd, "HTTP/1.0 200 OK\r\n" RIG_DATE "Content-Length: 1\r\nConnection: close\r\n\r\nx");
    (void)close(fd);
    rig_stop(&rig);
}

TEST(a_refused_head_closes_the_connection_whatever_follows)
{
    start();
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, GET("/name/one") "GET / HTTP/1.1\r\nBad Header\r\n\r\n" GET("/name/three"));
    rig_expect_end(&rig, fd,
                   "HTTP/1.1 200 OK\r\n" RIG_DATE "Content-Length: 3\r\n\r\none"
                   "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
                   "Connection: close\r\n\r\n400 Bad Request");
    CHECK_EQ_INT(seen.begun, 1);
    (void)close(fd);
    rig_stop(&rig);
}

TEST(something_else_than_http_is_refused_at_once)
{
    start();
    int fd = rig_connect(&rig);
    rig_send_mem(&rig, fd, "\x16\x03\x01\x02\x00", 5);
    rig_expect_end(&rig, fd,
                   "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
                   "Connection: close\r\n\r\n400 Bad Request");
    (void)close(fd);
    rig_stop(&rig);
}

static void
check_head_of(size_t bytes, const char *status)
{
    int fd = rig_connect(&rig);
    static char text[16 * 1024];
    size_t len = (size_t)snprintf(
        text, sizeof text, "GET / HTTP/1.1\r\nHost: x\r\nX-Long: %0*d\r\n\r\n", (int)bytes, 7);
    rig_send_mem(&rig, fd, text, len);
    char got[16];
    size_t got_len = rig_receive(&rig, fd, got, 12, NULL);
    CHECK_EQ_MEM(got, got_len, status, strlen(status));
    (void)close(fd);
}

TEST(a_head_beyond_the_read_buffer_and_its_slack_is_too_large)
{
    start();
    check_head_of(5000, "HTTP/1.1 204");
    check_head_of(8100, "HTTP/1.1 204");
    check_head_of(9000, "HTTP/1.1 431");
    int fd = rig_connect(&rig); /* without an end */
    static char text[12 * 1024];
    memset(text, 'y', sizeof text);
    memcpy(text, "GET /", 5);
    rig_send_mem(&rig, fd, text, sizeof text);
    rig_expect_end(&rig, fd,
                   "HTTP/1.1 431 Request Header Fields Too Large\r\n"
                   "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
                   "431 Request Header Fields Too Large");
    (void)close(fd);
    rig_stop(&rig);
}

TEST(a_handler_that_says_nothing_answers_500)
{
    start();
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, GET("/silent") GET("/"));
    rig_expect(
        &rig, fd,
        "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\n" RIG_DATE
        "Content-Length: 25\r\n\r\n500 Internal Server Error" OK_EMPTY);
    (void)close(fd);
    rig_stop(&rig);
}

TEST(timeouts_end_idle_slow_and_lingering_connections)
{
    start();
    int idle = rig_connect(&rig), slow = rig_connect(&rig), lingering = rig_connect(&rig);
    rig_send(&rig, idle, GET("/"));
    rig_expect(&rig, idle, OK_EMPTY);
    rig_send(&rig, slow, "GET / HT");
    rig_send(&rig, lingering, "HELLO\r\n\r\n");
    rig_turn(&rig);
    CHECK_EQ_U64(h1_server_connections(rig.server), 3);
    clock_advance_ms(LIMIT_http_linger_ms - 1);
    rig_turn(&rig);
    CHECK_EQ_U64(h1_server_connections(rig.server), 3);
    clock_advance_ms(1);
    rig_turn(&rig);
    CHECK_EQ_U64(h1_server_connections(rig.server), 2);
    rig_send(&rig, slow, "T"); /* does not help */
    rig_turn(&rig);
    clock_advance_ms(LIMIT_http_head_ms - LIMIT_http_linger_ms);
    rig_turn(&rig);
    CHECK_EQ_U64(h1_server_connections(rig.server), 1);
    rig_expect_end(&rig, slow, "");
    clock_advance_ms(LIMIT_http_idle_ms - LIMIT_http_head_ms - 1);
    rig_turn(&rig);
    CHECK_EQ_U64(h1_server_connections(rig.server), 1);
    clock_advance_ms(1);
    rig_turn(&rig);
    CHECK_EQ_U64(h1_server_connections(rig.server), 0);
    (void)close(idle);
    (void)close(slow);
    (void)close(lingering);
    rig_stop(&rig);
}

/* Closing while input comes in would reset the connection, and the answer with it. */
TEST(a_client_that_sends_on_after_the_answer_can_read_it)
{
    static char more[64 * 1024];
    char answer[256] = "";
    size_t sent = 0;
    start();
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, "HELLO\r\n\r\n");
    for (int idle_turns = 0; idle_turns < 20 && sent < 64 * sizeof more;) {
        ssize_t n = send(fd, more, sizeof more, MSG_DONTWAIT | MSG_NOSIGNAL);
        REQUIRE(n > 0 || errno == EAGAIN);
        idle_turns = n > 0 ? 0 : idle_turns + 1;
        sent += n > 0 ? (size_t)n : 0;
        rig_turn(&rig);
    }
    CHECK(sent > LIMIT_http_linger_bytes);
    CHECK(recv(fd, answer, sizeof answer - 1, 0) > 0);
    CHECK(slice_has_prefix(slice_str(answer), SLICE("HTTP/1.1 400 Bad Request\r\n")));
    clock_advance_ms(LIMIT_http_linger_ms);
    rig_turn(&rig);
    CHECK_EQ_U64(h1_server_connections(rig.server), 0);
    (void)close(fd);
    rig_stop(&rig);
}

TEST(a_request_renews_the_time_to_be_idle)
{
    start();
    int fd = rig_connect(&rig);
    for (int i = 0; i < 3; i++) {
        clock_advance_ms(LIMIT_http_idle_ms - 1000);
        rig_turn(&rig);
        rig_send(&rig, fd, GET("/name/x"));
        rig_expect(&rig, fd, "HTTP/1.1 200 OK\r\n");
        static char rest[256];
        (void)rig_receive(&rig, fd, rest, strlen(RIG_DATE "Content-Length: 1\r\n\r\nx"), NULL);
    }
    CHECK_EQ_U64(h1_server_connections(rig.server), 1);
    (void)close(fd);
    rig_stop(&rig);
}

TEST(a_working_handler_has_all_the_time_it_wants)
{
    start();
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, GET("/wait"));
    RIG_UNTIL(&rig, seen.wait != NULL);
    clock_advance_ms(LIMIT_http_idle_ms * 10);
    rig_turn(&rig);
    REQUIRE(seen.wait != NULL);
    tell();
    rig_expect(&rig, fd, "HTTP/1.1 200 OK\r\n");
    (void)close(fd);
    rig_stop(&rig);
}

TEST(connections_beyond_the_limit_are_closed_at_once)
{
    struct h1_config config = h1_config_default();
    config.connections_max = 2;
    memset(&seen, 0, sizeof seen);
    rig_start(&rig, &config, handle, NULL);
    int one = rig_connect(&rig), two = rig_connect(&rig);
    RIG_UNTIL(&rig, h1_server_connections(rig.server) == 2);
    int three = rig_connect(&rig);
    rig_expect_end(&rig, three, "");
    (void)close(one);
    RIG_UNTIL(&rig, h1_server_connections(rig.server) == 1);
    int four = rig_connect(&rig);
    rig_send(&rig, four, GET("/"));
    rig_expect(&rig, four, OK_EMPTY);
    (void)close(two);
    (void)close(three);
    (void)close(four);
    rig_stop(&rig);
}

static void
drain(struct rig *r)
{
    h1_server_drain(r->server);
}

TEST(draining_closes_idle_connections_and_lets_requests_end)
{
    start();
    int idle = rig_connect(&rig), busy = rig_connect(&rig), slow = rig_connect(&rig);
    rig_send(&rig, busy, GET("/wait"));
    rig_send(&rig, slow, "GET / HTTP/1.1\r\n");
    RIG_UNTIL(&rig, seen.wait != NULL && h1_server_connections(rig.server) == 3);
    rig_turn(&rig);
    rig_run(&rig, drain);
    clock_advance_ms(LIMIT_http_drain_idle_ms);
    rig_expect_end(&rig, idle, "");
    tell();
    rig_expect_end(&rig, busy,
                   "HTTP/1.1 200 OK\r\n" RIG_DATE
                   "Content-Length: 4\r\nConnection: close\r\n\r\ntold");
    rig_send(&rig, slow, "Host: x\r\n\r\n");
    rig_expect_end(&rig, slow, "HTTP/1.1 204 No Content\r\n" RIG_DATE "Connection: close\r\n\r\n");
    (void)close(idle);
    (void)close(busy);
    (void)close(slow);
    RIG_UNTIL(&rig, h1_server_connections(rig.server) == 0);
    rig_stop(&rig);
}

TEST(a_request_on_its_way_when_draining_begins_is_answered)
{
    start();
    int idle = rig_connect(&rig);
    RIG_UNTIL(&rig, h1_server_connections(rig.server) == 1);
    rig_run(&rig, drain);
    clock_advance_ms(LIMIT_http_drain_idle_ms - 1);
    rig_turn(&rig);
    rig_send(&rig, idle, GET("/"));
    rig_expect_end(&rig, idle, "HTTP/1.1 204 No Content\r\n" RIG_DATE "Connection: close\r\n\r\n");
    (void)close(idle);
    RIG_UNTIL(&rig, h1_server_connections(rig.server) == 0);
    rig_stop(&rig);
}

TEST(a_connection_that_nobody_took_before_draining_is_served)
{
    start();
    rig_turn(&rig);
    struct rig_mail m = { .fn = drain, .rig = &rig };
    worker_post(&rig.worker, &m.mail, rig_on_mail); /* runs before the loop looks at sockets */
    int early = rig_connect(&rig);
    rig_send(&rig, early, GET("/"));
    rig_expect_end(&rig, early, "HTTP/1.1 204 No Content\r\n" RIG_DATE "Connection: close\r\n\r\n");
    (void)close(early);
    RIG_UNTIL(&rig, h1_server_connections(rig.server) == 0);
    rig_stop(&rig);
}

TEST(draining_does_not_wait_for_a_client_that_began_a_request_and_fell_silent)
{
    start();
    int silent = rig_connect(&rig);
    rig_send(&rig, silent, "GET / HTT");
    RIG_UNTIL(&rig, h1_server_connections(rig.server) == 1);
    rig_turn(&rig);
    rig_run(&rig, drain);
    clock_advance_ms(LIMIT_http_drain_silence_ms - 1);
    rig_turn(&rig);
    CHECK_EQ_U64(h1_server_connections(rig.server), 1);
    clock_advance_ms(1);
    RIG_UNTIL(&rig, h1_server_connections(rig.server) == 0);
    (void)close(silent);
    rig_stop(&rig);
}

TEST(closing_ends_everything_at_once)
{
    start();
    int idle = rig_connect(&rig), busy = rig_connect(&rig), slow = rig_connect(&rig);
    rig_send(&rig, busy, GET("/wait"));
    rig_send(&rig, slow, "GET / HTTP/1.1\r\n");
    RIG_UNTIL(&rig, seen.wait != NULL && h1_server_connections(rig.server) == 3);
    rig_stop(&rig);
    CHECK_EQ_INT(seen.err, ERR_CANCELLED);
    CHECK(seen.client_gone);
    (void)close(idle);
    (void)close(busy);
    (void)close(slow);
}

TEST(only_a_unix_socket_is_local)
{
    start();
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, GET("/"));
    rig_expect(&rig, fd, OK_EMPTY);
    CHECK(!seen.is_local);
    (void)close(fd);
    rig_stop(&rig);

    struct sockaddr_un address = { .sun_family = AF_UNIX };
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%.100s/s", test_dir());
    start();
    int listen_fd = listener_bind_unix(address.sun_path, 0600);
    REQUIRE(listen_fd >= 0);
    struct h1_config config = h1_config_default();
    rig_run(&rig, rig_do_close);
    RIG_UNTIL(&rig, rig.is_server_gone);
    rig.is_server_gone = false;
    rig.server = h1_server_new(&rig.worker, listen_fd, &config, handle, NULL);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    REQUIRE(connect(fd, (const struct sockaddr *)&address, sizeof address) == 0);
    rig_send(&rig, fd, GET("/"));
    rig_expect(&rig, fd, OK_EMPTY);
    CHECK(seen.is_local);
    (void)close(fd);
    (void)unlink(address.sun_path);
    rig_stop(&rig);
}

TEST(without_a_task_the_answer_is_503)
{
    start();
    int fd = rig_connect(&rig);
    REQUIRE(inject_setup("task_spawn_fail:1"));
    rig_send(&rig, fd, GET("/"));
    rig_expect_end(&rig, fd,
                   "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
                   "Connection: close\r\n\r\n503 Service Unavailable");
    REQUIRE(inject_setup("task_spawn_fail:0"));
    CHECK_EQ_INT(seen.begun, 0);
    (void)close(fd);
    rig_stop(&rig);
}
