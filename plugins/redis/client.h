/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A component that needs a link to its server and nothing else: connects while `init` waits,
 * answers it, keeps the link and tells the log of trouble.
 */
#ifndef REDIS_CLIENT_H
#define REDIS_CLIENT_H

#include "server.h"

struct client;

struct client_kind {
    const char *shown; /* in the log: "redis lock" */
    const char *fault; /* before " at HOST: WHY", when init fails */
    uint32_t capabilities;
    /* Connected for the first time, or not yet answered: client_is_fit() or client_is_unfit()
     * follow, now or later. NULL: it is fit. */
    void (*probe)(struct client *client);
};

struct client {
    const struct client_kind *kind;
    struct server server;
    struct link *link;
    bool is_down;
    remora_call *init; /* to be answered, or NULL */
    int64_t retries_left;
    char last_why[CONN_WHY_BYTES]; /* the latest failed attempt of init; empty if none */
    /* The probe's own. */
    size_t questions; /* not yet answered */
    bool has_replicas, is_cut_off;
};

/* Answers the call. What the operations get as `self` is the client. */
void
client_init(remora_call *call, const struct remora_config *config, const struct client_kind *kind);
void client_close(void *self);

/* While client->init is to be answered. */
void client_is_fit(struct client *client);
/* The client is gone. */
void client_is_unfit(struct client *client, enum remora_code code, const char *why);

/* --- operations --------------------------------------------------------------------------------*/

/* Sends a command of a call about a key, which waits for a connection as long as making one may
 * take; or answers the call: there is no room. */
void client_command(struct client *client, remora_call *call, struct remora_slice key,
                    const struct remora_slice *args, size_t count, conn_done *done, void *arg);
/* Answers a call whose command failed; false if it did not. */
bool client_failed(struct client *client, remora_call *call, const struct conn_result *result,
                   bool is_write);

#endif
