/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plays the sidecar for one plugin process: starts it, greets it, opens a component and calls its
 * state operations, any number of them at a time. Blocking, one thread.
 */
#ifndef SQLITE_PEER_H
#define SQLITE_PEER_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/wire.h"
#include "bus/frame.h"
#include "bus/sp.h"
#include "test.h"

enum {
    METHOD_INIT = 1,
    METHOD_START = 2,
    METHOD_CLOSE = 4,
    METHOD_STATE_GET = 32,
    METHOD_STATE_SET = 34,
    METHOD_STATE_TRANSACT = 36,
    COMPONENT = 1,
    EPOCH = 7,
    CREDIT_STEP = 1024 * 1024,
    PEER_WAIT_MS = 60000,
    TOKEN_HEX = 64,
};

struct peer {
    pid_t pid;
    int listener, fd;
    struct buf in, out;
    struct sp_decoder decoder;
    uint64_t next_call;
    int64_t credit;    /* payload bytes we may send */
    uint64_t received; /* payload bytes not yet given back */
};

/* A reply, valid until the next peer_receive(). */
struct peer_reply {
    uint64_t call;
    uint32_t code;
    uint32_t effect;
    struct slice status;
    struct slice message;
    struct slice body;
};

static inline struct slice
text(const char *s)
{
    return slice_of(s, strlen(s));
}

static inline const char *
plugin_path(const char *name)
{
    static char path[300];
    const char *build = getenv("REMORA_BUILD");
    snprintf(path, sizeof path, "%s/plugins/%s/%s", build != NULL ? build : "build", name, name);
    return path;
}

