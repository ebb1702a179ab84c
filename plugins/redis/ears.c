/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hearing of changes; see configuration.h. The order is what keeps them from being missed: a server
 * is told to notify, then the channels are opened. When a connection has been away the same is done
 * again, and all is read anew; so it is when a cluster has a server more.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configuration.h"

enum { PING_S = 5, FENCE_MS = 500, CHANNEL_BYTES_MAX = 64, FLAGS_BYTES_MAX = 64 };

/* What the reference sets: keyspace events of generic and string commands, expiry and eviction. */
static const char wanted_flags[] = "Kg$xe";

/* A connection for the notifications of one server. */
struct ear {
    struct ear *next;
    struct configuration *configuration;
    struct link_place place;
    struct conn *conn;
    bool is_deaf; /* channels are to be opened, and what was missed is to be read */
    bool is_gone; /* its server is none any more: freed when nothing is due */
    size_t due;   /* answers */
};

static struct remora_slice
text(const char *literal)
{
    return (struct remora_slice){ literal, strlen(literal) };
}

static uint64_t
dial_ms(const struct configuration *configuration)
{
    return (uint64_t)configuration->server.settings.dial_timeout_ms;
}

/* --- several at once ---------------------------------------------------------------------------*/

/* What several servers are asked: done when all have answered or cannot. */
struct round {
    struct configuration *configuration;
    const struct keyspace_watcher *watcher;
    uint64_t wait_ms;
    conn_done *done;
    void *arg;
    size_t left;
    bool is_any; /* one has answered */
    char why[CONN_WHY_BYTES];
};

/* One of them. */
struct asked {
    struct round *round;
    int slot;        /* of the server */
    struct ear *ear; /* or NULL */
};

static struct asked *
ask_one(struct round *round, int slot, struct ear *ear)
{
    struct asked *asked = malloc(sizeof *asked);
    if (asked == NULL)
        abort();
    *asked = (struct asked){ round, slot, ear };
    round->left++;
    return asked;
}

static void
round_less(struct round *round, const struct conn_result *result)
{
    static const struct resp_value pong = { .type = RESP_STATUS };
    if (result->value != NULL)
        round->is_any = true;
    else
        snprintf(round->why, sizeof round->why, "%s", result->why);
    if (--round->left > 0)
        return;
    struct conn_result all = { .value = round->is_any ? &pong : NULL, .why = round->why };
    round->done(&all, round->arg);
    free(round);
}

static struct round *
round_new(struct configuration *configuration, const struct keyspace_watcher *watcher,
          uint64_t wait_ms, conn_done *done, void *arg)
{
    struct round *round = calloc(1, sizeof *round);
    if (round == NULL)
        abort();
    *round = (struct round){ .configuration = configuration,
                             .watcher = watcher,
                             .wait_ms = wait_ms,
                             .done = done,
                             .arg = arg,
                             .left = 1, /* one too many, until all are asked */
                             .why = "there is no server" };
    return round;
}

static void
round_begun(struct round *round)
{
    round_less(round, &(struct conn_result){ .why = round->why });
}

/* --- the servers' settings ---------------------------------------------------------------------*/

static void
on_set(const struct conn_result *result, void *arg)
{
    (void)arg;
    if (result->value != NULL && result->value->type == RESP_ERROR)
        remora_log(REMORA_WARN, "redis configuration: the server cannot be told to notify: %.*s",
                   (int)(result->value->text.len > 200 ? 200 : result->value->text.len),
                   result->value->text.data);
}

