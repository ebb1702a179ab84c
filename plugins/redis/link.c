/* SPDX-License-Identifier: Apache-2.0 */
/* One server or a cluster of them; see link.h. */
#include "link.h"

#include <stdlib.h>
#include <string.h>

#include "cluster.h"

/* An MGET in a cluster: one for each key. */
struct gathering {
    struct gathering *next, **at;
    conn_done *done;
    void *arg;
    size_t count, left;
    struct piece *pieces;
    char why[CONN_WHY_BYTES]; /* of the first that failed; empty: none did */
    bool was_sent;
};

struct piece {
    struct gathering *gathering;
    char *text; /* owned */
    size_t len;
    bool is_there;
};

struct link {
    struct ev_loop *loop;
    struct link_settings settings;
    const struct link_events *events;
    void *owner;
    struct conn *conns[LINK_LANES];
    unsigned replicas;
    struct cluster *cluster; /* NULL: one server */
    struct gathering *gatherings;
};

/* --- one server --------------------------------------------------------------------------------*/

static void
on_ready(void *owner)
{
    struct link *link = owner;
    if (link->events->connected != NULL)
        link->events->connected(link->owner, link->conns[LINK_MAIN]);
    link->events->ready(link->owner);
}

static void
on_down(void *owner, const char *why, bool refused)
{
    struct link *link = owner;
    link->events->down(link->owner, why, refused);
}

static void
on_waiting_ready(void *owner)
{
    struct link *link = owner;
    if (link->events->connected != NULL)
        link->events->connected(link->owner, link->conns[LINK_WAITING]);
}

static void
on_waiting_down(void *owner, const char *why, bool refused)
{
    (void)owner; /* the other lane has the same trouble, and tells */
    (void)why;
    (void)refused;
}

static struct conn *
conn_of(struct link *link, enum link_lane lane)
{
    static const struct conn_events events[LINK_LANES] = {
        [LINK_MAIN] = { .ready = on_ready, .down = on_down },
        [LINK_WAITING] = { .ready = on_waiting_ready, .down = on_waiting_down },
    };
    if (link->conns[lane] == NULL) {
        struct conn_settings settings = link->settings.conn;
        if (lane == LINK_WAITING && settings.read_timeout_ms >= 0)
            settings.read_timeout_ms += link->settings.waiting_ms;
        link->conns[lane] = conn_new(link->loop, &settings, &events[lane], link);
    }
    return link->conns[lane];
}

/* --- the life ----------------------------------------------------------------------------------*/

struct link *
link_new(struct ev_loop *loop, const struct link_settings *settings,
         const struct link_events *events, void *owner)
{
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL)
        abort();
    *link = (struct link){ .loop = loop, .settings = *settings, .events = events, .owner = owner };
    if (settings->seed_count > 0)
        link->cluster = cluster_new(loop, settings, events, owner);
    else
        (void)conn_of(link, LINK_MAIN);
    return link;
}

static void
gathering_free(struct gathering *gathering)
{
    *gathering->at = gathering->next;
    if (gathering->next != NULL)
        gathering->next->at = gathering->at;
    for (size_t i = 0; i < gathering->count; i++)
        free(gathering->pieces[i].text);
    free(gathering->pieces);
    free(gathering);
}

void
link_free(struct link *link)
{
    if (link == NULL)
        return;
    cluster_free(link->cluster);
    for (size_t lane = 0; lane < LINK_LANES; lane++)
        conn_free(link->conns[lane]);
    while (link->gatherings != NULL)
        gathering_free(link->gatherings);
    free(link);
}

/* --- commands ----------------------------------------------------------------------------------*/

int
link_slot(const struct link *link, struct remora_slice key)
{
    return link->cluster == NULL ? 0 : (int)slots_of_key(key);
}

bool
link_command(struct link *link, enum link_lane lane, int slot, const struct remora_slice *args,
             size_t count, uint64_t wait_ms, conn_done *done, void *arg)
{
    if (link->cluster == NULL)
        return conn_command(conn_of(link, lane), args, count, wait_ms, done, arg);
    return cluster_command(link->cluster, lane, slot, args, count, wait_ms, done, arg);
}

