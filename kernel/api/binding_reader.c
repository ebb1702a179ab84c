/* SPDX-License-Identifier: Apache-2.0 */
/* Input bindings as they should be read and as they are; see binding_reader.h. */
#include "api/binding_reader.h"

#include <assert.h>
#include <stdlib.h>

#include "api/binding_reading.h"
#include "api/operation.h"
#include "app/app_binding.h"
#include "async/gate.h"
#include "async/remote.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/pb.h"
#include "remora/plugin/v1/plugin.pb-c.h"

#define SCOPE "dapr.runtime.processor.binding"

/* What the application has said of a binding. */
enum wish { WISH_UNKNOWN, WISH_YES, WISH_NO };

/* One component that has events. */
struct source {
    struct list link;
    struct binding_reader *reader;
    struct slice name;                /* owned */
    enum wish wish;                   /* of the application, asked in `round` */
    unsigned round;                   /* of the reader */
    uint32_t asked_generation;        /* of the component, then */
    struct binding_reading *live;     /* counted; NULL: it is not read */
    struct binding_reading *previous; /* counted; of the generation before: its last events come */
    struct link *bus;                 /* counted; where `live` is */
    uint32_t generation;              /* of the component there */
    struct task *task;                /* asks, begins or ends; NULL: nothing to do */
    bool is_asking;                   /* the application */
    struct timer retry;
    uint64_t retry_ms; /* to wait after the next failure */
};

struct binding_reader {
    struct kernel_worker *first;
    struct list sources;
    unsigned round; /* how often the application has become ready for events */
    bool is_allowed;
    bool is_stopped;
    bool is_closed;       /* worker 0 has ended */
    unsigned busy;        /* sources with a task */
    struct list settling; /* struct settler: until busy is 0 */
    /* Of a gRPC application: it is asked once a round for all. */
    struct gate listing;
    unsigned list_round; /* 0: there is none */
    char *list;          /* owned */
    size_t list_len;
    uint64_t silent_ms; /* when it last did not say */
};

struct settler {
    struct list link;
    struct wait wait;
};

/* --- what should be ----------------------------------------------------------------------------*/

/* NULL: it is gone, or has no events any more. */
static struct component *
component_of(const struct source *source)
{
    struct component *component = component_find(&source->reader->first->components,
                                                 COMPONENT_BINDING, source->name);
    bool has_events = component != NULL && (component->facts->capabilities & IS_INPUT_BINDING) != 0;
    return has_events ? component : NULL;
}

static bool
may_be_read(const struct binding_reader *reader)
{
    return reader->is_allowed && !reader->is_stopped;
}

static bool
must_ask(const struct source *source, const struct component *component)
{
    return !component->facts->binding.is_sure &&
           (source->wish == WISH_UNKNOWN || source->round != source->reader->round ||
            source->asked_generation != component->facts->generation);
}

static bool
has_moved(const struct source *source, const struct component *component)
{
    return component == NULL || component->link != source->bus ||
           component->facts->generation != source->generation;
}

/* What is to be done next. */
enum step { STEP_NONE, STEP_ASIDE, STEP_STOP, STEP_ASK, STEP_READ };

static enum step
next_step(const struct source *source)
{
    const struct component *component = component_of(source);
    bool may = may_be_read(source->reader);
    if (source->live != NULL && has_moved(source, component))
        return STEP_ASIDE;
    if (source->live != NULL && !may)
        return STEP_STOP;
    if (component == NULL || component->link == NULL || !may || timer_is_set(&source->retry))
        return STEP_NONE;
    if (must_ask(source, component))
        return STEP_ASK;
    bool is_wanted = component->facts->binding.is_sure || source->wish == WISH_YES;
    if (source->live != NULL)
        return is_wanted ? STEP_NONE : STEP_STOP;
    return is_wanted ? STEP_READ : STEP_NONE;
}

/* --- the application ---------------------------------------------------------------------------*/

static void
keep_list(struct binding_reader *reader, unsigned round, struct slice list)
{
    free(reader->list);
    reader->list = slice_copy(list);
    reader->list_len = list.len;
    reader->list_round = round;
}

/* The application's list, asked for by the first of those that want to know; if it does not say,
 * none of the others waits for it once more. */
