/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 connections of one worker; see h2_server.h. */
#include "http/h2_server.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "http/h2_conn.h"

struct h2_config
h2_config_default(void)
{
    return (struct h2_config){
        .head_bytes_max = LIMIT_http_read_buffer_bytes,
        .idle_ms = LIMIT_http_idle_ms,
        .head_ms = LIMIT_http_head_ms,
        .body_stall_ms = LIMIT_http_body_stall_ms,
        .write_stall_ms = LIMIT_http_write_stall_ms,
        .streams_max = LIMIT_h2_streams_max,
    };
}

struct h2_server *
h2_server_new(struct worker *worker, const struct h2_config *config, http_handler *handler,
              void *arg)
{
    struct h2_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        abort();
    server->worker = worker;
    server->config = *config;
    server->handler = handler;
    server->arg = arg;
    server->cuts = (struct h2_budget){ LIMIT_h2_cuts_burst, clock_now_ms() };
    list_init(&server->conns);
    h2_memory_init(server);
    buf_init(&server->scratch, LIMIT_h2_read_bytes);
    return server;
}

void
h2_server_drain(struct h2_server *server)
{
    server->is_draining = true;
    struct list *node, *next;
    LIST_FOREACH_SAFE(node, next, &server->conns)
    h2_conn_drain(LIST_ENTRY(node, struct h2_conn, link));
}

size_t
h2_server_connections(const struct h2_server *server)
{
    return server->conn_count;
}

static void
on_free(struct mail *mail)
{
    struct h2_server *server = container_of(mail, struct h2_server, free_mail);
    void (*on_closed)(void *arg) = server->on_closed;
    void *arg = server->on_closed_arg;
    timer_stop(&server->worker->timers, &server->trim_timer);
    buf_fini(&server->scratch);
    if (server->spare_head != NULL)
        buf_fini(&server->spare_head->bytes);
    free(server->spare_head);
    free(server);
    if (on_closed != NULL)
        on_closed(arg);
}

/* Later: a caller further up may still look at the server. */
static void
free_later(struct h2_server *server)
{
    worker_post(server->worker, &server->free_mail, on_free);
}

void
h2_server_lost_conn(struct h2_server *server)
{
    server->conn_count--;
    h2_memory_lost_conn(server);
    if (server->is_closing && server->conn_count == 0)
        free_later(server);
}

void
h2_server_close(struct h2_server *server, void (*on_closed)(void *arg), void *arg)
{
    assert(!server->is_closing);
    server->on_closed = on_closed;
    server->on_closed_arg = arg;
    struct list *node, *next;
    LIST_FOREACH_SAFE(node, next, &server->conns)
    h2_conn_gone(LIST_ENTRY(node, struct h2_conn, link));
    server->is_closing = true;
    if (server->conn_count == 0)
        free_later(server);
}