bool
link_command_over(struct link *link, struct conn *conn, const struct remora_slice *args,
                  size_t count, conn_done *done, void *arg)
{
    if (link->cluster == NULL)
        return conn_command(conn, args, count, 0, done, arg);
    return cluster_command_over(link->cluster, conn, args, count, done, arg);
}

/* --- MGET --------------------------------------------------------------------------------------*/

static void
gathering_end(struct gathering *gathering)
{
    struct resp_value *values = calloc(gathering->count + 1, sizeof *values);
    if (values == NULL)
        abort();
    for (size_t i = 0; i < gathering->count; i++) {
        const struct piece *piece = &gathering->pieces[i];
        values[i] = (struct resp_value){ .type = RESP_NIL };
        if (piece->is_there) {
            values[i].type = RESP_STRING;
            values[i].text = (struct remora_slice){ piece->text, piece->len };
        }
    }
    const struct resp_value all = { .type = RESP_ARRAY,
                                    .count = gathering->count,
                                    .items = values };
    struct conn_result result = { .value = &all, .sent = true };
    if (gathering->why[0] != '\0')
        result = (struct conn_result){ .sent = gathering->was_sent, .why = gathering->why };
    conn_done *done = gathering->done;
    void *arg = gathering->arg;
    /* The link may go in there, and must not find this one. */
    *gathering->at = gathering->next;
    if (gathering->next != NULL)
        gathering->next->at = gathering->at;
    gathering->next = NULL;
    gathering->at = &gathering->next;
    done(&result, arg);
    free(values);
    gathering_free(gathering);
}

static void
piece_failed(struct gathering *gathering, struct remora_slice why, bool was_sent)
{
    size_t len = why.len < sizeof gathering->why ? why.len : sizeof gathering->why - 1;
    if (gathering->why[0] != '\0')
        return;
    memcpy(gathering->why, why.data, len);
    gathering->why[len] = '\0';
    gathering->was_sent = was_sent;
}

static void
on_piece(const struct conn_result *result, void *arg)
{
    static const char odd[] = "redis answered with something else";
    struct piece *piece = arg;
    struct gathering *gathering = piece->gathering;
    const struct resp_value *value = result->value;
    if (value == NULL) {
        piece_failed(gathering, (struct remora_slice){ result->why, strlen(result->why) },
                     result->sent);
    } else if (value->type == RESP_ERROR) {
        piece_failed(gathering, value->text, true);
    } else if (value->type != RESP_ARRAY || value->count != 1) {
        piece_failed(gathering, (struct remora_slice){ odd, sizeof odd - 1 }, true);
    } else if (value->items[0].type == RESP_STRING) {
        struct remora_slice text = value->items[0].text;
        piece->text = malloc(text.len + 1);
        if (piece->text == NULL)
            abort();
        if (text.len > 0)
            memcpy(piece->text, text.data, text.len);
        piece->len = text.len;
        piece->is_there = true;
    }
    if (--gathering->left == 0)
        gathering_end(gathering);
}

static struct gathering *
gathering_new(struct link *link, size_t count, conn_done *done, void *arg)
{
    struct gathering *gathering = calloc(1, sizeof *gathering);
    if (gathering == NULL)
        abort();
    *gathering = (struct gathering){ .next = link->gatherings,
                                     .at = &link->gatherings,
                                     .done = done,
                                     .arg = arg,
                                     .count = count,
                                     .pieces = calloc(count, sizeof *gathering->pieces) };
    if (gathering->pieces == NULL)
        abort();
    if (gathering->next != NULL)
        gathering->next->at = &gathering->next;
    link->gatherings = gathering;
    return gathering;
}

