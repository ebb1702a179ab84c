/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching keys; see configuration.h. The order is what keeps changes from being missed: the server
 * is told to notify, then the channels are opened, then the sidecar hears that it is subscribed and
 * reads. When the connection has been away the same is done again, and the sidecar reads anew.
 */
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configuration.h"
#include "failure.h"

enum { PING_S = 5, RETRY_MS = 500, CHANNEL_BYTES_MAX = 64, FLAGS_BYTES_MAX = 64 };

/* What the reference sets: keyspace events of generic and string commands, expiry and eviction. */
static const char wanted_flags[] = "Kg$xe";

struct keyspace_watcher {
    struct keyspace_watcher *next;
    struct configuration *configuration;
    uint64_t id;
    struct remora_slice *keys; /* owned, sorted; NULL: all */
    size_t key_count;
    void *dirty; /* a tree of struct remora_slice *, keys that have changed */
    size_t dirty_count;
    bool must_read; /* changes may have been missed */
    bool is_open;   /* the sidecar knows of it */
    bool is_busy;   /* a reading or a telling is under way */
    bool is_gone;   /* freed when it is not busy any more */
    ev_timer retry;
    struct remora_slice *batch; /* keys that are being read; owned */
    size_t batch_count;
};

static struct remora_slice
text(const char *literal)
{
    return (struct remora_slice){ literal, strlen(literal) };
}

/* --- keys that have changed --------------------------------------------------------------------*/

static void
free_key(void *node)
{
    struct remora_slice *key = node;
    free((char *)(uintptr_t)key->data);
    free(key);
}

static void
forget_dirty(struct keyspace_watcher *watcher)
{
    tdestroy(watcher->dirty, free_key);
    watcher->dirty = NULL;
    watcher->dirty_count = 0;
}

static void
forget_batch(struct keyspace_watcher *watcher)
{
    for (size_t i = 0; i < watcher->batch_count; i++)
        free((char *)(uintptr_t)watcher->batch[i].data);
    free(watcher->batch);
    watcher->batch = NULL;
    watcher->batch_count = 0;
}

static void
note_dirty(struct keyspace_watcher *watcher, struct remora_slice key)
{
    if (watcher->must_read || tfind(&key, &watcher->dirty, configuration_compare_keys) != NULL)
        return;
    if (watcher->dirty_count >= CONFIGURATION_KEYS_DIRTY_MAX) {
        watcher->must_read = true;
        forget_dirty(watcher);
        return;
    }
    struct remora_slice *own = malloc(sizeof *own);
    if (own == NULL)
        abort();
    *own = (struct remora_slice){ remora_slice_dup(key), key.len };
    if (tsearch(own, &watcher->dirty, configuration_compare_keys) == NULL)
        abort();
    watcher->dirty_count++;
}

static void
take_batch(struct keyspace_watcher *watcher)
{
    watcher->batch = calloc(CONFIGURATION_KEYS_A_TIME, sizeof *watcher->batch);
    if (watcher->batch == NULL)
        abort();
    while (watcher->dirty != NULL && watcher->batch_count < CONFIGURATION_KEYS_A_TIME) {
        struct remora_slice *key = *(struct remora_slice **)watcher->dirty;
        (void)tdelete(key, &watcher->dirty, configuration_compare_keys);
        watcher->dirty_count--;
        watcher->batch[watcher->batch_count++] = *key;
        free(key);
    }
}

/* --- telling -----------------------------------------------------------------------------------*/

static void go_on(struct keyspace_watcher *watcher);

static void
watcher_free(struct keyspace_watcher *watcher)
{
    ev_timer_stop(remora_loop(), &watcher->retry);
    forget_dirty(watcher);
    forget_batch(watcher);
    for (size_t i = 0; i < watcher->key_count; i++)
        free((char *)(uintptr_t)watcher->keys[i].data);
    free(watcher->keys);
    free(watcher);
}

static void
rest(struct keyspace_watcher *watcher)
{
    struct configuration *configuration = watcher->configuration;
    watcher->is_busy = false;
    forget_batch(watcher);
    if (watcher->is_gone)
        watcher_free(watcher);
    else if (!ev_is_active(&watcher->retry))
        go_on(watcher);
    configuration_unhold(configuration);
}

static void
try_later(struct keyspace_watcher *watcher)
{
    watcher->must_read = true;
    forget_dirty(watcher);
    ev_timer_stop(remora_loop(), &watcher->retry);
    ev_timer_set(&watcher->retry, (double)RETRY_MS / 1000, 0);
    if (!watcher->is_gone)
        ev_timer_start(remora_loop(), &watcher->retry);
}

