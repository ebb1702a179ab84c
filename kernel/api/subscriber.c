/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions as they should be and as they are; see subscriber.h. */
#include "api/subscriber.h"

#include <stdlib.h>

#include "api/operation.h"
#include "api/publish.h"
#include "async/remote.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/pb.h"
#include "remora/plugin/v1/plugin.pb-c.h"

#define SCOPE "dapr.runtime.processor.subscription"

/* One that is wanted. */
struct topic_entry {
    struct list link;
    struct subscriber *subscriber;
    struct topic_spec *spec; /* counted */
    const struct topic_taker *taker;
    bool is_over;                  /* nobody wants it any more: freed when it is closed */
    struct subscription *live;     /* counted; NULL: not open */
    struct subscription *previous; /* counted; of the generation before: its last messages come */
    struct link *bus;              /* counted; where `live` is */
    uint32_t generation;           /* of the component there */
    struct task *task;             /* opens or closes; NULL: nothing to do */
    struct timer retry;
    uint64_t retry_ms; /* to wait after the next failure */
    char *words;       /* why it could not be opened; owned; NULL: it could */
};

struct subscriber {
    struct kernel_worker *first;
    struct list entries;
    bool app_is_allowed;
    bool is_stopped;
    bool is_closed;       /* worker 0 has ended */
    unsigned busy;        /* entries with a task */
    struct list settling; /* tasks that wait for busy to be 0, or for one entry */
};

struct settler {
    struct list link;
    const struct topic_entry *entry; /* NULL: for all of them; compared, never followed */
    struct wait wait;
};

/* --- what should be ----------------------------------------------------------------------------*/

static bool
is_same_topic(const struct topic_entry *a, const struct topic_entry *b)
{
    return slice_eq(a->spec->topic, b->spec->topic) && slice_eq(a->spec->pubsub, b->spec->pubsub);
}

/* Of several for one topic the latest kind counts, and of one kind the first. */
static bool
is_winner(const struct topic_entry *entry)
{
    struct list *entries = &entry->subscriber->entries;
    bool is_before = true;
    for (struct list *at = entries->next; at != entries; at = at->next) {
        const struct topic_entry *other = container_of(at, struct topic_entry, link);
        if (other == entry) {
            is_before = false;
            continue;
        }
        if (other->is_over || !is_same_topic(other, entry))
            continue;
        if (other->spec->kind > entry->spec->kind ||
            (other->spec->kind == entry->spec->kind && is_before &&
             entry->spec->kind != TOPIC_PROGRAMMATIC) ||
            (other->spec->kind == entry->spec->kind && !is_before &&
             entry->spec->kind == TOPIC_PROGRAMMATIC)) /* of two answers the last counts */
            return false;
    }
    return true;
}

static struct component *
broker_of(const struct topic_entry *entry)
{
    return component_find(&entry->subscriber->first->components, COMPONENT_PUBSUB,
                          entry->spec->pubsub);
}

/* What the component's scopes forbid is not opened, silently. */
static bool
is_permitted(const struct topic_entry *entry)
{
    const struct component *broker = broker_of(entry);
    return broker == NULL || entry->spec->kind == TOPIC_INTERNAL ||
           topic_scopes_may_subscribe(&broker->facts->scopes, entry->spec->topic);
}

static bool
is_wanted(const struct topic_entry *entry)
{
    const struct subscriber *subscriber = entry->subscriber;
    bool has_taker = entry->taker != NULL || subscriber->app_is_allowed;
    return !entry->is_over && !subscriber->is_stopped && has_taker && is_permitted(entry) &&
           is_winner(entry);
}

/* --- the plugin --------------------------------------------------------------------------------*/

static struct slice
pack_subscribe(struct request *rq, const struct topic_entry *entry, uint64_t id,
               const struct component *broker)
{
    const struct topic_spec *spec = entry->spec;
    Remora__Plugin__V1__PubsubSubscribe out = REMORA__PLUGIN__V1__PUBSUB_SUBSCRIBE__INIT;
    out.subscription = id;
    out.topic = publish_topic(rq->arena, broker, spec->topic);
    bool has_batches = (broker->facts->capabilities & CAN_BULK_SUBSCRIBE) != 0;
    uint32_t batch = spec->is_bulk ? subscription_batch_max(spec, !has_batches) : 0;
    out.window = batch > LIMIT_topic_window ? batch : LIMIT_topic_window;
    out.metadata = operation_pack_pairs(rq->arena, spec->metadata, spec->metadata_count);
    out.n_metadata = spec->metadata_count;
    if (spec->is_bulk && has_batches) {
        out.batch_messages_max = spec->bulk_messages_max;
        out.batch_await_ms = spec->bulk_await_ms;
    }
    return pb_pack(rq->arena, &out.base);
}

