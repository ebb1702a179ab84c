/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration in a file that several sidecars share; see configuration.h. */
#include "configuration.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/monotonic.h"
#include "allocate.h"
#include "database.h"
#include "items.h"
#include "opening.h"

enum { POLL_MIN_MS = 10, POLL_MAX_MS = 60 * 1000, RETRY_MS = 500 };

struct configuration {
    struct store_config config;
    struct database *database;
    struct watcher *watchers;
    size_t watcher_count;
    size_t holds; /* jobs and tellings under way */
    int64_t poll_ms;
    int64_t data_version;
    ev_timer poll;
    bool is_started; /* changes are told */
    bool is_failing; /* and that has been logged */
    bool is_closed;
};

/* One subscription. It asks for what lies behind its number, tells that, and goes on behind it; one
 * of the two is under way at a time. */
struct watcher {
    struct watcher *next;
    struct configuration *configuration;
    uint64_t id;
    struct remora_slice *keys; /* owned, sorted; NULL: all */
    size_t key_count;
    int64_t number;      /* of the latest change it knows of */
    int64_t next_number; /* once what is being told has been taken */
    bool is_busy;
    bool has_news;
    bool is_gone; /* freed when it is not busy any more */
    ev_timer retry;
};

static void go_on(struct watcher *watcher);

/* --- holding -----------------------------------------------------------------------------------*/

static void
free_keys(struct remora_slice *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((char *)(uintptr_t)keys[i].data);
    free(keys);
}

static void
free_watcher(struct watcher *watcher)
{
    ev_timer_stop(remora_loop(), &watcher->retry);
    free_keys(watcher->keys, watcher->key_count);
    free(watcher);
}

static void
free_configuration(struct configuration *configuration)
{
    while (configuration->watchers != NULL) {
        struct watcher *watcher = configuration->watchers;
        configuration->watchers = watcher->next;
        free_watcher(watcher);
    }
    if (configuration->database != NULL)
        database_release(configuration->database);
    store_config_fini(&configuration->config);
    free(configuration);
}

static void
unhold(struct configuration *configuration)
{
    configuration->holds--;
    if (configuration->is_closed && configuration->holds == 0)
        free_configuration(configuration);
}

/* All reads go there. */
static void
submit(struct configuration *configuration, struct job *job)
{
    configuration->holds++;
    job->failure = worker_submit(database_reads(configuration->database), job);
    if (job->failure != NULL)
        job->finish(job); /* gives the hold back */
    else
        worker_flush(database_reads(configuration->database));
}

static uint64_t
deadline_of(const struct configuration *configuration)
{
    return monotonic_now_ms() + (uint64_t)configuration->config.timeout_ms;
}

/* --- get ---------------------------------------------------------------------------------------*/

struct reading {
    struct job job; /* first */
    struct configuration *configuration;
    remora_call *call; /* its memory holds the query */
    const struct remora_configuration_query *query;
    struct items items;
};

static void
run_reading(struct job *job, struct connection *connection)
{
    struct reading *reading = (struct reading *)job;
    connection_limit(connection, job->deadline_ms, &job->is_cancelled);
    job->failure = items_read(connection, reading->configuration->config.table,
                              reading->query->keys, reading->query->key_count, &reading->items);
    connection_limit(connection, 0, NULL);
}

static void
finish_reading(struct job *job)
{
    struct reading *reading = (struct reading *)job;
    struct configuration *configuration = reading->configuration;
    if (job->failure != NULL) {
        remora_reply_failure(reading->call, &job->failure->base);
    } else {
        struct remora_configuration_item *flat = items_flatten(&reading->items);
        remora_configuration_reply(reading->call, flat, reading->items.count);
        free(flat);
    }
    items_fini(&reading->items);
    failure_free(job->failure);
    free(reading);
    unhold(configuration);
}

static void
on_reading_cancelled(remora_call *call, void *arg)
{
    (void)call;
    struct reading *reading = arg;
    atomic_store(&reading->job.is_cancelled, true);
}

static int
compare_slices(const void *a, const void *b)
{
    const struct remora_slice *left = a, *right = b;
    size_t len = left->len < right->len ? left->len : right->len;
    int order = len == 0 ? 0 : memcmp(left->data, right->data, len);
    return order != 0 ? order : (left->len > right->len) - (left->len < right->len);
}

