/* SPDX-License-Identifier: Apache-2.0 */
/* Streams over a socket pair: whole transfers, back-pressure, ends, resets, closing in callbacks.
 */
#include "async/stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/resource.h>

#include "unit/async/driver.h"

enum { OUT_MAX = 1024 * 1024, IN_MAX = 64 * 1024 };

static struct worker worker;

/* The stream under test and what its owner saw; `peer` is the other end, a plain descriptor. */
struct owner {
    struct stream stream;
    int peer;
    struct buf in;
    size_t read_bytes; /* each time; 0: everything there is room for */
    int readable, drained, broken, ends, errors;
    bool closes_when_readable, closes_when_drained, pauses_at_end;
};

static void
on_readable(struct stream *stream)
{
    struct owner *o = container_of(stream, struct owner, stream);
    o->readable++;
    if (o->closes_when_readable) {
        stream_close(stream);
        return;
    }
    switch (stream_read(stream, &o->in, o->read_bytes == 0 ? IN_MAX : o->read_bytes)) {
    case STREAM_END:
        o->ends++;
        if (o->pauses_at_end)
            stream_pause(stream);
        break;
    case STREAM_ERROR:
        o->errors++;
        stream_close(stream);
        break;
    case STREAM_BYTES:
    case STREAM_NOTHING:
        break;
    }
}

static void
on_drained(struct stream *stream)
{
    struct owner *o = container_of(stream, struct owner, stream);
    o->drained++;
    if (o->closes_when_drained)
        stream_close(stream);
}

static void
on_broken(struct stream *stream)
{
    struct owner *o = container_of(stream, struct owner, stream);
    o->broken++;
    stream_close(stream);
}

static const struct stream_events events = { .on_readable = on_readable,
                                             .on_drained = on_drained,
                                             .on_broken = on_broken };

static void
owner_open(struct owner *o, size_t out_max)
{
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    REQUIRE(fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0);
    *o = (struct owner){ .peer = fds[1], .pauses_at_end = true };
    buf_init(&o->in, IN_MAX);
    stream_open(&o->stream, &worker, fds[0], &events, out_max);
}

static void
owner_close(struct owner *o)
{
    stream_close(&o->stream);
    stream_close(&o->stream); /* harmless */
    buf_fini(&o->in);
    if (o->peer >= 0)
        close(o->peer);
}

static void
peer_send(const struct owner *o, const char *text)
{
    REQUIRE(write(o->peer, text, strlen(text)) == (ssize_t)strlen(text));
}

static void
peer_close(struct owner *o)
{
    close(o->peer);
    o->peer = -1;
}

static size_t
peer_read(const struct owner *o, char *text, size_t bytes)
{
    ssize_t got = read(o->peer, text, bytes);
    return got < 0 ? 0 : (size_t)got;
}

TEST(input_is_told_and_output_of_a_turn_goes_out_as_one)
{
    struct owner o;
    char text[64];
    driver_open(&worker);
    owner_open(&o, OUT_MAX);
    peer_send(&o, "hello");
    DRIVE_UNTIL(&worker, o.in.len == 5);
    CHECK_SLICE_IS(buf_slice(&o.in), "hello");
    CHECK(stream_write(&o.stream, SLICE("one ")));
    CHECK(stream_write(&o.stream, SLICE("write")));
    CHECK_EQ_U64(stream_queued(&o.stream), 9);
    CHECK_EQ_U64(peer_read(&o, text, sizeof text), 0);
    turns(&worker, 1);
    CHECK_EQ_U64(stream_queued(&o.stream), 0);
    CHECK_EQ_INT(o.drained, 1);
    CHECK_EQ_U64(peer_read(&o, text, sizeof text), 9);
    CHECK_EQ_MEM(text, 9, "one write", 9);
    REQUIRE(buf_append(&o.stream.out, SLICE("in place")));
    stream_flush_later(&o.stream);
    turns(&worker, 1);
    CHECK_EQ_U64(peer_read(&o, text, sizeof text), 8);
    owner_close(&o);
    driver_close(&worker);
}

static char big[OUT_MAX];

