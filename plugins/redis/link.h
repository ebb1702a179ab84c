/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a component talks to: one server (conn.h), or a cluster of them (cluster.h), in which every
 * command goes to the server that has the slot of its key, and follows the slot when it moves. With
 * one server all slots are its own and a command is one of conn.h. Each command is answered exactly
 * once; nothing is sent twice whose effect is unknown.
 *
 * Everything runs on the loop's thread. Callbacks may call any function here, link_free() included.
 */
#ifndef REDIS_LINK_H
#define REDIS_LINK_H

#include "conn.h"
#include "slots.h"

struct link;

/* Commands that wait inside a server hold up all that follows on their connection: they and what
 * has to be on the same connection take the second lane, which is made when it is first used. */
enum link_lane { LINK_MAIN, LINK_WAITING, LINK_LANES };

enum { LINK_ANY = -1 }; /* in place of a slot: any server will do */

struct link_seed {
    const char *host, *port;
};

/* All strings and seeds are borrowed for the life of the link. */
struct link_settings {
    struct conn_settings conn;
    const struct link_seed *seeds; /* of a cluster, which are asked for the rest */
    size_t seed_count;             /* 0: `conn` says where the one server is */
    int64_t waiting_ms;            /* answers on LINK_WAITING may take so much longer */
};

struct link_events {
    /* A server can be talked to, the only one or one of the cluster's; or, at first, it is known
     * which they are. */
    void (*ready)(void *owner);
    /* An attempt failed or the connection was lost; of a cluster: no server of it tells which there
     * are. `refused` as in conn.h. */
    void (*down)(void *owner, const char *why, bool refused);
    /* A connection of either lane stands. What is sent to it from here goes out first. Or NULL. */
    void (*connected)(void *owner, struct conn *conn);
    /* The cluster has other servers than before, or they have other slots. Or NULL. */
    void (*changed)(void *owner);
};

/* Starts connecting. `owner` is what the events get. */
struct link *link_new(struct ev_loop *loop, const struct link_settings *settings,
                      const struct link_events *events, void *owner);
/* Closes. Commands not yet answered are forgotten: their `done` is not called. NULL is fine. */
void link_free(struct link *link);

/* Of the key: for link_command() of all that is about it. */
int link_slot(const struct link *link, struct remora_slice key);

/* As conn_command(). In a cluster `wait_ms` is also how long it may take until a server does not
 * redirect the command or put it off; of how a command of a cluster ended, `conn` is where. */
bool link_command(struct link *link, enum link_lane lane, int slot, const struct remora_slice *args,
                  size_t count, uint64_t wait_ms, conn_done *done, void *arg);
/* Over the very connection that carried an earlier one, a result's, right when that is answered. */
bool link_command_over(struct link *link, struct conn *conn, const struct remora_slice *args,
                       size_t count, conn_done *done, void *arg);
/* MGET: an array of strings and nils, in the order of the keys. */
bool link_mget(struct link *link, const struct remora_slice *keys, size_t count, uint64_t wait_ms,
               conn_done *done, void *arg);

/* A command for that slot would be sent at once. If not, `ready` follows when it would. */
bool link_is_ready(struct link *link, int slot);
/* The server is not the one to talk to any more. A cluster is asked anew who is. */
void link_restart(struct link *link, const char *why);

/* A cluster is asked who its servers are; `changed` follows if they are others. */
void link_look_again(struct link *link);

/* The servers one after the other: slots that lie on different ones. Begins with LINK_ANY, and ends
 * with it. */
int link_next_server(const struct link *link, int slot);
/* "host:port" of the slot's server, as used in texts; "" if nobody knows. Valid for the moment. */
const char *link_address(const struct link *link, int slot);

/* How many replicas the server behind a result's connection has: in a cluster those that it had
 * when the connection was made, or more if the cluster says so; of a single server (whatever
 * `conn`) what link_note_replicas() was told. */
unsigned link_replicas(const struct link *link, const struct conn *conn);
/* Servers have replicas, or may get some without our hearing of it. */
bool link_may_replicate(const struct link *link);
void link_note_replicas(struct link *link, unsigned count);

/* A connection of one's own to the server of a slot, which looks where that is before each attempt;
 * the place and the link live as long. Answers may take `waiting_ms` longer than usual. */
struct link_place {
    struct link *link;
    int slot;
};
struct conn *link_connect(struct link_place *place, int64_t waiting_ms,
                          const struct conn_events *events, void *owner);
/* What such a connection answered says that another server is to be asked: it is to be restarted.
 */
bool link_is_elsewhere(struct link *link, const struct conn_result *result);

#endif