/* Each key once, in order. */
static size_t
sort_keys(struct remora_slice *keys, size_t count)
{
    size_t kept = 0;
    if (count > 1)
        qsort(keys, count, sizeof(*keys), compare_slices);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || compare_slices(&keys[kept - 1], &keys[i]) != 0)
            keys[kept++] = keys[i];
    return kept;
}

static void
get(remora_call *call, void *self, const struct remora_configuration_query *query)
{
    struct configuration *configuration = self;
    struct remora_configuration_query *distinct = remora_call_alloc(call, sizeof(*distinct));
    struct remora_slice *keys = remora_call_alloc(call, query->key_count * sizeof(*keys) + 1);
    if (query->key_count > 0)
        memcpy(keys, query->keys, query->key_count * sizeof(*keys));
    *distinct = *query;
    distinct->keys = keys;
    distinct->key_count = sort_keys(keys, query->key_count);
    struct reading *reading = allocate(sizeof(*reading));
    *reading = (struct reading){ .job = { .run = run_reading,
                                          .finish = finish_reading,
                                          .deadline_ms = deadline_of(configuration),
                                          .bytes = sizeof(*reading) },
                                 .configuration = configuration,
                                 .call = call,
                                 .query = distinct };
    items_init(&reading->items);
    remora_call_on_cancel(call, on_reading_cancelled, reading);
    submit(configuration, &reading->job);
}

/* --- changes -----------------------------------------------------------------------------------*/

struct looking {
    struct job job; /* first */
    struct watcher *watcher;
    struct items items;
};

static void
rest(struct watcher *watcher)
{
    struct configuration *configuration = watcher->configuration;
    watcher->is_busy = false;
    if (watcher->is_gone)
        free_watcher(watcher);
    else
        go_on(watcher);
    unhold(configuration);
}

static void
try_later(struct watcher *watcher)
{
    watcher->has_news = false; /* until then */
    ev_timer_stop(remora_loop(), &watcher->retry);
    ev_timer_set(&watcher->retry, (double)RETRY_MS / 1000, 0);
    ev_timer_start(remora_loop(), &watcher->retry);
}

static void
on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct watcher *watcher = timer->data;
    watcher->has_news = true;
    go_on(watcher);
}

static void
on_told(bool is_taken, void *arg)
{
    struct watcher *watcher = arg;
    if (is_taken)
        watcher->number = watcher->next_number;
    else if (!watcher->is_gone)
        try_later(watcher);
    rest(watcher);
}

static bool
is_watched(const struct watcher *watcher, const struct remora_slice *key)
{
    return watcher->keys == NULL ||
           bsearch(key, watcher->keys, watcher->key_count, sizeof(*key), compare_slices) != NULL;
}

/* On its way, if there is anything in it for the watcher: else it is behind it already. */
static bool
tell(struct watcher *watcher, const struct items *items)
{
    struct remora_configuration_item *flat = allocate((items->count + 1) * sizeof(*flat));
    size_t count = 0;
    for (const struct item *item = items->first; item != NULL; item = item->next) {
        watcher->next_number = item->number;
        if (is_watched(watcher, &item->base.key))
            flat[count++] = item->base;
    }
    if (count > 0)
        remora_configuration_changed(watcher->id, flat, count, on_told, watcher);
    free(flat);
    if (count == 0 && items->count > 0)
        watcher->number = watcher->next_number;
    return count > 0;
}

static void
on_looked_in_vain(struct watcher *watcher, const struct failure *failure)
{
    struct configuration *configuration = watcher->configuration;
    if (!configuration->is_failing)
        remora_log(REMORA_WARN, "changes of configuration wait: %s", failure->base.message);
    configuration->is_failing = true;
    if (!watcher->is_gone)
        try_later(watcher);
}

/* Another file is there, whose changes have numbers of their own. */
static void
start_over(struct watcher *watcher, int64_t number)
{
    watcher->next_number = number;
    remora_configuration_missed(watcher->id, on_told, watcher);
}

static void
run_looking(struct job *job, struct connection *connection)
{
    struct looking *looking = (struct looking *)job;
    const struct watcher *watcher = looking->watcher;
    job->failure = items_changed(connection, watcher->configuration->config.table, watcher->number,
                                 &looking->items);
}

