/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching keys; see configuration.h. The order is what keeps changes from being missed: the ears
 * are open, then the sidecar hears that it is subscribed and reads.
 */
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configuration.h"
#include "failure.h"

enum { RETRY_MS = 500 };

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

bool
keyspace_is_watched(const struct keyspace_watcher *watcher, struct remora_slice key)
{
    return watcher->keys == NULL || bsearch(&key, watcher->keys, watcher->key_count, sizeof key,
                                            configuration_compare_keys) != NULL;
}

void
keyspace_heard(struct configuration *configuration, struct remora_slice key)
{
    for (struct keyspace_watcher *one = configuration->watchers, *next; one != NULL; one = next) {
        next = one->next;
        if (!keyspace_is_watched(one, key))
            continue;
        note_dirty(one, key);
        if (!ev_is_active(&one->retry))
            go_on(one);
    }
}

void
keyspace_read_anew(struct configuration *configuration)
{
    for (struct keyspace_watcher *one = configuration->watchers; one != NULL; one = one->next)
        one->must_read = true;
    keyspace_go_on(configuration);
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

/* The ears have heard. */
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
    ears_open(configuration, opening->watcher, remora_call_time_left_ms(call), on_opened, opening);
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
    ears_close(configuration, watcher);
    watcher->is_gone = true;
    ev_timer_stop(remora_loop(), &watcher->retry);
    if (!watcher->is_busy)
        watcher_free(watcher);
    remora_reply_ok(call);
}

void
keyspace_free(struct configuration *configuration)
{
    while (configuration->watchers != NULL) {
        struct keyspace_watcher *watcher = configuration->watchers;
        configuration->watchers = watcher->next;
        watcher_free(watcher);
    }
}
