/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server of sp_server.h under test, in two ways: with its loop turned by the test (raw sockets,
 * which do not block), or with the loop on a thread of its own (clients that block, libnng's).
 */
#ifndef ADMIN_RIG_H
#define ADMIN_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <nng/nng.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "admin/rep.h"
#include "admin/sp_server.h"
#include "base/clock.h"
#include "base/log.h"
#include "test.h"

struct rig {
    struct ev_loop *loop;
    struct sp_server *server;
    char path[220];
    unsigned messages; /* received */
    pthread_t thread;
    bool has_thread;
    ev_async stop;
    ev_async order;
    void (*on_order)(struct rig *rig); /* on the loop's thread */
};

/* The server answers with what it was asked. */
static inline bool
rig_echo(void *arg, struct sp_client *client, struct slice message)
{
    struct rig *rig = arg;
    struct slice stack, body;
    rig->messages++;
    return rep_split(message, &stack, &body) && sp_client_send(client, stack, body);
}

static inline struct sp_server_config
rig_rep(struct rig *rig)
{
    return (struct sp_server_config){ .own = SP_REP0,
                                      .peer = SP_REQ0,
                                      .clients_max = 8,
                                      .message_bytes_max = 64 * 1024,
                                      .output_bytes_max = 1024 * 1024,
                                      .greeting_ms = 5000,
                                      .idle_ms = 60000,
                                      .arg = rig,
                                      .on_message = rig_echo };
}

static inline struct sp_server_config
rig_pub(struct rig *rig)
{
    (void)rig;
    return (struct sp_server_config){ .own = SP_PUB0,
                                      .peer = SP_SUB0,
                                      .clients_max = 8,
                                      .message_bytes_max = 1,
                                      .output_bytes_max = 64 * 1024,
                                      .greeting_ms = 5000 };
}

static inline void
rig_open(struct rig *rig, struct sp_server_config config)
{
    log_threshold = LOG_FATAL; /* hostile clients are what is tested */
    snprintf(rig->path, sizeof rig->path, "%s/s", test_dir());
    rig->loop = ev_loop_new(EVFLAG_AUTO);
    REQUIRE(rig->loop != NULL);
    config.loop = rig->loop;
    config.path = rig->path;
    rig->server = sp_server_open(&config);
    REQUIRE(rig->server != NULL);
}

static inline void
rig_on_stop(struct ev_loop *loop, ev_async *async, int events)
{
    (void)async;
    (void)events;
    ev_break(loop, EVBREAK_ALL);
}

static inline void
rig_on_order(struct ev_loop *loop, ev_async *async, int events)
{
    (void)loop;
    (void)events;
    struct rig *rig = async->data;
    rig->on_order(rig);
}

static inline void *
rig_run(void *arg)
{
    ev_run(((struct rig *)arg)->loop, 0);
    return NULL;
}

static inline void
rig_start_thread(struct rig *rig)
{
    ev_async_init(&rig->stop, rig_on_stop);
    ev_async_init(&rig->order, rig_on_order);
    rig->order.data = rig;
    ev_async_start(rig->loop, &rig->stop);
    ev_async_start(rig->loop, &rig->order);
    REQUIRE(pthread_create(&rig->thread, NULL, rig_run, rig) == 0);
    rig->has_thread = true;
}

static inline void
rig_close(struct rig *rig)
{
    if (rig->has_thread) {
        ev_async_send(rig->loop, &rig->stop);
        pthread_join(rig->thread, NULL);
        ev_async_stop(rig->loop, &rig->stop);
        ev_async_stop(rig->loop, &rig->order);
    }
    sp_server_close(rig->server);
    CHECK(access(rig->path, F_OK) != 0);
    ev_loop_destroy(rig->loop);
}

/* Turns the loop until nothing is left to do. */
static inline void
rig_turn(struct rig *rig)
{
    for (int i = 0; i < 20; i++)
        ev_run(rig->loop, EVRUN_NOWAIT);
}

/* A raw, non-blocking connection. */
static inline int
rig_connect(struct rig *rig)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%.107s", rig->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    REQUIRE(connect(fd, (const struct sockaddr *)&address, sizeof address) == 0);
    REQUIRE(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    return fd;
}

static inline void
rig_send(int fd, const void *bytes, size_t len)
{
    CHECK_EQ_INT(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

/* Everything that has come; -1 if the other side has closed. */
static inline ssize_t
rig_receive(int fd, char *bytes, size_t size)
{
    size_t len = 0;
    for (;;) {
        ssize_t got = recv(fd, bytes + len, size - len, MSG_DONTWAIT);
        if (got < 0)
            return errno == EAGAIN ? (ssize_t)len : -1;
        if (got == 0)
            return len > 0 ? (ssize_t)len : -1;
        len += (size_t)got;
        if (len == size)
            return (ssize_t)len;
    }
}

static inline bool
rig_is_closed(int fd)
{
    char bytes[64];
    return rig_receive(fd, bytes, sizeof bytes) < 0;
}

#define GREETING_REQ "\0SP\0\0\x30\0\0"
#define GREETING_REP "\0SP\0\0\x31\0\0"
#define GREETING_SUB "\0SP\0\0\x21\0\0"

/* Connects, greets, and takes the greeting. */
static inline int
rig_greet(struct rig *rig, const char *greeting)
{
    char bytes[64];
    int fd = rig_connect(rig);
    rig_send(fd, greeting, 8);
    rig_turn(rig);
    CHECK_EQ_INT(rig_receive(fd, bytes, sizeof bytes), 8);
    return fd;
}

#endif