static void
on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    go_on(timer->data);
}

static void
on_told(bool is_taken, void *arg)
{
    struct keyspace_watcher *watcher = arg;
    if (!is_taken)
        try_later(watcher);
    rest(watcher);
}

/* What is not there, or no string, has neither value nor version. */
static void
on_read(const struct conn_result *result, void *arg)
{
    struct keyspace_watcher *watcher = arg;
    const struct resp_value *values = result->value;
    size_t count = watcher->batch_count;
    if (values == NULL || values->type != RESP_ARRAY || values->count != count ||
        watcher->is_gone) {
        try_later(watcher);
        rest(watcher);
        return;
    }
    struct remora_configuration_item *items = calloc(count + 1, sizeof *items);
    if (items == NULL)
        abort();
    for (size_t i = 0; i < count; i++) {
        bool is_there = values->items[i].type == RESP_STRING;
        items[i] = (struct remora_configuration_item){ .key = watcher->batch[i] };
        configuration_split(is_there ? values->items[i].text : text(""), &items[i]);
    }
    remora_configuration_changed(watcher->id, items, count, on_told, watcher);
    free(items);
}

static void
go_on(struct keyspace_watcher *watcher)
{
    struct configuration *configuration = watcher->configuration;
    if (watcher->is_busy || !watcher->is_open || configuration->is_closed ||
        (!watcher->must_read && watcher->dirty == NULL))
        return;
    watcher->is_busy = true;
    configuration->holds++;
    if (watcher->must_read) {
        watcher->must_read = false;
        remora_configuration_missed(watcher->id, on_told, watcher);
        return;
    }
    take_batch(watcher);
    if (!configuration_mget(configuration, watcher->batch, watcher->batch_count, RETRY_MS, on_read,
                            watcher)) {
        try_later(watcher);
        rest(watcher);
    }
}

void
keyspace_go_on(struct configuration *configuration)
{
    for (struct keyspace_watcher *one = configuration->watchers, *next; one != NULL; one = next) {
        next = one->next;
        go_on(one);
    }
}

/* --- hearing -----------------------------------------------------------------------------------*/

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

static bool
is_watched(const struct keyspace_watcher *watcher, struct remora_slice key)
{
    return watcher->keys == NULL || bsearch(&key, watcher->keys, watcher->key_count, sizeof key,
                                            configuration_compare_keys) != NULL;
}

/* ["message", channel, event] or ["pmessage", pattern, channel, event] */
static void
on_message(void *owner, const struct resp_value *value)
{
    struct configuration *configuration = owner;
    char prefix[CHANNEL_BYTES_MAX];
    size_t at = value->count == 4 ? 2 : 1, len = channel_prefix(configuration, prefix);
    if (value->count < 3 || value->items[at].type != RESP_STRING)
        return;
    struct remora_slice channel = value->items[at].text;
    if (channel.len <= len || memcmp(channel.data, prefix, len) != 0)
        return;
    struct remora_slice key = { channel.data + len, channel.len - len };
    for (struct keyspace_watcher *one = configuration->watchers, *next; one != NULL; one = next) {
        next = one->next;
        if (!is_watched(one, key))
            continue;
        note_dirty(one, key);
        if (!ev_is_active(&one->retry))
            go_on(one);
    }
}

static void
say(struct configuration *configuration, const char *command, struct remora_slice key)
{
    char prefix[CHANNEL_BYTES_MAX];
    size_t len = channel_prefix(configuration, prefix);
    char *channel = malloc(len + key.len + 1);
    if (channel == NULL)
        abort();
    memcpy(channel, prefix, len);
    memcpy(channel + len, key.data, key.len);
    const struct remora_slice args[] = { text(command), { channel, len + key.len } };
    /* What is refused or lost is noticed by the PING that follows. */
    (void)conn_command(configuration->ears, args, 2,
                       (uint64_t)configuration->server.settings.dial_timeout_ms, NULL, NULL);
    free(channel);
}

static void
open_channels(struct configuration *configuration, const struct keyspace_watcher *watcher)
{
    if (listens_to_all(watcher)) {
        say(configuration, "PSUBSCRIBE", text("*"));
        return;
    }
    for (size_t i = 0; i < watcher->key_count; i++)
        say(configuration, "SUBSCRIBE", watcher->keys[i]);
}

