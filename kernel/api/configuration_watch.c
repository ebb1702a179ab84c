/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches: what is known of their keys, what waits to be taken, and who has them. Keeping them
 * subscribed is configuration_keeper.c; see configuration_watch.h.
 */
#include "api/configuration_watch.h"

#include <stdlib.h>

#include "api/cloudevent.h"
#include "api/configuration_keeper.h"
#include "api/configuration_seen.h"
#include "base/limits.h"
#include "base/pb.h"
#include "bus/link.h"
#include "remora/plugin/v1/plugin.pb-c.h"

enum { FINGERPRINT_UNSURE = 1, MESSAGE_BUDGET_FACTOR = 16 };

/* Of the process, by the ids that clients have. */
static struct registry {
    pthread_mutex_t lock;
    struct map by_id;
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* By the numbers that plugins have. */
static struct numbered subscriptions = NUMBERED_INIT;

/* --- who is there ------------------------------------------------------------------------------*/

static bool
enlist(struct configuration_watch *watch)
{
    (void)pthread_mutex_lock(&registry.lock);
    bool has_room = registry.by_id.count < LIMIT_configuration_watches_max;
    if (has_room)
        (void)map_put(&registry.by_id, watch->id, watch); /* ids are unique */
    (void)pthread_mutex_unlock(&registry.lock);
    return has_room;
}

static void
delist(struct configuration_watch *watch)
{
    (void)pthread_mutex_lock(&registry.lock);
    (void)map_remove(&registry.by_id, watch->id); /* or it was not there */
    if (registry.by_id.count == 0) { /* nothing is left behind at the end of the process */
        map_fini(&registry.by_id);
        map_init(&registry.by_id);
    }
    (void)pthread_mutex_unlock(&registry.lock);
}

struct configuration_watch *
configuration_watch_ref(struct configuration_watch *watch)
{
    (void)atomic_fetch_add_explicit(&watch->refs, 1, memory_order_relaxed);
    return watch;
}

void
configuration_changes_free(struct list *changes)
{
    for (struct list *at = changes->next, *next; at != changes; at = next) {
        next = at->next;
        free(container_of(at, struct configuration_change, link));
    }
    list_init(changes);
}

void
configuration_watch_unref(struct configuration_watch *watch)
{
    /* Release what was done with it, for whoever frees it. */
    if (atomic_fetch_sub_explicit(&watch->refs, 1, memory_order_acq_rel) > 1)
        return;
    configuration_changes_free(&watch->unsent);
    map_fini(&watch->by_key);
    map_fini(&watch->known);
    map_fini(&watch->touched);
    (void)pthread_mutex_destroy(&watch->lock);
    arena_fini(&watch->arena);
    free(watch);
}

/* --- being woken -------------------------------------------------------------------------------*/

void
configuration_watch_wake(struct configuration_watch *watch)
{
    if (watch->keeper_wait != NULL)
        wait_done(TAKE(watch->keeper_wait), OK);
    if (watch->taker_wait != NULL)
        wait_done(TAKE(watch->taker_wait), OK);
}

static void
on_nudge(struct mail *mail)
{
    struct configuration_watch *watch = container_of(mail, struct configuration_watch, nudge);
    /* Before looking: what changes from now on is worth another. Pairs with post_nudge(). */
    atomic_store_explicit(&watch->is_nudged, false, memory_order_release);
    configuration_watch_wake(watch);
    configuration_watch_unref(watch);
}

/* Any thread. */
static void
post_nudge(struct configuration_watch *watch)
{
    if (atomic_exchange_explicit(&watch->is_nudged, true, memory_order_acq_rel))
        return;
    worker_post(watch->worker, &configuration_watch_ref(watch)->nudge, on_nudge);
}

err_t
configuration_watch_wait(struct task *t, struct wait **slot, uint64_t ms)
{
    struct wait wait;
    uint64_t outer = task_deadline_ms(t);
    if (ms != UINT64_MAX)
        outer = task_deadline_push(t, ms);
    wait_init(&wait, t, NULL);
    *slot = &wait;
    err_t err = TASK_WAIT(t, &wait);
    *slot = NULL;
    task_deadline_pop(t, outer);
    return err;
}

bool
configuration_watch_is_over(const struct configuration_watch *watch)
{
    return atomic_load_explicit(&watch->is_over, memory_order_acquire) ||
           atomic_load_explicit(&watch->kernel->is_ending, memory_order_relaxed);
}

/* --- what is known -----------------------------------------------------------------------------*/

/* A map's value is a pointer: this one is a number. */
static void *
as_value(uint64_t fingerprint)
{
    return (void *)(uintptr_t)fingerprint; /* NOLINT(performance-no-int-to-ptr) */
}

/* What the reader has, or is going to have. Beyond the limit it is not known, and the key is told
 * after every reading. */
static void
note(struct configuration_watch *watch, struct slice key, uint64_t fingerprint)
{
    if (watch->known.count < LIMIT_configuration_keys_max || map_get(&watch->known, key) != NULL)
        (void)map_put(&watch->known, key, as_value(fingerprint));
}

static char *
copy_text(char **at, struct slice from, struct slice *ret_copy)
{
    char *start = *at;
    if (from.len > 0)
        memcpy(start, from.data, from.len);
    *at += from.len;
    *ret_copy = slice_of(start, from.len);
    return start;
}

static struct configuration_change *
change_new(const struct configuration_item *item)
{
    size_t bytes = item->key.len + item->value.len + item->version.len;
    for (size_t i = 0; i < item->metadata_count; i++)
        bytes += item->metadata[i].name.len + item->metadata[i].value.len;
    struct configuration_change *change = malloc(
        sizeof *change + item->metadata_count * sizeof(struct pair) + bytes);
    if (change == NULL)
        abort();
    struct pair *metadata = (struct pair *)(void *)(change + 1);
    char *at = (char *)(metadata + item->metadata_count);
    *change = (struct configuration_change){ .bytes = bytes };
    list_init(&change->link);
    (void)copy_text(&at, item->key, &change->item.key);
    (void)copy_text(&at, item->value, &change->item.value);
    (void)copy_text(&at, item->version, &change->item.version);
    for (size_t i = 0; i < item->metadata_count; i++) {
        (void)copy_text(&at, item->metadata[i].name, &metadata[i].name);
        (void)copy_text(&at, item->metadata[i].value, &metadata[i].value);
    }
    change->item.metadata = metadata;
    change->item.metadata_count = item->metadata_count;
    return change;
}

/* In the place of an older value of the key, or behind the others. Takes it over. */
static void
put(struct configuration_watch *watch, struct configuration_change *change)
{
    struct configuration_change *older = map_put(&watch->by_key, change->item.key, change);
    if (older != NULL) {
        watch->unsent_bytes -= older->bytes;
        list_append(&older->link, &change->link);
        list_remove(&older->link);
        free(older);
    } else {
        list_append(&watch->unsent, &change->link);
    }
    watch->unsent_bytes += change->bytes;
}

static struct configuration_change *
take_out(struct configuration_watch *watch)
{
    struct configuration_change *change = container_of(watch->unsent.next,
                                                       struct configuration_change, link);
    list_remove(&change->link);
    (void)map_remove(&watch->by_key, change->item.key); /* it is the one that is there */
    watch->unsent_bytes -= change->bytes;
    return change;
}

/* The reader is too slow: it gets what is there when it is ready. */
static void
drop_unsent(struct configuration_watch *watch)
{
    while (!list_is_empty(&watch->unsent)) {
        struct configuration_change *change = take_out(watch);
        note(watch, change->item.key, FINGERPRINT_UNSURE);
        free(change);
    }
    watch->is_stale = watch->has_overflowed = true;
}

/* --- changes from the plugin -------------------------------------------------------------------*/

static void
take_change(struct configuration_watch *watch, const struct configuration_item *item)
{
    if (watch->is_reading) {
        if (watch->touched.count < LIMIT_configuration_keys_max)
            (void)map_put(&watch->touched, item->key, watch); /* a set */
        else
            watch->is_reading_void = true;
    }
    note(watch, item->key, configuration_fingerprint(item));
    put(watch, change_new(item));
}

static void
take_changes(struct configuration_watch *watch, const struct configuration_item *items,
             size_t count, bool read_again)
{
    (void)pthread_mutex_lock(&watch->lock);
    watch->is_stale |= read_again;
    watch->is_reading_void |= read_again && watch->is_reading;
    for (size_t i = 0; i < count; i++)
        take_change(watch, &items[i]);
    if (watch->unsent_bytes > LIMIT_configuration_unsent_bytes)
        drop_unsent(watch);
    (void)pthread_mutex_unlock(&watch->lock);
    post_nudge(watch);
}

static void
refuse(struct request *rq, struct host_call *call, enum grpc_code code, const char *words)
{
    const struct frame_status status = { .code = (uint32_t)code, .message = slice_str(words) };
    host_call_reply(rq->task, call, &status, SLICE_EMPTY, SLICE_EMPTY); /* suspends */
}

/* Whether the plugin that calls is the one that was asked. */
static bool
is_theirs(struct configuration_watch *watch, uint64_t number, const struct link *link)
{
    (void)pthread_mutex_lock(&watch->lock);
    bool is_so = watch->number == number && watch->asked == link;
    (void)pthread_mutex_unlock(&watch->lock);
    return is_so;
}

void
configuration_changed(struct request *rq, struct host_call *call)
{
    struct slice message = host_call_message(call);
    const Remora__Plugin__V1__HostConfigurationChanged *in = pb_unpack(
        rq->arena, &remora__plugin__v1__host_configuration_changed__descriptor, message,
        LIMIT_frame_depth_max, message.len * MESSAGE_BUDGET_FACTOR + 4096);
    struct configuration_item *items;
    struct configuration_watch *watch = in == NULL
                                            ? NULL
                                            : numbered_find(&subscriptions, in->subscription);
    if (in == NULL || !configuration_take_items(rq->arena, in->items, in->n_items, &items)) {
        refuse(rq, call, GRPC_INVALID_ARGUMENT, "malformed HostConfigurationChanged");
    } else if (watch == NULL || !is_theirs(watch, in->subscription, call->link)) {
        refuse(rq, call, GRPC_FAILED_PRECONDITION, "there is no such subscription");
    } else {
        take_changes(watch, items, in->n_items, in->read_again);
        host_call_reply(rq->task, call, NULL, SLICE_EMPTY, SLICE_EMPTY);
    }
    if (watch != NULL)
        configuration_watch_unref(watch);
}

/* --- what the keeper reads ---------------------------------------------------------------------*/

void
configuration_watch_ask(struct configuration_watch *watch, const struct link *link)
{
    (void)pthread_mutex_lock(&watch->lock);
    watch->asked = link;
    numbered_add(&subscriptions, configuration_watch_ref(watch), &watch->number);
    watch->is_stale = true;
    (void)pthread_mutex_unlock(&watch->lock);
}

void
configuration_watch_forget(struct configuration_watch *watch)
{
    (void)pthread_mutex_lock(&watch->lock);
    uint64_t number = watch->number;
    watch->number = 0;
    watch->asked = NULL;
    (void)pthread_mutex_unlock(&watch->lock);
    if (number != 0 && numbered_remove(&subscriptions, number))
        configuration_watch_unref(watch);
}

/* A slow reader is read for when it wants something. */
bool
configuration_watch_is_stale(struct configuration_watch *watch)
{
    (void)pthread_mutex_lock(&watch->lock);
    bool is_stale = watch->is_stale && (!watch->has_overflowed || watch->taker_wait != NULL);
    (void)pthread_mutex_unlock(&watch->lock);
    return is_stale;
}

void
configuration_watch_reading(struct configuration_watch *watch)
{
    (void)pthread_mutex_lock(&watch->lock);
    watch->is_stale = watch->has_overflowed = watch->is_reading_void = false;
    watch->is_reading = true;
    (void)pthread_mutex_unlock(&watch->lock);
}

static void
end_reading(struct configuration_watch *watch)
{
    watch->is_reading = false;
    map_fini(&watch->touched);
    map_init(&watch->touched);
}

void
configuration_watch_not_read(struct configuration_watch *watch)
{
    (void)pthread_mutex_lock(&watch->lock);
    watch->is_stale = true;
    end_reading(watch);
    (void)pthread_mutex_unlock(&watch->lock);
}

/* Whether the reader has to be told: at first only what differs from what was read before. */
static bool
is_news(struct configuration_watch *watch, const struct configuration_item *item,
        uint64_t fingerprint)
{
    if (map_get(&watch->touched, item->key) != NULL)
        return false; /* something newer has been told meanwhile */
    if (watch->has_baseline)
        return map_get(&watch->known, item->key) != as_value(fingerprint);
    return watch->query.key_count > 0 &&
           configuration_seen_other(watch->store, item->key, fingerprint);
}

static void
settle(struct configuration_watch *watch, const struct configuration_item *item)
{
    uint64_t fingerprint = configuration_fingerprint(item);
    if (is_news(watch, item, fingerprint))
        put(watch, change_new(item));
    if (map_get(&watch->touched, item->key) == NULL)
        note(watch, item->key, fingerprint);
}

static bool
has_item(const struct configuration_item *items, size_t count, struct slice key)
{
    size_t at = 0;
    for (size_t end = count; at < end;) {
        size_t middle = at + (end - at) / 2;
        if (slice_cmp(items[middle].key, key) < 0)
            at = middle + 1;
        else
            end = middle;
    }
    return at < count && slice_eq(items[at].key, key);
}

/* Keys that are not there: those that were asked for, and those that were there before. */
static void
settle_absent(struct configuration_watch *watch, struct arena *scratch,
              const struct configuration_item *items, size_t count)
{
    size_t cursor = 0, gone_count = 0;
    struct slice key,
        *gone = ARENA_ARRAY(scratch, struct slice, watch->known.count + watch->query.key_count + 1);
    void *fingerprint;
    for (size_t i = 0; i < watch->query.key_count; i++)
        if (!has_item(items, count, watch->query.keys[i]))
            gone[gone_count++] = watch->query.keys[i];
    while (watch->query.key_count == 0 && map_next(&watch->known, &cursor, &key, &fingerprint))
        if (!has_item(items, count, key))
            gone[gone_count++] = arena_dup(scratch, key);
    for (size_t i = 0; i < gone_count; i++)
        settle(watch, &(struct configuration_item){
                          .key = gone[i], .value = SLICE_EMPTY, .version = SLICE_EMPTY });
}

void
configuration_watch_take_reading(struct configuration_watch *watch, struct arena *scratch,
                                 const struct configuration_item *items, size_t count)
{
    (void)pthread_mutex_lock(&watch->lock);
    if (watch->is_reading_void) {
        watch->is_stale = true;
    } else {
        for (size_t i = 0; i < count; i++)
            settle(watch, &items[i]);
        settle_absent(watch, scratch, items, count);
        watch->has_baseline = true;
    }
    end_reading(watch);
    (void)pthread_mutex_unlock(&watch->lock);
    configuration_watch_wake(watch);
}

/* --- taking ------------------------------------------------------------------------------------*/

static bool
take_batch(struct configuration_watch *watch, struct list *changes)
{
    size_t bytes = 0;
    (void)pthread_mutex_lock(&watch->lock);
    while (!list_is_empty(&watch->unsent)) {
        const struct configuration_change *next = container_of(watch->unsent.next,
                                                               struct configuration_change, link);
        if (bytes > 0 && bytes + next->bytes > LIMIT_configuration_batch_bytes)
            break;
        bytes += next->bytes;
        list_append(changes, &take_out(watch)->link);
    }
    (void)pthread_mutex_unlock(&watch->lock);
    return !list_is_empty(changes);
}

static bool
is_behind(struct configuration_watch *watch)
{
    (void)pthread_mutex_lock(&watch->lock);
    bool is_so = watch->has_overflowed;
    (void)pthread_mutex_unlock(&watch->lock);
    return is_so;
}

err_t
configuration_watch_next(struct task *t, struct configuration_watch *watch, struct list *changes)
{
    while (!configuration_watch_is_over(watch)) {
        if (take_batch(watch, changes))
            return OK;
        if (watch->keeper_wait != NULL && is_behind(watch))
            wait_done(TAKE(watch->keeper_wait), OK); /* which sees then that somebody waits */
        err_t err = configuration_watch_wait(t, &watch->taker_wait, UINT64_MAX); /* suspends */
        if (err != OK)
            return err;
    }
    return ERR_CLOSED;
}

void
configuration_watch_put_back(struct configuration_watch *watch, struct configuration_change *change)
{
    (void)pthread_mutex_lock(&watch->lock);
    if (map_get(&watch->by_key, change->item.key) != NULL)
        free(change);
    else
        put(watch, change);
    (void)pthread_mutex_unlock(&watch->lock);
}

bool
configuration_watch_pause(struct task *t, struct configuration_watch *watch, uint64_t ms)
{
    uint64_t outer = task_deadline_push(t, ms);
    err_t err = OK;
    while (err == OK && !configuration_watch_is_over(watch))
        err = configuration_watch_wait(t, &watch->taker_wait, UINT64_MAX); /* suspends */
    task_deadline_pop(t, outer);
    return err == ERR_DEADLINE && !configuration_watch_is_over(watch);
}

/* --- life --------------------------------------------------------------------------------------*/

struct slice
configuration_watch_id(const struct configuration_watch *watch)
{
    return watch->id;
}

struct slice
configuration_watch_store(const struct configuration_watch *watch)
{
    return watch->store;
}

static struct configuration_watch *
watch_new(struct request *rq, const struct component *store,
          const struct configuration_query *query)
{
    struct configuration_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL || pthread_mutex_init(&watch->lock, NULL) != 0)
        abort();
    atomic_init(&watch->refs, 1);
    arena_init(&watch->arena);
    watch->worker = task_worker(rq->task);
    watch->kernel = rq->kernel;
    watch->id = cloudevent_uuid(&watch->arena);
    watch->store = arena_dup(&watch->arena, store->facts->name);
    struct slice *keys = ARENA_ARRAY(&watch->arena, struct slice, query->key_count + 1);
    struct pair *metadata = ARENA_ARRAY(&watch->arena, struct pair, query->metadata_count + 1);
    for (size_t i = 0; i < query->key_count; i++)
        keys[i] = arena_dup(&watch->arena, query->keys[i]);
    for (size_t i = 0; i < query->metadata_count; i++)
        metadata[i] = (struct pair){ arena_dup(&watch->arena, query->metadata[i].name),
                                     arena_dup(&watch->arena, query->metadata[i].value) };
    watch->query = (struct configuration_query){ keys, query->key_count, metadata,
                                                 query->metadata_count };
    list_init(&watch->unsent);
    return watch;
}

