/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 as clients see it: requests, bodies, leaving, draining; the same handlers as HTTP/1.1. */
#include "async/group.h"
#include "h2_client.h"

enum { BOTH_BYTES = 2 * 1024 * 1024 };

/* What the handler saw. */
static struct {
    unsigned begun;
    unsigned admitted;
    unsigned ended;
    unsigned gone;
    unsigned version_major;
    size_t body_len;
    err_t err;
    struct wait *wait;
} seen;

static void
wait_until_told(struct http_exchange *x)
{
    struct wait wait;
    wait_init(&wait, x->task, NULL);
    seen.wait = &wait;
    seen.err = TASK_WAIT(x->task, &wait);
    seen.wait = NULL;
}

static void
answer_large(struct http_exchange *x)
{
    size_t bytes = 3 * 1024 * 1024;
    char *body = arena_zalloc(task_arena(x->task), bytes);
    (void)http_reply(x, 200, NULL, 0, slice_of(body, bytes));
}

static void
answer_trailers(struct http_exchange *x)
{
    const struct http_header trailer = { SLICE("x-sum"), SLICE("12") };
    if (http_reply_start(x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN) == OK &&
        http_reply_write(x, SLICE("ab")) == OK)
        (void)http_reply_end_with(x, &trailer, 1);
}

static void
count_body(struct http_exchange *x)
{
    struct slice piece;
    do {
        seen.err = http_body_read(x, &piece);
        seen.body_len += seen.err == OK ? piece.len : 0;
    } while (seen.err == OK && piece.len > 0);
    (void)http_reply(x, 200, NULL, 0, arena_printf(task_arena(x->task), "%zu", seen.body_len));
}

static err_t
read_to_end(struct task *t, void *arg)
{
    (void)t;
    struct slice piece;
    do {
        seen.err = http_body_read(arg, &piece);
        seen.body_len += seen.err == OK ? piece.len : 0;
    } while (seen.err == OK && piece.len > 0);
    return seen.err;
}

/* Reads on one task what comes, while another one writes. */
static void
read_and_write(struct http_exchange *x)
{
    struct group group;
    x->is_passed_on = true;
    char *body = arena_zalloc(task_arena(x->task), BOTH_BYTES);
    group_init(&group, x->task, 0);
    group_go(&group, "reader", read_to_end, x);
    err_t err = http_reply_start(x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN);
    if (err == OK)
        err = http_reply_write(x, slice_of(body, BOTH_BYTES));
    if (group_join(&group) == OK && err == OK)
        (void)http_reply_end(x);
}

/* Does what the path says. */
static void
handle(struct http_exchange *x)
{
    seen.begun++;
    seen.version_major = x->version_major;
    if (slice_eq(x->path, SLICE("/admitted"))) {
        seen.err = http_admit(x);
        seen.admitted += seen.err == OK;
    }
    if (slice_eq(x->path, SLICE("/large")))
        answer_large(x);
    else if (slice_eq(x->path, SLICE("/trailers")))
        answer_trailers(x);
    else if (slice_eq(x->path, SLICE("/count")))
        count_body(x);
    else if (slice_eq(x->path, SLICE("/both")))
        read_and_write(x);
    else if (slice_eq(x->path, SLICE("/wait"))) {
        wait_until_told(x);
        (void)http_reply(x, 200, NULL, 0, SLICE("told"));
    } else if (slice_eq(x->path, SLICE("/cut"))) {
        seen.err = http_reply_start(x, 200, NULL, 0, 10);
        if (seen.err == OK)
            seen.err = http_reply_write(x, SLICE("abc")); /* then it is left */
    } else if (slice_eq(x->path, SLICE("/204"))) {
        (void)http_reply(x, 204, NULL, 0, SLICE_EMPTY);
    } else if (!slice_eq(x->path, SLICE("/silent"))) {
        const struct http_header own[] = { { SLICE("X-Own"), SLICE("1") },
                                           { SLICE("Connection"), SLICE("close") } };
        (void)http_reply(x, 200, own, 2, x->target);
    }
    seen.gone += x->client_gone;
    seen.ended++;
}

