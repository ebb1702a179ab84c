/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool of HTTP/1.1 connections to one target. An unused connection is watched: one that the
 * server ends, or on which something comes that nobody has asked for, goes.
 */
#include "http/h1_client.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "async/connect.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/tls.h"

#define SCOPE "remora.client"

static void on_readable(struct stream *stream);
static void on_drained(struct stream *stream);
static void on_broken(struct stream *stream);

static const struct stream_events events = { on_readable, on_drained, on_broken };

static struct h1_client_conn *
conn_of(struct stream *stream)
{
    return container_of(stream, struct h1_client_conn, stream);
}

size_t
h1_client_in_bytes_max(const struct h1_client *client)
{
    size_t most = client->config.head_bytes_max;
    if (most < LIMIT_client_read_ahead_bytes)
        most = LIMIT_client_read_ahead_bytes;
    return most + LIMIT_client_read_bytes;
}

/* --- one connection ----------------------------------------------------------------------------*/

static void
conn_free(struct h1_client_conn *conn)
{
    list_remove(&conn->link);
    stream_close(&conn->stream);
    buf_fini(&conn->in);
    conn->client->conn_count--;
    free(conn);
}

void
h1_client_resume(struct h1_client_conn *conn)
{
    if (!conn->is_ended && !conn->is_lost)
        stream_resume(&conn->stream);
}

static void
on_unasked(struct h1_client_conn *conn, enum stream_got got)
{
    if (got == STREAM_NOTHING)
        return;
    if (got == STREAM_BYTES)
        log_debug(SCOPE, "connection %d: unasked bytes of the server, closing it", conn->stream.fd);
    conn_free(conn);
}

static void
on_readable(struct stream *stream)
{
    struct h1_client_conn *conn = conn_of(stream);
    enum stream_got got = stream_read(stream, &conn->in, LIMIT_client_read_bytes);
    if (conn->call == NULL) {
        on_unasked(conn, got);
        return;
    }
    switch (got) {
    case STREAM_BYTES:
        if (conn->in.max - conn->in.len < LIMIT_client_read_bytes)
            stream_pause(stream);
        break;
    case STREAM_NOTHING: /* a step of TLS, perhaps the last */
        break;
    case STREAM_END:
        conn->is_ended = true;
        stream_pause(stream);
        break;
    case STREAM_ERROR:
        conn->is_lost = conn->is_closed = true;
        stream_pause(stream);
        h1_client_on_output(conn->call);
        break;
    }
    h1_client_on_input(conn->call);
}

static void
on_drained(struct stream *stream)
{
    struct h1_client_conn *conn = conn_of(stream);
    if (conn->call != NULL)
        h1_client_on_output(conn->call);
}

/* What the server had sent before it left is still to be read. */
static void
on_broken(struct stream *stream)
{
    struct h1_client_conn *conn = conn_of(stream);
    conn->is_closed = true;
    if (conn->call != NULL)
        h1_client_on_output(conn->call);
    else
        conn_free(conn);
}

/* --- unused connections ------------------------------------------------------------------------*/

static void
arm(struct h1_client *client)
{
    if (list_is_empty(&client->idle)) {
        timer_stop(&client->worker->timers, &client->idle_timer);
        return;
    }
    const struct h1_client_conn *oldest = LIST_ENTRY(client->idle.prev, struct h1_client_conn,
                                                     link);
    timer_set(&client->worker->timers, &client->idle_timer,
              oldest->idle_since_ms + client->config.idle_ms);
}

static void
on_idle(struct timer *timer)
{
    struct h1_client *client = container_of(timer, struct h1_client, idle_timer);
    uint64_t now_ms = clock_now_ms();
    while (!list_is_empty(&client->idle)) {
        struct h1_client_conn *oldest = LIST_ENTRY(client->idle.prev, struct h1_client_conn, link);
        if (oldest->idle_since_ms + client->config.idle_ms > now_ms)
            break;
        conn_free(oldest);
    }
    arm(client);
}

/* The loop tells of a closed connection once a turn; one that was unused for long may have been
 * closed since. */