/* OK, or with words in the diag. */
static err_t
ask(struct request *rq, struct component *broker, uint32_t method, struct slice message)
{
    struct component_call call = { 0 };
    const struct operation operation = { .method = method, .message = message };
    err_t err = operation_run(rq, broker, &operation, &call); /* suspends */
    if (operation_has_failed(err, &call))
        err = DIAG_FAIL(task_diag(rq->task), err == OK ? ERR_PLUGIN_FAILED : err, SLICE_FMT,
                        SLICE_ARG(operation_reason(rq, err, &call)));
    component_call_finish(rq->task, &call);
    return err;
}

static void
retire(struct subscription **subscription)
{
    if (*subscription == NULL)
        return;
    subscription_retire(*subscription);
    subscription_unref(*subscription);
    *subscription = NULL;
}

static void
forget(struct topic_entry *entry)
{
    retire(&entry->live);
    link_unref(TAKE(entry->bus));
}

/* The component has moved on: what it had on its way is still answered. */
static void
step_aside(struct topic_entry *entry)
{
    retire(&entry->previous);
    entry->previous = TAKE(entry->live);
    atomic_store_explicit(&entry->previous->is_closing, true, memory_order_relaxed);
    link_unref(TAKE(entry->bus));
}

static void
open_one(struct request *rq, struct topic_entry *entry, struct component *broker)
{
    component_ref(broker);
    struct link *bus = link_ref(broker->link);
    uint32_t generation = broker->facts->generation;
    entry->live = subscription_new(entry->spec, entry->taker, bus);
    entry->live->gathers = (broker->facts->capabilities & CAN_BULK_SUBSCRIBE) == 0;
    struct slice message = pack_subscribe(rq, entry, entry->live->id, broker);
    err_t err = ask(rq, broker, REMORA__PLUGIN__V1__METHOD__METHOD_PUBSUB_SUBSCRIBE,
                    message); /* suspends */
    component_unref(broker);
    free(TAKE(entry->words));
    if (err == OK) {
        entry->bus = bus;
        entry->generation = generation;
        entry->retry_ms = 0;
        return;
    }
    struct slice words = task_diag(rq->task)->message;
    entry->words = slice_dup_str(words);
    link_unref(bus);
    retire(&entry->live);
    entry->retry_ms = entry->retry_ms == 0 ? LIMIT_topic_retry_ms : entry->retry_ms * 2;
    if (entry->retry_ms > LIMIT_topic_retry_max_ms)
        entry->retry_ms = LIMIT_topic_retry_max_ms;
    log_error(SCOPE,
              "failed to subscribe to topic " SLICE_FMT " of pubsub " SLICE_FMT ": " SLICE_FMT,
              SLICE_ARG(entry->spec->topic), SLICE_ARG(entry->spec->pubsub), SLICE_ARG(words));
    timer_set(&entry->subscriber->first->worker.timers, &entry->retry,
              clock_now_ms() + entry->retry_ms);
}

static void
close_one(struct request *rq, struct topic_entry *entry, struct component *broker)
{
    Remora__Plugin__V1__PubsubUnsubscribe out = REMORA__PLUGIN__V1__PUBSUB_UNSUBSCRIBE__INIT;
    out.subscription = entry->live->id;
    atomic_store_explicit(&entry->live->is_closing, true, memory_order_relaxed);
    component_ref(broker);
    uint64_t outer = task_deadline_push(rq->task, LIMIT_topic_close_ms);
    err_t err = ask(rq, broker, REMORA__PLUGIN__V1__METHOD__METHOD_PUBSUB_UNSUBSCRIBE,
                    pb_pack(rq->arena, &out.base)); /* suspends */
    task_deadline_pop(rq->task, outer);
    component_unref(broker);
    if (err != OK)
        log_warn(SCOPE,
                 "failed to unsubscribe from topic " SLICE_FMT " of pubsub " SLICE_FMT
                 ": " SLICE_FMT,
                 SLICE_ARG(entry->spec->topic), SLICE_ARG(entry->spec->pubsub),
                 SLICE_ARG(task_diag(rq->task)->message));
    forget(entry);
}

/* --- an entry ----------------------------------------------------------------------------------*/

