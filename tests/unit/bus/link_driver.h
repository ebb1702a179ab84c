/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link on a worker that the test turns by hand, and a scripted plugin at the other end of a
 * socket pair, which speaks in raw frames and so can say anything. Time stands still unless moved.
 */
#ifndef LINK_DRIVER_H
#define LINK_DRIVER_H

#include <fcntl.h>
#include <sys/socket.h>

#include "async/worker.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/pb.h"
#include "bus/link.h"
#include "lib/test.h"
#include "remora/plugin/v1/plugin.pb-c.h"

#define TOKEN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

enum { EPOCH = 7, TURNS_MAX = 200000, HELD_MAX = 512 * 1024 };

/* --- the kernel's side -------------------------------------------------------------------------*/

static struct worker worker;
static struct link *link_; /* link() is a system call */
static int ready_count, answered_count, lost_count, log_count;
static const char *lost_reason;
static const char *hello_refusal;
static char last_log[8192];
static int last_level;
static bool close_when_ready;
static void (*serve)(struct task *t, struct host_call *call);

static inline const char *
on_test_hello(struct link *link, const struct Remora__Plugin__V1__Hello *hello)
{
    (void)link;
    CHECK_EQ_STR(hello->name, "scripted");
    return hello_refusal;
}

static inline void
on_test_ready(struct link *link)
{
    ready_count++;
    if (close_when_ready)
        link_close(link, "closed by on_ready");
}

static inline void
on_test_answered(struct link *link)
{
    CHECK_EQ_INT(link->answered_count, 1);
    answered_count++;
}

static inline void
on_test_lost(struct link *link, const char *reason)
{
    CHECK_EQ_PTR(link, link_);
    lost_count++;
    lost_reason = reason;
}

static inline void
on_test_log(struct link *link, int level, struct slice message)
{
    (void)link;
    log_count++;
    last_level = level;
    memcpy(last_log, message.data, message.len);
    last_log[message.len] = '\0';
}

static inline void
on_test_host_call(struct task *t, struct host_call *call)
{
    if (serve != NULL)
        serve(t, call);
}

static const struct link_events test_events = { .on_hello = on_test_hello,
                                                .on_ready = on_test_ready,
                                                .on_answered = on_test_answered,
                                                .on_lost = on_test_lost,
                                                .on_log = on_test_log,
                                                .on_host_call = on_test_host_call };

/* --- the plugin's side -------------------------------------------------------------------------*/

static struct peer {
    int fd;
    bool is_deaf; /* reads nothing */
    struct buf in;
    struct buf out;
    struct sp_decoder decoder;
    uint32_t epoch;
    bool saw_end;
} peer;

static inline void
peer_write(const void *bytes, size_t len)
{
    REQUIRE(buf_append(&peer.out, slice_of(bytes, len)));
}

static inline void
peer_send_parts(struct frame frame, const struct slice *parts, size_t count)
{
    frame.epoch = peer.epoch;
    REQUIRE(frame_append(&peer.out, &frame, parts, count));
}

static inline void
peer_send(struct frame frame)
{
    peer_send_parts(frame, NULL, 0);
}

static inline void
peer_flush(void)
{
    while (peer.out.len > 0) {
        struct slice bytes = buf_slice(&peer.out);
        ssize_t sent = send(peer.fd, bytes.data, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent <= 0)
            return;
        buf_consume(&peer.out, (size_t)sent);
    }
}

static inline void
peer_fill(void)
{
    char *at = buf_reserve(&peer.in, 64 * 1024);
    REQUIRE(at != NULL);
    ssize_t got = recv(peer.fd, at, 64 * 1024, MSG_DONTWAIT);
    if (got > 0)
        buf_commit(&peer.in, (size_t)got);
    else if (got == 0)
        peer.saw_end = true;
}

static inline bool
peer_decode(struct frame *ret_frame)
{
    struct slice message;
    enum sp_status status = sp_decode(&peer.decoder, &peer.in, &message);
    if (status == SP_MORE)
        return false;
    REQUIRE(status == SP_MESSAGE);
    REQUIRE_OK(frame_decode(message, ret_frame));
    return true;
}

/* The next frame that is here already; its slices are good until the next call. */
static inline bool
peer_next(struct frame *ret_frame)
{
    if (peer_decode(ret_frame))
        return true;
    if (peer.is_deaf)
        return false;
    peer_fill();
    return peer_decode(ret_frame);
}