static err_t
ask_list(struct task *t, struct source *source, bool *ret_is_wanted)
{
    struct binding_reader *reader = source->reader;
    struct slice list = SLICE_EMPTY;
    unsigned round = reader->round;
    uint64_t began_ms = clock_now_ms();
    err_t err = gate_enter(t, &reader->listing, 1); /* suspends; who is inside has a deadline */
    if (err != OK)
        return err;
    if (reader->list_round != round && reader->silent_ms >= began_ms)
        err = DIAG_FAIL(task_diag(t), ERR_DEADLINE, "the application does not say");
    else if (reader->list_round != round)
        err = app_binding_list(t, &reader->first->app, &list); /* suspends */
    if (err != OK)
        reader->silent_ms = clock_now_ms();
    else if (reader->list_round != round)
        keep_list(reader, round, list);
    if (err == OK)
        *ret_is_wanted = app_binding_is_listed(slice_of(reader->list, reader->list_len),
                                               source->name);
    gate_leave(&reader->listing, 1);
    return err;
}

static void
log_silence(const struct source *source, struct slice where, struct slice words)
{
    log_warn("dapr.runtime",
             "failed to read from bindings: could not invoke OPTIONS method on input binding "
             "subscription endpoint \"" SLICE_FMT "\": " SLICE_FMT ", binding " SLICE_FMT " is %s",
             SLICE_ARG(where), SLICE_ARG(words), SLICE_ARG(source->name),
             source->wish == WISH_YES ? "read as before" : "not read");
}

/* A binding that the application does not want, or of which it does not say, stays off until it is
 * asked again; one that it wanted a moment ago is not lost for want of an answer. */
static void
ask_app(struct request *rq, struct source *source)
{
    const struct component *component = component_of(source);
    struct binding_reader *reader = source->reader;
    struct app_channel *channel = &reader->first->app;
    struct slice path = binding_path(rq->arena, source->name, component->facts->binding.route);
    bool is_grpc = app_is_grpc(app_settings(channel->app)->protocol);
    bool is_wanted = source->wish == WISH_YES && source->round == reader->round;
    source->round = reader->round;
    source->asked_generation = component->facts->generation;
    source->is_asking = true;
    err_t err = is_grpc ? ask_list(rq->task, source, &is_wanted)                  /* suspends */
                        : app_binding_probe(rq->task, channel, path, &is_wanted); /* suspends */
    source->is_asking = false;
    source->wish = is_wanted ? WISH_YES : WISH_NO;
    if (err == OK && !is_wanted)
        log_info(SCOPE, "app has not subscribed to binding " SLICE_FMT ".",
                 SLICE_ARG(source->name));
    else if (err != OK && !reader->is_stopped)
        log_silence(source, is_grpc ? SLICE("ListInputBindings") : path,
                    err == ERR_DEADLINE ? SLICE("context deadline exceeded")
                                        : task_diag(rq->task)->message);
}

/* --- the plugin --------------------------------------------------------------------------------*/

/* OK, or with words in the diag. */
static err_t
ask_plugin(struct request *rq, struct component *component, uint32_t method, struct slice message)
{
    struct component_call call = { 0 };
    const struct operation operation = { .method = method, .message = message };
    component_ref(component);
    err_t err = operation_run(rq, component, &operation, &call); /* suspends */
    if (operation_has_failed(err, &call))
        err = DIAG_FAIL(task_diag(rq->task), err == OK ? ERR_PLUGIN_FAILED : err, SLICE_FMT,
                        SLICE_ARG(operation_reason(rq, err, &call)));
    component_call_finish(rq->task, &call);
    component_unref(component);
    return err;
}

static void
retire(struct binding_reading **reading)
{
    if (*reading == NULL)
        return;
    binding_reading_retire(*reading);
    binding_reading_unref(*reading);
    *reading = NULL;
}

static void
forget(struct source *source)
{
    retire(&source->live);
    link_unref(TAKE(source->bus));
}

/* The component has moved on: what the one before had on its way is still taken, unless there is
 * none any more. */
static void
step_aside(struct source *source)
{
    retire(&source->previous);
    source->previous = TAKE(source->live);
    link_unref(TAKE(source->bus));
}

static void
try_later(struct source *source)
{
    source->retry_ms = source->retry_ms == 0 ? LIMIT_binding_retry_ms : source->retry_ms * 2;
    if (source->retry_ms > LIMIT_binding_retry_max_ms)
        source->retry_ms = LIMIT_binding_retry_max_ms;
    timer_set(&source->reader->first->worker.timers, &source->retry,
              clock_now_ms() + source->retry_ms);
}