/* One step towards what should be. False: nothing is left to do now. */
static bool
step(struct request *rq, struct topic_entry *entry)
{
    struct component *broker = broker_of(entry);
    bool is_there = broker != NULL && broker->link != NULL;
    bool has_moved = entry->live != NULL && entry->bus != NULL &&
                     (!is_there || broker->link != entry->bus ||
                      broker->facts->generation != entry->generation);
    if (has_moved) {
        step_aside(entry);
        return true;
    }
    if (entry->live != NULL && !is_wanted(entry)) {
        close_one(rq, entry, broker); /* suspends */
        return true;
    }
    if (entry->live == NULL && is_there && is_wanted(entry) && !timer_is_set(&entry->retry)) {
        open_one(rq, entry, broker); /* suspends */
        return true;
    }
    return false;
}

static void
free_entry(struct topic_entry *entry)
{
    if (!entry->subscriber->is_closed)
        timer_stop(&entry->subscriber->first->worker.timers, &entry->retry);
    list_remove(&entry->link);
    forget(entry);
    retire(&entry->previous);
    free(entry->words);
    topic_spec_unref(entry->spec);
    free(entry);
}

/* The task of `entry` has ended; it may be gone, and only says who it was. */
static void
wake_settlers(struct subscriber *subscriber, uintptr_t entry)
{
    struct list *at = subscriber->settling.next, *next;
    for (; at != &subscriber->settling; at = next) {
        struct settler *settler = container_of(at, struct settler, link);
        next = at->next;
        if ((uintptr_t)settler->entry != entry && (settler->entry != NULL || subscriber->busy > 0))
            continue;
        list_remove(&settler->link);
        wait_done(&settler->wait, OK);
    }
}

static void kick_all(struct subscriber *subscriber);

static void
entry_main(struct task *t, void *arg)
{
    struct topic_entry *entry = arg;
    struct subscriber *subscriber = entry->subscriber;
    const uintptr_t which = (uintptr_t)entry;
    struct request rq;
    bool was_over = false;
    request_init(&rq, t);
    while (step(&rq, entry)) /* suspends */
        request_init(&rq, t);
    entry->task = NULL;
    subscriber->busy--;
    if (entry->is_over && entry->live == NULL) {
        was_over = true;
        free_entry(entry);
    }
    if (was_over)
        kick_all(subscriber); /* another may win now */
    wake_settlers(subscriber, which);
}

static bool
needs_step(const struct topic_entry *entry)
{
    const struct component *broker = broker_of(entry);
    bool is_there = broker != NULL && broker->link != NULL;
    if (entry->live != NULL)
        return !is_there || broker->link != entry->bus ||
               broker->facts->generation != entry->generation || !is_wanted(entry);
    return entry->is_over || (is_there && is_wanted(entry) && !timer_is_set(&entry->retry));
}

static void
kick(struct topic_entry *entry)
{
    struct subscriber *subscriber = entry->subscriber;
    if (entry->task != NULL || !needs_step(entry))
        return;
    entry->task = task_spawn(&subscriber->first->worker, "subscription", entry_main, entry);
    if (entry->task != NULL)
        subscriber->busy++;
    else if (!timer_is_set(&entry->retry)) /* no task is free: soon */
        timer_set(&subscriber->first->worker.timers, &entry->retry,
                  clock_now_ms() + LIMIT_topic_retry_ms);
}

static void
kick_all(struct subscriber *subscriber)
{
    struct list *at = subscriber->entries.next, *next;
    for (; at != &subscriber->entries; at = next) {
        next = at->next;
        kick(container_of(at, struct topic_entry, link));
    }
}

static void
on_retry(struct timer *timer)
{
    kick(container_of(timer, struct topic_entry, retry));
}

static struct topic_entry *
add_entry(struct subscriber *subscriber, struct topic_spec *spec, const struct topic_taker *taker)
{
    struct topic_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        abort();
    entry->subscriber = subscriber;
    entry->spec = topic_spec_ref(spec);
    entry->taker = taker;
    timer_init(&entry->retry, on_retry);
    list_append(&subscriber->entries, &entry->link);
    return entry;
}

/* --- orders from elsewhere ---------------------------------------------------------------------*/

struct order {
    struct mail mail;
    struct subscriber *subscriber;
    enum { ORDER_SET, ORDER_ALLOW, ORDER_LOOK, ORDER_STOP, ORDER_REMOVE } what;
    struct topic_entry *entry;
    enum topic_kind kind;
    const struct topic_taker *taker;
    struct topic_spec **specs; /* counted */
    size_t count;
    bool is_allowed;
};