static inline void
peer_spawn(struct peer *peer, const char *url, const char *const *arguments)
{
    /* The token is read from descriptor 3; a pipe holds it until then. */
    int token[2];
    char digits[TOKEN_HEX];
    memset(digits, 'a', sizeof digits);
    REQUIRE(pipe(token) == 0 && write(token[1], digits, sizeof digits) == sizeof digits);
    close(token[1]);
    char variable[240];
    snprintf(variable, sizeof variable, "REMORA_URL=%s", url);
    char *environment[] = { variable, NULL, NULL, NULL, NULL };
    size_t count = 1;
    static const char *const kept[] = { "PATH", "ASAN_OPTIONS", "TSAN_OPTIONS" };
    static char copies[3][400];
    for (size_t i = 0; i < 3; i++) {
        if (getenv(kept[i]) == NULL)
            continue;
        snprintf(copies[i], sizeof copies[i], "%s=%s", kept[i], getenv(kept[i]));
        environment[count++] = copies[i];
    }
    static char copy[16][300];
    char *argv[17] = { NULL };
    for (size_t i = 0; i < 16 && arguments[i] != NULL; i++) {
        snprintf(copy[i], sizeof copy[i], "%s", arguments[i]);
        argv[i] = copy[i];
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, token[0], 3);
    REQUIRE(posix_spawnp(&peer->pid, argv[0], &actions, NULL, argv, environment) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(token[0]);
}

/* False once the other side is gone. */
static inline bool
peer_fill(struct peer *peer, int wait_ms)
{
    struct pollfd poll_fd = { .fd = peer->fd, .events = POLLIN };
    if (poll(&poll_fd, 1, wait_ms) <= 0)
        return false;
    char *at = buf_reserve(&peer->in, 256 * 1024);
    REQUIRE(at != NULL);
    ssize_t n = read(peer->fd, at, 256 * 1024);
    if (n > 0)
        buf_commit(&peer->in, (size_t)n);
    return n > 0;
}

static inline bool
peer_flush(struct peer *peer)
{
    while (peer->out.len > 0) {
        struct slice out = buf_slice(&peer->out);
        ssize_t n = send(peer->fd, out.data, out.len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        buf_consume(&peer->out, (size_t)n);
    }
    return true;
}

static inline bool
peer_next_frame(struct peer *peer, int wait_ms, struct frame *ret_frame)
{
    struct slice message;
    enum sp_status status;
    while ((status = sp_decode(&peer->decoder, &peer->in, &message)) == SP_MORE)
        if (!peer_fill(peer, wait_ms))
            return false;
    REQUIRE(status == SP_MESSAGE);
    REQUIRE(frame_decode(message, ret_frame) == OK);
    return true;
}

static inline void
peer_send(struct peer *peer, const struct frame *frame, const struct slice *parts, size_t count)
{
    REQUIRE(frame_append(&peer->out, frame, parts, count));
}

/* Starts the program with its arguments and greets it. */
static inline void
peer_start(struct peer *peer, const char *dir, const char *const *arguments)
{
    static unsigned serial;
    *peer = (struct peer){ .fd = -1, .next_call = 1, .credit = 8 * 1024 * 1024 };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s/plugin%u", dir, serial++);
    peer->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(bind(peer->listener, (struct sockaddr *)&address, sizeof address) == 0);
    REQUIRE(listen(peer->listener, 1) == 0);
    char url[200];
    snprintf(url, sizeof url, "ipc://%s", address.sun_path);
    peer_spawn(peer, url, arguments);
    struct pollfd poll_fd = { .fd = peer->listener, .events = POLLIN };
    REQUIRE(poll(&poll_fd, 1, PEER_WAIT_MS) == 1);
    peer->fd = accept(peer->listener, NULL, NULL);
    /* A copy in the next process would keep this one's connection open. */
    REQUIRE(peer->fd >= 0 && fcntl(peer->fd, F_SETFD, FD_CLOEXEC) == 0);

    buf_init(&peer->in, 16 * 1024 * 1024);
    buf_init(&peer->out, 16 * 1024 * 1024);
    peer->decoder = (struct sp_decoder){ .peer = SP_PAIR0,
                                         .message_bytes_max = LIMIT_frame_bytes_max };
    char greeting[SP_HANDSHAKE_BYTES];
    sp_handshake(SP_PAIR0, greeting);
    REQUIRE(buf_append(&peer->out, slice_of(greeting, sizeof greeting)));
    struct frame frame;
    REQUIRE(peer_flush(peer) && peer_next_frame(peer, PEER_WAIT_MS, &frame));
    REQUIRE(frame.kind == FRAME_HELLO);
    char ack[64], *end = ack;
    end = wire_put_number(end, 1, 1);
    end = wire_put_number(end, 3, EPOCH);
    end = wire_put_bytes(end, 5, text("app"));
    end = wire_put_number(end, 7, LIMIT_frame_bytes_max);
    end = wire_put_number(end, 8, LIMIT_call_credit_bytes);
    end = wire_put_number(end, 9, LIMIT_link_credit_bytes);
    struct frame reply = { .kind = FRAME_HELLO_ACK,
                           .epoch = EPOCH,
                           .payload = slice_of(ack, (size_t)(end - ack)) };
    peer_send(peer, &reply, NULL, 0);
    REQUIRE(peer_flush(peer));
}

/* Queues a call; peer_flush() sends it. */
static inline uint64_t
peer_call(struct peer *peer, uint32_t method, struct slice message, struct slice body)
{
    struct slice parts[] = { message, body };
    struct frame frame = { .kind = FRAME_REQUEST,
                           .call = peer->next_call,
                           .epoch = EPOCH,
                           .method = method,
                           .component = COMPONENT,
                           .message_bytes = (uint32_t)message.len,
                           .payload_bytes = message.len + body.len };
    peer->next_call += 2;
    peer->credit -= (int64_t)(message.len + body.len);
    peer_send(peer, &frame, parts, 2);
    return frame.call;
}

static inline void
peer_return_credit(struct peer *peer, size_t bytes)
{
    peer->received += bytes;
    if (peer->received < CREDIT_STEP)
        return;
    struct frame credit = { .kind = FRAME_CREDIT, .epoch = EPOCH, .credit_bytes = peer->received };
    peer_send(peer, &credit, NULL, 0);
    peer->received = 0;
    REQUIRE(peer_flush(peer));
}

/* The next response that fits one frame. False if the plugin is gone or silent. */
static inline bool
peer_receive(struct peer *peer, struct peer_reply *ret_reply)
{
    struct frame frame;
    for (;;) {
        if (!peer_next_frame(peer, PEER_WAIT_MS, &frame))
            return false;
        if (frame.kind == FRAME_CREDIT && frame.call == 0)
            peer->credit += (int64_t)frame.credit_bytes;
        if (frame.kind == FRAME_RESPONSE)
            break;
    }
    peer_return_credit(peer, frame.payload.len);
    *ret_reply = (struct peer_reply){
        .call = frame.call,
        .code = frame.has_status ? frame.status.code : 0,
        .effect = frame.has_status ? frame.status.effect : 0,
        .status = frame.has_status ? frame.status.message : SLICE_EMPTY,
        .message = slice_of(frame.payload.data, frame.message_bytes),
        .body = slice_of(frame.payload.data + frame.message_bytes,
                         frame.payload.len - frame.message_bytes),
    };
    return true;
}

static inline struct peer_reply
peer_ask(struct peer *peer, uint32_t method, struct slice message, struct slice body)
{
    struct peer_reply reply = { .code = 99 };
    uint64_t call = peer_call(peer, method, message, body);
    REQUIRE(peer_flush(peer) && peer_receive(peer, &reply));
    REQUIRE(reply.call == call);
    return reply;
}

static inline char *
put_pair(char *at, unsigned field, const char *name, const char *value)
{
    char pair[500], *end = pair;
    end = wire_put_bytes(end, 1, text(name));
    end = wire_put_bytes(end, 2, text(value));
    return wire_put_bytes(at, field, slice_of(pair, (size_t)(end - pair)));
}

/* `metadata` are names and values, ended by NULL. */
static inline uint64_t
peer_call_init(struct peer *peer, const char *type, const char *const *metadata)
{
    char message[2000], *end = message;
    end = wire_put_bytes(end, 1, text("store"));
    end = wire_put_bytes(end, 2, text(type));
    end = wire_put_bytes(end, 3, text("v1"));
    for (; *metadata != NULL; metadata += 2)
        end = put_pair(end, 4, metadata[0], metadata[1]);
    return peer_call(peer, METHOD_INIT, slice_of(message, (size_t)(end - message)), SLICE_EMPTY);
}

static inline struct peer_reply
peer_init(struct peer *peer, const char *type, const char *const *metadata)
{
    struct peer_reply reply = { .code = 99 };
    peer_call_init(peer, type, metadata);
    REQUIRE(peer_flush(peer) && peer_receive(peer, &reply));
    if (reply.code == 0)
        CHECK_EQ_INT(peer_ask(peer, METHOD_START, SLICE_EMPTY, SLICE_EMPTY).code, 0);
    return reply;
}

static inline uint64_t
peer_call_set(struct peer *peer, const char *key, struct slice value)
{
    char item[300], message[310], *end = item;
    end = wire_put_bytes(end, 1, text(key));
    end = wire_put_number(end, 2, value.len);
    end = wire_put_number(end, 3, 1);
    char *message_end = wire_put_bytes(message, 1, slice_of(item, (size_t)(end - item)));
    return peer_call(peer, METHOD_STATE_SET, slice_of(message, (size_t)(message_end - message)),
                     value);
}

static inline struct peer_reply
peer_get(struct peer *peer, const char *key)
{
    char message[300];
    char *end = wire_put_bytes(message, 1, text(key));
    return peer_ask(peer, METHOD_STATE_GET, slice_of(message, (size_t)(end - message)),
                    SLICE_EMPTY);
}

/* Waits for the end of the process; its status as waitpid() tells it. */
static inline int
peer_end(struct peer *peer)
{
    int status = -1;
    close(peer->fd);
    close(peer->listener);
    buf_fini(&peer->in);
    buf_fini(&peer->out);
    waitpid(peer->pid, &status, 0);
    return status;
}

#endif
