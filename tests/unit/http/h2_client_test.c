/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/2 client against servers that answer, refuse, leave, break the rules and fall silent. */
#include "async/offload.h"
#include "h2_peer.h"
#include "http/client.h"

enum { ASKERS_MAX = 4096 };

/* One call on a task of its own, and what came of it. */
struct asker {
    const char *path;
    size_t body_bytes;
    uint64_t timeout_ms; /* 0: none */
    uint64_t *turn;
    bool stops_reading; /* finishes after the first piece */
    bool waits;         /* for `proceed` before it reads on */
    struct wait *proceed;
    struct task *task;
    err_t err;
    bool is_done, has_started, was_sent, has_trailer;
    int status;
    size_t got_bytes;
    bool is_echo;
    char words[256];
};

static struct worker worker;
static struct client *client;
static struct peer peer;
static struct asker askers[ASKERS_MAX];
static size_t asker_count, done_count;

static char
byte_at(size_t i)
{
    return (char)(i * 7 + i / 251);
}

static err_t
send_body(struct task *t, struct client_call *call, const struct asker *a)
{
    char piece[1000];
    size_t sent = 0;
    err_t err = OK;
    while (err == OK && sent < a->body_bytes) {
        size_t len = a->body_bytes - sent < sizeof piece ? a->body_bytes - sent : sizeof piece;
        for (size_t i = 0; i < len; i++)
            piece[i] = byte_at(sent + i);
        err = client_write(t, call, slice_of(piece, len));
        sent += len;
    }
    return err == OK ? client_end(t, call) : err;
}

static err_t
read_body(struct task *t, struct client_call *call, struct asker *a)
{
    struct slice piece;
    err_t err;
    a->is_echo = true;
    while ((err = client_read(t, call, &piece)) == OK && piece.len > 0) {
        for (size_t i = 0; i < piece.len; i += piece.len / 16 + 1)
            a->is_echo &= piece.data[i] == byte_at(a->got_bytes + i);
        a->got_bytes += piece.len;
        if (a->stops_reading)
            return OK;
        if (a->waits) {
            struct wait wait;
            wait_init(&wait, t, NULL);
            a->proceed = &wait;
            err = TASK_WAIT(t, &wait);
            a->proceed = NULL;
            a->waits = false;
            if (err != OK)
                break;
        }
    }
    return err;
}

static void
ask(struct task *t, void *arg)
{
    struct asker *a = arg;
    const struct http_header headers[] = { { SLICE("X-Mine"), SLICE("yes") },
                                           { SLICE("Connection"), SLICE("close") },
                                           { SLICE("Content-Length"), SLICE("999") } };
    const struct client_head head = { .method = SLICE("POST"),
                                      .target = slice_str(a->path),
                                      .headers = headers,
                                      .header_count = ARRAY_LEN(headers),
                                      .body_length = HTTP_LENGTH_UNKNOWN,
                                      .turn = a->turn };
    struct client_call call;
    uint64_t outer = task_deadline_push(t, a->timeout_ms == 0 ? UINT64_MAX : a->timeout_ms);
    a->err = client_start(t, client, &head, &call);
    a->has_started = a->err == OK;
    if (a->err == OK)
        a->err = send_body(t, &call, a);
    if (a->err == OK)
        a->err = client_head(t, &call);
    if (a->err == OK) {
        a->status = call.status;
        a->err = read_body(t, &call, a);
        a->has_trailer = call.trailer_count == 1 && slice_eq(call.trailers[0].name, SLICE("x-sum"));
    }
    task_deadline_pop(t, outer);
    a->was_sent = call.was_sent;
    struct slice words = task_diag(t)->message;
    (void)snprintf(a->words, sizeof a->words, SLICE_FMT, SLICE_ARG(words));
    client_finish(&call);
    a->task = NULL;
    a->is_done = true;
    done_count++;
}