static void
read_source(struct request *rq, struct source *source)
{
    struct component *component = component_of(source);
    const struct component_facts *facts = component->facts;
    Remora__Plugin__V1__BindingRead out = REMORA__PLUGIN__V1__BINDING_READ__INIT;
    source->bus = link_ref(component->link);
    source->generation = facts->generation;
    source->live = binding_reading_new(
        source->name, binding_path(rq->arena, source->name, facts->binding.route), source->bus);
    out.reading = source->live->id;
    out.window = LIMIT_binding_window;
    err_t err = ask_plugin(rq, component, REMORA__PLUGIN__V1__METHOD__METHOD_BINDING_READ,
                           pb_pack(rq->arena, &out.base)); /* suspends */
    if (err == OK) {
        source->retry_ms = 0;
        return;
    }
    forget(source);
    if (source->reader->is_stopped)
        return;
    log_error(SCOPE, "error reading from input binding " SLICE_FMT ": " SLICE_FMT,
              SLICE_ARG(source->name), SLICE_ARG(task_diag(rq->task)->message));
    try_later(source);
}

static void
stop_source(struct request *rq, struct source *source)
{
    Remora__Plugin__V1__BindingStop out = REMORA__PLUGIN__V1__BINDING_STOP__INIT;
    assert(source->live != NULL);
    out.reading = source->live->id;
    uint64_t outer = task_deadline_push(rq->task, LIMIT_binding_close_ms);
    err_t err = ask_plugin(rq, component_of(source),
                           REMORA__PLUGIN__V1__METHOD__METHOD_BINDING_STOP,
                           pb_pack(rq->arena, &out.base)); /* suspends */
    task_deadline_pop(rq->task, outer);
    if (err != OK)
        log_warn(SCOPE,
                 "failed to stop reading from input binding " SLICE_FMT
                 ", its events are refused: " SLICE_FMT,
                 SLICE_ARG(source->name), SLICE_ARG(task_diag(rq->task)->message));
    forget(source);
}

/* --- a source ----------------------------------------------------------------------------------*/

static bool
take_step(struct request *rq, struct source *source)
{
    switch (next_step(source)) {
    case STEP_NONE:
        return false;
    case STEP_ASIDE:
        step_aside(source);
        break;
    case STEP_STOP:
        stop_source(rq, source); /* suspends */
        break;
    case STEP_ASK:
        ask_app(rq, source); /* suspends */
        break;
    case STEP_READ:
        read_source(rq, source); /* suspends */
        break;
    }
    return true;
}

static void
free_source(struct source *source)
{
    if (!source->reader->is_closed)
        timer_stop(&source->reader->first->worker.timers, &source->retry);
    list_remove(&source->link);
    forget(source);
    retire(&source->previous);
    free((char *)(uintptr_t)source->name.data); /* ours */
    free(source);
}

static void
wake_settlers(struct binding_reader *reader)
{
    struct list *first;
    while (reader->busy == 0 && (first = list_take_first(&reader->settling)) != NULL)
        wait_done(&LIST_ENTRY(first, struct settler, link)->wait, OK);
}

/* Of a component that is gone nothing is kept. */
static bool
is_over(const struct source *source)
{
    return source->live == NULL && source->task == NULL && component_of(source) == NULL;
}

static void kick(struct source *source);

static void
source_main(struct task *t, void *arg)
{
    struct source *source = arg;
    struct binding_reader *reader = source->reader;
    struct request rq;
    request_init(&rq, t);
    while (!task_is_cancelled(t) && take_step(&rq, source)) /* suspends */
        request_init(&rq, t);
    source->task = NULL;
    reader->busy--;
    kick(source); /* another task does what one that was cancelled has left */
    wake_settlers(reader);
}

static void
kick(struct source *source)
{
    struct binding_reader *reader = source->reader;
    if (source->task != NULL)
        return;
    if (is_over(source)) {
        free_source(source);
        return;
    }
    if (next_step(source) == STEP_NONE)
        return;
    source->task = task_spawn(&reader->first->worker, "input binding", source_main, source);
    if (source->task != NULL)
        reader->busy++;
    else if (!timer_is_set(&source->retry)) /* no task is free: soon */
        try_later(source);
}

static void
on_retry(struct timer *timer)
{
    kick(container_of(timer, struct source, retry));
}

static struct source *
find_source(const struct binding_reader *reader, struct slice name)
{
    const struct list *sources = &reader->sources;
    for (struct list *at = sources->next; at != sources; at = at->next) {
        struct source *source = container_of(at, struct source, link);
        if (slice_eq(source->name, name))
            return source;
    }
    return NULL;
}

