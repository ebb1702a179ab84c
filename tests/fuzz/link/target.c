/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link and a plugin that does what the input says, step by step: frames in any order with any
 * lengths, raw bytes, calls of ours started and cancelled in between, time passing, the end. After
 * it nothing may be left: no task, no call, no reference.
 */
#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "async/worker.h"
#include "base/clock.h"
#include "base/log.h"
#include "bus/link.h"
#include "remora/plugin/v1/plugin.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { JOBS = 8, EPOCH = 1, PAYLOAD_MAX = 255 * 1024 };

static struct worker worker;
static struct link *tested;
static int peer;
static bool is_lost;
static struct buf out;
static char payload[PAYLOAD_MAX];

/* --- the kernel's side -------------------------------------------------------------------------*/

static const char *
on_hello(struct link *link, const struct Remora__Plugin__V1__Hello *hello)
{
    (void)link;
    (void)hello;
    return NULL;
}

static void
on_ready(struct link *link)
{
    (void)link;
}

static void
on_lost(struct link *link, const char *reason)
{
    (void)link;
    assert(!is_lost && reason != NULL);
    is_lost = true;
}

static void
on_log(struct link *link, int level, struct slice message)
{
    (void)link;
    (void)level;
    assert(slice_is_utf8(message));
}

static void
on_host_call(struct task *t, struct host_call *call)
{
    if (call->method % 3 == 0)
        return; /* forgets to answer */
    err_t err = OK;
    if (call->method % 3 == 1)
        err = task_sleep(t, call->method); /* ends early when it is cancelled */
    struct frame_status status = { .code = (uint32_t)err_info(err)->grpc,
                                   .message = slice_str(err_info(err)->name),
                                   .reason = SLICE_EMPTY };
    host_call_reply(t, call, err == OK ? NULL : &status, host_call_message(call),
                    host_call_body(call));
}

static const struct link_events events = { .on_hello = on_hello,
                                           .on_ready = on_ready,
                                           .on_lost = on_lost,
                                           .on_log = on_log,
                                           .on_host_call = on_host_call };

static struct job {
    struct task *task; /* NULL: free */
    struct link_args args;
    struct slice part;
    uint64_t timeout_ms;
} jobs[JOBS];

static void
run_job(struct task *t, void *arg)
{
    struct job *job = arg;
    struct link_call call;
    struct slice chunk = SLICE_EMPTY;
    (void)task_deadline_push(t, job->timeout_ms);
    err_t err = link_call(t, tested, &job->args, &call);
    uint64_t sum = 0;
    for (size_t i = 0; err == OK && i < call.message.len; i++)
        sum += (unsigned char)call.message.data[i];
    for (size_t i = 0; err == OK && i < call.status.message.len; i++)
        sum += (unsigned char)call.status.message.data[i];
    while (err == OK && (err = link_call_body(t, &call, &chunk)) == OK && chunk.len > 0) {
        task_yield(t);
        for (size_t i = 0; i < chunk.len; i++)
            sum += (unsigned char)chunk.data[i];
    }
    link_call_finish(&call);
    job->task = sum == UINT64_MAX ? t : NULL; /* the bytes have to be read for something */
}

/* --- the script --------------------------------------------------------------------------------*/

static struct {
    const uint8_t *at, *end;
} script;

static uint8_t
next(void)
{
    return script.at < script.end ? *script.at++ : 0;
}

/* A length: small, or so many KiB. */
static size_t
next_size(void)
{
    size_t size = next();
    return size < 128 ? size : (size - 128) * 2048;
}

static void
put_frame(uint32_t kind)
{
    uint8_t flags = next();
    uint64_t call = next();
    size_t len = next_size();
    struct frame frame = { .kind = kind,
                           .epoch = flags & 1 ? EPOCH + 1 : EPOCH,
                           .call = flags & 2 ? UINT64_MAX - call : call,
                           .open_ended = flags & 4,
                           .has_status = flags & 8,
                           .method = next(),
                           .message_bytes = (uint32_t)next_size(),
                           .payload_bytes = flags & 16 ? len : next_size(),
                           .payload = slice_of(payload, len < PAYLOAD_MAX ? len : PAYLOAD_MAX) };
    if (flags & 8)
        frame.status.code = next();
    if (kind == FRAME_CREDIT)
        frame.credit_bytes = flags & 32 ? UINT64_MAX : next_size();
    if (kind == FRAME_REQUEST) {
        frame.depth = next();
        frame.timeout_ms = flags & 64 ? next() : 0;
    }
    bool put = frame_append(&out, &frame, NULL, 0);
    (void)put; /* a full buffer: the frame is left out */
}