static struct asker *
asker(const char *path, size_t body_bytes)
{
    REQUIRE(asker_count < ASKERS_MAX);
    struct asker *a = &askers[asker_count++];
    *a = (struct asker){ .path = path, .body_bytes = body_bytes };
    a->task = task_spawn(&worker, "asker", ask, a);
    REQUIRE(a->task != NULL);
    return a;
}

/* Runs fn where such functions belong: on the worker, inside a turn. */
static void (*to_run)(void);
static size_t cancel_from, cancel_to;

static void
on_run(struct mail *mail)
{
    (void)mail;
    to_run();
}

static void
run(void (*fn)(void))
{
    static struct mail mail;
    to_run = fn;
    worker_post(&worker, &mail, on_run);
    worker_turn(&worker, 0);
}

static void
do_cancel(void)
{
    for (size_t i = cancel_from; i < cancel_to; i++)
        if (askers[i].task != NULL)
            task_cancel(askers[i].task);
}

static void
cancel(size_t from, size_t to)
{
    cancel_from = from;
    cancel_to = to;
    run(do_cancel);
}

static void
do_close(void)
{
    client_close(client);
}

static void
start_with(const struct client_config *more)
{
    asker_count = done_count = 0;
    clock_fake(UINT64_C(1000000000000), INT64_C(1795625229000));
    REQUIRE_OK(worker_init(&worker, 0));
    peer_open(&peer, &worker);
    struct client_config config = { 0 };
    if (more != NULL)
        config = *more;
    config.protocol = CLIENT_H2;
    config.host = SLICE("127.0.0.1");
    config.port = peer.port;
    client = client_new(&worker, &config);
}

static void
start(void)
{
    start_with(NULL);
}

static void
stop(void)
{
    run(do_close);
    PEER_UNTIL(&peer, worker.tasks.count == 0);
    peer_close(&peer);
    for (int i = 0; i < 20; i++)
        worker_turn(&worker, 0);
    CHECK_EQ_U64(worker_timer_count(&worker), 0);
    worker_fini(&worker);
    offload_fini();
    clock_use_real();
}

TEST(a_call_is_answered_with_headers_body_and_trailers)
{
    start();
    struct asker *a = asker("/trailers", 10);
    PEER_UNTIL(&peer, a->is_done);
    CHECK_OK(a->err);
    CHECK_EQ_INT(a->status, 200);
    CHECK_EQ_U64(a->got_bytes, 10);
    CHECK(a->is_echo && a->has_trailer && a->was_sent);
    char wanted[256];
    (void)snprintf(wanted, sizeof wanted,
                   ":method: POST\n:scheme: http\n:path: /trailers\n:authority: 127.0.0.1:%u\n"
                   "x-mine: yes\n",
                   peer.port);
    CHECK_EQ_STR(peer.last_headers, wanted);
    stop();
}

TEST(many_calls_share_one_connection)
{
    start();
    for (int i = 0; i < 300; i++)
        (void)asker("/e", 100);
    PEER_UNTIL(&peer, done_count == 300);
    for (int i = 0; i < 300; i++)
        CHECK(askers[i].err == OK && askers[i].is_echo && askers[i].got_bytes == 100);
    CHECK_EQ_U64(peer.conn_count, 1);
    stop();
}

TEST(the_peers_limit_of_streams_is_queued_for_and_never_exceeded)
{
    start();
    peer.streams_max = 7;
    for (int i = 0; i < 150; i++)
        (void)asker("/e", 100);
    PEER_UNTIL(&peer, done_count == 150);
    for (int i = 0; i < 150; i++)
        CHECK_OK(askers[i].err);
    CHECK_EQ_U64(peer.conn_count, 1);
    CHECK_EQ_U64(peer.conns[0].open_most, 7);
    stop();
}