/* Those of the kind that are still wanted in the same way go on as they are. */
static void
set_kind(struct subscriber *subscriber, const struct order *order)
{
    bool *is_known = calloc(order->count + 1, sizeof *is_known);
    if (is_known == NULL)
        abort();
    for (struct list *at = subscriber->entries.next; at != &subscriber->entries; at = at->next) {
        struct topic_entry *entry = container_of(at, struct topic_entry, link);
        if (entry->spec->kind != order->kind || entry->is_over)
            continue;
        size_t i = 0;
        while (i < order->count && (is_known[i] || !topic_spec_equal(entry->spec, order->specs[i])))
            i++;
        if (i < order->count)
            is_known[i] = true;
        else
            entry->is_over = true;
    }
    for (size_t i = 0; i < order->count; i++)
        if (!is_known[i])
            (void)add_entry(subscriber, order->specs[i], order->taker);
    free(is_known);
}

/* It is not wanted any more; what is open stays open for another that wants it just so. */
static void
give_up(struct topic_entry *entry)
{
    struct list *entries = &entry->subscriber->entries;
    entry->is_over = true;
    if (entry->live == NULL || entry->task != NULL)
        return;
    for (struct list *at = entries->next; at != entries; at = at->next) {
        struct topic_entry *heir = container_of(at, struct topic_entry, link);
        if (heir == entry || heir->is_over || heir->taker != entry->taker || heir->live != NULL ||
            heir->task != NULL || !topic_spec_equal(heir->spec, entry->spec))
            continue;
        heir->live = TAKE(entry->live);
        heir->bus = TAKE(entry->bus);
        heir->generation = entry->generation;
        return;
    }
}

static void
on_order(struct mail *mail)
{
    struct order *order = container_of(mail, struct order, mail);
    struct subscriber *subscriber = order->subscriber;
    if (order->what == ORDER_SET)
        set_kind(subscriber, order);
    else if (order->what == ORDER_ALLOW)
        subscriber->app_is_allowed = order->is_allowed;
    else if (order->what == ORDER_REMOVE)
        give_up(order->entry);
    else if (order->what == ORDER_STOP)
        subscriber->is_stopped = true;
    if (!subscriber->is_closed)
        kick_all(subscriber);
    for (size_t i = 0; i < order->count; i++)
        topic_spec_unref(order->specs[i]);
    free(order->specs);
    free(order);
}

static void
post(struct subscriber *subscriber, const struct order *from)
{
    struct order *order = malloc(sizeof *order);
    if (order == NULL)
        abort();
    *order = *from;
    order->subscriber = subscriber;
    worker_post(&subscriber->first->worker, &order->mail, on_order);
}

void
subscriber_set(struct subscriber *subscriber, enum topic_kind kind, const struct topic_taker *taker,
               struct topic_spec *const *specs, size_t count)
{
    struct order order = { .what = ORDER_SET, .kind = kind, .taker = taker, .count = count };
    order.specs = calloc(count + 1, sizeof(struct topic_spec *));
    if (order.specs == NULL)
        abort();
    for (size_t i = 0; i < count; i++)
        order.specs[i] = topic_spec_ref(specs[i]);
    post(subscriber, &order);
}

void
subscriber_allow_app(struct subscriber *subscriber, bool is_allowed)
{
    post(subscriber, &(struct order){ .what = ORDER_ALLOW, .is_allowed = is_allowed });
}

void
subscriber_look_again(struct subscriber *subscriber)
{
    post(subscriber, &(struct order){ .what = ORDER_LOOK });
}

void
subscriber_stop(struct subscriber *subscriber)
{
    post(subscriber, &(struct order){ .what = ORDER_STOP });
}

bool
subscriber_is_at_rest(const struct subscriber *subscriber)
{
    return subscriber->busy == 0;
}

/* --- tasks of any worker -----------------------------------------------------------------------*/

static err_t
settle_for(struct task *t, struct subscriber *subscriber, const struct topic_entry *entry)
{
    struct settler settler = { .entry = entry };
    kick_all(subscriber);
    if (entry == NULL ? subscriber->busy == 0 : entry->task == NULL)
        return OK;
    wait_init(&settler.wait, t, NULL);
    list_init(&settler.link);
    list_append(&subscriber->settling, &settler.link);
    err_t err = TASK_WAIT(t, &settler.wait);
    list_remove(&settler.link);
    return err;
}

static err_t
settle(struct task *t, void *arg)
{
    err_t err = remote_catch_up(t); /* suspends; what was ordered before is known */
    return err == OK ? settle_for(t, arg, NULL) : err; /* suspends */
}

static err_t
run_there(struct task *t, struct subscriber *subscriber, remote_fn *fn, void *arg)
{
    if (task_worker(t) == &subscriber->first->worker)
        return fn(t, arg); /* suspends */
    return remote_run(t, &subscriber->first->worker, "subscriber", fn, arg);
}

