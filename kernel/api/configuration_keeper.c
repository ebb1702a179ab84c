/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The task of a watch. It compares what is with what should be, takes one step, and waits until
 * something is different: the component, the plugin's word that changes were missed, the reader, or
 * the end. See configuration_watch.h.
 */
#include "api/configuration_keeper.h"

#include "api/operation.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/pb.h"
#include "remora/plugin/v1/plugin.pb-c.h"

#define SCOPE "dapr.runtime.configuration"

struct keeper {
    struct configuration_watch *watch; /* counted */
    struct component_watcher watcher;
    struct link *bus;    /* counted; where it is subscribed; NULL: nowhere */
    uint32_t generation; /* of the component there */
    uint64_t retry_ms;   /* to wait after the next failure */
    uint64_t retry_at_ms;
    uint64_t begun_ms;
};

/* --- the plugin --------------------------------------------------------------------------------*/

/* OK, or with words in the diag. */
static err_t
ask(struct request *rq, struct component *store, uint32_t method, struct slice message)
{
    struct component_call call = { 0 };
    const struct operation operation = { .method = method, .message = message };
    err_t err = operation_run(rq, store, &operation, &call); /* suspends */
    if (operation_has_failed(err, &call)) {
        struct slice words = operation_reason(rq, err, &call);
        err = DIAG_FAIL(task_diag(rq->task), err == OK ? ERR_PLUGIN_FAILED : err, SLICE_FMT,
                        SLICE_ARG(words));
    }
    component_call_finish(rq->task, &call);
    return err;
}

static void
leave(struct keeper *keeper)
{
    configuration_watch_forget(keeper->watch);
    link_unref(TAKE(keeper->bus));
}

static err_t
subscribe(struct request *rq, struct keeper *keeper, struct component *store)
{
    const struct configuration_watch *watch = keeper->watch;
    keeper->bus = link_ref(store->link);
    keeper->generation = store->facts->generation;
    configuration_watch_ask(keeper->watch, keeper->bus);
    Remora__Plugin__V1__ConfigurationSubscribe out =
        REMORA__PLUGIN__V1__CONFIGURATION_SUBSCRIBE__INIT;
    out.subscription = watch->number;
    out.keys = configuration_pack_keys(rq->arena, &watch->query);
    out.n_keys = watch->query.key_count;
    out.metadata = operation_pack_pairs(rq->arena, watch->query.metadata,
                                        watch->query.metadata_count);
    out.n_metadata = watch->query.metadata_count;
    err_t err = ask(rq, store, REMORA__PLUGIN__V1__METHOD__METHOD_CONFIGURATION_SUBSCRIBE,
                    pb_pack(rq->arena, &out.base)); /* suspends */
    if (err != OK)
        leave(keeper);
    return err;
}

static void
unsubscribe(struct request *rq, struct keeper *keeper)
{
    Remora__Plugin__V1__ConfigurationUnsubscribe out =
        REMORA__PLUGIN__V1__CONFIGURATION_UNSUBSCRIBE__INIT;
    struct component *store = component_find(rq->components, COMPONENT_CONFIGURATION,
                                             keeper->watch->store);
    bool is_there = store != NULL && keeper->bus != NULL && store->link == keeper->bus &&
                    store->facts->generation == keeper->generation;
    out.subscription = keeper->watch->number;
    if (is_there) {
        component_ref(store);
        (void)task_deadline_push(rq->task, LIMIT_configuration_close_ms); /* nothing comes after */
        if (ask(rq, store, REMORA__PLUGIN__V1__METHOD__METHOD_CONFIGURATION_UNSUBSCRIBE,
                pb_pack(rq->arena, &out.base)) != OK) /* suspends */
            log_debug(SCOPE,
                      "failed to unsubscribe from configuration store " SLICE_FMT ": " SLICE_FMT,
                      SLICE_ARG(keeper->watch->store), SLICE_ARG(task_diag(rq->task)->message));
        component_unref(store);
    }
    leave(keeper);
}

static err_t
read_keys(struct request *rq, struct keeper *keeper, struct component *store)
{
    struct configuration_watch *watch = keeper->watch;
    struct configuration_item *items;
    size_t count;
    configuration_watch_reading(watch);
    err_t err = configuration_read_items(rq, store, &watch->query, &items, &count); /* suspends */
    if (err == OK)
        configuration_watch_take_reading(watch, rq->arena, items, count);
    else
        configuration_watch_not_read(watch);
    return err;
}

/* --- steps -------------------------------------------------------------------------------------*/

/* The opener waits for the first success, or failure, which is the end. */
static void
tell_opener(struct keeper *keeper, struct request *rq, err_t err)
{
    struct configuration_watch *watch = keeper->watch;
    if (watch->is_settled)
        return;
    watch->is_settled = true;
    watch->failure = err;
    if (err != OK)
        watch->failure_words = arena_dup(&watch->arena, task_diag(rq->task)->message);
    configuration_watch_wake(watch);
}

