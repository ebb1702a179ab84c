/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of HTTP/1.1 connections to one target; h1_client_conn.c has the connections. */
#include "http/h1_client.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"

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
        h1_client_conn_free(oldest);
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
        h1_client_conn_free(conn);
    }
    arm(client);
    return NULL;
}

/* --- taken and given back ----------------------------------------------------------------------*/

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
    err_t err = h1_client_dial(t, client, call); /* suspends */
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
        h1_client_conn_free(conn);
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
free_idle(struct h1_client *client)
{
    struct list *node;
    while ((node = list_take_first(&client->idle)) != NULL)
        h1_client_conn_free(LIST_ENTRY(node, struct h1_client_conn, link));
}

static void
client_free(struct h1_client *client)
{
    assert(client->call_count == 0);
    free_idle(client);
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
    free_idle(client);
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