/* What was sent arrives whole and in order, though the peer takes it bit by bit. */
TEST(a_peer_that_reads_slowly_gets_everything_in_order)
{
    struct owner o;
    static char chunk[10000];
    size_t arrived = 0;
    bool same = true;
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 31 + i / 251);
    driver_open(&worker);
    owner_open(&o, OUT_MAX);
    CHECK(stream_write(&o.stream, slice_of(big, sizeof big)));
    turns(&worker, 3);
    size_t queued = stream_queued(&o.stream);
    CHECK(queued > 0);
    CHECK(o.stream.is_blocked);
    turns(&worker, 3);
    CHECK_EQ_U64(stream_queued(&o.stream), queued); /* nobody spins on it */
    while (arrived < sizeof big) {
        size_t got = peer_read(&o, chunk, sizeof chunk);
        same = same && memcmp(chunk, big + arrived, got) == 0;
        arrived += got;
        turns(&worker, 1);
    }
    CHECK(same);
    CHECK_EQ_INT(o.drained, 1);
    CHECK_EQ_U64(stream_queued(&o.stream), 0);
    CHECK_EQ_PTR(o.stream.out.data, NULL); /* the large buffer was given back */
    CHECK(stream_write(&o.stream, SLICE("more")));
    turns(&worker, 1);
    CHECK_EQ_U64(peer_read(&o, chunk, sizeof chunk), 4);
    owner_close(&o);
    driver_close(&worker);
}

/* Of the pattern in `big`, the next bytes. */
static void
fill(struct buf *block, size_t *at, size_t bytes)
{
    buf_init(block, OUT_MAX);
    REQUIRE(buf_append(block, slice_of(big + *at, bytes)));
    *at += bytes;
}

/* Written and given pieces of many sizes, more than there are places for blocks, to a peer that
 * takes them bit by bit: queued at once, or in several turns while the socket is blocked. */
static void
give_and_read(size_t a_turn)
{
    static const size_t sizes[] = { 3, 70000, 1, 65541, 9000, 8192, 8191, 9, 40000, 30000, 20000 };
    enum { PIECES = 24 };
    struct owner o;
    struct buf block;
    static char chunk[7001];
    size_t given = 0, arrived = 0, queued = 0;
    bool same = true;
    driver_open(&worker);
    owner_open(&o, OUT_MAX);
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 31 + i / 251);
    for (size_t i = 0; i < PIECES; i++) {
        fill(&block, &given, sizes[i % ARRAY_LEN(sizes)]);
        queued = stream_queued(&o.stream) + block.len;
        CHECK(i % 3 == 0 ? stream_write(&o.stream, buf_slice(&block))
                         : stream_give(&o.stream, &block));
        CHECK_EQ_U64(stream_queued(&o.stream), queued);
        CHECK(i % 3 == 0 || block.len == 0);
        buf_fini(&block);
        if (a_turn > 0 && i % a_turn == 0)
            turns(&worker, 1);
    }
    while (arrived < given) {
        size_t got = peer_read(&o, chunk, sizeof chunk);
        same = same && memcmp(chunk, big + arrived, got) == 0;
        arrived += got;
        turns(&worker, 1);
    }
    CHECK(same);
    CHECK_EQ_U64(stream_queued(&o.stream), 0);
    stream_shrink(&o.stream);
    CHECK_EQ_PTR(o.stream.given, NULL);
    owner_close(&o);
    driver_close(&worker);
}

TEST(blocks_that_are_given_go_out_in_their_place)
{
    for (size_t a_turn = 0; a_turn < 7; a_turn++)
        give_and_read(a_turn);
}

TEST(a_large_block_changes_hands_and_a_small_one_is_copied)
{
    struct owner o;
    struct buf block;
    size_t at = 0;
    driver_open(&worker);
    owner_open(&o, 10);
    fill(&block, &at, STREAM_GIVEN_BYTES_MIN);
    const char *memory = block.data;
    CHECK(stream_give(&o.stream, &block));
    CHECK_EQ_PTR(block.data, NULL);
    CHECK_EQ_PTR(o.stream.given[0].block.data, memory);
    fill(&block, &at, 11);
    CHECK(!stream_give(&o.stream, &block)); /* more than the maximum */
    CHECK_EQ_U64(block.len, 11);
    buf_fini(&block);
    fill(&block, &at, 10);
    CHECK(stream_give(&o.stream, &block));
    CHECK_EQ_U64(block.len, 0);
    CHECK(block.data != NULL);
    buf_fini(&block);
    CHECK_EQ_U64(stream_queued(&o.stream), STREAM_GIVEN_BYTES_MIN + 10);
    owner_close(&o); /* with all of it queued */
    driver_close(&worker);
}

TEST(given_blocks_of_a_secret_stream_are_secret)
{
    struct owner o;
    struct buf block;
    size_t at = 0;
    driver_open(&worker);
    owner_open(&o, OUT_MAX);
    o.stream.out.is_secret = true;
    fill(&block, &at, STREAM_GIVEN_BYTES_MIN);
    CHECK(stream_give(&o.stream, &block));
    CHECK(o.stream.given[0].block.is_secret);
    owner_close(&o);
    driver_close(&worker);
}

