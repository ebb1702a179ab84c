/* SPDX-License-Identifier: Apache-2.0 */
/* A listening socket and its connections on one worker; see h1_server.h. */
#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/h1_conn.h"
#include "http/tls.h"

struct h1_config
h1_config_default(void)
{
    return (struct h1_config){
        .head_bytes_max = LIMIT_http_read_buffer_bytes,
        .idle_ms = LIMIT_http_idle_ms,
        .head_ms = LIMIT_http_head_ms,
        .body_stall_ms = LIMIT_http_body_stall_ms,
        .write_stall_ms = LIMIT_http_write_stall_ms,
        .connections_max = LIMIT_http_connections_max,
        .has_h2c = true,
    };
}

static void
on_accept(struct listener *listener, int fd)
{
    struct h1_server *server = container_of(listener, struct h1_server, listener);
    if (h1_server_connections(server) >= server->config.connections_max)
        (void)close(fd); /* nothing was written that could be lost */
    else
        h1_conn_open(server, fd);
}

static bool
is_unix(int fd)
{
    struct sockaddr_storage address = { 0 };
    socklen_t len = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &len) == 0 && address.ss_family == AF_UNIX;
}

static struct h2_config
h2_config_of(const struct h1_config *config)
{
    struct h2_config h2 = h2_config_default();
    h2.head_bytes_max = config->head_bytes_max;
    h2.idle_ms = config->idle_ms;
    h2.head_ms = config->head_ms;
    h2.body_stall_ms = config->body_stall_ms;
    h2.write_stall_ms = config->write_stall_ms;
    h2.has_keepalive = config->has_keepalive;
    return h2;
}

struct h1_server *
h1_server_new(struct worker *worker, int listen_fd, const struct h1_config *config,
              http_handler *handler, void *arg)
{
    struct h1_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        abort();
    server->worker = worker;
    server->config = *config;
    server->handler = handler;
    server->arg = arg;
    server->is_local = is_unix(listen_fd);
    server->config.tls = tls_context_ref(config->tls);
    list_init(&server->conns);
    buf_init(&server->scratch, LIMIT_http_read_bytes);
    if (config->has_h2c) {
        const struct h2_config h2 = h2_config_of(config);
        server->h2 = h2_server_new(worker, &h2, handler, arg);
    }
    listener_open(&server->listener, worker, listen_fd, on_accept);
    return server;
}

bool
h1_server_has_tls(const struct h1_server *server)
{
    return server->config.tls != NULL;
}

void
h1_server_set_tls(struct h1_server *server, struct tls_context *context)
{
    struct tls_context *old = server->config.tls;
    server->config.tls = tls_context_ref(context);
    tls_context_unref(old);
}

void
h1_server_drain(struct h1_server *server)
{
    listener_take_all(&server->listener);
    listener_close(&server->listener);
    server->is_draining = true;
    struct list *node, *next;
    LIST_FOREACH_SAFE(node, next, &server->conns)
    h1_conn_drain(LIST_ENTRY(node, struct h1_conn, link));
    if (server->h2 != NULL)
        h2_server_drain(server->h2);
}

size_t
h1_server_connections(const struct h1_server *server)
{
    return server->conn_count + (server->h2 == NULL ? 0 : h2_server_connections(server->h2));
}

static void
on_free(struct mail *mail)
{
    struct h1_server *server = container_of(mail, struct h1_server, free_mail);
    void (*on_closed)(void *arg) = server->on_closed;
    void *arg = server->on_closed_arg;
    buf_fini(&server->scratch);
    tls_context_unref(server->config.tls);
    free(server);
    if (on_closed != NULL)
        on_closed(arg);
}

/* Later: a caller further up may still look at the server. */
static void
free_later(struct h1_server *server)
{
    worker_post(server->worker, &server->free_mail, on_free);
}

void
h1_server_lost_conn(struct h1_server *server)
{
    server->conn_count--;
    if (server->is_closing && server->conn_count == 0 && server->h2 == NULL)
        free_later(server);
}

static void
on_h2_closed(void *arg)
{
    struct h1_server *server = arg;
    server->h2 = NULL;
    if (server->conn_count == 0)
        free_later(server);
}

void
h1_server_close(struct h1_server *server, void (*on_closed)(void *arg), void *arg)
{
    assert(!server->is_closing);
    server->on_closed = on_closed;
    server->on_closed_arg = arg;
    listener_close(&server->listener);
    struct list *node, *next;
    LIST_FOREACH_SAFE(node, next, &server->conns)
    h1_conn_gone(LIST_ENTRY(node, struct h1_conn, link));
    server->is_closing = true;
    if (server->h2 != NULL)
        h2_server_close(server->h2, on_h2_closed, server);
    else if (server->conn_count == 0)
        free_later(server);
}