static bool
is_alive(const struct h1_client_conn *conn)
{
    char byte;
    if (clock_now_ms() - conn->idle_since_ms < LIMIT_client_idle_check_ms)
        return true;
    ssize_t got = recv(conn->stream.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got < 0 || (got > 0 && conn->client->config.tls != NULL); /* TLS talks by itself */
}

static struct h1_client_conn *
take_idle(struct h1_client *client)
{
    struct list *node;
    while ((node = list_take_first(&client->idle)) != NULL) {
        struct h1_client_conn *conn = LIST_ENTRY(node, struct h1_client_conn, link);
        if (is_alive(conn)) {
            arm(client);
            return conn;
        }
        conn_free(conn);
    }
    arm(client);
    return NULL;
}

/* --- new connections ---------------------------------------------------------------------------*/

/* Suspends until TLS is agreed on. */
static err_t
shake_hands(struct task *t, struct h1_client_conn *conn)
{
    struct h1_client_call *call = conn->call;
    while (!tls_is_established(&conn->stream)) {
        if (conn->is_lost || conn->is_ended) {
            struct slice why = tls_error(&conn->stream);
            return DIAG_FAIL(task_diag(t), ERR_PEER_UNREACHABLE, SLICE_FMT,
                             SLICE_ARG(why.len > 0 ? why : SLICE("EOF")));
        }
        struct wait wait;
        wait_init(&wait, t, NULL);
        call->in_wait = &wait;
        err_t err = TASK_WAIT(t, &wait);
        call->in_wait = NULL;
        if (err != OK)
            return err;
    }
    return OK;
}

static err_t
dial(struct task *t, struct h1_client *client, struct h1_client_call *call)
{
    const struct connect_target target = { .host = client->config.host,
                                           .port = client->config.port,
                                           .unix_path = client->config.unix_path };
    int fd;
    err_t err = connect_to(t, &target, &fd); /* suspends */
    if (err != OK)
        return err;
    struct h1_client_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        abort();
    conn->client = client;
    conn->call = call;
    list_init(&conn->link);
    buf_init(&conn->in, h1_client_in_bytes_max(client));
    stream_open(&conn->stream, client->worker, fd, &events, LIMIT_client_output_bytes);
    client->conn_count++;
    if (client->config.tls != NULL) {
        err = ERR_PEER_UNREACHABLE;
        call->is_shaking_hands = true;
        if (tls_start(&conn->stream, client->config.tls, task_diag(t)))
            err = shake_hands(t, conn); /* suspends */
    }
    if (err != OK)
        conn_free(conn);
    else
        call->conn = conn;
    return err;
}

err_t
h1_client_take(struct task *t, struct h1_client *client, struct h1_client_call *call,
               bool must_be_new)
{
    struct h1_client_conn *conn = must_be_new ? NULL : take_idle(client);
    if (conn != NULL) {
        conn->call = call;
        call->conn = conn;
        return OK;
    }
    uint64_t outer = task_deadline_push(t, client->config.connect_ms);
    err_t err = dial(t, client, call); /* suspends */
    task_deadline_pop(t, outer);
    if (err == ERR_DEADLINE && task_time_left_ms(t) > 0)
        err = call->is_shaking_hands
                  ? DIAG_FAIL(task_diag(t), ERR_PEER_UNREACHABLE, "net/http: TLS handshake timeout")
                  : DIAG_FAIL(task_diag(t), ERR_PEER_UNREACHABLE,
                              "dial tcp " SLICE_FMT ": i/o timeout",
                              SLICE_ARG(client->config.authority));
    return err;
}

void
h1_client_give_back(struct h1_client_conn *conn, bool is_reusable)
{
    struct h1_client *client = conn->client;
    conn->call = NULL;
    if (!is_reusable || client->is_closing || conn->in.len > 0) {
        conn_free(conn);
        return;
    }
    buf_release(&conn->in);
    conn->was_used = true;
    conn->idle_since_ms = clock_now_ms();
    list_append(client->idle.next, &conn->link); /* in front */
    arm(client);
    h1_client_resume(conn);
}

/* --- the pool ----------------------------------------------------------------------------------*/

static void
client_free(struct h1_client *client)
{
    assert(client->call_count == 0);
    struct list *node;
    while ((node = client->idle.next) != &client->idle)
        conn_free(LIST_ENTRY(node, struct h1_client_conn, link));
    timer_stop(&client->worker->timers, &client->idle_timer);
    client_config_fini(&client->config);
    free(client);
}

void
h1_client_left(struct h1_client *client, bool had_place)
{
    if (had_place)
        gate_leave(&client->gate, 1);
    if (--client->call_count == 0 && client->is_closing)
        client_free(client);
}

static void
close_client(struct client *base)
{
    struct h1_client *client = container_of(base, struct h1_client, base);
    client->is_closing = true;
    if (client->call_count == 0) {
        client_free(client);
        return;
    }
    struct list *node;
    while ((node = client->idle.next) != &client->idle)
        conn_free(LIST_ENTRY(node, struct h1_client_conn, link));
    arm(client);
}

static size_t
connections(const struct client *base)
{
    const struct h1_client *client = (const void *)base; /* its first member */
    return client->conn_count;
}

static const struct client_kind h1_kind = {
    .start = h1_client_start,
    .close = close_client,
    .connections = connections,
};

struct client *
h1_client_new(struct worker *worker, const struct client_config *config)
{
    struct h1_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        abort();
    client->base.kind = &h1_kind;
    client->worker = worker;
    client_config_init(&client->config, config);
    gate_init(&client->gate, client->config.connections_max, client->config.waiters_max);
    list_init(&client->idle);
    timer_init(&client->idle_timer, on_idle);
    return &client->base;
}