static void
after(struct keeper *keeper, struct request *rq, err_t err)
{
    bool was_settled = keeper->watch->is_settled;
    if (err == OK) {
        keeper->retry_ms = keeper->retry_at_ms = 0;
        return;
    }
    tell_opener(keeper, rq, err);
    keeper->retry_ms = keeper->retry_ms == 0 ? LIMIT_configuration_retry_ms : keeper->retry_ms * 2;
    if (keeper->retry_ms > LIMIT_configuration_retry_max_ms)
        keeper->retry_ms = LIMIT_configuration_retry_max_ms;
    keeper->retry_at_ms = clock_now_ms() + keeper->retry_ms;
    if (was_settled)
        log_warn(SCOPE,
                 "a subscription to configuration store " SLICE_FMT
                 " waits, trying again: " SLICE_FMT,
                 SLICE_ARG(keeper->watch->store), SLICE_ARG(task_diag(rq->task)->message));
}

static bool
has_moved(const struct keeper *keeper, const struct component *store)
{
    return keeper->bus != NULL && (store == NULL || store->link != keeper->bus ||
                                   store->facts->generation != keeper->generation);
}

/* One step towards what should be. False: nothing is left to do now. */
static bool
step(struct request *rq, struct keeper *keeper)
{
    struct component *store = component_find(rq->components, COMPONENT_CONFIGURATION,
                                             keeper->watch->store);
    if (has_moved(keeper, store)) {
        leave(keeper);
        keeper->retry_ms = keeper->retry_at_ms = 0; /* another may fare better */
        return true;
    }
    bool is_there = store != NULL && store->link != NULL;
    bool must_ask = keeper->bus == NULL;
    if (!is_there && !keeper->watch->is_settled) {
        keeper->retry_at_ms = keeper->begun_ms + LIMIT_component_wait_ms;
        if (store == NULL || clock_now_ms() >= keeper->retry_at_ms)
            after(keeper, rq,
                  DIAG_FAIL(task_diag(rq->task), ERR_PLUGIN_AWAY, "the plugin is not available"));
        return false;
    }
    if (!keeper->watch->is_settled)
        keeper->retry_at_ms = 0;
    if (!is_there || clock_now_ms() < keeper->retry_at_ms ||
        (!must_ask && !configuration_watch_is_stale(keeper->watch)))
        return false;
    component_ref(store);
    err_t err = must_ask ? subscribe(rq, keeper, store) : read_keys(rq, keeper, store);
    component_unref(store);
    after(keeper, rq, err);
    if (err == OK && !must_ask)
        tell_opener(keeper, rq, OK);
    return true;
}

/* --- the task ----------------------------------------------------------------------------------*/

static bool
is_wanted(const struct configuration_watch *watch)
{
    return !configuration_watch_is_over(watch) && (!watch->is_settled || watch->failure == OK);
}

static void
rest(struct task *t, struct keeper *keeper)
{
    uint64_t now_ms = clock_now_ms();
    uint64_t ms = keeper->retry_at_ms > now_ms ? keeper->retry_at_ms - now_ms : UINT64_MAX;
    /* However it ends, there is something to look at. */
    (void)!configuration_watch_wait(t, &keeper->watch->keeper_wait, ms); /* suspends */
}

static void
on_change(struct component_watcher *watcher)
{
    const struct keeper *keeper = container_of(watcher, struct keeper, watcher);
    if (keeper->watch->keeper_wait != NULL)
        wait_done(TAKE(keeper->watch->keeper_wait), OK);
}

static void
keeper_main(struct task *t, void *arg)
{
    struct keeper keeper = { .watch = arg,
                             .watcher = { .on_change = on_change },
                             .begun_ms = clock_now_ms() };
    struct request rq;
    request_init(&rq, t);
    list_append(&rq.components->watchers, &keeper.watcher.link);
    while (is_wanted(keeper.watch)) {
        arena_reset(task_arena(t)); /* a watch may last */
        request_init(&rq, t);
        if (!step(&rq, &keeper)) /* suspends */
            rest(t, &keeper);    /* suspends */
    }
    unsubscribe(&rq, &keeper); /* suspends */
    list_remove(&keeper.watcher.link);
    tell_opener(&keeper, &rq, DIAG_FAIL(task_diag(t), ERR_CLOSED, "the sidecar is ending"));
    configuration_watch_wake(keeper.watch);
    configuration_watch_unref(keeper.watch);
}

bool
configuration_keeper_start(struct configuration_watch *watch)
{
    bool has_task = task_spawn(watch->worker, "configuration watch", keeper_main, watch) != NULL;
    if (has_task)
        (void)configuration_watch_ref(watch); /* it begins later in this turn */
    return has_task;
}
