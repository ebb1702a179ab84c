/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many clients at once that send parts of requests, pipeline, stop reading, half-close and reset at
 * random, against handlers that wait, read and answer at random. Nothing is expected of single
 * answers but their beginning; that nothing leaks, hangs or is used after its end is the point, so
 * this is for the sanitizers above all. The seed is fixed: a failure comes again.
 */
#include "rig.h"

enum { CLIENTS = 24, STEPS = 12000, WAITS = 64 };

static uint64_t seed;
static struct rig rig;
static struct wait *waits[WAITS];
static unsigned begun, ended;

static unsigned
draw(unsigned below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed % below);
}

static void
wait_somewhere(struct http_exchange *x)
{
    for (size_t i = 0; i < WAITS; i++) {
        if (waits[i] != NULL)
            continue;
        struct wait wait;
        wait_init(&wait, x->task, NULL);
        waits[i] = &wait;
        err_t err = TASK_WAIT(x->task, &wait);
        CHECK(err == OK || err == ERR_CANCELLED);
        if (waits[i] == &wait)
            waits[i] = NULL;
        return;
    }
}

static err_t
answer_in_pieces(struct http_exchange *x, const char *data, bool ends)
{
    err_t err = http_reply_start(x, 200, NULL, 0, draw(2) == 0 ? HTTP_LENGTH_UNKNOWN : 90000);
    for (int i = 0; i < 3 && err == OK; i++) {
        err = http_reply_write(x, slice_of(data, 30000));
        if (draw(3) == 0)
            wait_somewhere(x);
    }
    return err == OK && ends ? http_reply_end(x) : err;
}

static void
handle(struct http_exchange *x)
{
    static const char data[300000];
    struct slice body;
    begun++;
    if (draw(3) == 0)
        wait_somewhere(x);
    if (draw(2) == 0) {
        err_t err = http_body_read_all(x, 100000, &body);
        CHECK(err == OK || err == ERR_CLOSED || err == ERR_CANCELLED || err == ERR_MALFORMED ||
              err == ERR_TOO_LARGE || err == ERR_DEADLINE);
    } else if (draw(2) == 0) {
        (void)!http_body_read(x, &body); /* one piece, whatever comes */
    }
    switch (draw(6)) {
    case 0:
        (void)!answer_in_pieces(x, data, true);
        break;
    case 1:
        (void)!answer_in_pieces(x, data, draw(4) > 0);
        break;
    case 2:
        (void)http_reply(x, 200, NULL, 0, slice_of(data, draw(sizeof data)));
        break;
    case 3:
        break; /* no answer */
    default:
        (void)http_reply(x, 204, NULL, 0, SLICE_EMPTY);
        break;
    }
    ended++;
}

static const char *const texts[] = {
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ("GET / HTTP/1.1\r\nHost: x\r\n\r\n"
     "GET /b HTTP/1.1\r\nHost: x\r\n\r\n"
     "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde",
    "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nabcde",
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
     "3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: 1\r\n\r\n"),
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "\r\n",
    "0\r\n\r\n",
    "HELLO\r\n\r\n",
};

/* A client does something; returns its socket, or -1 when it has gone. */
static int
act(int fd)
{
    static char sink[65536];
    const char *text = texts[draw(ARRAY_LEN(texts) - (draw(8) > 0 ? 3 : 0))];
    size_t len = strlen(text);
    switch (draw(16)) {
    case 0:
        (void)close(fd);
        return -1;
    case 1:
        rig_reset(fd);
        return -1;
    case 2:
        (void)shutdown(fd, SHUT_WR);
        return fd;
    case 3:
        (void)!send(fd, text, draw((unsigned)len) + 1, MSG_NOSIGNAL);
        return fd;
    case 4:
        (void)!send(fd, sink, draw(sizeof sink), MSG_NOSIGNAL);
        return fd;
    case 5:
    case 6:
    case 7:
        return recv(fd, sink, sizeof sink, 0) == 0 ? (close(fd), -1) : fd;
    default:
        (void)!send(fd, text, len, MSG_NOSIGNAL);
        return fd;
    }
}

static void
wake_one(void)
{
    size_t i = draw(WAITS);
    if (waits[i] != NULL && !waits[i]->is_done) {
        struct wait *wait = waits[i];
        waits[i] = NULL;
        wait_done(wait, OK);
    }
}

static void
chaos(uint64_t with_seed)
{
    int fds[CLIENTS];
    seed = with_seed;
    begun = ended = 0;
    memset(fds, -1, sizeof fds);
    memset(waits, 0, sizeof waits);
    rig_start(&rig, NULL, handle, NULL);
    for (int step = 0; step < STEPS; step++) {
        int *fd = &fds[draw(CLIENTS)];
        *fd = *fd < 0 ? rig_connect(&rig) : act(*fd);
        if (draw(2) == 0)
            wake_one();
        if (draw(3) == 0)
            worker_turn(&rig.worker, 0);
        if (draw(200) == 0)
            clock_advance_ms(draw(70000));
    }
    rig_stop(&rig);
    CHECK(begun > 100);
    CHECK_EQ_INT(begun, ended);
    for (size_t i = 0; i < CLIENTS; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
}

TEST(chaos_ends_in_order)
{
    for (uint64_t i = 1; i <= 5; i++)
        chaos(i * UINT64_C(88172645463325252));
}