static void
flush(void)
{
    while (out.len > 0) {
        ssize_t sent = send(peer, buf_slice(&out).data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent <= 0)
            return;
        buf_consume(&out, (size_t)sent);
    }
}

static void
turn(void)
{
    flush();
    worker_turn(&worker, 0);
}

static void
swallow(void)
{
    static char bytes[256 * 1024];
    while (recv(peer, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
    }
}

static void
start_job(void)
{
    struct job *job = &jobs[next() % JOBS];
    uint8_t flags = next();
    if (job->task != NULL)
        return;
    job->part = slice_of(payload, next_size() % PAYLOAD_MAX);
    job->timeout_ms = 10u * next();
    job->args = (struct link_args){ .method = 32,
                                    .is_write = flags & 1,
                                    .message = SLICE("message"),
                                    .body_parts = &job->part,
                                    .body_part_count = 1 };
    job->task = task_spawn(&worker, "job", run_job, job);
}

static void
cancel_job(struct mail *mail)
{
    struct job *job = &jobs[next() % JOBS];
    if (job->task != NULL)
        task_cancel(job->task);
    free(mail);
}

static void
close_link(struct mail *mail)
{
    link_close(tested, "closed by the owner");
    free(mail);
}

static void
post(mail_fn *fn)
{
    struct mail *mail = malloc(sizeof *mail);
    assert(mail != NULL);
    worker_post(&worker, mail, fn);
    turn();
}

static void
put_raw(void)
{
    for (size_t left = next(); left > 0; left--) {
        char byte = (char)next();
        if (!buf_append(&out, slice_of(&byte, 1)))
            return;
    }
}

static void
step(uint8_t op)
{
    switch (op % 16) {
    case 8:
        put_raw();
        break;
    case 9:
        turn();
        break;
    case 10:
        start_job();
        break;
    case 11:
        post(cancel_job);
        break;
    case 12:
        clock_advance_ms(100u * next());
        break;
    case 13:
        swallow();
        break;
    case 14:
        if (next() == 255)
            (void)shutdown(peer, SHUT_RDWR);
        break;
    case 15:
        if (next() == 255)
            post(close_link);
        break;
    default:
        put_frame(FRAME_REQUEST + op % 16); /* REQUEST … LOG */
        break;
    }
}

/* --- one run -----------------------------------------------------------------------------------*/

static void
greet(void)
{
    char greeting[SP_HANDSHAKE_BYTES];
    sp_handshake(SP_PAIR0, greeting);
    /* Hello { token: "t", protocol_major: 1 } */
    struct frame hello = { .kind = FRAME_HELLO, .payload = SLICE("\x0a\x01t\x10\x01") };
    bool put = buf_append(&out, slice_of(greeting, sizeof greeting)) &&
               frame_append(&out, &hello, NULL, 0);
    assert(put);
    turn();
    turn();
    swallow();
}

/* Pooled stacks hold memory that a leak check cannot see. */
static void
end(void)
{
    worker_fini(&worker);
    buf_fini(&out);
}

static void
begin(void)
{
    static bool is_set_up;
    int failed;
    if (!is_set_up) {
        log_threshold = LOG_FATAL + 1;
        clock_fake(1000000000, 0);
        err_t err = worker_init(&worker, 0);
        assert(err == OK);
        buf_init(&out, 4 * 1024 * 1024);
        failed = atexit(end);
        assert(!failed);
        is_set_up = true;
    }
    int fds[2];
    failed = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
    assert(!failed);
    peer = fds[1];
    is_lost = false;
    tested = link_new(&worker, fds[0],
                      &(struct link_config){ .events = &events, .token = "t", .epoch = EPOCH });
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    begin();
    script.at = data;
    script.end = data + size;
    if (next() % 16 != 0)
        greet();
    for (int steps = 0; script.at < script.end && steps < 2000; steps++)
        step(next());
    turn();
    turn();
    post(close_link); /* on its worker, as everything of a link */
    for (int i = 0; i < 100 && worker.tasks.count > 0; i++)
        worker_turn(&worker, 0);
    assert(is_lost);
    assert(worker.tasks.count == 0);
    assert(tested->call_count == 0);
    assert(tested->host_call_count == 0);
    assert(tested->host_bytes == 0);
    assert(atomic_load(&tested->refs) == 1);
    link_unref(tested);
    close(peer);
    buf_clear(&out);
    return 0;
}
