/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands on their way; cluster_internal.h tells the whole. One that a server has answered with a
 * redirection, or with not being able to, was not done there and may be sent again. One that was
 * lost with its connection after it left may have been done, and ends.
 */
#include "cluster_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/monotonic.h"

enum {
    REDIRECTIONS_AT_ONCE = 3, /* as many as the reference follows; further ones after a pause */
    REDIRECTIONS_MAX = 16,
    PAUSE_MS_MIN = 8,
    PAUSE_MS_MAX = 512,
    MAP_NEW_MS = 1000,   /* who told it is behind the times: another one is asked */
    MAP_OLD_MS = 10000,  /* then it is asked for again */
    LOOK_AGAIN_MS = 250, /* as long as something waits for a server that is away */
};

/* --- life --------------------------------------------------------------------------------------*/

static struct errand *
errand_new(struct cluster *cluster, const struct remora_slice *args, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += args[i].len;
    struct errand *errand = malloc(sizeof *errand + count * sizeof *args + bytes);
    if (errand == NULL)
        abort();
    *errand = (struct errand){ .next = cluster->errands,
                               .at = &cluster->errands,
                               .cluster = cluster,
                               .bytes = bytes,
                               .count = count };
    char *text = (char *)&errand->args[count];
    for (size_t i = 0; i < count; i++) {
        if (args[i].len > 0)
            memcpy(text, args[i].data, args[i].len);
        errand->args[i] = (struct remora_slice){ text, args[i].len };
        text += args[i].len;
    }
    if (errand->next != NULL)
        errand->next->at = &errand->next;
    cluster->errands = errand;
    cluster->errand_count++;
    cluster->errand_bytes += bytes;
    return errand;
}

static void
set_node(struct errand *errand, struct node *node)
{
    if (node != NULL)
        node->errands++;
    if (errand->node != NULL)
        errand->node->errands--;
    errand->node = node;
}

static void
errand_unlink(struct errand *errand)
{
    *errand->at = errand->next;
    if (errand->next != NULL)
        errand->next->at = errand->at;
    errand->cluster->errand_count--;
    errand->cluster->errand_bytes -= errand->bytes;
}

static void
errand_free(struct errand *errand)
{
    set_node(errand, NULL);
    errand_unlink(errand);
    free(errand);
}

/* The owner hears how it ended; the cluster may be gone then. */
static void
finish(struct errand *errand, const struct conn_result *result)
{
    conn_done *done = errand->done;
    void *arg = errand->arg;
    errand_free(errand);
    if (done != NULL)
        done(result, arg);
}

/* The nodes are gone already, and so is whoever wanted them. */
void
cluster_forget_errands(struct cluster *cluster)
{
    for (struct errand *errand = cluster->errands, *next; errand != NULL; errand = next) {
        next = errand->next;
        free(errand);
    }
    cluster->errands = cluster->waiting = NULL;
    cluster->errand_count = cluster->errand_bytes = cluster->waiting_count = 0;
}

/* --- waiting -----------------------------------------------------------------------------------*/

static void
put_waiting(struct errand *errand)
{
    struct cluster *cluster = errand->cluster;
    errand->next_waiting = NULL;
    *cluster->last_waiting = errand;
    cluster->last_waiting = &errand->next_waiting;
    cluster->waiting_count++;
    cluster->waiting_bytes += errand->bytes;
    if (!ev_is_active(&cluster->tick))
        ev_timer_again(cluster->loop, &cluster->tick);
}

static struct node *
destination(struct errand *errand)
{
    struct cluster *cluster = errand->cluster;
    if (errand->node != NULL)
        return errand->node;
    return errand->slot == LINK_ANY ? cluster_any(cluster, errand->lane)
                                    : cluster->at[errand->slot];
}

static void
expire(struct errand *errand)
{
    const struct cluster *cluster = errand->cluster;
    const struct node *node = destination(errand);
    char why[CONN_WHY_BYTES + 100];
    if (node != NULL)
        snprintf(why, sizeof why, "redis at %.200s is not available: %.270s", node->shown,
                 node->why[0] == '\0' ? "still connecting" : node->why);
    else if (cluster->has_map)
        snprintf(why, sizeof why, "CLUSTERDOWN Hash slot not served");
    else
        snprintf(why, sizeof why, "redis cluster is not available: %.350s",
                 cluster->scout.why[0] == '\0' ? "still connecting" : cluster->scout.why);
    finish(errand, &(struct conn_result){ .why = why });
}

