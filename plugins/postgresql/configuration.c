/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and watching; the connection is session.c. Of what a watcher has not been told yet only
 * the newest row of each key is kept, and what get() has read since takes the place of an older
 * one.
 */
#include "configuration.h"

#include <ev.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"
#include "settings.h"

enum {
    WATCHERS_MAX = 4096,
    UNTOLD_MAX = 4096,
    TOLD_ROWS_MAX = 128,
    TOLD_BYTES_MAX = 512 * 1024,
    RETRY_MS = 500,
};

struct configuration {
    struct session *session;
    char table[IDENTIFIER_BYTES_MAX + 1];
    char channel[IDENTIFIER_BYTES_MAX + 1]; /* empty: requests must name one */
    struct watcher *watchers;
    size_t watcher_count;
    size_t holds; /* tellings under way */
    bool is_closed;
    remora_call *init;
};

struct watcher {
    struct watcher *next;
    struct configuration *configuration;
    uint64_t id;
    struct remora_slice *keys; /* owned, sorted; NULL: all */
    size_t key_count;
    void *untold; /* a tree of struct row *, by key */
    size_t untold_count;
    ev_timer retry; /* set when the sidecar did not take what it was told */
    bool must_read; /* changes may have been missed */
    bool is_open;   /* the sidecar knows of it */
    bool is_busy;   /* it is being told something */
    bool is_gone;   /* freed when it is not busy any more */
};

static int
compare(struct remora_slice left, struct remora_slice right)
{
    size_t len = left.len < right.len ? left.len : right.len;
    int order = len == 0 ? 0 : memcmp(left.data, right.data, len);
    return order != 0 ? order : (left.len > right.len) - (left.len < right.len);
}

static int
compare_slices(const void *a, const void *b)
{
    return compare(*(const struct remora_slice *)a, *(const struct remora_slice *)b);
}

static int
compare_rows(const void *a, const void *b)
{
    return compare(((const struct row *)a)->item.key, ((const struct row *)b)->item.key);
}

static void
fail(remora_call *call, const struct work *work, const char *prefix)
{
    remora_reply_error(call, work->code, "%s%s", prefix, work->why);
}

/* --- what is untold ----------------------------------------------------------------------------*/

static void
forget_untold(struct watcher *watcher)
{
    tdestroy(watcher->untold, free);
    watcher->untold = NULL;
    watcher->untold_count = 0;
}

static bool
is_watched(const struct watcher *watcher, const struct remora_slice *key)
{
    return watcher->keys == NULL ||
           bsearch(key, watcher->keys, watcher->key_count, sizeof *key, compare_slices) != NULL;
}

/* `is_news` false: only in the place of an older one. */
static void
note(struct watcher *watcher, const struct row *row, bool is_news)
{
    if (watcher->must_read || !is_watched(watcher, &row->item.key))
        return;
    struct row **older = tfind(row, &watcher->untold, compare_rows);
    if (older == NULL && !is_news)
        return;
    if (older == NULL && watcher->untold_count >= UNTOLD_MAX) {
        watcher->must_read = true;
        forget_untold(watcher);
        return;
    }
    struct row *own = row_copy(&row->item);
    if (older != NULL) {
        free(*older);
        *older = own;
        return;
    }
    if (tsearch(own, &watcher->untold, compare_rows) == NULL)
        abort();
    watcher->untold_count++;
}

/* --- telling -----------------------------------------------------------------------------------*/

static void
watcher_free(struct watcher *watcher)
{
    ev_timer_stop(remora_loop(), &watcher->retry);
    forget_untold(watcher);
    for (size_t i = 0; i < watcher->key_count; i++)
        free((char *)(uintptr_t)watcher->keys[i].data);
    free(watcher->keys);
    free(watcher);
}

static void
configuration_free(struct configuration *configuration)
{
    while (configuration->watchers != NULL) {
        struct watcher *watcher = configuration->watchers;
        configuration->watchers = watcher->next;
        watcher_free(watcher);
    }
    session_free(configuration->session);
    free(configuration);
}

static void
unhold(struct configuration *configuration)
{
    configuration->holds--;
    if (configuration->is_closed && configuration->holds == 0)
        configuration_free(configuration);
}

static void go_on(struct watcher *watcher);

static void
on_told(bool is_taken, void *arg)
{
    struct watcher *watcher = arg;
    struct configuration *configuration = watcher->configuration;
    watcher->is_busy = false;
    if (!is_taken) {
        watcher->must_read = true;
        forget_untold(watcher);
    }
    if (watcher->is_gone) {
        watcher_free(watcher);
    } else if (is_taken) {
        go_on(watcher);
    } else {
        ev_timer_stop(remora_loop(), &watcher->retry);
        ev_timer_set(&watcher->retry, (double)RETRY_MS / 1000, 0);
        ev_timer_start(remora_loop(), &watcher->retry);
    }
    unhold(configuration);
}

static void
on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    go_on(timer->data);
}