/* Adds what is missing to what there is: others may need the rest. */
static void
on_flags(const struct conn_result *result, struct configuration *configuration, int slot)
{
    char flags[FLAGS_BYTES_MAX + sizeof wanted_flags] = "";
    const struct resp_value *value = result->value;
    if (value == NULL)
        return;
    if (value->type == RESP_ARRAY && value->count == 2 && value->items[1].type == RESP_STRING &&
        value->items[1].text.len < FLAGS_BYTES_MAX)
        memcpy(flags, value->items[1].text.data, value->items[1].text.len);
    size_t len = strlen(flags);
    bool is_missing = false;
    for (const char *flag = wanted_flags; *flag != '\0'; flag++) {
        if (strchr(flags, *flag) != NULL || (*flag != 'K' && strchr(flags, 'A') != NULL))
            continue;
        flags[len++] = *flag;
        is_missing = true;
    }
    const struct remora_slice args[] = {
        text("CONFIG"), text("SET"), text("notify-keyspace-events"), { flags, len }
    };
    if (is_missing)
        (void)link_command(configuration->link, LINK_MAIN, slot, args, 4, 0, on_set, configuration);
}

static void
on_fenced(const struct conn_result *result, void *arg)
{
    struct asked *asked = arg;
    struct round *round = asked->round;
    free(asked);
    round_less(round, result);
}

static void
on_asked(const struct conn_result *result, void *arg)
{
    struct asked *asked = arg;
    struct configuration *configuration = asked->round->configuration;
    const struct remora_slice ping = text("PING");
    on_flags(result, configuration, asked->slot); /* what it sends goes out before what follows */
    if (!link_command(configuration->link, LINK_MAIN, asked->slot, &ping, 1, FENCE_MS, on_fenced,
                      asked))
        on_fenced(&(struct conn_result){ .why = "too much is queued" }, asked);
}

static void
notify_one(struct round *round, int slot)
{
    const struct remora_slice args[] = { text("CONFIG"), text("GET"),
                                         text("notify-keyspace-events") };
    struct asked *asked = ask_one(round, slot, NULL);
    if (!link_command(round->configuration->link, LINK_MAIN, slot, args, 3, round->wait_ms,
                      on_asked, asked))
        on_fenced(&(struct conn_result){ .why = "too much is queued" }, asked);
}

/* --- channels ----------------------------------------------------------------------------------*/

static size_t
channel_prefix(const struct configuration *configuration, char prefix[CHANNEL_BYTES_MAX])
{
    return (size_t)snprintf(prefix, CHANNEL_BYTES_MAX,
                            "__keyspace@%" PRId64 "__:", configuration->server.settings.db);
}

static bool
listens_to_all(const struct keyspace_watcher *watcher)
{
    return watcher->key_count == 0 || watcher->key_count > CONFIGURATION_CHANNELS_MAX;
}

/* ["message", channel, event] or ["pmessage", pattern, channel, event] */
static void
on_message(void *owner, const struct resp_value *value)
{
    const struct ear *ear = owner;
    char prefix[CHANNEL_BYTES_MAX];
    size_t at = value->count == 4 ? 2 : 1, len = channel_prefix(ear->configuration, prefix);
    if (value->count < 3 || value->items[at].type != RESP_STRING)
        return;
    struct remora_slice channel = value->items[at].text;
    if (channel.len <= len || memcmp(channel.data, prefix, len) != 0)
        return;
    keyspace_heard(ear->configuration,
                   (struct remora_slice){ channel.data + len, channel.len - len });
}

static void
say(struct ear *ear, const char *command, struct remora_slice key)
{
    char prefix[CHANNEL_BYTES_MAX];
    size_t len = channel_prefix(ear->configuration, prefix);
    char *channel = malloc(len + key.len + 1);
    if (channel == NULL)
        abort();
    memcpy(channel, prefix, len);
    memcpy(channel + len, key.data, key.len);
    const struct remora_slice args[] = { text(command), { channel, len + key.len } };
    /* What is refused or lost is noticed by the PING that follows. */
    (void)conn_command(ear->conn, args, 2, dial_ms(ear->configuration), NULL, NULL);
    free(channel);
}

