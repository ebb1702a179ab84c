/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP client on a worker driven by the test's own thread, and plain sockets that play the
 * server, line by line. Nothing sleeps: what is waited for is waited for with a deadline.
 */
#ifndef TESTS_HTTP_CLIENT_BED_H
#define TESTS_HTTP_CLIENT_BED_H

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "async/listener.h"
#include "async/worker.h"
#include "base/clock.h"
#include "base/limits.h"
#include "http/client.h"

#include "../async/driver.h"
#include "test.h"

struct bed {
    struct worker worker;
    struct client *client;
    int listening;
    uint16_t port;
};

static inline void
bed_open(struct bed *bed, const struct client_config *like)
{
    *bed = (struct bed){ .listening = -1 };
    driver_open(&bed->worker);
    bed->listening = listener_bind_tcp(SLICE("127.0.0.1"), 0, false);
    REQUIRE(bed->listening >= 0);
    bed->port = listener_port(bed->listening);
    struct client_config config = { 0 };
    if (like != NULL)
        config = *like;
    config.host = SLICE("127.0.0.1");
    config.port = bed->port;
    if (like == NULL || like->protocol == CLIENT_H1)
        bed->client = client_new(&bed->worker, &config);
}

static inline void
bed_close(struct bed *bed)
{
    DRIVE_UNTIL(&bed->worker, bed->worker.tasks.count == 0);
    client_close(bed->client);
    CHECK_EQ_U64(worker_timer_count(&bed->worker), 0);
    if (bed->listening >= 0)
        (void)close(bed->listening);
    driver_close(&bed->worker);
}

/* --- the asking side ---------------------------------------------------------------------------*/

/* A whole exchange on a task of its own; the test looks at what came of it. */
struct ask {
    struct client *client;
    const char *method;
    const char *body; /* NULL: none */
    bool is_chunked;
    uint64_t deadline_ms; /* 0: none */
    struct http_header headers[4];
    size_t header_count;
    bool never_reads; /* stops after the head */

    struct task *task;
    err_t err;
    int status;
    bool was_sent;
    char answer[256];
    size_t answer_len;
    char words[256];
    char content_type[64];
    int64_t content_length;
    bool is_done;
};

static inline err_t
ask_body(struct task *t, struct ask *ask, struct client_call *call)
{
    size_t len = ask->body == NULL ? 0 : strlen(ask->body);
    err_t err = OK;
    for (size_t at = 0; err == OK && at < len; at += 7) /* in small pieces */
        err = client_write(t, call, slice_of(ask->body + at, len - at < 7 ? len - at : 7));
    return err == OK ? client_end(t, call) : err;
}

static inline err_t
ask_answer(struct task *t, struct ask *ask, struct client_call *call)
{
    struct slice chunk;
    err_t err = client_head(t, call);
    if (err != OK)
        return err;
    ask->status = call->status;
    ask->content_length = call->content_length;
    struct slice type = client_header_get(call, SLICE("content-type"));
    snprintf(ask->content_type, sizeof ask->content_type, "%.*s", (int)type.len,
             type.data == NULL ? "" : type.data);
    while (!ask->never_reads && (err = client_read(t, call, &chunk)) == OK && chunk.len > 0) {
        REQUIRE(ask->answer_len + chunk.len <= sizeof ask->answer);
        memcpy(ask->answer + ask->answer_len, chunk.data, chunk.len);
        ask->answer_len += chunk.len;
    }
    return err;
}

