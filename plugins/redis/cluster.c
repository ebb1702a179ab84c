/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a cluster, and its servers; cluster_internal.h tells the whole. */
#include "cluster_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replication.h"

enum { TICK_MS = 20, NODES_MAX = 2 * SLOTS_SERVERS_MAX }; /* those of the map, and others' words */

/* --- callbacks ---------------------------------------------------------------------------------*/

void
cluster_enter(struct cluster *cluster)
{
    cluster->callbacks++;
}

bool
cluster_leave(struct cluster *cluster)
{
    assert(cluster->callbacks > 0);
    if (--cluster->callbacks > 0 || !cluster->freed)
        return !cluster->freed;
    free(cluster);
    return false;
}

/* --- servers -----------------------------------------------------------------------------------*/

static void
on_connected(struct cluster *cluster, struct conn *conn)
{
    if (cluster->events->connected != NULL)
        cluster->events->connected(cluster->owner, conn);
}

static void
on_main_ready(void *owner)
{
    const struct lane *lane = owner;
    struct node *node = lane->node;
    struct cluster *cluster = node->cluster;
    cluster_enter(cluster);
    if (node->is_down)
        remora_log(REMORA_INFO, "redis cluster: connected again node=%s", node->shown);
    node->is_down = false;
    on_connected(cluster, lane->conn);
    if (!cluster->freed)
        cluster->events->ready(cluster->owner);
    if (!cluster->freed)
        cluster_dispatch(cluster);
    (void)cluster_leave(cluster); /* nothing follows */
}

static void
on_info(const struct conn_result *result, void *arg)
{
    struct lane *lane = arg;
    if (result->value != NULL && result->value->type == RESP_STRING)
        lane->replicas = replication_count(result->value->text);
}

static void
on_waiting_ready(void *owner)
{
    static const struct remora_slice info[] = { { "INFO", 4 }, { "replication", 11 } };
    struct lane *lane = owner;
    struct cluster *cluster = lane->node->cluster;
    cluster_enter(cluster);
    (void)conn_command(lane->conn, info, 2, 0, on_info, lane); /* the first on it */
    on_connected(cluster, lane->conn);
    if (!cluster->freed)
        cluster_dispatch(cluster);
    (void)cluster_leave(cluster); /* nothing follows */
}

/* Another may have its slots already, or soon. */
static void
on_node_down(void *owner, const char *why, bool refused)
{
    const struct lane *lane = owner;
    struct node *node = lane->node;
    (void)refused;
    snprintf(node->why, sizeof node->why, "%s", why);
    if (!node->is_down)
        remora_log(REMORA_WARN, "redis cluster: no connection, trying on node=%s reason=\"%s\"",
                   node->shown, why);
    node->is_down = true;
    cluster_look(node->cluster, true);
}

struct conn *
node_conn(struct node *node, enum link_lane lane)
{
    static const struct conn_events events[LINK_LANES] = {
        [LINK_MAIN] = { .ready = on_main_ready, .down = on_node_down },
        [LINK_WAITING] = { .ready = on_waiting_ready, .down = on_node_down },
    };
    const struct cluster *cluster = node->cluster;
    if (node->lanes[lane].conn == NULL) {
        struct conn_settings settings = cluster->settings.conn;
        settings.host = node->address.host;
        settings.port = node->address.port;
        if (lane == LINK_WAITING && settings.read_timeout_ms >= 0)
            settings.read_timeout_ms += cluster->settings.waiting_ms;
        node->lanes[lane].conn = conn_new(cluster->loop, &settings, &events[lane],
                                          &node->lanes[lane]);
    }
    return node->lanes[lane].conn;
}

bool
node_is_ready(struct node *node, enum link_lane lane)
{
    node->was_used = true;
    return conn_is_ready(node_conn(node, lane));
}

static void
node_free(struct node *node)
{
    for (size_t lane = 0; lane < LINK_LANES; lane++)
        conn_free(node->lanes[lane].conn);
    free(node);
}