static void
add_new(struct binding_reader *reader)
{
    size_t cursor = 0;
    struct slice name;
    void *value;
    while (map_next(&reader->first->components.by_name, &cursor, &name, &value)) {
        const struct component_facts *facts = ((const struct component *)value)->facts;
        if (facts->kind != COMPONENT_BINDING || (facts->capabilities & IS_INPUT_BINDING) == 0 ||
            find_source(reader, facts->name) != NULL)
            continue;
        struct source *source = calloc(1, sizeof *source);
        if (source == NULL)
            abort();
        source->reader = reader;
        source->name = slice_of(slice_copy(facts->name), facts->name.len);
        timer_init(&source->retry, on_retry);
        list_append(&reader->sources, &source->link);
    }
}

static void
kick_all(struct binding_reader *reader)
{
    struct list *at = reader->sources.next, *next;
    for (; at != &reader->sources; at = next) {
        next = at->next;
        kick(container_of(at, struct source, link));
    }
}

/* --- orders from elsewhere ---------------------------------------------------------------------*/

struct order {
    struct mail mail;
    struct binding_reader *reader;
    enum { ORDER_ALLOW, ORDER_LOOK, ORDER_STOP } what;
    bool is_allowed;
};

/* The end does not wait for what the application wants. */
static void
stop(struct binding_reader *reader)
{
    reader->is_stopped = true;
    for (struct list *at = reader->sources.next; at != &reader->sources; at = at->next) {
        const struct source *source = container_of(at, struct source, link);
        if (source->is_asking)
            task_cancel(source->task);
    }
}

static void
on_order(struct mail *mail)
{
    struct order *order = container_of(mail, struct order, mail);
    struct binding_reader *reader = order->reader;
    if (order->what == ORDER_STOP)
        stop(reader);
    if (order->what == ORDER_ALLOW) {
        reader->round += order->is_allowed && !reader->is_allowed;
        reader->is_allowed = order->is_allowed;
    }
    if (!reader->is_closed) {
        add_new(reader);
        kick_all(reader);
    }
    free(order);
}

static void
post(struct binding_reader *reader, const struct order *from)
{
    struct order *order = malloc(sizeof *order);
    if (order == NULL)
        abort();
    *order = *from;
    order->reader = reader;
    worker_post(&reader->first->worker, &order->mail, on_order);
}

void
binding_reader_allow(struct binding_reader *reader, bool is_allowed)
{
    post(reader, &(struct order){ .what = ORDER_ALLOW, .is_allowed = is_allowed });
}

void
binding_reader_look_again(struct binding_reader *reader)
{
    post(reader, &(struct order){ .what = ORDER_LOOK });
}

void
binding_reader_stop(struct binding_reader *reader)
{
    post(reader, &(struct order){ .what = ORDER_STOP });
}

bool
binding_reader_is_at_rest(const struct binding_reader *reader)
{
    return reader->busy == 0;
}

/* --- tasks of any worker -----------------------------------------------------------------------*/

static err_t
settle(struct task *t, void *arg)
{
    struct binding_reader *reader = arg;
    struct settler settler;
    err_t err = remote_catch_up(t); /* suspends; what was ordered before is under way */
    if (err != OK || reader->busy == 0)
        return err;
    wait_init(&settler.wait, t, NULL);
    list_init(&settler.link);
    list_append(&reader->settling, &settler.link);
    err = TASK_WAIT(t, &settler.wait);
    list_remove(&settler.link);
    return err;
}

err_t
binding_reader_settle(struct task *t, struct binding_reader *reader)
{
    return remote_run(t, &reader->first->worker, "input bindings", settle, reader);
}

/* --- life --------------------------------------------------------------------------------------*/

struct binding_reader *
binding_reader_new(struct kernel_worker *first)
{
    struct binding_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        abort();
    reader->first = first;
    list_init(&reader->sources);
    list_init(&reader->settling);
    gate_init(&reader->listing, 1, LIMIT_components_max);
    return reader;
}

void
binding_reader_close(struct binding_reader *reader)
{
    if (reader == NULL)
        return;
    for (struct list *at = reader->sources.next; at != &reader->sources; at = at->next)
        timer_stop(&reader->first->worker.timers, &container_of(at, struct source, link)->retry);
    reader->is_closed = true;
}

void
binding_reader_free(struct binding_reader *reader)
{
    if (reader == NULL)
        return;
    while (!list_is_empty(&reader->sources))
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): free_source() takes it off the list */
        free_source(container_of(reader->sources.next, struct source, link));
    free(reader->list);
    free(reader);
}
