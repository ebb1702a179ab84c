/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a version of HTTP brings to client.h: client.c calls through this table, h1_client.c and
 * h2_client.c fill it. A client is the first member of its kind's own struct. Nobody else includes
 * this.
 */
#ifndef HTTP_CLIENT_KIND_H
#define HTTP_CLIENT_KIND_H

#include "http/client.h"

/* As the functions of client.h say. */
struct client_kind {
    err_t (*start)(struct task *t, struct client *client, const struct client_head *head,
                   struct client_call *ret_call);
    void (*close)(struct client *client);
    size_t (*connections)(const struct client *client);
};

struct client {
    const struct client_kind *kind;
};

/* A configuration of our own: texts copied, TLS referenced, the authority made up, defaults that
 * all versions share filled in. */
void client_config_init(struct client_config *config, const struct client_config *from);
void client_config_fini(struct client_config *config);

struct client *h1_client_new(struct worker *worker, const struct client_config *config);
struct client *h2_client_new(struct worker *worker, const struct client_config *config);

#endif