/* --- sending -----------------------------------------------------------------------------------*/

static void on_answer(const struct conn_result *result, void *arg);

static bool
send_over(struct errand *errand, struct conn *conn)
{
    static const struct remora_slice asking = { "ASKING", 6 };
    if (errand->asks && !conn_command(conn, &asking, 1, 0, NULL, NULL))
        return false;
    if (conn_command(conn, errand->args, errand->count, 0, on_answer, errand))
        return true;
    if (errand->asks) /* or it would be said for what follows */
        conn_restart(conn, "too many commands are waiting");
    return false;
}

/* To where it can be done, if the connection stands; else it waits. False: there is no room. */
static bool
start(struct errand *errand)
{
    const struct cluster *cluster = errand->cluster;
    struct node *node = destination(errand);
    if (node != NULL && node_is_ready(node, errand->lane)) {
        set_node(errand, node);
        return send_over(errand, node_conn(node, errand->lane));
    }
    if (cluster->waiting_count >= CONN_WAITING_MAX ||
        (cluster->waiting_count > 0 && cluster->waiting_bytes + errand->bytes > CONN_OUT_BYTES_MAX))
        return false;
    put_waiting(errand);
    return true;
}

/* Once more; its owner is told if there is no room. */
static void
start_again(struct errand *errand)
{
    if (!start(errand))
        finish(errand, &(struct conn_result){ .why = "too many commands are waiting for redis" });
}

/* True: it has found its way, or its end. */
static bool
try_waiting(struct errand *errand, uint64_t now_ms)
{
    if (errand->not_before_ms > now_ms)
        return false;
    struct node *node = destination(errand);
    if (node != NULL && node_is_ready(node, errand->lane)) {
        start_again(errand);
        return true;
    }
    if (errand->until_ms > now_ms)
        return false;
    expire(errand);
    return true;
}

void
cluster_dispatch(struct cluster *cluster)
{
    uint64_t now_ms = monotonic_now_ms();
    struct errand *errand = cluster->waiting, *next;
    cluster->waiting = NULL;
    cluster->last_waiting = &cluster->waiting;
    cluster->waiting_count = cluster->waiting_bytes = 0;
    for (; errand != NULL && !cluster->freed; errand = next) {
        next = errand->next_waiting;
        if (!try_waiting(errand, now_ms) && !cluster->freed)
            put_waiting(errand);
    }
    if (!cluster->freed && cluster->waiting == NULL)
        ev_timer_stop(cluster->loop, &cluster->tick);
}

void
cluster_on_tick(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct cluster *cluster = watcher->data;
    cluster_enter(cluster);
    cluster_dispatch(cluster);
    if (!cluster->freed && cluster->waiting != NULL && cluster->is_up &&
        monotonic_now_ms() - cluster->round_at_ms > LOOK_AGAIN_MS)
        cluster_look(cluster, true);
    (void)cluster_leave(cluster); /* nothing follows */
}

/* --- answers -----------------------------------------------------------------------------------*/

/* Not done, and not for long. */
static bool
is_passing(const struct resp_value *value)
{
    static const char *const codes[] = { "TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN",
                                         "READONLY" };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (resp_is_error(value, codes[i]))
            return true;
    return false;
}

/* False: it may wait no longer. */
static bool
pause_errand(struct errand *errand)
{
    unsigned shift = errand->pauses < 6 ? errand->pauses : 6;
    uint64_t pause_ms = (uint64_t)PAUSE_MS_MIN << shift, now_ms = monotonic_now_ms();
    errand->not_before_ms = now_ms + (pause_ms > PAUSE_MS_MAX ? PAUSE_MS_MAX : pause_ms);
    if (errand->not_before_ms >= errand->until_ms)
        return false;
    errand->pauses++;
    put_waiting(errand);
    return true;
}