/* Those that nobody else listens to. */
static void
close_channels(struct configuration *configuration, const struct keyspace_watcher *watcher)
{
    bool is_used = false;
    if (listens_to_all(watcher)) {
        for (const struct keyspace_watcher *one = configuration->watchers; one != NULL;
             one = one->next)
            is_used = is_used || listens_to_all(one);
        if (!is_used)
            say(configuration, "PUNSUBSCRIBE", text("*"));
        return;
    }
    for (size_t i = 0; i < watcher->key_count; i++) {
        is_used = false;
        for (const struct keyspace_watcher *one = configuration->watchers; one != NULL && !is_used;
             one = one->next)
            is_used = !listens_to_all(one) && is_watched(one, watcher->keys[i]);
        if (!is_used)
            say(configuration, "UNSUBSCRIBE", watcher->keys[i]);
    }
}

/* --- the server's settings ---------------------------------------------------------------------*/

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
on_flags(const struct conn_result *result, void *arg)
{
    struct configuration *configuration = arg;
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
        (void)conn_command(configuration->conn, args, 4, 0, on_set, configuration);
}

/* A step that follows once the server notifies, as far as it can be told to. */
struct step {
    struct configuration *configuration;
    conn_done *next;
    void *arg;
};

static void
on_fenced(const struct conn_result *result, void *arg)
{
    struct step *step = arg;
    step->next(result, step->arg);
    free(step);
}

static void
on_asked(const struct conn_result *result, void *arg)
{
    struct step *step = arg;
    const struct remora_slice ping = text("PING");
    on_flags(result, step->configuration); /* what it sends goes out before what follows */
    if (!conn_command(step->configuration->conn, &ping, 1, RETRY_MS, on_fenced, step))
        on_fenced(&(struct conn_result){ .why = "too much is queued" }, step);
}

static void
notify(struct configuration *configuration, uint64_t wait_ms, conn_done *next, void *arg)
{
    const struct remora_slice args[] = { text("CONFIG"), text("GET"),
                                         text("notify-keyspace-events") };
    struct step *step = malloc(sizeof *step);
    if (step == NULL)
        abort();
    *step = (struct step){ configuration, next, arg };
    if (!conn_command(configuration->conn, args, 3, wait_ms, on_asked, step))
        on_fenced(&(struct conn_result){ .why = "too much is queued" }, step);
}

/* --- the connection ----------------------------------------------------------------------------*/

static void
on_heard_again(const struct conn_result *result, void *arg)
{
    struct configuration *configuration = arg;
    if (result->value == NULL)
        return; /* it is tried again when the connection is back */
    configuration->is_deaf = false;
    for (struct keyspace_watcher *one = configuration->watchers; one != NULL; one = one->next)
        one->must_read = true;
    keyspace_go_on(configuration);
}

static void
on_notified_again(const struct conn_result *result, void *arg)
{
    struct configuration *configuration = arg;
    const struct remora_slice ping = text("PING");
    if (result->value == NULL) { /* the other connection is away: from the beginning */
        conn_restart(configuration->ears, "the server does not answer");
        return;
    }
    for (const struct keyspace_watcher *one = configuration->watchers; one != NULL; one = one->next)
        open_channels(configuration, one);
    (void)conn_command(configuration->ears, &ping, 1, 0, on_heard_again, configuration);
}

static void
on_ready(void *owner)
{
    struct configuration *configuration = owner;
    if (configuration->is_deaf)
        notify(configuration, (uint64_t)configuration->server.settings.dial_timeout_ms,
               on_notified_again, configuration);
}

static void
on_down(void *owner, const char *why, bool refused)
{
    struct configuration *configuration = owner;
    (void)why, (void)refused; /* the other connection has the same trouble, and tells */
    configuration->is_deaf = true;
}

/* A server that is gone without a word is noticed. */
static void
on_ping(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    const struct configuration *configuration = timer->data;
    const struct remora_slice ping = text("PING");
    if (conn_is_ready(configuration->ears))
        (void)conn_command(configuration->ears, &ping, 1, 0, NULL, NULL);
}

static void
listen_up(struct configuration *configuration)
{
    static const struct conn_events events = { .ready = on_ready,
                                               .down = on_down,
                                               .message = on_message };
    if (configuration->ears != NULL)
        return;
    struct conn_settings settings = server_conn_settings(&configuration->server);
    configuration->ears = conn_new(remora_loop(), &settings, &events, configuration);
    ev_timer_init(&configuration->ping, on_ping, PING_S, PING_S);
    configuration->ping.data = configuration;
    ev_timer_start(remora_loop(), &configuration->ping);
}

/* --- coming and going --------------------------------------------------------------------------*/

struct opening {
    struct keyspace_watcher *watcher; /* in the list already: reconnecting must not forget it */
    remora_call *call;
};

