/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 server connections (RFC 9110, 9112) on the worker's loop, with picohttpparser's
 * functions that libh2o exports. Strict where requests could be smuggled: see h1_head.h. A client
 * may speak HTTP/2 on the same socket, at once or after an Upgrade.
 */
#ifndef HTTP_H1_SERVER_H
#define HTTP_H1_SERVER_H

#include "async/listener.h"
#include "http/http.h"

struct tls_context;

struct h1_config {
    size_t head_bytes_max;  /* beyond it and LIMIT_http_head_slack_bytes: 431 */
    uint64_t idle_ms;       /* between requests */
    uint64_t head_ms;       /* first byte to end of head */
    uint64_t body_stall_ms; /* no body byte while the handler wants one */
    uint64_t write_stall_ms;
    size_t connections_max;  /* of one server; the next is closed at once */
    bool has_h2c;            /* HTTP/2 too: by prior knowledge and by Upgrade */
    bool has_keepalive;      /* with the rules for pings that gRPC servers have */
    struct tls_context *tls; /* tls.h; referenced; NULL: plain text */
};

/* Values of limits.def. */
struct h1_config h1_config_default(void);

/* The connections of one listening socket on one worker. Worker thread only. */
struct h1_server;

/* `listen_fd` is moved. `handler` runs on a task a request; `arg` becomes x->server_arg. */
struct h1_server *h1_server_new(struct worker *worker, int listen_fd,
                                const struct h1_config *config, http_handler *handler, void *arg);
/* Stops accepting; connections with a request answer it with `Connection: close`. Idle ones close
 * after LIMIT_http_drain_idle_ms: a request may be on its way, and is answered likewise. */
void h1_server_drain(struct h1_server *server);
/* Connections accepted from now on use it, those there are go on as they began. */
bool h1_server_has_tls(const struct h1_server *server);
void h1_server_set_tls(struct h1_server *server, struct tls_context *context);
/* Connections still open. */
size_t h1_server_connections(const struct h1_server *server);
/* Closes everything at once: tasks are cancelled and see client_gone. Freed when the last is done;
 * on_closed(arg) tells, may be NULL. */
void h1_server_close(struct h1_server *server, void (*on_closed)(void *arg), void *arg);

#endif