static struct rig rig;
static struct h2_client client;

static void
start(void)
{
    memset(&seen, 0, sizeof seen);
    rig_start(&rig, NULL, handle, NULL);
    h2_client_start(&client, &rig);
}

static void
stop(void)
{
    h2_client_stop(&client);
    rig_stop(&rig);
}

TEST(a_request_by_prior_knowledge_is_answered)
{
    start();
    struct h2_answer *answer = h2_client_get(&client, "/a/b?c=d");
    CHECK_EQ_INT(answer->status, 200);
    CHECK_EQ_STR(answer->headers, "x-own: 1\n"
                                  "date: Wed, 25 Nov 2026 16:47:09 GMT\n"
                                  "content-length: 8\n");
    CHECK_EQ_MEM(answer->body, answer->body_len, "/a/b?c=d", 8);
    CHECK_EQ_U64(seen.version_major, 2);
    CHECK_EQ_U64(answer->code, 0);
    stop();
}

TEST(an_upgrade_is_answered_as_stream_1)
{
    memset(&seen, 0, sizeof seen);
    rig_start(&rig, NULL, handle, NULL);
    int fd = rig_connect(&rig);
    rig_send(&rig, fd,
             "GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
             "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n");
    rig_expect(&rig, fd,
               "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
               "Upgrade: h2c\r\n\r\n");
    h2_client_init(&client, &rig, fd, false);
    static const uint8_t settings[] = { 0, 3, 0, 0, 0, 100, 0, 4, 0, 0, 255, 255 };
    REQUIRE(nghttp2_session_upgrade2(client.session, settings, sizeof settings, 0, NULL) == 0);
    REQUIRE(nghttp2_submit_settings(client.session, NGHTTP2_FLAG_NONE, NULL, 0) == 0);
    struct h2_answer *answer = h2_answer_of(&client, 1);
    H2_UNTIL(&client, answer->is_closed);
    CHECK_EQ_MEM(answer->body, answer->body_len, "/up", 3);
    CHECK_EQ_INT(h2_client_get(&client, "/more")->status, 200);
    stop();
}

TEST(the_answer_to_an_upgrade_waits_until_http_2_is_spoken)
{
    memset(&seen, 0, sizeof seen);
    rig_start(&rig, NULL, handle, NULL);
    int fd = rig_connect(&rig);
    rig_send(&rig, fd,
             "GET /large HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
             "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n");
    RIG_UNTIL(&rig, seen.begun == 1);
    rig_turn(&rig);
    static char text[65536];
    ssize_t len = recv(fd, text, sizeof text, MSG_PEEK);
    CHECK(len > 0 && len < 1024); /* what curl has room for is not much more */
    rig_expect(&rig, fd,
               "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
               "Upgrade: h2c\r\n\r\n");
    h2_client_init(&client, &rig, fd, false);
    static const uint8_t settings[] = { 0, 3, 0, 0, 0, 100, 0, 4, 0, 0, 255, 255 };
    REQUIRE(nghttp2_session_upgrade2(client.session, settings, sizeof settings, 0, NULL) == 0);
    REQUIRE(nghttp2_submit_settings(client.session, NGHTTP2_FLAG_NONE, NULL, 0) == 0);
    H2_UNTIL(&client, h2_answer_of(&client, 1)->is_closed);
    CHECK_EQ_U64(h2_answer_of(&client, 1)->body_len, 3 * 1024 * 1024);
    stop();
}