static void
unlink_watcher(struct keyspace_watcher *watcher)
{
    struct keyspace_watcher **link = &watcher->configuration->watchers;
    while (*link != watcher)
        link = &(*link)->next;
    *link = watcher->next;
    watcher->configuration->watcher_count--;
}

static void
fail_opening(const struct opening *opening, const struct conn_result *result)
{
    struct remora_failure *failure = failure_of_result(opening->call, result, false, "");
    if (failure == NULL)
        failure = failure_new(opening->call, REMORA_INTERNAL, REMORA_EFFECT_FAILED,
                              "redis answered with something else");
    unlink_watcher(opening->watcher);
    watcher_free(opening->watcher);
    remora_reply_failure(opening->call, failure);
}

static void
on_opened(const struct conn_result *result, void *arg)
{
    const struct opening *opening = arg;
    struct keyspace_watcher *watcher = opening->watcher; /* what is the call's goes with it */
    if (result->value == NULL || result->value->type == RESP_ERROR) {
        fail_opening(opening, result);
        return;
    }
    watcher->is_open = true;
    remora_reply_ok(opening->call);
    go_on(watcher);
}

static void
on_notified(const struct conn_result *result, void *arg)
{
    struct opening *opening = arg;
    struct configuration *configuration = opening->watcher->configuration;
    const struct remora_slice ping = text("PING");
    if (result->value == NULL) {
        fail_opening(opening, result);
        return;
    }
    listen_up(configuration);
    open_channels(configuration, opening->watcher);
    if (!conn_command(configuration->ears, &ping, 1, remora_call_time_left_ms(opening->call),
                      on_opened, opening))
        fail_opening(opening, &(struct conn_result){ .why = "too much is queued" });
}

static struct keyspace_watcher *
watcher_new(struct configuration *configuration, const struct remora_configuration_query *query)
{
    struct keyspace_watcher *watcher = calloc(1, sizeof *watcher);
    if (watcher == NULL)
        abort();
    *watcher = (struct keyspace_watcher){ .configuration = configuration,
                                          .id = query->subscription };
    ev_timer_init(&watcher->retry, on_retry, 0, 0);
    watcher->retry.data = watcher;
    if (query->key_count > 0)
        watcher->keys = calloc(query->key_count, sizeof *watcher->keys);
    if (query->key_count > 0 && watcher->keys == NULL)
        abort();
    watcher->key_count = query->key_count;
    for (size_t i = 0; i < query->key_count; i++)
        watcher->keys[i] = (struct remora_slice){ remora_slice_dup(query->keys[i]),
                                                  query->keys[i].len };
    if (query->key_count > 1)
        qsort(watcher->keys, watcher->key_count, sizeof *watcher->keys, configuration_compare_keys);
    return watcher;
}

void
keyspace_subscribe(remora_call *call, void *self, const struct remora_configuration_query *query)
{
    struct configuration *configuration = self;
    if (configuration->watcher_count >= CONFIGURATION_WATCHERS_MAX) {
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED, "there are too many subscriptions");
        return;
    }
    struct opening *opening = remora_call_alloc(call, sizeof *opening);
    *opening = (struct opening){ watcher_new(configuration, query), call };
    opening->watcher->next = configuration->watchers;
    configuration->watchers = opening->watcher;
    configuration->watcher_count++;
    notify(configuration, remora_call_time_left_ms(call), on_notified, opening);
}

void
keyspace_unsubscribe(remora_call *call, void *self, uint64_t id)
{
    struct configuration *configuration = self;
    struct keyspace_watcher *watcher = configuration->watchers;
    while (watcher != NULL && (watcher->id != id || !watcher->is_open))
        watcher = watcher->next;
    if (watcher == NULL) {
        remora_reply_error(call, REMORA_NOT_FOUND, "there is no such subscription");
        return;
    }
    unlink_watcher(watcher);
    if (conn_is_ready(configuration->ears))
        close_channels(configuration, watcher);
    watcher->is_gone = true;
    ev_timer_stop(remora_loop(), &watcher->retry);
    if (!watcher->is_busy)
        watcher_free(watcher);
    remora_reply_ok(call);
}

void
keyspace_free(struct configuration *configuration)
{
    if (configuration->ears != NULL)
        ev_timer_stop(remora_loop(), &configuration->ping);
    conn_free(configuration->ears);
    while (configuration->watchers != NULL) {
        struct keyspace_watcher *watcher = configuration->watchers;
        configuration->watchers = watcher->next;
        watcher_free(watcher);
    }
}
