/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has which slots. A round asks candidates one after the other, those with a connection first
 * and the seeds last, until one answers.
 */
#include "cluster_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/monotonic.h"

enum {
    LOOK_PAUSE_MS = 100,     /* between rounds */
    FRESH_MS = 1000,         /* what has been found out so lately is not asked for again */
    CANDIDATE_MS_MIN = 1000, /* for each of several */
};

static void ask_next(struct cluster *cluster);

static void
set_timer(struct cluster *cluster, ev_timer *timer, double delay_ms)
{
    ev_timer_stop(cluster->loop, timer);
    ev_timer_set(timer, delay_ms < 0 ? 0.0 : delay_ms / 1e3, 0.0);
    ev_timer_start(cluster->loop, timer);
}

/* --- seekers -----------------------------------------------------------------------------------*/

static void
unlink_seeker(struct seeker *seeker)
{
    *seeker->at = seeker->next;
    if (seeker->next != NULL)
        seeker->next->at = seeker->at;
    else
        seeker->cluster->last_seeker = seeker->at;
}

/* The first; there is one. */
static struct seeker
take_seeker(struct cluster *cluster)
{
    struct seeker *first = cluster->seekers;
    struct seeker taken = *first;
    cluster->seekers = first->next;
    if (first->next != NULL)
        first->next->at = &cluster->seekers;
    else
        cluster->last_seeker = &cluster->seekers;
    free(first);
    return taken;
}

static void
answer_seekers(struct cluster *cluster)
{
    while (!cluster->freed && cluster->seekers != NULL) {
        const struct seeker one = take_seeker(cluster);
        const struct node *node = one.slot == LINK_ANY ? cluster_any(cluster, LINK_MAIN)
                                                       : cluster->at[one.slot];
        if (!cluster->is_up)
            one.done(NULL, NULL, cluster->scout.why, one.arg);
        else if (node == NULL)
            one.done(NULL, NULL, "CLUSTERDOWN Hash slot not served", one.arg);
        else
            one.done(node->address.host, node->address.port, "", one.arg);
    }
}

static void
on_answer_due(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct cluster *cluster = watcher->data;
    cluster_enter(cluster);
    if (!cluster->scout.is_asking)
        answer_seekers(cluster);
    (void)cluster_leave(cluster); /* nothing follows */
}

void *
cluster_locate(struct cluster *cluster, int slot, conn_located *done, void *arg)
{
    struct seeker *seeker = malloc(sizeof *seeker);
    if (seeker == NULL)
        abort();
    *seeker = (struct seeker){
        .at = cluster->last_seeker, .cluster = cluster, .slot = slot, .done = done, .arg = arg
    };
    *cluster->last_seeker = seeker;
    cluster->last_seeker = &seeker->next;
    bool is_looking = cluster->scout.is_asking || ev_is_active(&cluster->look);
    if (cluster->is_up && !is_looking && monotonic_now_ms() - cluster->map_at_ms < FRESH_MS)
        set_timer(cluster, &cluster->answer, 0); /* a locator never answers at once */
    else
        cluster_look(cluster, true);
    return seeker;
}

void
cluster_locate_cancel(void *search)
{
    struct seeker *seeker = search;
    unlink_seeker(seeker);
    free(seeker);
}

/* --- a new map ---------------------------------------------------------------------------------*/

/* True: there are other servers than before, or slots have moved. */
static bool
take_map(struct cluster *cluster, const struct slots_map *map)
{
    struct node **by_index = calloc(map->server_count, sizeof(struct node *));
    size_t before = 0, both = 0;
    bool is_moved = cluster->is_moved;
    if (by_index == NULL)
        abort();
    for (size_t i = 0; i < cluster->node_count; i++)
        before += cluster->nodes[i]->is_master;
    for (size_t i = 0; i < map->server_count; i++) {
        by_index[i] = cluster_node(cluster, &map->servers[i].address);
        both += by_index[i] != NULL && by_index[i]->is_master;
    }
    for (size_t i = 0; i < cluster->node_count; i++) {
        cluster->nodes[i]->is_master = false;
        cluster->nodes[i]->replicas = 0;
    }
    for (size_t i = 0; i < map->server_count; i++) {
        if (by_index[i] == NULL)
            continue;
        by_index[i]->is_master = true;
        by_index[i]->replicas = map->servers[i].replicas;
    }
    for (size_t slot = 0; slot < SLOTS; slot++) {
        struct node *node = map->at[slot] < 0 ? NULL : by_index[map->at[slot]];
        is_moved = is_moved || node != cluster->at[slot];
        cluster->at[slot] = node;
    }
    free(by_index);
    cluster->is_moved = false;
    cluster_tidy(cluster);
    return is_moved || both != before || both != map->server_count;
}