static inline void
turn(void)
{
    peer_flush();
    worker_turn(&worker, 0);
    peer_flush();
}

/* Long enough for anything that needs no more input. */
static inline void
settle(void)
{
    for (int i = 0; i < 8 || (peer.out.len > 0 && !peer.saw_end && i < 1000 && lost_count == 0);
         i++)
        turn();
}

/* The next frame of that kind; others are passed over. */
static inline struct frame
peer_expect(uint32_t kind)
{
    struct frame frame = { 0 };
    for (int i = 0; i < TURNS_MAX; i++) {
        while (peer_next(&frame))
            if (frame.kind == kind)
                return frame;
        turn();
    }
    fprintf(stderr, "no frame of kind %u came\n", kind);
    test_give_up();
    return frame;
}

/* No frame of that kind is on the way. Takes everything that is. */
static inline unsigned
peer_count(uint32_t kind)
{
    struct frame frame;
    unsigned count = 0;
    for (int i = 0; i < 8; i++) {
        turn();
        while (peer_next(&frame))
            count += frame.kind == kind;
    }
    return count;
}

static inline void
peer_greet(void)
{
    char bytes[SP_HANDSHAKE_BYTES];
    sp_handshake(SP_PAIR0, bytes);
    peer_write(bytes, sizeof bytes);
}

static inline void
peer_hello(const char *token, uint32_t major)
{
    struct arena arena;
    arena_init(&arena);
    Remora__Plugin__V1__Hello hello = REMORA__PLUGIN__V1__HELLO__INIT;
    hello.token = pb_string(&arena, slice_str(token));
    hello.protocol_major = major;
    hello.name = pb_string(&arena, SLICE("scripted"));
    peer_send((struct frame){ .kind = FRAME_HELLO, .payload = pb_pack(&arena, &hello.base) });
    arena_fini(&arena);
}

/* --- both --------------------------------------------------------------------------------------*/

static inline void
start_greeting(void)
{
    static const char *const services[] = { "state" };
    clock_fake(1000u * 1000000u, 1764000000000);
    log_threshold = LOG_FATAL;
    ready_count = answered_count = lost_count = log_count = 0;
    lost_reason = hello_refusal = NULL;
    close_when_ready = false;
    serve = NULL;
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    peer = (struct peer){ .fd = fds[1] };
    buf_init(&peer.in, 64u * 1024 * 1024);
    buf_init(&peer.out, 256u * 1024 * 1024);
    peer.decoder = (struct sp_decoder){ .peer = SP_PAIR0,
                                        .message_bytes_max = LIMIT_frame_bytes_max };
    REQUIRE_OK(worker_init(&worker, 0));
    link_ = link_new(&worker, fds[0],
                     &(struct link_config){ .events = &test_events,
                                            .token = TOKEN,
                                            .epoch = EPOCH,
                                            .kernel_version = "1.0",
                                            .app_id = "app",
                                            .namespace_ = "",
                                            .host_services = services,
                                            .host_service_count = 1 });
}

static inline void
start_ready(void)
{
    start_greeting();
    peer_greet();
    peer_hello(TOKEN, 1);
    (void)peer_expect(FRAME_HELLO_ACK);
    peer.epoch = EPOCH;
    REQUIRE(link_is_ready(link_));
}

/* Whatever happened, nothing is left over. */
static inline void
stop(void)
{
    link_close(link_, "end of the test");
    for (int i = 0; i < 100 && worker.tasks.count > 0; i++)
        turn();
    CHECK_EQ_INT(worker.tasks.count, 0);
    CHECK_EQ_INT(link_->call_count, 0);
    CHECK_EQ_INT(link_->host_call_count, 0);
    CHECK_EQ_INT(link_->host_bytes, 0);
    CHECK_EQ_INT(lost_count, 1);
    CHECK_EQ_INT(atomic_load(&link_->refs), 1);
    link_unref(link_);
    worker_fini(&worker);
    close(peer.fd);
    buf_fini(&peer.in);
    buf_fini(&peer.out);
    clock_use_real();
}

