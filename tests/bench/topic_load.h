/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What topic_load.c and its two protocols, which are parts of it, share: publishers, each with a
 * request of its own in which tokens say whose messages these are and of which turn.
 */
#ifndef BENCH_TOPIC_LOAD_H
#define BENCH_TOPIC_LOAD_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/slice.h"

enum {
    IN_BYTES = 256 * 1024,
    OUT_BYTES_MAX = 64 * 1024 * 1024,
    PUBLISHERS_MAX = 1024,
};

static struct {
    uint64_t port, app_port, messages, grpc;
    const char *path, *message_file;
} options = { .messages = 1, .path = "/" };

struct publisher {
    struct buf request; /* what goes over the wire; over gRPC the message behind its prefix */
    uint64_t sent_ns;
    uint64_t turn;
    uint64_t to_come; /* deliveries of this turn */
    size_t sent;      /* bytes, over gRPC */
    int fd;           /* over HTTP */
    bool is_answered, was_refused;
};

static struct publisher publishers[PUBLISHERS_MAX];

/* One end of a connection that epoll watches. */
struct end {
    void (*on_ready)(struct end *end);
    int fd;
};

static void die(const char *what) __attribute__((noreturn));
static void watch(struct end *end);
static int dial(void);
static void on_answer(struct publisher *publisher, bool is_good);
/* Counts every message that a request of the sidecar holds. */
static void on_request(struct slice body);

#endif