static void
finish_looking(struct job *job)
{
    struct looking *looking = (struct looking *)job;
    struct watcher *watcher = looking->watcher;
    bool is_on_its_way = false;
    if (job->failure != NULL) {
        on_looked_in_vain(watcher, job->failure);
    } else if (!watcher->is_gone) {
        watcher->configuration->is_failing = false;
        watcher->has_news |= looking->items.is_partial;
        is_on_its_way = looking->items.last_number < watcher->number;
        if (is_on_its_way)
            start_over(watcher, looking->items.last_number);
        else
            is_on_its_way = tell(watcher, &looking->items);
    }
    items_fini(&looking->items);
    failure_free(job->failure);
    free(looking);
    if (!is_on_its_way)
        rest(watcher);
}

/* What is on its way to the sidecar holds the component as a job does. */
static void
go_on(struct watcher *watcher)
{
    struct configuration *configuration = watcher->configuration;
    if (watcher->is_busy || !watcher->has_news || !configuration->is_started ||
        configuration->is_closed)
        return;
    watcher->is_busy = true;
    watcher->has_news = false;
    struct looking *looking = allocate(sizeof(*looking));
    *looking = (struct looking){ .job = { .run = run_looking,
                                          .finish = finish_looking,
                                          .deadline_ms = deadline_of(configuration),
                                          .bytes = sizeof(*looking) },
                                 .watcher = watcher };
    items_init(&looking->items);
    submit(configuration, &looking->job);
}

static void
on_poll(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct configuration *configuration = timer->data;
    if (configuration->watchers == NULL ||
        !database_has_changed(configuration->database, &configuration->data_version))
        return;
    for (struct watcher *one = configuration->watchers, *next; one != NULL; one = next) {
        next = one->next;
        one->has_news = true;
        if (!ev_is_active(&one->retry))
            go_on(one);
    }
}

/* --- coming and going --------------------------------------------------------------------------*/

struct beginning {
    struct job job; /* first */
    struct watcher *watcher;
    remora_call *call;
};

/* The sidecar reads after this: what changes from here on is told. */
static void
run_beginning(struct job *job, struct connection *connection)
{
    struct watcher *watcher = ((struct beginning *)job)->watcher;
    job->failure = items_last(connection, watcher->configuration->config.table, &watcher->number);
}

static void
finish_beginning(struct job *job)
{
    struct beginning *beginning = (struct beginning *)job;
    struct watcher *watcher = beginning->watcher;
    struct configuration *configuration = watcher->configuration;
    if (job->failure != NULL) {
        remora_reply_failure(beginning->call, &job->failure->base);
        configuration->watcher_count--;
        free_watcher(watcher);
    } else {
        watcher->next = configuration->watchers;
        configuration->watchers = watcher;
        watcher->has_news = true;
        remora_reply_ok(beginning->call);
        go_on(watcher);
    }
    failure_free(job->failure);
    free(beginning);
    unhold(configuration);
}

static struct watcher *
watcher_new(struct configuration *configuration, const struct remora_configuration_query *query)
{
    struct watcher *watcher = allocate(sizeof(*watcher));
    *watcher = (struct watcher){ .configuration = configuration, .id = query->subscription };
    ev_timer_init(&watcher->retry, on_retry, 0, 0);
    watcher->retry.data = watcher;
    if (query->key_count == 0)
        return watcher;
    watcher->keys = allocate(query->key_count * sizeof(*watcher->keys));
    watcher->key_count = query->key_count;
    for (size_t i = 0; i < query->key_count; i++)
        watcher->keys[i] = (struct remora_slice){ remora_slice_dup(query->keys[i]),
                                                  query->keys[i].len };
    qsort(watcher->keys, watcher->key_count, sizeof(*watcher->keys), compare_slices);
    return watcher;
}

static void
subscribe(remora_call *call, void *self, const struct remora_configuration_query *query)
{
    struct configuration *configuration = self;
    if (configuration->watcher_count >= SUBSCRIPTIONS_MAX) {
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED, "there are too many subscriptions");
        return;
    }
    configuration->watcher_count++;
    struct beginning *beginning = allocate(sizeof(*beginning));
    *beginning = (struct beginning){ .job = { .run = run_beginning,
                                              .finish = finish_beginning,
                                              .deadline_ms = deadline_of(configuration),
                                              .bytes = sizeof(*beginning) },
                                     .watcher = watcher_new(configuration, query),
                                     .call = call };
    submit(configuration, &beginning->job);
}