TEST(given_blocks_go_when_the_stream_breaks)
{
    struct owner o;
    struct buf block;
    size_t at = 0;
    driver_open(&worker);
    owner_open(&o, OUT_MAX);
    stream_pause(&o.stream);
    for (int i = 0; i < 6; i++) {
        at = 0;
        fill(&block, &at, OUT_MAX);
        CHECK(stream_give(&o.stream, &block));
        buf_fini(&block);
    }
    turns(&worker, 2);
    CHECK(o.stream.is_blocked);
    peer_close(&o);
    DRIVE_UNTIL(&worker, o.broken == 1);
    CHECK_EQ_U64(stream_queued(&o.stream), 0);
    owner_close(&o);
    driver_close(&worker);
}

TEST(output_beyond_the_maximum_is_refused_as_a_whole)
{
    struct owner o;
    char text[64];
    driver_open(&worker);
    owner_open(&o, 10);
    CHECK(stream_write(&o.stream, SLICE("123456")));
    CHECK(!stream_write(&o.stream, SLICE("12345")));
    CHECK(stream_write(&o.stream, SLICE("1234")));
    CHECK_EQ_U64(stream_queued(&o.stream), 10);
    turns(&worker, 1);
    CHECK_EQ_U64(peer_read(&o, text, sizeof text), 10);
    CHECK_EQ_MEM(text, 10, "1234561234", 10);
    owner_close(&o);
    driver_close(&worker);
}

TEST(a_paused_stream_tells_of_nothing_until_resumed)
{
    struct owner o;
    driver_open(&worker);
    owner_open(&o, OUT_MAX);
    stream_pause(&o.stream);
    stream_pause(&o.stream);
    peer_send(&o, "hello");
    turns(&worker, 3);
    CHECK_EQ_INT(o.readable, 0);
    stream_resume(&o.stream);
    stream_resume(&o.stream);
    DRIVE_UNTIL(&worker, o.in.len == 5);
    owner_close(&o);
    driver_close(&worker);
}

TEST(reading_stops_at_what_the_buffer_has_room_for)
{
    struct owner o;
    driver_open(&worker);
    owner_open(&o, OUT_MAX);
    buf_fini(&o.in);
    buf_init(&o.in, 8);
    peer_send(&o, "12345678 and more");
    DRIVE_UNTIL(&worker, o.in.len == 8);
    CHECK_SLICE_IS(buf_slice(&o.in), "12345678");
    buf_clear(&o.in);
    DRIVE_UNTIL(&worker, o.in.len == 8);
    CHECK_SLICE_IS(buf_slice(&o.in), " and mor");
    stream_pause(&o.stream);
    owner_close(&o);
    driver_close(&worker);
}

TEST(after_the_peers_half_close_output_still_flows)
{
    struct owner o;
    char text[16];
    driver_open(&worker);
    owner_open(&o, OUT_MAX);
    peer_send(&o, "last words");
    shutdown(o.peer, SHUT_WR);
    DRIVE_UNTIL(&worker, o.ends == 1);
    CHECK_SLICE_IS(buf_slice(&o.in), "last words");
    CHECK(stream_write(&o.stream, SLICE("answer")));
    turns(&worker, 2);
    CHECK_EQ_U64(peer_read(&o, text, sizeof text), 6);
    stream_shutdown_write(&o.stream);
    CHECK_EQ_INT(read(o.peer, text, sizeof text), 0);
    CHECK_EQ_INT(o.ends, 1);
    owner_close(&o);
    driver_close(&worker);
}

TEST(after_our_half_close_input_still_flows)
{
    struct owner o;
    char text[16];
    driver_open(&worker);
    owner_open(&o, OUT_MAX);
    stream_shutdown_write(&o.stream);
    CHECK_EQ_INT(read(o.peer, text, sizeof text), 0);
    peer_send(&o, "late");
    DRIVE_UNTIL(&worker, o.in.len == 4);
    owner_close(&o);
    driver_close(&worker);
}

TEST(writing_to_a_peer_that_left_breaks_the_stream_once)
{
    struct owner o;
    driver_open(&worker);
    owner_open(&o, OUT_MAX);
    peer_close(&o);
    DRIVE_UNTIL(&worker, o.ends == 1);
    CHECK(stream_write(&o.stream, SLICE("hello?")));
    turns(&worker, 3);
    CHECK_EQ_INT(o.broken, 1);
    CHECK(!stream_is_open(&o.stream));
    owner_close(&o);
    driver_close(&worker);
}