static err_t
open_one(struct request *rq, struct configuration_watch *watch)
{
    if (!enlist(watch))
        return DIAG_FAIL(task_diag(rq->task), ERR_OVERLOADED, "there are too many subscriptions");
    if (!configuration_keeper_start(watch))
        return DIAG_FAIL(task_diag(rq->task), ERR_OVERLOADED, "too many requests at a time");
    err_t err = OK;
    while (err == OK && !watch->is_settled)
        err = configuration_watch_wait(rq->task, &watch->taker_wait, UINT64_MAX); /* suspends */
    if (err != OK)
        return DIAG_FAIL(task_diag(rq->task), err, "%s",
                         err == ERR_DEADLINE ? "context deadline exceeded" : "context canceled");
    if (watch->failure != OK)
        return DIAG_FAIL(task_diag(rq->task), watch->failure, SLICE_FMT,
                         SLICE_ARG(watch->failure_words));
    return OK;
}

err_t
configuration_watch_open(struct request *rq, struct component *store,
                         const struct configuration_query *query,
                         struct configuration_watch **ret_watch)
{
    struct configuration_watch *watch = watch_new(rq, store, query);
    err_t err = open_one(rq, watch); /* suspends */
    if (err == OK) {
        *ret_watch = watch;
        return OK;
    }
    configuration_watch_close(watch);
    struct slice words = configuration_key_words(rq->arena, query), name = store->facts->name;
    return fail(
        rq, err == ERR_OVERLOADED ? ERR_CONFIGURATION_OVERLOADED : ERR_CONFIGURATION_SUBSCRIBE,
        "failed to subscribe " SLICE_FMT " from Configuration store " SLICE_FMT ": " SLICE_FMT,
        SLICE_ARG(words), SLICE_ARG(name), SLICE_ARG(task_diag(rq->task)->message));
}

static void
end(struct configuration_watch *watch)
{
    /* Pairs with configuration_watch_is_over(). */
    atomic_store_explicit(&watch->is_over, true, memory_order_release);
    post_nudge(watch);
}

void
configuration_watch_close(struct configuration_watch *watch)
{
    delist(watch);
    end(watch);
    configuration_watch_unref(watch);
}

bool
configuration_unsubscribe(struct slice id)
{
    (void)pthread_mutex_lock(&registry.lock);
    struct configuration_watch *watch = map_remove(&registry.by_id, id);
    if (watch != NULL)
        end(watch); /* whoever opened it still has it: he delists it first */
    (void)pthread_mutex_unlock(&registry.lock);
    return watch != NULL;
}

void
configuration_watches_nudge(void)
{
    size_t cursor = 0;
    struct slice id;
    void *watch;
    (void)pthread_mutex_lock(&registry.lock);
    while (map_next(&registry.by_id, &cursor, &id, &watch))
        post_nudge(watch);
    (void)pthread_mutex_unlock(&registry.lock);
}
