/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 server connections (RFC 9113) on the worker's loop: libnghttp2 does the frames, this the
 * sockets, tasks, bodies and budgets. Connections come from the HTTP/1.1 server that accepted them,
 * once it has seen the preface (prior knowledge, as gRPC has it) or an Upgrade.
 *
 * A client that spends a budget of limits.def loses its connection and nothing else happens.
 */
#ifndef HTTP_H2_SERVER_H
#define HTTP_H2_SERVER_H

#include "async/stream.h"
#include "http/http.h"

struct h1_head;

struct h2_config {
    size_t head_bytes_max;  /* beyond it and LIMIT_http_head_slack_bytes: 431 */
    uint64_t idle_ms;       /* without a stream */
    uint64_t head_ms;       /* until the preface, and from the begin of a head to its end */
    uint64_t body_stall_ms; /* no body byte while the handler wants one */
    uint64_t write_stall_ms;
    uint32_t streams_max;
    bool has_keepalive; /* asks silent clients, and is not asked too often: as gRPC servers do */
};

/* Values of limits.def. */
struct h2_config h2_config_default(void);

/* The connections of one kind on one worker. Worker thread only. */
struct h2_server;

struct h2_server *h2_server_new(struct worker *worker, const struct h2_config *config,
                                http_handler *handler, void *arg);
/* Takes a connection over from its stream. `bytes` are input read already, from the preface on.
 * With an upgrade, `head` is the request that asked for it (it had no body) and gets its answer as
 * stream 1. False: the settings in `head` are malformed, and nothing was taken. */
bool h2_server_adopt(struct h2_server *server, struct stream *stream, bool is_local,
                     struct slice bytes, const struct h1_head *head);
/* Whether settings of an Upgrade (HTTP2-Settings) are well-formed. */
bool h2_settings_are_valid(struct slice text);

/* As those of h1_server.h. */
void h2_server_drain(struct h2_server *server);
size_t h2_server_connections(const struct h2_server *server);
void h2_server_close(struct h2_server *server, void (*on_closed)(void *arg), void *arg);

#endif