struct node *
cluster_node(struct cluster *cluster, const struct slots_address *address)
{
    for (size_t i = 0; i < cluster->node_count; i++)
        if (strcmp(cluster->nodes[i]->address.port, address->port) == 0 &&
            strcmp(cluster->nodes[i]->address.host, address->host) == 0)
            return cluster->nodes[i];
    if (cluster->node_count == NODES_MAX)
        return NULL;
    struct node *node = calloc(1, sizeof *node);
    cluster->nodes = reallocarray(cluster->nodes, cluster->node_count + 1, sizeof(struct node *));
    if (node == NULL || cluster->nodes == NULL)
        abort();
    *node = (struct node){ .cluster = cluster, .address = *address };
    snprintf(node->shown, sizeof node->shown,
             strchr(address->host, ':') != NULL ? "[%s]:%s" : "%s:%s", address->host,
             address->port);
    for (size_t lane = 0; lane < LINK_LANES; lane++)
        node->lanes[lane].node = node;
    return cluster->nodes[cluster->node_count++] = node;
}

void
cluster_tidy(struct cluster *cluster)
{
    size_t kept = 0;
    for (size_t i = 0; i < cluster->node_count; i++) {
        struct node *node = cluster->nodes[i];
        if (!node->is_master && node->errands == 0 && !node->was_used) {
            node_free(node);
            continue;
        }
        node->was_used = false;
        cluster->nodes[kept++] = node;
    }
    cluster->node_count = kept;
}

struct node *
cluster_any(struct cluster *cluster, enum link_lane lane)
{
    struct node *any = NULL;
    size_t turn = cluster->turn++;
    for (size_t i = 0; i < cluster->node_count; i++) {
        struct node *node = cluster->nodes[(turn + i) % cluster->node_count];
        const struct conn *conn = node->lanes[lane].conn;
        if (!node->is_master)
            continue;
        if (conn != NULL && conn_is_ready(conn))
            return node;
        any = any == NULL ? node : any;
    }
    return any;
}

/* --- the life ----------------------------------------------------------------------------------*/

struct cluster *
cluster_new(struct ev_loop *loop, const struct link_settings *settings,
            const struct link_events *events, void *owner)
{
    struct cluster *cluster = calloc(1, sizeof *cluster);
    if (cluster == NULL)
        abort();
    cluster->loop = loop;
    cluster->settings = *settings;
    cluster->events = events;
    cluster->owner = owner;
    cluster->is_ready_owed = true;
    cluster->last_waiting = &cluster->waiting;
    ev_timer_init(&cluster->tick, cluster_on_tick, 0.0, TICK_MS / 1e3);
    cluster->tick.data = cluster;
    cluster_map_init(cluster);
    return cluster;
}

void
cluster_free(struct cluster *cluster)
{
    if (cluster == NULL)
        return;
    assert(!cluster->freed);
    cluster->freed = true;
    ev_timer_stop(cluster->loop, &cluster->tick);
    cluster_map_fini(cluster);
    for (size_t i = 0; i < cluster->node_count; i++)
        node_free(cluster->nodes[i]);
    free(cluster->nodes);
    cluster->nodes = NULL;
    cluster->node_count = 0;
    cluster_forget_errands(cluster);
    if (cluster->callbacks == 0)
        free(cluster);
}

bool
cluster_is_ready(struct cluster *cluster, int slot)
{
    struct node *node = slot == LINK_ANY ? cluster_any(cluster, LINK_MAIN) : cluster->at[slot];
    return node != NULL && node_is_ready(node, LINK_MAIN);
}

void
cluster_restart(struct cluster *cluster)
{
    cluster->is_ready_owed = true;
    cluster_look(cluster, true);
}

void
cluster_look_again(struct cluster *cluster)
{
    cluster_look(cluster, false);
}

/* The lowest slot of the next server in the order of their lowest slots. */
int
cluster_next_server(const struct cluster *cluster, int slot)
{
    for (int next = slot + 1; next < SLOTS; next++) {
        bool is_first = cluster->at[next] != NULL &&
                        (next == 0 || cluster->at[next] != cluster->at[next - 1]);
        for (int before = 0; is_first && before < next; before++)
            is_first = cluster->at[before] != cluster->at[next];
        if (is_first)
            return next;
    }
    return LINK_ANY;
}

const char *
cluster_address(const struct cluster *cluster, int slot)
{
    return cluster->at[slot] == NULL ? "" : cluster->at[slot]->shown;
}

unsigned
cluster_replicas(const struct cluster *cluster, const struct conn *conn)
{
    for (size_t i = 0; i < cluster->node_count; i++) {
        const struct node *node = cluster->nodes[i];
        unsigned replicas = node->lanes[LINK_WAITING].replicas;
        if (node->lanes[LINK_MAIN].conn == conn || node->lanes[LINK_WAITING].conn == conn)
            return replicas > node->replicas ? replicas : node->replicas;
    }
    return 0;
}