static inline void
ask_main(struct task *t, void *arg)
{
    struct ask *ask = arg;
    struct client_call call;
    size_t len = ask->body == NULL ? 0 : strlen(ask->body);
    const struct client_head head = {
        .method = slice_str(ask->method),
        .target = SLICE("/x?y=1"),
        .headers = ask->headers,
        .header_count = ask->header_count,
        .body_length = ask->is_chunked ? HTTP_LENGTH_UNKNOWN : (int64_t)len,
    };
    uint64_t outer = task_deadline_push(t, ask->deadline_ms == 0 ? UINT64_MAX : ask->deadline_ms);
    ask->err = client_start(t, ask->client, &head, &call);
    if (ask->err == OK) {
        err_t written = ask_body(t, ask, &call);
        ask->err = ask_answer(t, ask, &call);
        if (ask->err == OK && written != ERR_PEER_LOST)
            ask->err = written;
    }
    task_deadline_pop(t, outer);
    struct slice words = task_diag(t)->message;
    snprintf(ask->words, sizeof ask->words, "%.*s", (int)words.len,
             words.data == NULL ? "" : words.data);
    ask->was_sent = call.was_sent;
    client_finish(&call);
    client_finish(&call); /* twice is once */
    ask->is_done = true;
}

static inline void
bed_ask(struct bed *bed, struct ask *ask)
{
    ask->client = bed->client;
    if (ask->method == NULL)
        ask->method = "GET";
    ask->task = task_spawn(&bed->worker, "ask", ask_main, ask);
    REQUIRE(ask->task != NULL);
}

struct bed_cancel {
    struct mail mail;
    struct task *task;
};

static inline void
bed_on_cancel(struct mail *mail)
{
    task_cancel(container_of(mail, struct bed_cancel, mail)->task);
}

static inline void
bed_cancel(struct bed *bed, struct ask *ask)
{
    struct bed_cancel cancel = { .task = ask->task };
    worker_post(&bed->worker, &cancel.mail, bed_on_cancel);
    worker_turn(&bed->worker, 0);
}

#define BED_WAIT(bed, ask) DRIVE_UNTIL(&(bed)->worker, (ask)->is_done)

/* --- the server's side -------------------------------------------------------------------------*/

/* -1: nobody has come. */
static inline int
bed_accept_now(struct bed *bed)
{
    int fd = accept(bed->listening, NULL, NULL);
    if (fd >= 0)
        REQUIRE(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    return fd;
}

static inline int
bed_accept(struct bed *bed)
{
    int fd = -1;
    DRIVE_UNTIL(&bed->worker, (fd = bed_accept_now(bed)) >= 0);
    return fd;
}

/* Exactly this text comes next. */
static inline void
bed_expect(struct bed *bed, int fd, const char *text)
{
    char got[2048];
    size_t len = strlen(text), have = 0;
    REQUIRE(len <= sizeof got);
    double end = driver_seconds() + DRIVER_DEADLINE_S;
    while (have < len && driver_seconds() < end) {
        ssize_t n = recv(fd, got + have, len - have, 0);
        if (n > 0)
            have += (size_t)n;
        else if (n == 0 || errno != EAGAIN)
            break;
        else
            worker_turn(&bed->worker, 1);
    }
    CHECK_EQ_MEM(got, have, text, len);
}

static inline void
bed_send_mem(struct bed *bed, int fd, const char *data, size_t len)
{
    double end = driver_seconds() + DRIVER_DEADLINE_S;
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent > 0) {
            data += sent;
            len -= (size_t)sent;
            continue;
        }
        REQUIRE(errno == EAGAIN && driver_seconds() < end);
        worker_turn(&bed->worker, 1);
    }
}

static inline void
bed_send(struct bed *bed, int fd, const char *text)
{
    bed_send_mem(bed, fd, text, strlen(text));
}

/* The client closes its end. */
static inline void
bed_expect_end(struct bed *bed, int fd)
{
    char byte;
    ssize_t got = -1;
    DRIVE_UNTIL(&bed->worker,
                (got = recv(fd, &byte, 1, 0)) == 0 || (got < 0 && errno == ECONNRESET));
    (void)close(fd);
}

/* Ends with a reset. */
static inline void
bed_reset(int fd)
{
    const struct linger now = { .l_onoff = 1 };
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    (void)close(fd);
}

#endif