static bool
gather(struct link *link, const struct remora_slice *keys, size_t count, uint64_t wait_ms,
       conn_done *done, void *arg)
{
    struct gathering *gathering = gathering_new(link, count, done, arg);
    for (size_t i = 0; i < count; i++) {
        const struct remora_slice args[] = { { "MGET", 4 }, keys[i] };
        struct piece *piece = &gathering->pieces[i];
        piece->gathering = gathering;
        if (!cluster_command(link->cluster, LINK_MAIN, (int)slots_of_key(keys[i]), args, 2, wait_ms,
                             on_piece, piece)) {
            static const char busy[] = "too many commands are waiting for redis";
            piece_failed(gathering, (struct remora_slice){ busy, sizeof busy - 1 }, false);
            break;
        }
        gathering->left++; /* no answer comes before we return */
    }
    if (gathering->left > 0)
        return true;
    gathering_free(gathering);
    return false;
}

bool
link_mget(struct link *link, const struct remora_slice *keys, size_t count, uint64_t wait_ms,
          conn_done *done, void *arg)
{
    if (link->cluster != NULL && count > 0)
        return gather(link, keys, count, wait_ms, done, arg);
    struct remora_slice *args = malloc((count + 1) * sizeof *args);
    if (args == NULL)
        abort();
    args[0] = (struct remora_slice){ "MGET", 4 };
    memcpy(args + 1, keys, count * sizeof *keys);
    bool is_sent = link_command(link, LINK_MAIN, 0, args, count + 1, wait_ms, done, arg);
    free(args);
    return is_sent;
}

/* --- the servers -------------------------------------------------------------------------------*/

bool
link_is_ready(struct link *link, int slot)
{
    return link->cluster == NULL ? conn_is_ready(link->conns[LINK_MAIN])
                                 : cluster_is_ready(link->cluster, slot);
}

void
link_restart(struct link *link, const char *why)
{
    if (link->cluster != NULL) {
        cluster_restart(link->cluster);
        return;
    }
    if (link->conns[LINK_WAITING] != NULL) /* first: the owner hears of the other, and may free */
        conn_restart(link->conns[LINK_WAITING], why);
    conn_restart(link->conns[LINK_MAIN], why);
}

void
link_look_again(struct link *link)
{
    if (link->cluster != NULL)
        cluster_look_again(link->cluster);
}

int
link_next_server(const struct link *link, int slot)
{
    if (link->cluster == NULL)
        return slot == LINK_ANY ? 0 : LINK_ANY;
    return cluster_next_server(link->cluster, slot);
}

const char *
link_address(const struct link *link, int slot)
{
    return link->cluster == NULL ? conn_address(link->conns[LINK_MAIN])
                                 : cluster_address(link->cluster, slot);
}

unsigned
link_replicas(const struct link *link, const struct conn *conn)
{
    return link->cluster == NULL ? link->replicas : cluster_replicas(link->cluster, conn);
}

bool
link_may_replicate(const struct link *link)
{
    return link->cluster != NULL || link->replicas > 0;
}

void
link_note_replicas(struct link *link, unsigned count)
{
    link->replicas = count;
}

static void *
locate(void *owner, conn_located *done, void *arg)
{
    const struct link_place *place = owner;
    return cluster_locate(place->link->cluster, place->slot, done, arg);
}

struct conn *
link_connect(struct link_place *place, int64_t waiting_ms, const struct conn_events *events,
             void *owner)
{
    static const struct conn_locator locator = { .start = locate, .cancel = cluster_locate_cancel };
    const struct link *link = place->link;
    struct conn_settings settings = link->settings.conn;
    if (settings.read_timeout_ms >= 0)
        settings.read_timeout_ms += waiting_ms;
    if (link->cluster != NULL) {
        settings.locator = &locator;
        settings.locator_owner = place;
    }
    return conn_new(link->loop, &settings, events, owner);
}

bool
link_is_elsewhere(struct link *link, const struct conn_result *result)
{
    const struct resp_value *value = result->value;
    bool is_elsewhere = value != NULL && resp_is_error(value, "READONLY");
    if (link->cluster == NULL || value == NULL)
        return is_elsewhere;
    /* Whoever waited inside the server hears of it as UNBLOCKED. */
    is_elsewhere = is_elsewhere || resp_is_error(value, "MOVED") ||
                   resp_is_error(value, "UNBLOCKED") || resp_is_error(value, "CLUSTERDOWN");
    if (is_elsewhere)
        cluster_restart(link->cluster);
    return is_elsewhere;
}
