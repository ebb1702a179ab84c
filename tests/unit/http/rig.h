/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server on a worker driven by the test's own thread, and plain sockets as its clients. Nothing
 * sleeps: rig_* functions turn the loop until what they wait for is there, or fail the test after
 * some seconds. The clock stands still unless a test moves it.
 */
#ifndef TESTS_HTTP_RIG_H
#define TESTS_HTTP_RIG_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#include "async/worker.h"
#include "base/clock.h"
#include "base/limits.h"
#include "http/h1_server.h"

#include "test.h"

#define RIG_DATE "Date: Wed, 25 Nov 2026 16:47:09 GMT\r\n"

struct rig {
    struct worker worker;
    struct h1_server *server;
    uint16_t port;
    bool is_server_gone;
};

static inline void
rig_on_closed(void *arg)
{
    ((struct rig *)arg)->is_server_gone = true;
}

static inline void
rig_start(struct rig *rig, const struct h1_config *config, http_handler *handler, void *arg)
{
    struct h1_config standard = h1_config_default();
    *rig = (struct rig){ .port = 0 };
    clock_fake(UINT64_C(1000000000000), INT64_C(1795625229000));
    REQUIRE_OK(worker_init(&rig->worker, 0));
    int fd = listener_bind_tcp(SLICE("127.0.0.1"), 0, false);
    REQUIRE(fd >= 0);
    rig->port = listener_port(fd);
    rig->server = h1_server_new(&rig->worker, fd, config == NULL ? &standard : config, handler,
                                arg);
}

static inline uint64_t
rig_real_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Turns until the condition holds. */
#define RIG_UNTIL(rig, condition)                                                                  \
    do {                                                                                           \
        uint64_t rig_give_up_ms = rig_real_ms() + 10000;                                           \
        while (!(condition) && rig_real_ms() < rig_give_up_ms)                                     \
            worker_turn(&(rig)->worker, 1);                                                        \
        REQUIRE(condition);                                                                        \
    } while (0)

/* Some turns in which nothing is expected to happen. */
static inline void
rig_turn(struct rig *rig)
{
    for (int i = 0; i < 5; i++)
        worker_turn(&rig->worker, 0);
}

struct rig_mail {
    struct mail mail;
    void (*fn)(struct rig *rig);
    struct rig *rig;
};

static inline void
rig_on_mail(struct mail *mail)
{
    struct rig_mail *m = container_of(mail, struct rig_mail, mail);
    m->fn(m->rig);
}

/* Runs fn where the server's functions belong: on the worker, inside a turn. */
static inline void
rig_run(struct rig *rig, void (*fn)(struct rig *rig))
{
    struct rig_mail m = { .fn = fn, .rig = rig };
    worker_post(&rig->worker, &m.mail, rig_on_mail);
    worker_turn(&rig->worker, 0);
}

static inline void
rig_do_close(struct rig *rig)
{
    h1_server_close(rig->server, rig_on_closed, rig);
}

static inline void
rig_stop(struct rig *rig)
{
    rig_run(rig, rig_do_close);
    RIG_UNTIL(rig, rig->is_server_gone);
    CHECK_EQ_U64(rig->worker.tasks.count, 0);
    CHECK_EQ_U64(worker_timer_count(&rig->worker), 0);
    worker_turn(&rig->worker, 0);
    worker_fini(&rig->worker);
    clock_use_real();
}

/* A client; connected when it returns. */
static inline int
rig_connect(struct rig *rig)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(rig->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    REQUIRE(connect(fd, (const struct sockaddr *)&address, sizeof address) == 0);
    REQUIRE(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    return fd;
}

static inline void
rig_send_mem(struct rig *rig, int fd, const char *data, size_t len)
{
    uint64_t give_up_ms = rig_real_ms() + 10000;
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent > 0) {
            data += sent;
            len -= (size_t)sent;
            continue;
        }
        REQUIRE(errno == EAGAIN && rig_real_ms() < give_up_ms);
        worker_turn(&rig->worker, 1);
    }
}

static inline void
rig_send(struct rig *rig, int fd, const char *text)
{
    rig_send_mem(rig, fd, text, strlen(text));
}

/* Up to `len` bytes; fewer if the server closes. *ret_is_reset may be NULL. */
static inline size_t
rig_receive(struct rig *rig, int fd, char *data, size_t len, bool *ret_is_reset)
{
    size_t got = 0;
    uint64_t give_up_ms = rig_real_ms() + 10000;
    if (ret_is_reset != NULL)
        *ret_is_reset = false;
    while (got < len && rig_real_ms() < give_up_ms) {
        ssize_t n = recv(fd, data + got, len - got, 0);
        if (n == 0)
            return got;
        if (n > 0) {
            got += (size_t)n;
        } else if (errno == EAGAIN) {
            worker_turn(&rig->worker, 1);
        } else {
            if (ret_is_reset != NULL)
                *ret_is_reset = true;
            return got;
        }
    }
    return got;
}

/* Exactly this text comes next. */
static inline void
rig_expect(struct rig *rig, int fd, const char *text)
{
    static char data[256 * 1024];
    size_t len = strlen(text);
    REQUIRE(len <= sizeof data);
    size_t got = rig_receive(rig, fd, data, len, NULL);
    CHECK_EQ_MEM(data, got, text, len);
}

/* Exactly this text comes, and then the end. */
static inline void
rig_expect_end(struct rig *rig, int fd, const char *text)
{
    static char data[256 * 1024];
    size_t got = rig_receive(rig, fd, data, sizeof data, NULL);
    CHECK_EQ_MEM(data, got, text, strlen(text));
}

/* Nothing comes, and the connection is open. */
static inline void
rig_expect_nothing(struct rig *rig, int fd)
{
    char byte;
    rig_turn(rig);
    CHECK(recv(fd, &byte, 1, 0) < 0 && errno == EAGAIN);
}

/* Closes with a reset. */
static inline void
rig_reset(int fd)
{
    const struct linger now = { .l_onoff = 1 };
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    (void)close(fd);
}

#endif