err_t
subscriber_settle(struct task *t, struct subscriber *subscriber)
{
    return run_there(t, subscriber, settle, subscriber);
}

static err_t
finish(struct task *t, void *arg)
{
    struct subscriber *subscriber = arg;
    subscriber->is_stopped = true;
    return settle_for(t, subscriber, NULL); /* suspends */
}

err_t
subscriber_finish(struct task *t, struct subscriber *subscriber)
{
    return run_there(t, subscriber, finish, subscriber);
}

struct addition {
    struct subscriber *subscriber;
    struct topic_spec *spec;
    const struct topic_taker *taker;
    struct topic_entry *entry;
    struct arena *arena; /* of the caller, for words */
    struct slice words;
};

static err_t
add(struct task *t, void *arg)
{
    struct addition *addition = arg;
    addition->entry = add_entry(addition->subscriber, addition->spec, addition->taker);
    err_t err = settle_for(t, addition->subscriber, addition->entry); /* suspends */
    if (addition->entry->live == NULL && addition->entry->words != NULL)
        addition->words = arena_dup(addition->arena, slice_str(addition->entry->words));
    return err;
}

err_t
subscriber_add(struct task *t, struct subscriber *subscriber, struct topic_spec *spec,
               const struct topic_taker *taker, struct topic_entry **ret_entry)
{
    struct addition addition = { .subscriber = subscriber,
                                 .spec = spec,
                                 .taker = taker,
                                 .arena = task_arena(t),
                                 .words = SLICE_EMPTY };
    err_t err = run_there(t, subscriber, add, &addition); /* suspends */
    *ret_entry = addition.entry;
    if (err == OK && addition.words.len > 0)
        err = DIAG_FAIL(task_diag(t), ERR_PLUGIN_FAILED, SLICE_FMT, SLICE_ARG(addition.words));
    return err;
}

struct removal {
    struct subscriber *subscriber;
    struct topic_entry *entry;
};

static err_t
remove_entry(struct task *t, void *arg)
{
    const struct removal *removal = arg;
    give_up(removal->entry);
    return settle_for(t, removal->subscriber, removal->entry); /* suspends */
}

void
subscriber_remove(struct task *t, struct subscriber *subscriber, struct topic_entry *entry)
{
    struct removal removal = { subscriber, entry };
    if (entry == NULL)
        return;
    task_shield_begin(t); /* the stream's memory is used until then */
    uint64_t outer = task_deadline_ms(t);
    task_deadline_pop(t, UINT64_MAX);
    err_t err = run_there(t, subscriber, remove_entry, &removal); /* suspends */
    task_deadline_pop(t, outer);
    task_shield_end(t);
    if (err == ERR_OVERLOADED) /* no task is to be had there: then without knowing when */
        post(subscriber, &(struct order){ .what = ORDER_REMOVE, .entry = entry });
}

struct listing {
    struct subscriber *subscriber;
    subscriber_list_fn *fn;
    void *arg;
};

static err_t
list_all(struct task *t, void *arg)
{
    const struct listing *listing = arg;
    struct list *entries = &listing->subscriber->entries;
    (void)t;
    for (struct list *at = entries->next; at != entries; at = at->next) {
        const struct topic_entry *entry = container_of(at, struct topic_entry, link);
        if (!entry->is_over && entry->spec->kind != TOPIC_INTERNAL)
            listing->fn(entry->spec, listing->arg);
    }
    return OK;
}

err_t
subscriber_each(struct task *t, struct subscriber *subscriber, subscriber_list_fn *fn, void *arg)
{
    struct listing listing = { subscriber, fn, arg };
    return run_there(t, subscriber, list_all, &listing);
}

/* --- life --------------------------------------------------------------------------------------*/

struct subscriber *
subscriber_new(struct kernel_worker *first)
{
    struct subscriber *subscriber = calloc(1, sizeof *subscriber);
    if (subscriber == NULL)
        abort();
    subscriber->first = first;
    list_init(&subscriber->entries);
    list_init(&subscriber->settling);
    return subscriber;
}

void
subscriber_close(struct subscriber *subscriber)
{
    if (subscriber == NULL)
        return;
    for (struct list *at = subscriber->entries.next; at != &subscriber->entries; at = at->next)
        timer_stop(&subscriber->first->worker.timers,
                   &container_of(at, struct topic_entry, link)->retry);
    subscriber->is_closed = true;
}

void
subscriber_free(struct subscriber *subscriber)
{
    if (subscriber == NULL)
        return;
    while (!list_is_empty(&subscriber->entries))
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): free_entry() takes it off the list */
        free_entry(container_of(subscriber->entries.next, struct topic_entry, link));
    free(subscriber);
}
