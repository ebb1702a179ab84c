/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection of the HTTP/2 server and a client that does what the input says, step by step:
 * frames in any order with any content, raw bytes, time passing, answers read or not, the end.
 * Handlers read, answer, wait, forget, and speak gRPC. After it nothing may be left: no task, no
 * timer, no connection.
 */
#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "async/worker.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/grpc.h"
#include "http/h2_server.h"

#include "fuzz_peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 65536, TURNS_AT_END = 4 };

static struct worker worker;
static bool is_closed;

/* --- handlers ----------------------------------------------------------------------------------*/

static void
echo_grpc(struct http_exchange *x)
{
    struct grpc_call call;
    struct slice message;
    bool has_message;
    if (!grpc_begin(x, MESSAGE_MAX, &call))
        return;
    while (grpc_read(&call, &message, &has_message)) {
        if (!has_message) {
            grpc_end(&call, GRPC_OK, SLICE_EMPTY, SLICE("details"));
            return;
        }
        if (grpc_send(&call, message) != OK)
            return;
    }
    grpc_end(&call, call.code, call.message, SLICE_EMPTY);
}

static void
echo_body(struct http_exchange *x)
{
    struct slice piece;
    err_t err = http_reply_start(x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN);
    while (err == OK && (err = http_body_read(x, &piece)) == OK && piece.len > 0)
        err = http_reply_write(x, piece);
    if (err == OK)
        (void)http_reply_end(x);
}

static void
handle(struct http_exchange *x)
{
    static const char large[200000];
    const struct http_header header = { SLICE("x-path"), x->path };
    assert(x->version_major == 2 && x->path.len > 0);
    for (size_t i = 0; i < x->header_count; i++)
        assert(x->headers[i].name.len > 0);
    if (http_header_get(x, SLICE("content-type")).data != NULL) {
        echo_grpc(x);
        return;
    }
    switch (x->path.len % 6) {
    case 0:
        echo_body(x);
        break;
    case 1:
        if (http_admit(x) == OK)
            (void)http_reply(x, 200, NULL, 0, slice_of(large, sizeof large));
        break;
    case 2:
        (void)http_reply(x, 204, &header, 1, SLICE_EMPTY); /* refused if the path breaks it */
        break;
    case 3: {
        err_t err = task_sleep(x->task, 5000);
        (void)http_reply(x, err == OK ? 200 : 503, NULL, 0, SLICE("x"));
        break;
    }
    default: /* forgets */
        break;
    }
}

/* --- the client --------------------------------------------------------------------------------*/

static void
step(struct input *in)
{
    switch (take(in) % 8) {
    case 0:
    case 1:
    case 2:
        give_frame(in);
        break;
    case 3:
        give_rest(in, take(in));
        break;
    case 4:
        clock_advance_ms(take(in) * 100);
        worker_turn(&worker, 0);
        break;
    case 5:
        hear();
        break;
    default:
        worker_turn(&worker, 0);
        break;
    }
}

/* --- the whole ---------------------------------------------------------------------------------*/

static void
ignore(struct stream *stream)
{
    (void)stream;
}

static void
on_closed(void *arg)
{
    (void)arg;
    is_closed = true;
}

static struct h2_server *server;

static void
open_connection(struct mail *mail)
{
    static const struct stream_events events = { ignore, ignore, ignore };
    static struct stream stream;
    int pair[2];
    (void)mail;
    int made = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
    assert(made == 0);
    peer = pair[1];
    stream_open(&stream, &worker, pair[0], &events, 1024);
    bool taken = h2_server_adopt(server, &stream, false, SLICE_EMPTY, NULL);
    assert(taken);
}

static void
close_server(struct mail *mail)
{
    (void)mail;
    h2_server_close(server, on_closed, NULL);
}

static void
run(void (*fn)(struct mail *mail))
{
    static struct mail mail;
    worker_post(&worker, &mail, fn);
    worker_turn(&worker, 0);
}

static void
end(void)
{
    worker_fini(&worker);
}

static void
set_up(void)
{
    static bool is_set_up;
    if (is_set_up)
        return;
    log_threshold = LOG_FATAL + 1;
    err_t err = worker_init(&worker, 0);
    int failed = atexit(end);
    assert(err == OK && !failed);
    is_set_up = true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    set_up();
    clock_fake(UINT64_C(1000000000000), INT64_C(1795625229000));
    struct h2_config config = h2_config_default();
    config.has_keepalive = size % 2 != 0;
    struct input in = { data, data + size };
    is_closed = false;
    server = h2_server_new(&worker, &config, handle, NULL);
    run(open_connection);
    if (take(&in) % 4 != 0)
        give("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
    while (in.at < in.end)
        step(&in);
    for (int i = 0; i < TURNS_AT_END; i++)
        worker_turn(&worker, 0);
    run(close_server);
    for (int i = 0; i < 100 && !is_closed; i++)
        worker_turn(&worker, 0);
    assert(is_closed && worker.tasks.count == 0 && worker.timers.count == 0);
    (void)close(peer);
    return 0;
}