static void
open_channels(struct ear *ear, const struct keyspace_watcher *watcher)
{
    if (listens_to_all(watcher)) {
        say(ear, "PSUBSCRIBE", text("*"));
        return;
    }
    for (size_t i = 0; i < watcher->key_count; i++)
        say(ear, "SUBSCRIBE", watcher->keys[i]);
}

/* Those that nobody else listens to. */
static void
close_channels(struct ear *ear, const struct keyspace_watcher *watcher)
{
    const struct keyspace_watcher *watchers = ear->configuration->watchers;
    bool is_used = false;
    if (listens_to_all(watcher)) {
        for (const struct keyspace_watcher *one = watchers; one != NULL; one = one->next)
            is_used = is_used || listens_to_all(one);
        if (!is_used)
            say(ear, "PUNSUBSCRIBE", text("*"));
        return;
    }
    for (size_t i = 0; i < watcher->key_count; i++) {
        is_used = false;
        for (const struct keyspace_watcher *one = watchers; one != NULL && !is_used;
             one = one->next)
            is_used = !listens_to_all(one) && keyspace_is_watched(one, watcher->keys[i]);
        if (!is_used)
            say(ear, "UNSUBSCRIBE", watcher->keys[i]);
    }
}

/* --- connections -------------------------------------------------------------------------------*/

static void
free_gone(struct configuration *configuration)
{
    for (struct ear **at = &configuration->ears; *at != NULL;) {
        struct ear *ear = *at;
        if (!ear->is_gone || ear->due > 0) {
            at = &ear->next;
            continue;
        }
        *at = ear->next;
        conn_free(ear->conn);
        free(ear);
    }
}

static void
on_heard_again(const struct conn_result *result, void *arg)
{
    struct ear *ear = arg;
    struct configuration *configuration = ear->configuration;
    ear->due--;
    if (result->value != NULL) { /* else it is tried again when the connection is back */
        ear->is_deaf = false;
        keyspace_read_anew(configuration);
    }
    free_gone(configuration);
}

static void
on_notified_again(const struct conn_result *result, void *arg)
{
    struct ear *ear = arg;
    struct configuration *configuration = ear->configuration;
    const struct remora_slice ping = text("PING");
    ear->due--;
    if (result->value == NULL) { /* the link is away: from the beginning */
        conn_restart(ear->conn, "the server does not answer");
        free_gone(configuration);
        return;
    }
    for (const struct keyspace_watcher *one = configuration->watchers; one != NULL; one = one->next)
        open_channels(ear, one);
    if (conn_command(ear->conn, &ping, 1, 0, on_heard_again, ear))
        ear->due++;
    free_gone(configuration);
}

static void
on_ready(void *owner)
{
    struct ear *ear = owner;
    if (!ear->is_deaf)
        return;
    struct round *round = round_new(ear->configuration, NULL, dial_ms(ear->configuration),
                                    on_notified_again, ear);
    ear->due++;
    notify_one(round, ear->place.slot);
    round_begun(round);
}

static void
on_down(void *owner, const char *why, bool refused)
{
    struct ear *ear = owner;
    (void)why, (void)refused; /* the link has the same trouble, and tells */
    ear->is_deaf = true;
}

/* A server that is gone without a word is noticed, and one that has come too. */
static void
on_ping(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    const struct configuration *configuration = timer->data;
    const struct remora_slice ping = text("PING");
    for (struct ear *ear = configuration->ears; ear != NULL; ear = ear->next)
        if (conn_is_ready(ear->conn))
            (void)conn_command(ear->conn, &ping, 1, 0, NULL, NULL);
    link_look_again(configuration->link);
}

static void
ear_new(struct configuration *configuration, int slot, bool is_deaf)
{
    static const struct conn_events events = { .ready = on_ready,
                                               .down = on_down,
                                               .message = on_message };
    struct ear *ear = calloc(1, sizeof *ear);
    if (ear == NULL)
        abort();
    *ear = (struct ear){ .next = configuration->ears,
                         .configuration = configuration,
                         .place = { configuration->link, slot },
                         .is_deaf = is_deaf };
    configuration->ears = ear;
    ear->conn = link_connect(&ear->place, 0, &events, ear);
}

