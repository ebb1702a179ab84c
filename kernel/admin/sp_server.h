/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listening Unix socket that speaks SP to a few local clients, on libev: the carrier of the admin
 * socket (REP0) and of the event feed (PUB0). Plain non-blocking sockets, because the traffic is
 * commands and news, and because the loop they belong to is the main thread's.
 *
 * Nothing a client does holds up another or the loop. One that breaks the framing loses its
 * connection. When all places are taken the one that has been silent for longest gives way, those
 * who have not even greeted first. A client is served one message a turn, and none while it has
 * not taken its last answer. What is queued for one is bounded.
 *
 * The loop's thread only.
 */
#ifndef ADMIN_SP_SERVER_H
#define ADMIN_SP_SERVER_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "bus/sp.h"

struct sp_server;
struct sp_client;

struct sp_server_config {
    struct ev_loop *loop;
    const char *path; /* of the socket; copied */
    enum sp_protocol own;
    enum sp_protocol peer;
    unsigned clients_max;
    size_t message_bytes_max; /* of a client's message */
    size_t output_bytes_max;  /* queued for one client */
    uint32_t greeting_ms;     /* a client that has not greeted by then is closed */
    uint32_t idle_ms;         /* so is one that then sends no whole message; 0: it may be silent */
    void *arg;
    /* A whole message, valid during the call. False: it makes no sense, close the client. NULL:
     * clients have nothing to say, and one that says something is closed. */
    bool (*on_message)(void *arg, struct sp_client *client, struct slice message);
};

/* NULL if the socket could not be made; errno tells why. */
struct sp_server *sp_server_open(const struct sp_server_config *config);
/* Closes every connection and removes the socket. NULL is allowed. */
void sp_server_close(struct sp_server *server);

/* Queues one message, made of two parts, and sends what the system takes. False if it does not fit;
 * then nothing was queued. */
bool sp_client_send(struct sp_client *client, struct slice head, struct slice body) WARN_UNUSED;
/* The same message to every client that has greeted; those without room go without. */
void sp_server_broadcast(struct sp_server *server, struct slice message);

/* How many connections are open, greeted or not. */
unsigned sp_server_clients(const struct sp_server *server);

#endif
