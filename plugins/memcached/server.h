/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One server: a connection on the plugin's loop, made when it is needed, over which requests go one
 * behind the other without waiting for answers, which come in the same order.
 *
 * A request is answered within its timeout: one that is late takes the connection with it, since
 * the answers behind it could not be told apart. A server that cannot be reached is tried again
 * after pauses that grow to a second; what comes meanwhile fails at once. Plugin thread only.
 */
#ifndef MEMCACHED_PLUGIN_SERVER_H
#define MEMCACHED_PLUGIN_SERVER_H

#include "answer.h"
#include "settings.h"

struct server;
struct request;

/* What became of it: an answer, valid during the call, or a failure. Owns the request from then on.
 */
typedef void request_done(struct request *request, const struct answer *answer,
                          const struct remora_failure *failure);

struct request {
    struct request *next;
    enum command command;
    struct remora_slice key, value; /* valid until it is done */
    int64_t expiry;                 /* of a set, as it stands in the command */
    request_done *done;
    uint64_t deadline_ms; /* the server's to fill in, as the rest */
    bool is_sent;
};

struct server *server_new(const struct place *place, int64_t timeout_ms);
/* What is open fails, within the call. */
void server_free(struct server *server);

/* `done` is called exactly once, perhaps before this returns. */
void server_submit(struct server *server, struct request *request);

/* Sends what one turn of the loop has gathered. */
void server_flush_all(void);

#endif