TEST(an_upgrade_with_a_body_or_bad_settings_is_answered_as_http_1)
{
    start();
    int fd = rig_connect(&rig);
    rig_send(&rig, fd,
             "POST /204 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
             "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 1\r\n\r\nx");
    rig_expect(&rig, fd, "HTTP/1.1 204 No Content\r\n" RIG_DATE "\r\n");
    rig_send(&rig, fd,
             "GET /204 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
             "Upgrade: h2c\r\nHTTP2-Settings: !!!!\r\n\r\n");
    rig_expect(&rig, fd, "HTTP/1.1 204 No Content\r\n" RIG_DATE "\r\n");
    (void)close(fd);
    stop();
}

TEST(a_server_without_h2c_takes_neither)
{
    struct h1_config config = h1_config_default();
    config.has_h2c = false;
    rig_start(&rig, &config, handle, NULL);
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, H2_PREFACE);
    char text[16];
    REQUIRE(rig_receive(&rig, fd, text, 12, NULL) == 12);
    CHECK_EQ_MEM(text, 12, "HTTP/1.1 505", 12);
    (void)close(fd);
    rig_stop(&rig);
}

TEST(a_body_larger_than_every_window_is_read)
{
    start();
    static char bytes[5 * 1024 * 1024];
    const struct slice body = slice_of(bytes, sizeof bytes);
    int32_t id = h2_client_ask(&client, "POST", "/count", &body, NULL, 0);
    struct h2_answer *answer = h2_answer_of(&client, id);
    H2_UNTIL(&client, answer->is_closed);
    CHECK_EQ_MEM(answer->body, answer->body_len, "5242880", 7);
    stop();
}

TEST(an_answer_larger_than_the_clients_window_flows)
{
    start();
    struct h2_answer *answer = h2_client_get(&client, "/large");
    CHECK_EQ_U64(answer->body_len, 3 * 1024 * 1024);
    CHECK(answer->is_ended);
    stop();
}

TEST(a_stream_is_read_and_written_at_once)
{
    start();
    char *body = calloc(1, BOTH_BYTES);
    REQUIRE(body != NULL);
    const struct slice sent = slice_of(body, BOTH_BYTES);
    int32_t id = h2_client_ask(&client, "POST", "/both", &sent, NULL, 0);
    H2_UNTIL(&client, h2_answer_of(&client, id)->is_closed);
    CHECK_EQ_U64(seen.body_len, BOTH_BYTES);
    CHECK_EQ_U64(h2_answer_of(&client, id)->body_len, BOTH_BYTES);
    CHECK_EQ_U64(h2_answer_of(&client, id)->code, 0);
    free(body);
    stop();
}

TEST(a_silent_stream_is_held_until_it_is_reset)
{
    start();
    nghttp2_nv more = H2_NV("content-length", "5");
    nghttp2_data_provider none = { .read_callback = h2_client_hold_body };
    const nghttp2_nv nva[] = { H2_NV(":method", "POST"), H2_NV(":path", "/both"),
                               H2_NV(":scheme", "http"), H2_NV(":authority", "x"), more };
    int32_t id = nghttp2_submit_request(client.session, NULL, nva, 5, &none, NULL);
    H2_UNTIL(&client, h2_answer_of(&client, id)->body_len == BOTH_BYTES);
    clock_advance_ms(10 * LIMIT_http_body_stall_ms);
    rig_turn(&rig);
    h2_client_pump(&client);
    CHECK_EQ_U64(seen.ended, 0);
    CHECK(!h2_answer_of(&client, id)->is_closed);
    REQUIRE(nghttp2_submit_rst_stream(client.session, 0, id, NGHTTP2_CANCEL) == 0);
    H2_UNTIL(&client, seen.ended == 1);
    CHECK_EQ_U64(seen.gone, 1);
    stop();
}

TEST(trailers_follow_the_body)
{
    start();
    struct h2_answer *answer = h2_client_get(&client, "/trailers");
    CHECK_EQ_MEM(answer->body, answer->body_len, "ab", 2);
    CHECK_EQ_STR(answer->trailers, "x-sum: 12\n");
    CHECK(answer->is_ended && answer->code == 0);
    stop();
}