TEST(thousands_of_waiting_calls_open_a_second_connection)
{
    start();
    peer.streams_max = 100;
    for (int i = 0; i < 3000; i++)
        (void)asker("/hold", 0);
    PEER_UNTIL(&peer, peer.conn_count >= 2 && peer.conns[1].open == 100);
    CHECK_EQ_U64(peer.conns[0].open_most, 100);
    cancel(0, 3000);
    PEER_UNTIL(&peer, done_count == 3000);
    stop();
}

TEST(bodies_larger_than_every_window_flow_both_ways)
{
    start();
    struct asker *a = asker("/e", 3 * 1024 * 1024);
    PEER_UNTIL(&peer, a->is_done);
    CHECK_OK(a->err);
    CHECK_EQ_U64(a->got_bytes, 3 * 1024 * 1024);
    CHECK(a->is_echo);
    stop();
}

TEST(a_reader_that_stops_holds_up_nobody_else)
{
    start();
    struct asker *slow = asker("/endless", 0);
    slow->waits = true;
    PEER_UNTIL(&peer, slow->proceed != NULL);
    for (int i = 0; i < 30; i++)
        (void)asker("/e", 20000);
    PEER_UNTIL(&peer, done_count == 30);
    for (int i = 1; i <= 30; i++)
        CHECK(askers[i].err == OK && askers[i].is_echo);
    cancel(0, 1);
    PEER_UNTIL(&peer, slow->is_done);
    CHECK_EQ_INT(slow->err, ERR_CANCELLED);
    PEER_UNTIL(&peer, peer.resets == 1);
    stop();
}

TEST(a_call_that_is_finished_early_is_reset)
{
    start();
    struct asker *a = asker("/endless", 0);
    a->stops_reading = true;
    PEER_UNTIL(&peer, a->is_done && peer.resets == 1);
    CHECK_OK(a->err);
    struct asker *b = asker("/e", 10);
    PEER_UNTIL(&peer, b->is_done);
    CHECK_OK(b->err);
    CHECK_EQ_U64(peer.conn_count, 1);
    stop();
}

TEST(calls_given_up_are_reset_no_faster_than_a_peer_bears)
{
    start();
    for (int i = 0; i < 900; i++)
        (void)asker("/hold", 0);
    PEER_UNTIL(&peer, peer.conn_count == 1 && peer.conns[0].open == 900);
    cancel(1, 900);
    PEER_UNTIL(&peer, done_count == 899 && peer.resets == LIMIT_h2_client_reset_burst);
    for (int i = 0; i < 20; i++) {
        worker_turn(&worker, 0);
        peer_pump(&peer);
    }
    CHECK_EQ_U64(peer.resets, LIMIT_h2_client_reset_burst);
    struct asker *next = asker("/e", 10); /* on a connection of which nothing was reset yet */
    PEER_UNTIL(&peer, next->is_done);
    CHECK_OK(next->err);
    CHECK_EQ_U64(peer.conn_count, 2);
    clock_advance_ms(2000);
    PEER_UNTIL(&peer, peer.resets >= LIMIT_h2_client_reset_burst + 40);
    CHECK(!askers[0].is_done);
    cancel(0, 1);
    PEER_UNTIL(&peer, askers[0].is_done && peer.conns[0].fd == -1);
    CHECK(peer.resets < 600); /* the end of the connection was the rest */
    stop();
}

TEST(calls_given_up_before_they_are_sent_cost_nothing)
{
    start();
    peer.streams_max = 1;
    struct asker *first = asker("/hold", 0);
    PEER_UNTIL(&peer, peer.held != NULL);
    for (int i = 0; i < 500; i++)
        (void)asker("/e", 10);
    for (int i = 0; i < 10; i++) {
        worker_turn(&worker, 0);
        peer_pump(&peer);
    }
    cancel(1, 501);
    PEER_UNTIL(&peer, done_count == 500);
    for (int i = 1; i <= 500; i++)
        CHECK(askers[i].err == ERR_CANCELLED && !askers[i].was_sent);
    CHECK_EQ_U64(peer.requests, 1);
    CHECK_EQ_U64(peer.resets, 0);
    cancel(0, 1);
    PEER_UNTIL(&peer, first->is_done);
    struct asker *next = asker("/e", 10);
    PEER_UNTIL(&peer, next->is_done);
    CHECK_OK(next->err);
    stop();
}

