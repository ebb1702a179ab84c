/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the three files of a cluster share; nobody else includes this. cluster.c has its life and
 * the connections to its servers, cluster_map.c asks who has which slots, cluster_errand.c brings
 * commands to where they are done.
 *
 * An errand is only ever handed to a connection that stands: until then it waits here, so that it
 * can go elsewhere when the map says so.
 */
#ifndef REDIS_CLUSTER_INTERNAL_H
#define REDIS_CLUSTER_INTERNAL_H

#include <ev.h>

#include "cluster.h"

struct lane {
    struct node *node;
    struct conn *conn; /* owned; NULL: not needed yet */
    unsigned replicas; /* of the node when this stood; of LINK_WAITING only */
};

struct node {
    struct cluster *cluster;
    struct slots_address address;
    char shown[SLOTS_HOST_BYTES + SLOTS_PORT_BYTES + 4];
    struct lane lanes[LINK_LANES];
    unsigned replicas; /* as the map told */
    unsigned errands;  /* with it, or waiting for it by name */
    bool is_master;    /* it has slots */
    bool was_used;     /* since the last map */
    bool is_down;      /* which has been told */
    char why[CONN_WHY_BYTES];
};

struct errand {
    struct errand *next, **at;   /* of all */
    struct errand *next_waiting; /* of those that wait */
    struct cluster *cluster;
    struct node *node; /* that it is with or, when it waits, has to go to; NULL: that of its slot */
    enum link_lane lane;
    int slot;
    bool asks;  /* the node has the slot not quite yet: ASKING comes first */
    bool stays; /* it is about that connection, and goes nowhere else */
    unsigned redirections, pauses;
    uint64_t until_ms, not_before_ms;
    conn_done *done;
    void *arg;
    size_t bytes, count;
    struct remora_slice args[]; /* and their texts behind them */
};

/* Somebody who wants to know where a slot is, when the map is as new as can be. */
struct seeker {
    struct seeker *next, **at;
    struct cluster *cluster;
    int slot;
    conn_located *done;
    void *arg;
};

/* Asks one server after the other for the map. */
struct scout {
    struct conn *conn; /* kept while it stands */
    struct slots_address address;
    bool is_asking;                   /* a round is on */
    struct slots_address *candidates; /* of this round; owned */
    size_t candidate_count, tried;
    bool was_refused;
    char why[CONN_WHY_BYTES]; /* of the one that failed last, or that refused us */
};

struct cluster {
    struct ev_loop *loop;
    struct link_settings settings;
    const struct link_events *events;
    void *owner;
    unsigned callbacks; /* running: freeing waits for them */
    bool freed;

    struct node **nodes; /* owned, and each too */
    size_t node_count;
    size_t turn; /* of those that are asked what any could answer */
    struct node *at[SLOTS];
    bool has_map;
    bool is_moved;      /* redirections have changed it since */
    bool is_up;         /* the last round brought one */
    bool is_ready_owed; /* to the owner, with the next map */
    uint64_t map_at_ms, round_at_ms;
    size_t rounds;
    unsigned pause_ms; /* after a round that failed; 0 before the first map */
    struct scout scout;
    ev_timer look; /* the next round */
    bool is_look_wanted;
    struct seeker *seekers, **last_seeker;
    ev_timer answer; /* seekers, with what is known */

    struct errand *errands;
    size_t errand_count, errand_bytes;
    struct errand *waiting, **last_waiting;
    size_t waiting_count, waiting_bytes;
    ev_timer tick; /* runs while something waits */
};

/* Every path from the loop into an owner's function lies between these two. After leave() returned
 * false the cluster is gone. */
void cluster_enter(struct cluster *cluster);
bool cluster_leave(struct cluster *cluster);

/* cluster.c */
/* NULL: there are too many. */
struct node *cluster_node(struct cluster *cluster, const struct slots_address *address);
/* Makes it if it is not there. */
struct conn *node_conn(struct node *node, enum link_lane lane);
/* Makes it, and false, if it is not there or does not stand. */
bool node_is_ready(struct node *node, enum link_lane lane);
/* Without those that have no slots, no errands and no use. */
void cluster_tidy(struct cluster *cluster);
/* Any that has slots, rather one that is ready; NULL: there is none. */
struct node *cluster_any(struct cluster *cluster, enum link_lane lane);

/* cluster_map.c */
/* Asks for the map; `is_trouble`: and not the one that was asked last. */
void cluster_look(struct cluster *cluster, bool is_trouble);
void cluster_map_init(struct cluster *cluster);
void cluster_map_fini(struct cluster *cluster);

/* cluster_errand.c */
/* Sends what can be, ends what may wait no longer. Between enter() and leave(). */
void cluster_dispatch(struct cluster *cluster);
void cluster_on_tick(struct ev_loop *loop, ev_timer *watcher, int events);
void cluster_forget_errands(struct cluster *cluster);

#endif