static void
listen_up(struct configuration *configuration)
{
    struct link *link = configuration->link;
    if (configuration->ears != NULL)
        return;
    for (int slot = LINK_ANY; (slot = link_next_server(link, slot)) != LINK_ANY;)
        ear_new(configuration, slot, false);
    ev_timer_stop(remora_loop(), &configuration->ping);
    ev_timer_init(&configuration->ping, on_ping, PING_S, PING_S);
    configuration->ping.data = configuration;
    ev_timer_start(remora_loop(), &configuration->ping);
}

/* One that stays is where it was: its server has a slot that no other ear is for. */
static bool
keep_ear(struct configuration *configuration, int slot)
{
    const char *address = link_address(configuration->link, slot);
    for (struct ear *ear = configuration->ears; ear != NULL; ear = ear->next) {
        if (!ear->is_gone || strcmp(conn_address(ear->conn), address) != 0)
            continue;
        ear->is_gone = false;
        ear->place.slot = slot;
        return true;
    }
    return false;
}

void
ears_follow(struct configuration *configuration)
{
    struct link *link = configuration->link;
    if (configuration->ears == NULL)
        return;
    for (struct ear *ear = configuration->ears; ear != NULL; ear = ear->next)
        ear->is_gone = true;
    for (int slot = LINK_ANY; (slot = link_next_server(link, slot)) != LINK_ANY;)
        if (!keep_ear(configuration, slot))
            ear_new(configuration, slot, true);
    free_gone(configuration);
}

/* --- coming and going --------------------------------------------------------------------------*/

static void
on_heard(const struct conn_result *result, void *arg)
{
    struct asked *asked = arg;
    struct ear *ear = asked->ear;
    struct round *round = asked->round;
    struct configuration *configuration = ear->configuration;
    ear->due--;
    free(asked);
    free_gone(configuration);
    round_less(round, result);
}

/* The servers notify: all ears listen, and say when they do. */
static void
on_notified(const struct conn_result *result, void *arg)
{
    struct round *before = arg;
    struct configuration *configuration = before->configuration;
    const struct remora_slice ping = text("PING");
    if (result->value == NULL) {
        before->done(result, before->arg);
        free(before);
        return;
    }
    listen_up(configuration);
    for (struct ear *ear = configuration->ears; ear != NULL; ear = ear->next) {
        if (ear->is_gone)
            continue;
        open_channels(ear, before->watcher);
        struct asked *asked = ask_one(before, 0, ear);
        ear->due++;
        if (!conn_command(ear->conn, &ping, 1, before->wait_ms, on_heard, asked))
            on_heard(&(struct conn_result){ .why = "too much is queued" }, asked);
    }
    round_begun(before);
}

void
ears_open(struct configuration *configuration, const struct keyspace_watcher *watcher,
          uint64_t wait_ms, conn_done *done, void *arg)
{
    struct round *hearing = round_new(configuration, watcher, wait_ms, done, arg);
    struct round *round = round_new(configuration, NULL, wait_ms, on_notified, hearing);
    for (int slot = LINK_ANY; (slot = link_next_server(configuration->link, slot)) != LINK_ANY;)
        notify_one(round, slot);
    round_begun(round);
}

void
ears_close(struct configuration *configuration, const struct keyspace_watcher *watcher)
{
    for (struct ear *ear = configuration->ears; ear != NULL; ear = ear->next)
        if (conn_is_ready(ear->conn))
            close_channels(ear, watcher);
}

void
ears_free(struct configuration *configuration)
{
    if (configuration->ears != NULL)
        ev_timer_stop(remora_loop(), &configuration->ping);
    while (configuration->ears != NULL) {
        struct ear *ear = configuration->ears;
        configuration->ears = ear->next;
        conn_free(ear->conn);
        free(ear);
    }
}