static void
redirect(struct errand *errand, enum slots_redirection kind, unsigned slot, struct node *node,
         const struct conn_result *result)
{
    struct cluster *cluster = errand->cluster;
    if (kind == SLOTS_MOVED) {
        bool is_old_news = monotonic_now_ms() - cluster->map_at_ms < MAP_NEW_MS;
        cluster->at[slot] = node;
        cluster->is_moved = true;
        cluster_look(cluster, is_old_news);
    }
    errand->asks = kind == SLOTS_ASK;
    set_node(errand, errand->asks ? node : NULL);
    if (++errand->redirections <= REDIRECTIONS_AT_ONCE) {
        start_again(errand);
        return;
    }
    if (errand->redirections <= REDIRECTIONS_MAX && pause_errand(errand))
        return;
    char why[CONN_WHY_BYTES];
    snprintf(why, sizeof why, "redis cluster: redirected too often: %.*s",
             (int)(result->value->text.len > 250 ? 250 : result->value->text.len),
             result->value->text.data);
    finish(errand, &(struct conn_result){ .why = why });
}

/* A server has answered with an error. */
static void
on_refused(struct errand *errand, const struct conn_result *result)
{
    struct cluster *cluster = errand->cluster;
    struct slots_address address;
    unsigned slot;
    enum slots_redirection kind = slots_parse_redirection(result->value, errand->node->address.host,
                                                          &slot, &address);
    struct node *node = kind == SLOTS_NONE ? NULL : cluster_node(cluster, &address);
    if (node != NULL) {
        redirect(errand, kind, slot, node, result);
        return;
    }
    if (is_passing(result->value)) {
        set_node(errand, NULL);
        errand->asks = false;
        cluster_look(cluster, true);
        if (pause_errand(errand))
            return;
    }
    finish(errand, result);
}

static void
on_answer(const struct conn_result *result, void *arg)
{
    struct errand *errand = arg;
    struct cluster *cluster = errand->cluster;
    cluster_enter(cluster);
    bool is_refused = result->value != NULL && result->value->type == RESP_ERROR;
    if (errand->stays || (result->value == NULL && result->sent) ||
        (result->value != NULL && !is_refused)) {
        finish(errand, result);
    } else if (is_refused) {
        on_refused(errand, result);
    } else { /* it never left */
        set_node(errand, NULL);
        errand->asks = false;
        start_again(errand);
    }
    (void)cluster_leave(cluster); /* nothing follows */
}

/* --- interface ---------------------------------------------------------------------------------*/

bool
cluster_command(struct cluster *cluster, enum link_lane lane, int slot,
                const struct remora_slice *args, size_t count, uint64_t wait_ms, conn_done *done,
                void *arg)
{
    uint64_t now_ms = monotonic_now_ms(),
             dial_ms = (uint64_t)cluster->settings.conn.dial_timeout_ms;
    assert(!cluster->freed && slot < SLOTS);
    if (cluster->errand_count >= CONN_REQUESTS_MAX)
        return false;
    struct errand *errand = errand_new(cluster, args, count);
    if (cluster->errand_bytes > CLUSTER_BYTES_MAX && cluster->errand_count > 1) {
        errand_free(errand);
        return false;
    }
    errand->lane = lane;
    errand->slot = slot;
    errand->until_ms = now_ms + (wait_ms < dial_ms ? wait_ms : dial_ms);
    errand->done = done;
    errand->arg = arg;
    if (cluster->is_up && now_ms - cluster->map_at_ms > MAP_OLD_MS)
        cluster_look(cluster, false);
    if (start(errand))
        return true;
    errand_free(errand);
    return false;
}

bool
cluster_command_over(struct cluster *cluster, struct conn *conn, const struct remora_slice *args,
                     size_t count, conn_done *done, void *arg)
{
    struct node *node = NULL;
    enum link_lane lane = LINK_MAIN;
    for (size_t i = 0; i < cluster->node_count && node == NULL; i++)
        for (lane = LINK_MAIN; lane < LINK_LANES && node == NULL; lane++)
            if (cluster->nodes[i]->lanes[lane].conn == conn)
                node = cluster->nodes[i];
    if (node == NULL || !conn_is_ready(conn))
        return false;
    struct errand *errand = errand_new(cluster, args, count);
    errand->stays = true;
    errand->done = done;
    errand->arg = arg;
    set_node(errand, node);
    if (send_over(errand, conn))
        return true;
    errand_free(errand);
    return false;
}