/* The client pauses when it is refused. */
static void
until_done(struct asker *a)
{
    for (int i = 0; i < 5000 && !a->is_done; i++) {
        peer_pump(&peer);
        worker_turn(&worker, 0);
        clock_advance_ms(1);
    }
    CHECK(a->is_done);
}

TEST(refused_calls_are_sent_again_with_their_bodies)
{
    start();
    peer.refusals = 3;
    struct asker *a = asker("/e", 5000);
    until_done(a);
    CHECK_OK(a->err);
    CHECK_EQ_U64(a->got_bytes, 5000);
    CHECK(a->is_echo);
    CHECK_EQ_U64(peer.requests, 4);
    CHECK_EQ_U64(peer.conn_count, 1);
    stop();
}

TEST(a_call_refused_again_and_again_fails_and_may_be_repeated)
{
    start();
    peer.refusals = 100;
    struct asker *a = asker("/e", 10);
    until_done(a);
    CHECK_EQ_INT(a->err, ERR_PEER_LOST);
    CHECK(!a->was_sent);
    stop();
}

TEST(a_call_beyond_the_last_of_a_goaway_goes_elsewhere)
{
    start();
    struct asker *first = asker("/e", 10);
    PEER_UNTIL(&peer, first->is_done);
    peer.goaways = 1;
    struct asker *a = asker("/e", 5000);
    PEER_UNTIL(&peer, a->is_done);
    CHECK_OK(a->err);
    CHECK(a->is_echo);
    CHECK_EQ_U64(peer.conn_count, 2);
    stop();
}

TEST(a_goaway_lets_the_calls_before_it_end)
{
    start();
    struct asker *first = asker("/hold", 10);
    PEER_UNTIL(&peer, peer.held != NULL);
    REQUIRE(nghttp2_submit_goaway(peer.conns[0].session, NGHTTP2_FLAG_NONE, 1, NGHTTP2_NO_ERROR,
                                  NULL, 0) == 0);
    struct asker *second = asker("/e", 10);
    PEER_UNTIL(&peer, second->is_done);
    CHECK_OK(second->err);
    CHECK_EQ_U64(peer.conn_count, 2);
    CHECK(!first->is_done);
    peer_answer(peer.held, 1);
    PEER_UNTIL(&peer, first->is_done);
    CHECK_OK(first->err);
    stop();
}

TEST(a_reset_says_with_what)
{
    start();
    struct asker *a = asker("/reset", 10);
    PEER_UNTIL(&peer, a->is_done);
    CHECK_EQ_INT(a->err, ERR_PEER_LOST);
    CHECK_EQ_STR(a->words, "CANCEL");
    CHECK(a->was_sent);
    stop();
}

TEST(a_lost_connection_ends_its_calls_and_is_dialled_again)
{
    start();
    struct asker *a = asker("/hold", 10);
    PEER_UNTIL(&peer, peer.held != NULL);
    peer_hang_up(&peer.conns[0]);
    PEER_UNTIL(&peer, a->is_done);
    CHECK_EQ_INT(a->err, ERR_PEER_LOST);
    CHECK(a->was_sent);
    struct asker *b = asker("/e", 10);
    PEER_UNTIL(&peer, b->is_done);
    CHECK_OK(b->err);
    CHECK_EQ_U64(peer.conn_count, 2);
    stop();
}

TEST(calls_wait_for_a_server_that_greets_late)
{
    start();
    struct asker *a = asker("/e", 10);
    for (int i = 0; i < 50; i++)
        worker_turn(&worker, 0);
    clock_advance_ms(7000);
    for (int i = 0; i < 5; i++)
        worker_turn(&worker, 0);
    CHECK(!a->is_done);
    PEER_UNTIL(&peer, a->is_done);
    CHECK_OK(a->err);
    stop();
}