static void
end_round(struct cluster *cluster)
{
    struct scout *scout = &cluster->scout;
    scout->is_asking = false;
    free(scout->candidates);
    scout->candidates = NULL;
    cluster->round_at_ms = monotonic_now_ms();
}

static void
round_succeeded(struct cluster *cluster, const struct slots_map *map)
{
    bool is_changed = take_map(cluster, map);
    end_round(cluster);
    bool is_ready_owed = cluster->is_ready_owed || !cluster->is_up;
    cluster->has_map = cluster->is_up = true;
    cluster->is_ready_owed = false;
    cluster->pause_ms = CONN_BACKOFF_MIN_MS;
    cluster->map_at_ms = cluster->round_at_ms;
    cluster_enter(cluster);
    answer_seekers(cluster);
    if (!cluster->freed && is_ready_owed)
        cluster->events->ready(cluster->owner);
    if (!cluster->freed && is_changed && cluster->events->changed != NULL)
        cluster->events->changed(cluster->owner);
    if (!cluster->freed)
        cluster_dispatch(cluster);
    if (!cluster->freed && cluster->is_look_wanted)
        cluster_look(cluster, true);
    (void)cluster_leave(cluster); /* nothing follows */
}

static void
round_failed(struct cluster *cluster)
{
    unsigned pause_ms = cluster->pause_ms;
    bool was_refused = cluster->scout.was_refused;
    char why[CONN_WHY_BYTES];
    snprintf(why, sizeof why, "%s", cluster->scout.why);
    end_round(cluster);
    cluster->is_up = false;
    if (pause_ms == 0)
        pause_ms = cluster->settings.conn.first_pause_ms;
    else
        cluster->pause_ms = pause_ms * 2 > CONN_BACKOFF_MAX_MS ? CONN_BACKOFF_MAX_MS : pause_ms * 2;
    set_timer(cluster, &cluster->look, pause_ms);
    cluster_enter(cluster);
    answer_seekers(cluster);
    if (!cluster->freed)
        cluster->events->down(cluster->owner, why, was_refused);
    (void)cluster_leave(cluster); /* nothing follows */
}

/* --- asking ------------------------------------------------------------------------------------*/

static void
drop_scout(struct cluster *cluster)
{
    conn_free(cluster->scout.conn);
    cluster->scout.conn = NULL;
}

static void
candidate_failed(struct cluster *cluster, const char *why, bool refused)
{
    struct scout *scout = &cluster->scout;
    drop_scout(cluster);
    if (!scout->is_asking)
        return;
    if (refused || !scout->was_refused) /* whom nobody lets in is told so */
        snprintf(scout->why, sizeof scout->why, "%s", why);
    scout->was_refused = scout->was_refused || refused;
    scout->tried++;
    ask_next(cluster);
}

static void
on_slots(const struct conn_result *result, void *arg)
{
    struct cluster *cluster = arg;
    struct slots_map *map;
    char why[CONN_WHY_BYTES] = "";
    if (result->value == NULL)
        return; /* on_scout_down() follows */
    map = malloc(sizeof *map);
    if (map == NULL)
        abort();
    if (result->value->type == RESP_ERROR)
        snprintf(why, sizeof why, "%.*s",
                 (int)(result->value->text.len > 250 ? 250 : result->value->text.len),
                 result->value->text.data);
    else if (slots_parse(result->value, cluster->scout.address.host, map, why)) {
        round_succeeded(cluster, map); /* which may be its end */
        slots_map_fini(map);
    }
    free(map);
    if (why[0] != '\0')
        candidate_failed(cluster, why, false);
}

static void
ask(struct cluster *cluster)
{
    const struct remora_slice args[] = { { "CLUSTER", 7 }, { "SLOTS", 5 } };
    (void)conn_command(cluster->scout.conn, args, 2, 0, on_slots, cluster); /* nothing is queued */
}

static void
on_scout_ready(void *owner)
{
    ask(owner);
}

static void
on_scout_down(void *owner, const char *why, bool refused)
{
    candidate_failed(owner, why, refused);
}

