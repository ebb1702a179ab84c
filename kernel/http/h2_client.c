/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool of HTTP/2 connections of one worker to one target. One connection carries all calls
 * until so many wait that a second is worth it; a lost one is dialled again when a call wants it,
 * and calls wait for that, since none may hang and none need fail for a restart that was quick.
 */
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "async/connect.h"
#include "base/clock.h"
#include "http/h2_client.h"

enum { DIAL_TEXT_MAX = 1024, SPARE_CALLS_MAX = 128, KEEP_BYTES = 4096 };

/* --- calls -------------------------------------------------------------------------------------*/

struct h2_call *
h2_client_call_take(struct h2_client *client)
{
    struct list *node = list_take_first(&client->spare_calls);
    struct h2_call *c;
    client->call_count++;
    if (node != NULL) {
        client->spare_count--;
        c = LIST_ENTRY(node, struct h2_call, link);
    } else {
        c = calloc(1, sizeof *c);
        if (c == NULL)
            abort();
        buf_init(&c->head, LIMIT_h2_client_head_bytes);
        buf_init(&c->out, LIMIT_h2_stream_output_bytes);
        /* The window is what may come; some peers round it up by a frame when it changes. */
        buf_init(&c->in, LIMIT_h2_client_window_bytes * 2);
        buf_init(&c->piece, LIMIT_h2_client_window_bytes * 2);
        list_init(&c->link);
        list_init(&c->doom_link);
    }
    c->client = client;
    return c;
}

static void
call_free(struct h2_call *c)
{
    buf_fini(&c->head);
    buf_fini(&c->out);
    buf_fini(&c->in);
    buf_fini(&c->piece);
    free(c);
}

static void
keep_little(struct buf *buf)
{
    buf_clear(buf);
    if (buf->capacity > KEEP_BYTES)
        buf_release(buf);
}

static void
on_free(struct mail *mail)
{
    struct h2_client *client = container_of(mail, struct h2_client, free_mail);
    struct list *node, *next;
    LIST_FOREACH_SAFE(node, next, &client->spare_calls)
    call_free(LIST_ENTRY(node, struct h2_call, link));
    buf_fini(&client->scratch);
    buf_fini(&client->dial_text);
    client_config_fini(&client->config);
    free(client);
}

/* Later: a caller further up may still look at it. */
static void
free_when_unused(struct h2_client *client)
{
    if (!client->is_closing || client->conn_count > 0 || client->call_count > 0)
        return;
    client->call_count = 1; /* once */
    worker_post(client->worker, &client->free_mail, on_free);
}

void
h2_client_call_put(struct h2_call *c)
{
    struct h2_client *client = c->client;
    assert(c->owner == NULL && !list_is_linked(&c->link) && !list_is_linked(&c->doom_link));
    assert(client->call_count > 0);
    keep_little(&c->head);
    keep_little(&c->out);
    keep_little(&c->in);
    keep_little(&c->piece);
    if (client->spare_count < SPARE_CALLS_MAX && !client->is_closing) {
        *c = (struct h2_call){ .head = c->head, .out = c->out, .in = c->in, .piece = c->piece };
        list_init(&c->link);
        list_init(&c->doom_link);
        list_append(&client->spare_calls, &c->link);
        client->spare_count++;
    } else {
        call_free(c);
    }
    client->call_count--;
    free_when_unused(client);
}

/* --- dialling ----------------------------------------------------------------------------------*/

void
h2_client_fail_waiting(struct h2_client *client, err_t err, struct slice text)
{
    struct list *node;
    client->dial_err = err == ERR_OVERLOADED ? err : ERR_PEER_UNREACHABLE;
    buf_clear(&client->dial_text);
    bool fits = buf_append(&client->dial_text, slice_first(text, DIAL_TEXT_MAX));
    assert(fits);
    while ((node = list_take_first(&client->waiting)) != NULL) {
        client->waiting_count--;
        h2_call_fail(LIST_ENTRY(node, struct h2_call, link), client->dial_err);
    }
}

void
h2_client_dial_failed(struct h2_client *client, err_t err, struct slice text)
{
    struct list *node;
    LIST_FOREACH (node, &client->conns)
        if (LIST_ENTRY(node, struct h2_client_conn, link)->state != H2_LEAVING)
            return; /* there is another, or will be */
    h2_client_fail_waiting(client, err, text);
}

static void
dial_main(struct task *t, void *arg)
{
    struct h2_client_conn *conn = arg;
    struct h2_client *client = conn->client;
    const struct client_config *config = &client->config;
    int fd = -1;
    uint64_t outer = task_deadline_push(t, config->connect_ms);
    err_t err = connect_to(t,
                           &(struct connect_target){ .host = config->host,
                                                     .port = config->port,
                                                     .unix_path = config->unix_path },
                           &fd);
    task_deadline_pop(t, outer);
    conn->dialler = NULL;
    if (err == OK && client->is_closing && list_is_empty(&client->waiting)) {
        (void)close(fd); /* never used */
        err = ERR_CANCELLED;
    }
    if (err == OK) {
        h2_client_conn_open(conn, fd);
        return;
    }
    struct slice text = task_diag(t)->err == err ? task_diag(t)->message
                        : err == ERR_DEADLINE    ? SLICE("the connection took too long")
                                                 : slice_str(err_info(err)->code);
    list_remove(&conn->link);
    h2_client_dial_failed(client, err, text);
    h2_client_lost_conn(conn);
}