TEST(a_server_that_never_greets_fails_all_calls)
{
    start();
    peer.is_silent = true;
    for (int i = 0; i < 10; i++)
        (void)asker("/e", 10);
    PEER_UNTIL(&peer, peer.conn_count == 1);
    for (int i = 0; i < 10; i++)
        worker_turn(&worker, 0);
    clock_advance_ms(LIMIT_h2_client_connect_ms + 1);
    PEER_UNTIL(&peer, done_count == 10);
    for (int i = 0; i < 10; i++)
        CHECK(askers[i].err == ERR_PEER_UNREACHABLE && !askers[i].was_sent);
    stop();
}

TEST(nobody_there_fails_all_calls_at_once)
{
    start();
    (void)close(peer.listener);
    peer.listener = -1;
    for (int i = 0; i < 100; i++)
        (void)asker("/e", 10);
    uint64_t give_up_ms = rig_real_ms() + 10000;
    while (done_count < 100 && rig_real_ms() < give_up_ms)
        worker_turn(&worker, 1);
    CHECK_EQ_U64(done_count, 100);
    for (int i = 0; i < 100; i++)
        CHECK(askers[i].err == ERR_PEER_UNREACHABLE && !askers[i].was_sent);
    CHECK(strstr(askers[0].words, "connection refused") != NULL);
    run(do_close);
    for (int i = 0; i < 20; i++)
        worker_turn(&worker, 0);
    CHECK_EQ_U64(worker.tasks.count, 0);
    worker_fini(&worker);
    offload_fini();
    clock_use_real();
}

static void
answer_with(const char *bytes, size_t len)
{
    peer.is_silent = true;
    struct asker *a = asker("/e", 10);
    PEER_UNTIL(&peer, peer.conn_count == 1);
    (void)send(peer.conns[0].fd, bytes, len, MSG_NOSIGNAL); /* the client may be gone already */
    PEER_UNTIL(&peer, a->is_done);
    CHECK(a->err == ERR_PEER_UNREACHABLE || a->err == ERR_PEER_LOST);
}