TEST(no_content_has_no_body_and_no_length)
{
    start();
    struct h2_answer *answer = h2_client_get(&client, "/204");
    CHECK_EQ_INT(answer->status, 204);
    CHECK_EQ_STR(answer->headers, "date: Wed, 25 Nov 2026 16:47:09 GMT\n");
    CHECK(answer->is_ended && answer->body_len == 0);
    stop();
}

TEST(a_handler_without_an_answer_gives_500)
{
    start();
    CHECK_EQ_INT(h2_client_get(&client, "/silent")->status, 500);
    stop();
}

TEST(an_answer_that_is_cut_resets_its_stream_only)
{
    start();
    struct h2_answer *answer = h2_client_get(&client, "/cut");
    CHECK(!answer->is_ended);
    CHECK_EQ_U64(answer->code, NGHTTP2_INTERNAL_ERROR);
    CHECK_EQ_INT(h2_client_get(&client, "/")->status, 200);
    stop();
}

TEST(a_reset_cancels_the_handler)
{
    start();
    int32_t id = h2_client_ask(&client, "GET", "/wait", NULL, NULL, 0);
    H2_UNTIL(&client, seen.wait != NULL);
    REQUIRE(nghttp2_submit_rst_stream(client.session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL) == 0);
    H2_UNTIL(&client, seen.ended == 1);
    CHECK_EQ_INT(seen.err, ERR_CANCELLED);
    CHECK_EQ_U64(seen.gone, 1);
    CHECK_EQ_INT(h2_client_get(&client, "/")->status, 200);
    stop();
}

TEST(a_client_that_leaves_cancels_all_its_handlers)
{
    start();
    for (int i = 0; i < 20; i++)
        (void)h2_client_ask(&client, "POST", "/count", &SLICE_EMPTY, NULL, 0);
    (void)h2_client_ask(&client, "GET", "/wait", NULL, NULL, 0);
    H2_UNTIL(&client, seen.wait != NULL);
    h2_client_stop(&client);
    RIG_UNTIL(&rig, seen.ended == seen.begun);
    CHECK_EQ_U64(h1_server_connections(rig.server), 0);
    rig_stop(&rig);
}

TEST(a_thousand_streams_are_answered_at_a_time)
{
    start();
    for (int i = 0; i < 1000; i++)
        (void)h2_client_ask(&client, "GET", "/x", NULL, NULL, 0);
    H2_UNTIL(&client, h2_answer_of(&client, 1999)->is_closed);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ_INT(client.answers[i].status, 200);
    stop();
}

TEST(streams_beyond_the_limit_are_refused_alone)
{
    start();
    H2_UNTIL(&client, client.server_streams_max != 0);
    CHECK_EQ_U64(client.server_streams_max, LIMIT_h2_streams_max);
    stop();
}

TEST(a_malformed_target_is_400)
{
    start();
    CHECK_EQ_INT(h2_client_get(&client, "/a%zz")->status, 400);
    CHECK_EQ_INT(h2_client_get(&client, "no-slash")->status, 0); /* libnghttp2 refuses it */
    CHECK_EQ_U64(seen.begun, 0);
    stop();
}

TEST(a_head_beyond_the_limit_is_431)
{
    start();
    static char value[5000];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    const nghttp2_nv large[] = { H2_NV("x-a", value), H2_NV("x-b", value) };
    int32_t id = h2_client_ask(&client, "GET", "/", NULL, large, 2);
    struct h2_answer *answer = h2_answer_of(&client, id);
    H2_UNTIL(&client, answer->is_closed);
    CHECK_EQ_INT(answer->status, 431);
    CHECK_EQ_INT(h2_client_get(&client, "/")->status, 200);
    stop();
}