static void
dial(struct h2_client *client)
{
    struct h2_client_conn *conn = h2_client_conn_new(client);
    client->conn_count++;
    conn->dialler = task_spawn(client->worker, "dial", dial_main, conn);
    if (conn->dialler != NULL) {
        list_append(&client->conns, &conn->link);
        return;
    }
    h2_client_dial_failed(client, ERR_OVERLOADED, SLICE("too many tasks"));
    h2_client_lost_conn(conn);
}

void
h2_client_lost_conn(struct h2_client_conn *conn)
{
    struct h2_client *client = conn->client;
    list_remove(&conn->link);
    free(conn);
    assert(client->conn_count > 0);
    client->conn_count--;
    free_when_unused(client);
}

/* --- who takes what ----------------------------------------------------------------------------*/

size_t
h2_client_room(struct h2_client *client)
{
    size_t room = 0;
    struct list *node;
    LIST_FOREACH (node, &client->conns)
        room += h2_client_conn_room(LIST_ENTRY(node, struct h2_client_conn, link));
    return room;
}

void
h2_client_kick(struct h2_client *client)
{
    size_t room = 0, live = 0, coming = 0;
    struct list *node;
    LIST_FOREACH (node, &client->conns) {
        struct h2_client_conn *conn = LIST_ENTRY(node, struct h2_client_conn, link);
        live += conn->state != H2_LEAVING;
        coming += conn->state == H2_DIALLING || conn->state == H2_GREETING;
        size_t own = h2_client_conn_room(conn);
        if (own > 0 && room < client->waiting_count)
            h2_client_conn_flush_later(conn);
        room += own;
    }
    if (client->waiting_count == 0 || coming > 0)
        return;
    if (live == 0 || (client->waiting_count > room + LIMIT_h2_client_spill_calls &&
                      live < client->config.connections_max))
        dial(client);
}

/* --- the pool ----------------------------------------------------------------------------------*/

static err_t
start(struct task *t, struct client *base, const struct client_head *head,
      struct client_call *ret_call)
{
    return h2_client_call_start(t, container_of(base, struct h2_client, base), head, ret_call);
}

static void
close_client(struct client *base)
{
    struct h2_client *client = container_of(base, struct h2_client, base);
    struct list *node, *next;
    assert(!client->is_closing);
    client->is_closing = true;
    LIST_FOREACH_SAFE(node, next, &client->conns)
    {
        struct h2_client_conn *conn = LIST_ENTRY(node, struct h2_client_conn, link);
        if (conn->state != H2_DIALLING)
            h2_client_conn_leave(conn); /* may free it */
        else if (list_is_empty(&client->waiting))
            task_cancel(conn->dialler);
    }
    h2_client_kick(client);
    free_when_unused(client);
}

static size_t
connections(const struct client *base)
{
    struct client *own = (struct client *)(uintptr_t)base; /* only looked at */
    struct h2_client *client = container_of(own, struct h2_client, base);
    struct list *node;
    size_t count = 0;
    LIST_FOREACH (node, &client->conns)
        count += LIST_ENTRY(node, struct h2_client_conn, link)->state != H2_DIALLING;
    return count;
}

static const struct client_kind h2_kind = { start, close_client, connections };

/* Where HTTP/2 differs from what all versions share. */
static struct client_config
with_defaults(const struct client_config *from)
{
    struct client_config config = *from;
    if (config.connections_max == 0)
        config.connections_max = LIMIT_h2_client_connections_max;
    if (config.streams_max == 0)
        config.streams_max = LIMIT_h2_client_streams_max;
    if (config.waiters_max == 0)
        config.waiters_max = LIMIT_h2_client_waiting_max;
    if (config.connect_ms == 0)
        config.connect_ms = LIMIT_h2_client_connect_ms;
    if (config.head_bytes_max == 0)
        config.head_bytes_max = LIMIT_h2_client_head_bytes;
    return config;
}

struct client *
h2_client_new(struct worker *worker, const struct client_config *config)
{
    struct h2_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        abort();
    client->base.kind = &h2_kind;
    client->worker = worker;
    const struct client_config complete = with_defaults(config);
    client_config_init(&client->config, &complete);
    list_init(&client->conns);
    list_init(&client->waiting);
    list_init(&client->spare_calls);
    buf_init(&client->dial_text, DIAL_TEXT_MAX);
    buf_init(&client->scratch, LIMIT_h2_client_read_bytes);
    return &client->base;
}