TEST(a_server_of_another_protocol_fails_the_call)
{
    start();
    static const char text[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    answer_with(text, sizeof text - 1);
    stop();
}

TEST(garbage_fails_the_call)
{
    start();
    static char bytes[1000];
    memset(bytes, 0xff, sizeof bytes);
    answer_with(bytes, sizeof bytes);
    stop();
}

TEST(a_flood_of_pings_costs_the_peer_its_connection)
{
    start();
    struct asker *a = asker("/hold", 10);
    PEER_UNTIL(&peer, peer.held != NULL);
    for (int i = 0; i < 5000; i++)
        REQUIRE(nghttp2_submit_ping(peer.conns[0].session, NGHTTP2_FLAG_NONE, NULL) == 0);
    PEER_UNTIL(&peer, a->is_done);
    CHECK_EQ_INT(a->err, ERR_PEER_LOST);
    stop();
}

/* As grpc-go does to measure the way. */
TEST(a_ping_for_each_message_is_no_flood)
{
    start();
    for (int i = 0; i < LIMIT_h2_control_burst + 500; i++) {
        struct asker *a = asker("/e", 10);
        PEER_UNTIL(&peer, a->is_done);
        REQUIRE(nghttp2_submit_ping(peer.conns[0].session, NGHTTP2_FLAG_NONE, NULL) == 0);
    }
    CHECK_EQ_U64(peer.conn_count, 1);
    stop();
}

TEST(calls_that_the_peer_resets_are_no_flood)
{
    start();
    for (int i = 0; i < LIMIT_h2_control_burst + 500; i++) {
        struct asker *a = asker("/reset", 10);
        PEER_UNTIL(&peer, a->is_done);
    }
    CHECK_EQ_U64(peer.conn_count, 1);
    stop();
}

TEST(a_deadline_ends_a_call_and_the_connection_stays)
{
    start();
    struct asker *a = asker("/hold", 10);
    a->timeout_ms = 500;
    PEER_UNTIL(&peer, peer.held != NULL);
    clock_advance_ms(501);
    PEER_UNTIL(&peer, a->is_done && peer.resets == 1);
    CHECK_EQ_INT(a->err, ERR_DEADLINE);
    struct asker *b = asker("/e", 10);
    PEER_UNTIL(&peer, b->is_done);
    CHECK_OK(b->err);
    CHECK_EQ_U64(peer.conn_count, 1);
    stop();
}

TEST(a_window_of_nothing_holds_the_writer_until_its_deadline)
{
    start();
    peer.reads_nothing = true;
    struct asker *a = asker("/e", 10 * 1024 * 1024);
    PEER_UNTIL(&peer, peer.conn_count == 1);
    for (int i = 0; i < 20; i++) {
        worker_turn(&worker, 0);
        peer_pump(&peer);
    }
    CHECK(!a->is_done);
    cancel(0, 1);
    PEER_UNTIL(&peer, a->is_done);
    CHECK_EQ_INT(a->err, ERR_CANCELLED);
    peer.reads_nothing = false;
    stop();
}

TEST(a_silent_peer_is_pinged_and_given_up)
{
    start();
    struct asker *a = asker("/hold", 10);
    PEER_UNTIL(&peer, peer.held != NULL);
    clock_advance_ms(LIMIT_h2_client_ping_ms + 1000);
    PEER_UNTIL(&peer, peer.pings == 1);
    PEER_UNTIL(&peer, true);
    for (int i = 0; i < 10; i++) {
        worker_turn(&worker, 0);
        peer_pump(&peer);
    }
    clock_advance_ms(LIMIT_h2_client_pong_ms + 1000);
    for (int i = 0; i < 10; i++) {
        worker_turn(&worker, 0);
        peer_pump(&peer);
    }
    CHECK(!a->is_done); /* it has answered */
    peer.reads_nothing = true;
    clock_advance_ms(LIMIT_h2_client_ping_ms + 1000);
    for (int i = 0; i < 10; i++)
        worker_turn(&worker, 0);
    clock_advance_ms(LIMIT_h2_client_pong_ms + 1000);
    PEER_UNTIL(&peer, a->is_done);
    CHECK_EQ_INT(a->err, ERR_PEER_LOST);
    stop();
}

TEST(interim_answers_are_skipped_and_empty_ones_have_no_body)
{
    start();
    struct asker *a = asker("/early", 10), *b = asker("/empty", 0);
    PEER_UNTIL(&peer, a->is_done && b->is_done);
    CHECK_OK(a->err);
    CHECK_EQ_INT(a->status, 200);
    CHECK_EQ_U64(a->got_bytes, 10);
    CHECK_OK(b->err);
    CHECK_EQ_INT(b->status, 204);
    CHECK_EQ_U64(b->got_bytes, 0);
    stop();
}

TEST(an_idle_connection_is_closed)
{
    start();
    struct asker *a = asker("/e", 10);
    PEER_UNTIL(&peer, a->is_done);
    CHECK_EQ_U64(client_connections(client), 1);
    clock_advance_ms(LIMIT_client_idle_ms + 1000);
    PEER_UNTIL(&peer, client_connections(client) == 0);
    stop();
}

TEST(a_full_queue_refuses_at_once)
{
    const struct client_config config = { .waiters_max = 5 };
    start_with(&config);
    peer.is_silent = true;
    for (int i = 0; i < 8; i++)
        (void)asker("/e", 10);
    PEER_UNTIL(&peer, done_count == 3);
    CHECK_EQ_INT(askers[7].err, ERR_OVERLOADED);
    cancel(0, 5);
    PEER_UNTIL(&peer, done_count == 8);
    stop();
}

TEST(a_server_that_leaves_at_once_again_and_again_fails_the_call)
{
    start();
    peer.leaves_at_once = true;
    struct asker *a = asker("/e", 10);
    PEER_UNTIL(&peer, a->is_done);
    CHECK_EQ_INT(a->err, ERR_PEER_UNREACHABLE);
    CHECK(!a->was_sent && peer.conn_count <= 4);
    stop();
}

TEST(one_who_asks_much_does_not_go_before_all_others)
{
    start();
    uint64_t turns[2] = { 0, 0 };
    peer.streams_max = 1;
    struct asker *first = asker("/hold", 10);
    PEER_UNTIL(&peer, peer.held != NULL);
    for (int i = 0; i < 100; i++)
        asker("/e", 10)->turn = &turns[0];
    for (int i = 0; i < 10; i++)
        worker_turn(&worker, 0);
    struct asker *other = asker("/e", 10);
    other->turn = &turns[1];
    for (int i = 0; i < 10; i++)
        worker_turn(&worker, 0);
    cancel(0, 1);
    PEER_UNTIL(&peer, other->is_done);
    CHECK(first->is_done && done_count < 10);
    PEER_UNTIL(&peer, done_count == 102);
    for (int i = 1; i < 102; i++)
        CHECK_OK(askers[i].err);
    stop();
}

TEST(many_readers_that_stop_hold_up_nobody_else_and_little_memory)
{
    start();
    for (int i = 0; i < 100; i++)
        asker("/endless", 0)->waits = true;
    PEER_UNTIL(&peer, done_count == 0 && askers[99].proceed != NULL);
    size_t before = 0, sent = 1;
    while (sent != before) { /* until the peer is held up */
        before = sent;
        for (int i = 0; i < 20; i++) {
            worker_turn(&worker, 0);
            peer_pump(&peer);
        }
        sent = peer.endless_bytes;
    }
    CHECK(sent < 3 * LIMIT_h2_client_read_ahead_bytes);
    struct asker *quick = asker("/e", 100000);
    PEER_UNTIL(&peer, quick->is_done);
    CHECK(quick->err == OK && quick->is_echo);
    CHECK_EQ_U64(peer.conn_count, 1);
    cancel(0, 100);
    PEER_UNTIL(&peer, done_count == 101);
    stop();
}

static void
turns(int count)
{
    for (int i = 0; i < count; i++) {
        worker_turn(&worker, 0);
        peer_pump(&peer);
    }
}

TEST(unanswered_calls_of_a_paced_server_are_few_until_time_has_passed)
{
    const struct client_config config = { .unanswered_min = 4 };
    start_with(&config);
    for (int i = 0; i < 100; i++)
        (void)asker("/hold", 10);
    turns(30);
    CHECK_EQ_U64(peer.conns[0].open_most, 4);
    clock_advance_ms(10);
    turns(10);
    CHECK_EQ_U64(peer.conns[0].open_most, 4 + LIMIT_h2_pace_growth_per_s / 100);
    clock_advance_ms(100);
    PEER_UNTIL(&peer, peer.conns[0].open_most == 100);
    cancel(0, 100);
    PEER_UNTIL(&peer, done_count == 100);
    stop();
}

TEST(a_paced_server_whose_answers_stay_quick_gets_more_calls_at_once)
{
    const struct client_config config = { .unanswered_min = 4 };
    start_with(&config);
    for (int i = 0; i < 1000; i++)
        (void)asker("/e", 10);
    PEER_UNTIL(&peer, done_count == 1000);
    for (int i = 0; i < 1000; i++)
        CHECK_OK(askers[i].err);
    CHECK(peer.conns[0].open_most > 4);
    CHECK_EQ_U64(peer.conn_count, 1);
    stop();
}