TEST(the_rest_of_a_body_nobody_reads_is_not_wanted)
{
    start();
    static char bytes[1024 * 1024];
    const struct slice body = slice_of(bytes, sizeof bytes);
    int32_t id = h2_client_ask(&client, "POST", "/", &body, NULL, 0);
    struct h2_answer *answer = h2_answer_of(&client, id);
    H2_UNTIL(&client, answer->is_closed);
    CHECK_EQ_INT(answer->status, 200);
    CHECK_EQ_INT(h2_client_get(&client, "/large")->status, 200);
    stop();
}

static void
do_drain(struct rig *r)
{
    h1_server_drain(r->server);
}

TEST(draining_finishes_what_has_begun_and_closes)
{
    start();
    int32_t id = h2_client_ask(&client, "GET", "/wait", NULL, NULL, 0);
    H2_UNTIL(&client, seen.wait != NULL);
    rig_run(&rig, do_drain);
    H2_UNTIL(&client, client.got_goaway);
    CHECK_EQ_U64(client.goaway_code, NGHTTP2_NO_ERROR);
    CHECK(!client.has_ended);
    wait_done(seen.wait, OK);
    H2_UNTIL(&client, client.has_ended);
    CHECK_EQ_MEM(h2_answer_of(&client, id)->body, 4, "told", 4);
    stop();
}

TEST(a_request_on_its_way_when_the_server_drains_is_answered)
{
    start();
    CHECK_EQ_INT(h2_client_get(&client, "/")->status, 200);
    rig_run(&rig, do_drain);
    int32_t id = h2_client_ask(&client, "GET", "/late", NULL, NULL, 0);
    H2_UNTIL(&client, client.has_ended); /* sends before it reads what the server has said */
    CHECK_EQ_INT(h2_answer_of(&client, id)->status, 200);
    CHECK(client.got_goaway); /* its library tells of the second one only while streams are open */
    CHECK_EQ_U64(client.goaway_code, NGHTTP2_NO_ERROR);
    stop();
}

TEST(a_client_that_does_not_answer_when_the_server_drains_is_not_waited_for)
{
    start();
    CHECK_EQ_INT(h2_client_get(&client, "/")->status, 200);
    rig_run(&rig, do_drain);
    rig_turn(&rig);
    CHECK_EQ_U64(h1_server_connections(rig.server), 1);
    clock_advance_ms(LIMIT_http_drain_idle_ms + 1);
    RIG_UNTIL(&rig, h1_server_connections(rig.server) == 0);
    stop();
}

TEST(a_body_that_stalls_does_not_hold_up_a_server_that_is_to_end)
{
    start();
    nghttp2_data_provider none = { .read_callback = h2_client_hold_body };
    const nghttp2_nv nva[] = { H2_NV(":method", "POST"), H2_NV(":path", "/count"),
                               H2_NV(":scheme", "http"), H2_NV(":authority", "x") };
    seen.err = OK;
    CHECK(nghttp2_submit_request(client.session, NULL, nva, ARRAY_LEN(nva), &none, NULL) > 0);
    h2_client_pump(&client);
    rig_turn(&rig);
    clock_advance_ms(LIMIT_http_drain_silence_ms + 1);
    rig_turn(&rig);
    CHECK_EQ_INT(seen.err, OK);
    rig_run(&rig, do_drain);
    rig_turn(&rig);
    CHECK_EQ_INT(seen.err, OK);
    clock_advance_ms(LIMIT_http_drain_silence_ms + 1);
    RIG_UNTIL(&rig, seen.err == ERR_DEADLINE);
    stop();
}

TEST(an_idle_connection_is_told_so_and_closed)
{
    start();
    CHECK_EQ_INT(h2_client_get(&client, "/")->status, 200);
    clock_advance_ms(LIMIT_http_idle_ms + 1);
    H2_UNTIL(&client, client.got_goaway);
    clock_advance_ms(LIMIT_http_drain_idle_ms + 1); /* its library ignores the ping behind that */
    H2_UNTIL(&client, client.has_ended);
    CHECK_EQ_U64(client.goaway_code, NGHTTP2_NO_ERROR);
    stop();
}

