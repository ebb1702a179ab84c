/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/2 client against an application that does what the input says, step by step: frames in
 * any order with any content, raw bytes, time passing, requests read or not, the end. Calls of
 * every manner are under way: gRPC questions, streams that write and read, ones that are given up.
 * After it nothing may be left: no task, no timer, no connection.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "async/listener.h"
#include "async/offload.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/grpc_client.h"

#include "fuzz_peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CALLS = 5, TURNS = 8, ANSWER_MAX = 65536 };

static struct worker worker;
static struct client *client;
static int listener;
static char folder[] = "/tmp/h2-answer-XXXXXX", path[64];
static unsigned begun;

/* --- calls -------------------------------------------------------------------------------------*/

static void
question(struct task *t)
{
    const struct http_header metadata = { SLICE("x-own"), SLICE("1") };
    const struct grpc_question q = { .path = SLICE("/a.B/C"),
                                     .message = SLICE("message"),
                                     .metadata = &metadata,
                                     .metadata_count = 1,
                                     .answer_bytes_max = ANSWER_MAX };
    struct grpc_answer answer;
    err_t err = grpc_ask(t, client, &q, &answer);
    assert(err != OK || answer.is_peers);
    assert(answer.message.len <= ANSWER_MAX);
}

static void
stream(struct task *t, size_t bytes, bool is_read)
{
    static const char zeros[1024];
    const struct client_head head = { .method = SLICE("POST"),
                                      .target = SLICE("/x"),
                                      .body_length = HTTP_LENGTH_UNKNOWN };
    struct client_call call;
    struct slice chunk;
    err_t err = client_start(t, client, &head, &call);
    for (size_t sent = 0; err == OK && sent < bytes; sent += sizeof zeros)
        err = client_write(t, &call, slice_of(zeros, sizeof zeros));
    if (err == OK)
        err = client_end(t, &call);
    if (err == OK && is_read)
        err = client_head(t, &call);
    for (size_t i = 0; err == OK && is_read && i < call.header_count; i++)
        assert(call.headers[i].name.len > 0);
    while (err == OK && is_read && (err = client_read(t, &call, &chunk)) == OK && chunk.len > 0)
        ;
    client_finish(&call);
}

static void
call_main(struct task *t, void *arg)
{
    (void)arg;
    uint64_t outer = task_deadline_push(t, 20000);
    switch (begun++ % CALLS) {
    case 0:
    case 1:
        question(t);
        break;
    case 2:
        stream(t, 100000, true);
        break;
    case 3:
        stream(t, 0, true);
        break;
    default: /* given up */
        stream(t, 10, false);
        break;
    }
    task_deadline_pop(t, outer);
}

/* --- the application ---------------------------------------------------------------------------*/

static void
turn(void)
{
    worker_turn(&worker, 0);
    if (peer < 0)
        peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static void
start_call(struct mail *mail)
{
    (void)mail;
    struct task *t = task_spawn(&worker, "call", call_main, NULL);
    assert(t != NULL);
}

static void
close_client(struct mail *mail)
{
    (void)mail;
    client_close(client);
}

static void
run(void (*fn)(struct mail *mail))
{
    static struct mail mail;
    worker_post(&worker, &mail, fn);
    turn();
}

static void
step(struct input *in)
{
    switch (take(in) % 10) {
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
        turn();
        break;
    case 5:
        hear();
        break;
    case 6:
        if (worker.tasks.count < 100)
            run(start_call);
        break;
    case 7:
        (void)close(peer); /* and the client comes again when it has reason to */
        peer = -1;
        turn();
        break;
    default:
        turn();
        break;
    }
}

/* --- the whole ---------------------------------------------------------------------------------*/

static void
end(void)
{
    worker_fini(&worker);
    offload_fini();
    (void)close(listener);
    (void)unlink(path);
    (void)rmdir(folder);
}

static void
set_up(void)
{
    static bool is_set_up;
    if (is_set_up)
        return;
    log_threshold = LOG_FATAL + 1;
    err_t err = worker_init(&worker, 0);
    assert(err == OK && mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof path, "%s/s", folder); /* fits */
    listener = listener_bind_unix(path, 0600);
    int failed = atexit(end);
    assert(listener >= 0 && !failed);
    is_set_up = true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    set_up();
    clock_fake(UINT64_C(1000000000000), INT64_C(1795625229000));
    struct input in = { data, data + size };
    begun = 0;
    client = client_new(
        &worker, &(struct client_config){ .protocol = CLIENT_H2, .unix_path = slice_str(path) });
    for (int i = 0; i < CALLS; i++)
        run(start_call);
    for (int i = 0; i < TURNS && peer < 0; i++)
        turn();
    if (take(&in) % 4 != 0)
        give("\0\0\0\4\0\0\0\0\0", 9); /* settings */
    turn();
    while (in.at < in.end)
        step(&in);
    for (int i = 0; i < TURNS; i++)
        turn();
    (void)close(peer);
    peer = -1;
    run(close_client);
    for (int i = 0; i < 200 && (worker.tasks.count > 0 || worker.timers.count > 0); i++) {
        clock_advance_ms(1000);
        turn();
        (void)close(peer);
        peer = -1;
    }
    assert(worker.tasks.count == 0 && worker.timers.count == 0);
    for (int i = 0; i < TURNS; i++)
        turn();
    int left;
    while ((left = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
        (void)close(left); /* dialled, and not needed any more */
    return 0;
}
