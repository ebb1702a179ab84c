/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The servers of a Redis Cluster, for link.h, whose functions of the same names say what these do.
 *
 * One of the servers (at first, of the seeds) is asked for the map of slots: CLUSTER SLOTS. It is
 * asked again, and then another first, when a command was sent away (MOVED), a server is lost or
 * the cluster is in trouble; and when the map is ten seconds old and used. There is a connection to
 * each server that is needed, and lane.
 *
 *   command → the server of its slot → answered
 *                 → MOVED, ASK: not done there: to the server that is named, three times at once
 *                 → TRYAGAIN, CLUSTERDOWN, LOADING, …: not done: again, after a growing pause
 *   no server, or no connection to it → waits for the next map, as long as it may
 *
 * A command that left and was not answered is never sent again.
 */
#ifndef REDIS_CLUSTER_H
#define REDIS_CLUSTER_H

#include "link.h"

struct cluster;

enum {
    CLUSTER_BYTES_MAX =
        256 << 20, /* of commands under way, which are kept until they are answered */
};

struct cluster *cluster_new(struct ev_loop *loop, const struct link_settings *settings,
                            const struct link_events *events, void *owner);
void cluster_free(struct cluster *cluster);

bool cluster_command(struct cluster *cluster, enum link_lane lane, int slot,
                     const struct remora_slice *args, size_t count, uint64_t wait_ms,
                     conn_done *done, void *arg);
bool
cluster_command_over(struct cluster *cluster, struct conn *conn, const struct remora_slice *args,
                     size_t count, conn_done *done, void *arg);
bool cluster_is_ready(struct cluster *cluster, int slot);
void cluster_restart(struct cluster *cluster);
void cluster_look_again(struct cluster *cluster);
int cluster_next_server(const struct cluster *cluster, int slot);
const char *cluster_address(const struct cluster *cluster, int slot);
unsigned cluster_replicas(const struct cluster *cluster, const struct conn *conn);

/* Where the server of a slot is; as a locator's, see conn.h. */
void *cluster_locate(struct cluster *cluster, int slot, conn_located *done, void *arg);
void cluster_locate_cancel(void *search);

#endif