TEST(a_connection_works_on_after_it_has_given_its_memory_back)
{
    start();
    for (int i = 0; i < 3; i++) {
        CHECK_EQ_INT(h2_client_get(&client, "/large")->status, 200);
        CHECK_EQ_U64(h2_client_get(&client, "/large")->body_len, 3 * 1024 * 1024);
        clock_advance_ms(LIMIT_h2_shrink_ms + 1);
        rig_turn(&rig);
    }
    stop();
}

/* Asks for so much and takes nothing of it. */
static void
hoard(unsigned streams)
{
    const nghttp2_settings_entry none = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0 };
    start();
    REQUIRE(nghttp2_submit_settings(client.session, NGHTTP2_FLAG_NONE, &none, 1) == 0);
    H2_UNTIL(&client, client.server_streams_max != 0);
    for (unsigned i = 0; i < streams; i++)
        (void)h2_client_ask(&client, "GET", "/large", NULL, NULL, 0);
    H2_UNTIL(&client, seen.begun == streams);
    rig_turn(&rig);
}

TEST(a_client_that_takes_nothing_of_much_is_cut_off)
{
    hoard(LIMIT_h2_waiters_max + 1);
    h2_client_pump(&client);
    CHECK(!client.got_goaway);
    clock_advance_ms(LIMIT_h2_press_ms + 1);
    H2_UNTIL(&client, client.has_ended);
    CHECK_EQ_U64(client.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    RIG_UNTIL(&rig, seen.ended == seen.begun);
    stop();
}

TEST(a_client_that_takes_nothing_of_little_is_waited_for)
{
    hoard(8);
    for (int i = 0; i < 10; i++) {
        clock_advance_ms(LIMIT_h2_press_late_ms + 1);
        rig_turn(&rig);
    }
    h2_client_pump(&client);
    CHECK(!client.got_goaway && !client.has_ended);
    CHECK_EQ_U64(seen.ended, 0);
    stop();
}

static void
set_window(uint32_t bytes)
{
    const nghttp2_settings_entry window = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, bytes };
    REQUIRE(nghttp2_submit_settings(client.session, NGHTTP2_FLAG_NONE, &window, 1) == 0);
}

TEST(a_client_that_takes_no_answer_gets_few_on_the_way)
{
    enum { STREAMS = 200 };
    int32_t ids[STREAMS];
    start();
    set_window(0);
    H2_UNTIL(&client, client.server_streams_max != 0);
    for (unsigned i = 0; i < STREAMS; i++)
        ids[i] = h2_client_ask(&client, "GET", "/admitted", NULL, NULL, 0);
    H2_UNTIL(&client, seen.begun == STREAMS);
    rig_turn(&rig);
    CHECK_EQ_U64(seen.admitted, LIMIT_h2_admit_first);
    for (unsigned i = LIMIT_h2_admit_first; i < LIMIT_h2_admit_first + 50; i++) /* that wait */
        REQUIRE(nghttp2_submit_rst_stream(client.session, 0, ids[i], NGHTTP2_CANCEL) == 0);
    H2_UNTIL(&client, seen.gone == 50);
    CHECK_EQ_U64(seen.admitted, LIMIT_h2_admit_first);
    set_window(65535);
    H2_UNTIL(&client, seen.ended == STREAMS);
    CHECK_EQ_U64(seen.admitted, STREAMS - 50);
    for (unsigned i = 0; i < STREAMS; i++)
        H2_UNTIL(&client, h2_answer_of(&client, ids[i])->is_closed);
    stop();
}

/* --- keepalive, as gRPC's servers have it ------------------------------------------------------*/