/* The link died, for that reason; the plugin sees the end of the connection. */
static inline void
check_lost(const char *reason)
{
    settle();
    CHECK_EQ_INT(lost_count, 1);
    CHECK_EQ_STR(lost_reason, reason);
    struct frame frame;
    for (int i = 0; i < 1000 && !peer.saw_end; i++)
        (void)peer_next(&frame);
    CHECK(peer.saw_end || lost_count == 0);
}

/* --- payloads that can be checked --------------------------------------------------------------*/

/* Byte i of every long payload. */
static inline char
pattern(uint64_t i)
{
    return (char)(i % 251);
}

static inline struct slice
pattern_slice(uint64_t from, size_t len)
{
    static char bytes[251 + 256 * 1024];
    if (bytes[1] == 0)
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = pattern(i);
    REQUIRE(len <= 256 * 1024);
    return slice_of(bytes + from % 251, len);
}

static inline bool
is_pattern(uint64_t from, struct slice bytes)
{
    return slice_eq(bytes, pattern_slice(from, bytes.len));
}

/* --- calls -------------------------------------------------------------------------------------*/

/* One call on a task of its own, with all that came of it. */
struct job {
    struct link_args args;
    uint64_t timeout_ms; /* 0: none */
    bool reads_slowly;   /* waits for job->permits before each chunk */
    int permits;
    struct wait *waiting;
    struct task *task;
    const struct link_call *call; /* while it lives */
    size_t held_max;              /* most bytes it held back */
    bool is_done;
    err_t err;
    err_t body_err;
    struct frame_status status;
    char status_message[256];
    char message[256];
    size_t message_len;
    uint64_t body_bytes;
    bool body_is_wrong;
    int64_t announced;
};

static inline err_t
wait_for_permit(struct task *t, struct job *job)
{
    while (job->reads_slowly && job->permits == 0) {
        struct wait wait;
        wait_init(&wait, t, NULL);
        job->waiting = &wait;
        err_t err = TASK_WAIT(t, &wait);
        job->waiting = NULL;
        if (err != OK)
            return err;
    }
    job->permits--;
    return OK;
}

static inline void
permit(struct job *job, int count)
{
    job->permits += count;
    if (job->waiting != NULL)
        wait_done(TAKE(job->waiting), OK);
}

static inline err_t
read_body(struct task *t, struct link_call *call, struct job *job)
{
    for (;;) {
        struct slice chunk;
        err_t err = wait_for_permit(t, job);
        if (err == OK)
            err = link_call_body(t, call, &chunk);
        if (err != OK || chunk.len == 0)
            return err;
        task_yield(t); /* more may arrive while it is held */
        size_t held = call->body.capacity + call->held.capacity;
        job->held_max = held > job->held_max ? held : job->held_max;
        job->body_is_wrong = job->body_is_wrong || !is_pattern(job->body_bytes, chunk);
        job->body_bytes += chunk.len;
    }
}

static inline void
run_job(struct task *t, void *arg)
{
    struct job *job = arg;
    if (job->timeout_ms > 0)
        (void)task_deadline_push(t, job->timeout_ms);
    struct link_call call;
    job->call = &call;
    job->err = link_call(t, link_, &job->args, &call);
    if (job->err == OK) {
        job->status = call.status;
        snprintf(job->status_message, sizeof job->status_message, SLICE_FMT,
                 SLICE_ARG(call.status.message));
        job->message_len = call.message.len;
        memcpy(job->message, call.message.data,
               call.message.len < sizeof job->message ? call.message.len : sizeof job->message);
        job->announced = link_call_body_bytes(&call);
        job->body_err = read_body(t, &call, job);
    }
    link_call_finish(&call);
    job->is_done = true;
    job->task = NULL;
}

static inline void
start_job(struct job *job)
{
    job->task = task_spawn(&worker, "job", run_job, job);
    REQUIRE(job->task != NULL);
}

/* An ordinary small call. */
static inline struct job
small_job(void)
{
    return (struct job){ .args = { .method = 240, .component = 3, .message = SLICE("hello") } };
}

/* Answers with a message and nothing else. */
static inline void
peer_answer(uint64_t id, struct slice message)
{
    peer_send((struct frame){ .kind = FRAME_RESPONSE,
                              .call = id,
                              .message_bytes = (uint32_t)message.len,
                              .payload_bytes = message.len,
                              .payload = message });
}

#endif