TEST(a_peer_that_leaves_while_output_is_blocked_breaks_the_stream)
{
    struct owner o;
    driver_open(&worker);
    owner_open(&o, OUT_MAX);
    stream_pause(&o.stream);
    CHECK(stream_write(&o.stream, slice_of(big, sizeof big)));
    turns(&worker, 2);
    CHECK(o.stream.is_blocked);
    peer_close(&o);
    DRIVE_UNTIL(&worker, o.broken == 1);
    CHECK(!stream_is_open(&o.stream));
    owner_close(&o);
    driver_close(&worker);
}

TEST(unread_input_of_a_closed_peer_is_a_reset)
{
    struct owner o;
    driver_open(&worker);
    owner_open(&o, OUT_MAX);
    CHECK(stream_write(&o.stream, SLICE("never read")));
    turns(&worker, 1);
    peer_close(&o);
    DRIVE_UNTIL(&worker, o.errors == 1);
    CHECK(!stream_is_open(&o.stream));
    owner_close(&o);
    driver_close(&worker);
}

/* CPU time is what a spinning loop would show; the wait itself is the poll's. */
TEST(a_vanished_peer_of_a_paused_stream_costs_no_cpu)
{
    struct owner o;
    struct rusage before, after;
    driver_open(&worker);
    owner_open(&o, OUT_MAX);
    stream_pause(&o.stream);
    turns(&worker, 2);
    peer_close(&o);
    getrusage(RUSAGE_SELF, &before);
    int rounds = 0;
    for (double end = driver_seconds() + 0.1; driver_seconds() < end; rounds++)
        worker_turn(&worker, 20);
    getrusage(RUSAGE_SELF, &after);
    CHECK(rounds < 20);
    CHECK_EQ_INT(o.readable, 0);
    owner_close(&o);
    driver_close(&worker);
}

TEST(a_stream_may_be_closed_in_each_of_its_callbacks)
{
    struct owner reading, draining;
    driver_open(&worker);
    owner_open(&reading, OUT_MAX);
    reading.closes_when_readable = true;
    peer_send(&reading, "x");
    DRIVE_UNTIL(&worker, reading.readable == 1);
    CHECK(!stream_is_open(&reading.stream));
    owner_open(&draining, OUT_MAX);
    draining.closes_when_drained = true;
    CHECK(stream_write(&draining.stream, SLICE("bye")));
    peer_send(&draining, "x");
    turns(&worker, 2);
    CHECK_EQ_INT(draining.drained, 1);
    CHECK(!stream_is_open(&draining.stream));
    turns(&worker, 2);
    CHECK_EQ_INT(reading.readable, 1);
    owner_close(&reading);
    owner_close(&draining);
    driver_close(&worker);
}

static struct owner *other_owner;

static void
on_readable_close_other(struct stream *stream)
{
    on_readable(stream);
    if (other_owner != NULL) {
        stream_close(&other_owner->stream);
        buf_fini(&other_owner->in);
        free(other_owner);
    }
    other_owner = NULL;
}

/* Both have input in the same turn; the first closes and frees the second, or the reverse. */
TEST(a_stream_may_close_and_free_another_that_has_input_in_the_same_turn)
{
    static const struct stream_events closing = { .on_readable = on_readable_close_other,
                                                  .on_broken = on_broken };
    driver_open(&worker);
    for (int i = 0; i < 2; i++) {
        struct owner *a = malloc(sizeof *a), *b = malloc(sizeof *b);
        owner_open(a, OUT_MAX);
        owner_open(b, OUT_MAX);
        struct owner *killer = i == 0 ? a : b;
        other_owner = i == 0 ? b : a;
        int peers[] = { a->peer, b->peer };
        killer->stream.events = &closing;
        CHECK(stream_write(&other_owner->stream, SLICE("pending")));
        peer_send(a, "x");
        peer_send(b, "x");
        DRIVE_UNTIL(&worker, other_owner == NULL);
        turns(&worker, 3);
        CHECK_EQ_U64(killer->in.len, 1);
        killer->peer = peers[0];
        owner_close(killer);
        close(peers[1]);
        free(killer);
    }
    driver_close(&worker);
}

TEST(two_thousand_streams_open_write_and_close)
{
    char text[8];
    driver_open(&worker);
    for (int i = 0; i < 2000; i++) {
        struct owner o;
        owner_open(&o, OUT_MAX);
        CHECK(stream_write(&o.stream, SLICE("hi")));
        turns(&worker, 1);
        CHECK_EQ_U64(peer_read(&o, text, sizeof text), 2);
        owner_close(&o);
    }
    driver_close(&worker);
}