static void
ask_next(struct cluster *cluster)
{
    static const struct conn_events events = { .ready = on_scout_ready, .down = on_scout_down };
    struct scout *scout = &cluster->scout;
    if (scout->tried == scout->candidate_count) {
        round_failed(cluster);
        return;
    }
    scout->address = scout->candidates[scout->tried];
    struct conn_settings settings = cluster->settings.conn;
    settings.host = scout->address.host;
    settings.port = scout->address.port;
    int64_t share_ms = settings.dial_timeout_ms / (int64_t)(scout->candidate_count + 1);
    share_ms = share_ms < CANDIDATE_MS_MIN ? CANDIDATE_MS_MIN : share_ms;
    if (scout->candidate_count > 1 && share_ms < settings.dial_timeout_ms) {
        settings.dial_timeout_ms = share_ms;
        settings.read_timeout_ms = share_ms;
    }
    scout->conn = conn_new(cluster->loop, &settings, &events, cluster);
}

/* The one that is connected, those with a connection, those without, the seeds; each round begins
 * with another. */
static void
choose_candidates(struct cluster *cluster)
{
    struct scout *scout = &cluster->scout;
    const struct link_settings *settings = &cluster->settings;
    size_t count = 0, turn = cluster->rounds++;
    scout->candidates = calloc(1 + cluster->node_count + settings->seed_count,
                               sizeof *scout->candidates);
    if (scout->candidates == NULL)
        abort();
    if (scout->conn != NULL)
        scout->candidates[count++] = scout->address;
    for (unsigned pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < cluster->node_count; i++) {
            const struct node *node = cluster->nodes[(turn + i) % cluster->node_count];
            const struct conn *conn = node->lanes[LINK_MAIN].conn;
            bool is_ready = conn != NULL && conn_is_ready(conn);
            if (node->is_master && is_ready == (pass == 0))
                scout->candidates[count++] = node->address;
        }
    for (size_t i = 0; i < settings->seed_count; i++) {
        const struct link_seed *seed = &settings->seeds[(turn + i) % settings->seed_count];
        struct slots_address *address = &scout->candidates[count++];
        snprintf(address->host, sizeof address->host, "%s", seed->host);
        snprintf(address->port, sizeof address->port, "%s", seed->port);
    }
    scout->candidate_count = count;
}

static void
start_round(struct cluster *cluster)
{
    struct scout *scout = &cluster->scout;
    ev_timer_stop(cluster->loop, &cluster->look);
    cluster->is_look_wanted = false;
    scout->is_asking = true;
    scout->tried = 0;
    scout->was_refused = false;
    scout->why[0] = '\0';
    if (scout->conn != NULL && !conn_is_ready(scout->conn))
        drop_scout(cluster);
    choose_candidates(cluster);
    if (scout->conn != NULL)
        ask(cluster);
    else
        ask_next(cluster);
}

static void
on_look(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct cluster *cluster = watcher->data;
    start_round(cluster);
}

/* Rounds begin from the loop, never from within a call. */
void
cluster_look(struct cluster *cluster, bool is_trouble)
{
    struct scout *scout = &cluster->scout;
    if (scout->is_asking) {
        cluster->is_look_wanted = cluster->is_look_wanted || is_trouble;
        return;
    }
    if (is_trouble)
        drop_scout(cluster);
    if (ev_is_active(&cluster->look))
        return;
    uint64_t since_ms = monotonic_now_ms() - cluster->round_at_ms;
    set_timer(cluster, &cluster->look,
              since_ms < LOOK_PAUSE_MS ? (double)(LOOK_PAUSE_MS - since_ms) : 0);
}

/* --- the life ----------------------------------------------------------------------------------*/

void
cluster_map_init(struct cluster *cluster)
{
    cluster->last_seeker = &cluster->seekers;
    ev_init(&cluster->look, on_look);
    ev_init(&cluster->answer, on_answer_due);
    cluster->look.data = cluster->answer.data = cluster;
    set_timer(cluster, &cluster->look, 0);
}

void
cluster_map_fini(struct cluster *cluster)
{
    ev_timer_stop(cluster->loop, &cluster->look);
    ev_timer_stop(cluster->loop, &cluster->answer);
    drop_scout(cluster);
    free(cluster->scout.candidates);
    cluster->scout.candidates = NULL;
    while (cluster->seekers != NULL)
        (void)take_seeker(cluster);
}