static void
start_with_keepalive(void)
{
    struct h1_config config = h1_config_default();
    config.has_keepalive = true;
    memset(&seen, 0, sizeof seen);
    rig_start(&rig, &config, handle, NULL);
    h2_client_start(&client, &rig);
    CHECK_EQ_INT(h2_client_get(&client, "/")->status, 200);
}

static void
ping(void)
{
    REQUIRE(nghttp2_submit_ping(client.session, NGHTTP2_FLAG_NONE, NULL) == 0);
    for (int i = 0; i < 3; i++) {
        h2_client_pump(&client);
        rig_turn(&rig);
    }
    h2_client_pump(&client);
}

TEST(a_silent_client_is_asked_whether_it_is_there)
{
    start_with_keepalive();
    for (unsigned i = 1; i <= 5; i++) {
        clock_advance_ms(LIMIT_grpc_ping_ms + 1);
        H2_UNTIL(&client, client.pings == i);
        rig_turn(&rig);
    }
    CHECK(!client.has_ended);
    clock_advance_ms(LIMIT_grpc_ping_ms + 1);
    rig_turn(&rig);
    CHECK_EQ_U64(h1_server_connections(rig.server), 1);
    clock_advance_ms(LIMIT_grpc_ping_answer_ms + 1); /* and nobody answers */
    RIG_UNTIL(&rig, h1_server_connections(rig.server) == 0);
    stop();
}

TEST(a_client_that_asks_too_often_is_told_to_be_calm)
{
    start_with_keepalive();
    for (int i = 0; i < 4; i++) /* the first clears the account, two are forgiven */
        ping();
    H2_UNTIL(&client, client.has_ended);
    CHECK_EQ_U64(client.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    CHECK_EQ_STR(client.goaway_text, "too_many_pings");
    stop();
}

TEST(a_client_may_ask_now_and_then_or_while_it_is_answered)
{
    start_with_keepalive();
    for (int i = 0; i < LIMIT_h2_control_burst + 500; i++) { /* grpc-go measures the way so */
        REQUIRE(nghttp2_submit_ping(client.session, NGHTTP2_FLAG_NONE, NULL) == 0);
        CHECK_EQ_INT(h2_client_get(&client, "/")->status, 200);
    }
    for (int i = 0; i < 10; i++) {
        clock_advance_ms(LIMIT_grpc_ping_gap_ms);
        ping();
    }
    CHECK(!client.has_ended && !client.got_goaway);
    stop();
}

TEST(an_http_client_may_ask_as_often_as_it_likes)
{
    start();
    for (int i = 0; i < 20; i++)
        ping();
    CHECK_EQ_INT(h2_client_get(&client, "/")->status, 200);
    stop();
}

TEST(a_silent_connection_is_closed_before_its_preface)
{
    start();
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, "PRI * HTTP/2.0\r\n\r\n");
    rig_turn(&rig);
    clock_advance_ms(LIMIT_http_head_ms + 1);
    char text[256];
    (void)rig_receive(&rig, fd, text, sizeof text, NULL); /* ends: it was closed */
    (void)close(fd);
    stop();
}

TEST(answers_a_client_takes_nothing_of_are_dropped)
{
    start();
    const nghttp2_settings_entry none = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0 };
    REQUIRE(nghttp2_submit_settings(client.session, NGHTTP2_FLAG_NONE, &none, 1) == 0);
    H2_UNTIL(&client, client.server_streams_max != 0);
    int32_t id = h2_client_ask(&client, "GET", "/small", NULL, NULL, 0);
    H2_UNTIL(&client, seen.ended == 1);
    for (int i = 0; i < 40 && !h2_answer_of(&client, id)->is_closed; i++) {
        clock_advance_ms(2000);
        rig_turn(&rig);
        h2_client_pump(&client);
    }
    CHECK(h2_answer_of(&client, id)->is_closed);
    CHECK_EQ_U64(h2_answer_of(&client, id)->code, NGHTTP2_CANCEL);
    stop();
}