static void
go_on(struct watcher *watcher)
{
    struct remora_configuration_item items[TOLD_ROWS_MAX / 4];
    struct row *rows[TOLD_ROWS_MAX / 4];
    size_t count = 0, bytes = 0;
    if (watcher->is_busy || !watcher->is_open || watcher->configuration->is_closed ||
        (!watcher->must_read && watcher->untold == NULL))
        return;
    watcher->is_busy = true;
    watcher->configuration->holds++;
    if (watcher->must_read) {
        watcher->must_read = false;
        remora_configuration_missed(watcher->id, on_told, watcher);
        return;
    }
    while (watcher->untold != NULL && count < TOLD_ROWS_MAX / 4 && bytes < TOLD_BYTES_MAX) {
        struct row *row = *(struct row **)watcher->untold;
        (void)tdelete(row, &watcher->untold, compare_rows);
        watcher->untold_count--;
        items[count] = row->item;
        rows[count++] = row;
        bytes += row->item.value.len;
    }
    remora_configuration_changed(watcher->id, items, count, on_told, watcher);
    for (size_t i = 0; i < count; i++)
        free(rows[i]);
}

static void
go_on_all(struct configuration *configuration)
{
    for (struct watcher *one = configuration->watchers, *next; one != NULL; one = next) {
        next = one->next;
        go_on(one);
    }
}

static void
on_changed(void *owner, const struct rows *rows)
{
    struct configuration *configuration = owner;
    for (struct watcher *one = configuration->watchers; one != NULL; one = one->next)
        for (const struct row *row = rows->first; row != NULL; row = row->next)
            note(one, row, true);
    go_on_all(configuration);
}

static void
on_back(void *owner)
{
    struct configuration *configuration = owner;
    for (struct watcher *one = configuration->watchers; one != NULL; one = one->next) {
        one->must_read = true;
        forget_untold(one);
    }
    go_on_all(configuration);
}

/* --- get ---------------------------------------------------------------------------------------*/

struct reading {
    struct work work; /* first */
    struct configuration *configuration;
    remora_call *call;
};

static void
on_read(struct work *work)
{
    struct reading *reading = (struct reading *)work;
    if (work->has_failed) {
        fail(reading->call, work, "");
    } else {
        struct remora_configuration_item *items = calloc(work->rows.count + 1, sizeof *items);
        size_t count = 0;
        if (items == NULL)
            abort();
        for (const struct row *row = work->rows.first; row != NULL; row = row->next) {
            items[count++] = row->item;
            for (struct watcher *one = reading->configuration->watchers; one != NULL;
                 one = one->next)
                if (one->untold != NULL)
                    note(one, row, false);
        }
        remora_configuration_reply(reading->call, items, count);
        free(items);
    }
    rows_fini(&work->rows);
    free(reading);
}

static void
get(remora_call *call, void *self, const struct remora_configuration_query *query)
{
    struct configuration *configuration = self;
    struct reading *reading = calloc(1, sizeof *reading);
    if (reading == NULL)
        abort();
    *reading = (struct reading){ .work = { .done = on_read,
                                           .kind = WORK_READ,
                                           .keys = query->keys,
                                           .key_count = query->key_count },
                                 .configuration = configuration,
                                 .call = call };
    session_submit(configuration->session, &reading->work);
}

/* --- coming and going --------------------------------------------------------------------------*/

struct opening {
    struct work work;        /* first */
    struct watcher *watcher; /* in the list already */
    remora_call *call;
};

static void
unlink_watcher(struct watcher *watcher)
{
    struct watcher **link = &watcher->configuration->watchers;
    while (*link != watcher)
        link = &(*link)->next;
    *link = watcher->next;
    watcher->configuration->watcher_count--;
}

static void
on_listening(struct work *work)
{
    struct opening *opening = (struct opening *)work;
    struct watcher *watcher = opening->watcher;
    if (work->has_failed) {
        unlink_watcher(watcher);
        watcher_free(watcher);
        fail(opening->call, work, "");
    } else {
        watcher->is_open = true;
        remora_reply_ok(opening->call);
        go_on(watcher);
    }
    rows_fini(&work->rows);
    free(opening);
}

static struct watcher *
watcher_new(struct configuration *configuration, const struct remora_configuration_query *query)
{
    struct watcher *watcher = calloc(1, sizeof *watcher);
    struct remora_slice *keys = query->key_count == 0 ? NULL
                                                      : calloc(query->key_count, sizeof *keys);
    if (watcher == NULL || (keys == NULL && query->key_count > 0))
        abort();
    for (size_t i = 0; i < query->key_count; i++)
        keys[i] = (struct remora_slice){ remora_slice_dup(query->keys[i]), query->keys[i].len };
    if (query->key_count > 1)
        qsort(keys, query->key_count, sizeof *keys, compare_slices);
    *watcher = (struct watcher){ .next = configuration->watchers,
                                 .configuration = configuration,
                                 .id = query->subscription,
                                 .keys = keys,
                                 .key_count = query->key_count };
    ev_timer_init(&watcher->retry, on_retry, 0, 0);
    watcher->retry.data = watcher;
    configuration->watchers = watcher;
    configuration->watcher_count++;
    return watcher;
}