static void
unsubscribe(remora_call *call, void *self, uint64_t id)
{
    struct configuration *configuration = self;
    struct watcher **link = &configuration->watchers;
    while (*link != NULL && (*link)->id != id)
        link = &(*link)->next;
    struct watcher *watcher = *link;
    if (watcher == NULL) {
        remora_reply_error(call, REMORA_NOT_FOUND, "there is no such subscription");
        return;
    }
    *link = watcher->next;
    configuration->watcher_count--;
    watcher->is_gone = true;
    if (!watcher->is_busy)
        free_watcher(watcher);
    else
        ev_timer_stop(remora_loop(), &watcher->retry);
    remora_reply_ok(call);
}

const struct remora_configuration_ops configuration_ops = { .get = get,
                                                            .subscribe = subscribe,
                                                            .unsubscribe = unsubscribe };

/* --- life --------------------------------------------------------------------------------------*/

void
configuration_start(remora_call *call, void *self)
{
    struct configuration *configuration = self;
    configuration->is_started = true;
    if (!ev_is_active(&configuration->poll)) {
        double interval_s = (double)configuration->poll_ms / 1000;
        ev_timer_set(&configuration->poll, interval_s, interval_s);
        ev_timer_start(remora_loop(), &configuration->poll);
    }
    remora_reply_ok(call);
}

/* What is on its way arrives or does not: whoever comes after reads everything anew. */
void
configuration_quiesce(remora_call *call, void *self)
{
    struct configuration *configuration = self;
    configuration->is_started = false;
    ev_timer_stop(remora_loop(), &configuration->poll);
    remora_reply_ok(call);
}

void
configuration_close(void *self)
{
    struct configuration *configuration = self;
    ev_timer_stop(remora_loop(), &configuration->poll);
    configuration->holds++;
    configuration->is_closed = true;
    unhold(configuration);
}

static const struct store_defaults defaults = {
    .table = "configuration",
    .invalid_table = "invalid identifier",
    .invalid_metadata_table = "invalid identifier",
    .timeout_ms = 20000,
    .busy_timeout_ms = 2000,
};

static bool
read_interval(struct configuration *configuration, const struct remora_config *from, char *error)
{
    configuration->poll_ms = 100;
    if (!config_read_duration(from, "pollInterval", NULL, &configuration->poll_ms, error))
        return false;
    bool ok = configuration->poll_ms >= POLL_MIN_MS && configuration->poll_ms <= POLL_MAX_MS;
    if (!ok)
        snprintf(error, FAILURE_BYTES_MAX, "invalid value for 'pollInterval': 10ms to 60s");
    return ok;
}

struct initialising {
    remora_call *call;
    struct configuration *configuration;
};

static void
on_opened(void *arg, struct failure *failure)
{
    struct initialising *initialising = arg;
    if (failure != NULL) {
        remora_reply_failure(initialising->call, &failure->base);
        failure_free(failure);
        configuration_close(initialising->configuration);
    } else {
        remora_reply_init(initialising->call, initialising->configuration, 0, 0);
    }
    free(initialising);
}

void
configuration_init(remora_call *call, const struct remora_config *config)
{
    char error[FAILURE_BYTES_MAX];
    struct configuration *configuration = allocate(sizeof(*configuration));
    *configuration = (struct configuration){ .database = NULL };
    ev_timer_init(&configuration->poll, on_poll, 0, 0);
    configuration->poll.data = configuration;
    bool has_config = store_config_init(&configuration->config, &defaults, config, error);
    if (!has_config || !read_interval(configuration, config, error)) {
        if (has_config)
            store_config_fini(&configuration->config);
        free(configuration);
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
        return;
    }
    if (*configuration->config.warning != '\0')
        remora_log(REMORA_WARN, "component %.*s: %s", (int)config->name.len, config->name.data,
                   configuration->config.warning);
    configuration->database = database_take(&configuration->config.database);
    struct initialising *initialising = allocate(sizeof(*initialising));
    *initialising = (struct initialising){ .call = call, .configuration = configuration };
    database_open(configuration->database,
                  &(struct tables){ .schema = &schema_configuration,
                                    .table = configuration->config.table,
                                    .metadata_table = configuration->config.metadata_table },
                  on_opened, initialising);
}