static bool
is_identifier(struct remora_slice text)
{
    bool ok = text.len > 0 && text.len <= IDENTIFIER_BYTES_MAX;
    for (size_t i = 0; ok && i < text.len; i++) {
        char c = text.data[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
             (i > 0 && c >= '0' && c <= '9');
    }
    return ok;
}

static void
subscribe(remora_call *call, void *self, const struct remora_configuration_query *query)
{
    struct configuration *configuration = self;
    struct remora_slice channel = { configuration->channel, strlen(configuration->channel) };
    (void)remora_metadata_get(query->metadata, query->metadata_count, "pgNotifyChannel", &channel);
    if (channel.len == 0) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "unable to subscribe to \"%s\". notifyChannel must be set in component "
                           "metadata or request metadata",
                           configuration->table);
        return;
    }
    if (!is_identifier(channel) || configuration->watcher_count >= WATCHERS_MAX) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s",
                           is_identifier(channel) ? "there are too many subscriptions"
                                                  : "invalid notifyChannel");
        return;
    }
    struct opening *opening = calloc(1, sizeof *opening);
    if (opening == NULL)
        abort();
    *opening = (struct opening){ .work = { .done = on_listening, .kind = WORK_LISTEN },
                                 .watcher = watcher_new(configuration, query),
                                 .call = call };
    snprintf(opening->work.channel, sizeof opening->work.channel, "%.*s", (int)channel.len,
             channel.data);
    session_submit(configuration->session, &opening->work);
}

static void
unsubscribe(remora_call *call, void *self, uint64_t id)
{
    struct configuration *configuration = self;
    struct watcher *watcher = configuration->watchers;
    while (watcher != NULL && (watcher->id != id || !watcher->is_open))
        watcher = watcher->next;
    if (watcher == NULL) {
        remora_reply_error(call, REMORA_NOT_FOUND, "there is no such subscription");
        return;
    }
    unlink_watcher(watcher);
    watcher->is_gone = true;
    if (!watcher->is_busy)
        watcher_free(watcher);
    remora_reply_ok(call);
}

const struct remora_configuration_ops configuration_ops = { .get = get,
                                                            .subscribe = subscribe,
                                                            .unsubscribe = unsubscribe };

/* --- life --------------------------------------------------------------------------------------*/

void
configuration_close(void *self)
{
    struct configuration *configuration = self;
    configuration->is_closed = true;
    configuration->holds++;
    unhold(configuration);
}

struct probing {
    struct work work; /* first */
    struct configuration *configuration;
};

/* The table is looked for too. */
static void
on_probed(struct work *work)
{
    struct probing *probing = (struct probing *)work;
    remora_call *call = probing->configuration->init;
    if (work->has_failed) {
        fail(call, work, "error connecting to configuration store: ");
        configuration_close(probing->configuration);
    } else {
        remora_reply_init(call, probing->configuration, 0, 0);
    }
    rows_fini(&work->rows);
    free(probing);
}

static bool
read_names(struct configuration *configuration, const struct remora_config *config,
           const char **ret_error)
{
    struct remora_slice table = { "", 0 }, channel = { "", 0 };
    (void)remora_metadata_get(config->metadata, config->metadata_count, "table", &table);
    (void)remora_metadata_get(config->metadata, config->metadata_count, "notifyChannel", &channel);
    *ret_error = table.len == 0          ? "missing postgreSQL configuration table name"
                 : !is_identifier(table) ? "invalid table name. only letters, digits and _ are "
                                           "allowed, up to 63 of them"
                 : channel.len > 0 && !is_identifier(channel) ? "invalid notifyChannel"
                                                              : NULL;
    if (*ret_error != NULL)
        return false;
    snprintf(configuration->table, sizeof configuration->table, "%.*s", (int)table.len, table.data);
    snprintf(configuration->channel, sizeof configuration->channel, "%.*s", (int)channel.len,
             channel.data);
    return true;
}

void
configuration_init(remora_call *call, const struct remora_config *config)
{
    static const struct session_events events = { .changed = on_changed, .back = on_back };
    static const struct remora_slice probe_key = { "-", 1 };
    char why[SETTINGS_WHY_BYTES];
    const char *error = why;
    struct settings settings;
    if (!settings_init(&settings, config, why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        return;
    }
    struct configuration *configuration = calloc(1, sizeof *configuration);
    struct probing *probing = calloc(1, sizeof *probing);
    if (configuration == NULL || probing == NULL)
        abort();
    if (!read_names(configuration, config, &error)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
        settings_fini(&settings);
        free(configuration);
        free(probing);
        return;
    }
    configuration->session = session_new(&settings.conninfo, configuration->table, &events,
                                         configuration);
    settings_fini(&settings);
    configuration->init = call;
    *probing = (struct probing){
        .work = { .done = on_probed, .kind = WORK_READ, .keys = &probe_key, .key_count = 1 },
        .configuration = configuration
    };
    session_submit(configuration->session, &probing->work);
}
