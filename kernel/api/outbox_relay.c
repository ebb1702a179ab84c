/* SPDX-License-Identifier: Apache-2.0 */
/* Events of transactions on their way to subscribers; see outbox_relay.h. */
#include "api/outbox_relay.h"

#include <stdlib.h>

#include "api/operation.h"
#include "api/outbox.h"
#include "api/outbox_note.h"
#include "api/publish.h"
#include "api/subscriber.h"
#include "api/subscription.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "telemetry/trace_context.h"

#define SCOPE "dapr.runtime.pubsub.outbox"

/* One event on its way. */
struct relay {
    struct request *rq;
    const struct topic_spec *spec; /* of the inner topic */
    struct cloudevent event;
    struct slice id;
    /* Of the last attempt; pointers are held until the request ends. */
    struct component *store;          /* that has its marker; NULL: none has been found */
    const struct outbox_route *route; /* of that store */
    bool is_missing;   /* every store was asked, after the transaction if that was one of ours */
    bool discards;     /* as all of them say */
    bool is_published; /* in whichever attempt */
};

/* --- stores ------------------------------------------------------------------------------------*/

static bool
is_of(const struct component *component, const struct topic_spec *spec)
{
    const struct outbox_route *route = &component->facts->outbox;
    return outbox_is_on(component) && slice_eq(route->inner_topic, spec->topic) &&
           slice_eq(route->inner_pubsub, spec->pubsub);
}

static void
unref_component(void *component)
{
    component_unref(component);
}

static void
unref_facts(void *facts)
{
    component_facts_unref(facts);
}

static const struct component_facts *
hold_facts(struct request *rq, const struct component *component)
{
    struct component_facts *facts = component_facts_ref(component->facts);
    arena_on_dispose(rq->arena, unref_facts, facts);
    return facts;
}

static bool
is_store(const struct component *component, const struct topic_spec *spec)
{
    (void)spec;
    return component->facts->kind == COMPONENT_STATE;
}

typedef bool store_fn(const struct component *component, const struct topic_spec *spec);

/* Held until the request ends. */
static size_t
list_stores(struct request *rq, const struct topic_spec *spec, store_fn *is_meant,
            struct component ***ret_stores)
{
    const struct map *by_name = &rq->components->by_name;
    struct component **stores = ARENA_ARRAY(rq->arena, struct component *, by_name->count + 1);
    size_t cursor = 0, count = 0;
    struct slice name;
    void *component;
    while (map_next(by_name, &cursor, &name, &component))
        if (is_meant(component, spec)) {
            stores[count++] = component_ref(component);
            arena_on_dispose(rq->arena, unref_component, component);
        }
    *ret_stores = stores;
    return count;
}

/* Those whose events come by this topic: several may share one. If it is nobody's any more, what is
 * left in it may be of any: the markers tell. */
static size_t
find_stores(struct request *rq, const struct topic_spec *spec, struct component ***ret_stores)
{
    size_t count = list_stores(rq, spec, is_of, ret_stores);
    return count > 0 ? count : list_stores(rq, spec, is_store, ret_stores);
}

/* --- steps -------------------------------------------------------------------------------------*/

/* OK and found, or not; else with words in rq->error. */
static err_t
look(struct relay *relay, struct component *store, bool *ret_found)
{
    struct request *rq = relay->rq;
    const struct state_get get = { .key = relay->id, .is_bare = true };
    struct state_value value = { 0 };
    struct state_body body;
    err_t err = state_get(rq, store, &get, &value, &body); /* suspends */
    state_body_end(rq, &body);
    *ret_found = err == OK && value.found && value.value_bytes > 0;
    return err;
}

/* What may be under way must not be taken for missing, so that is asked first. */
static err_t
find_marker(struct relay *relay)
{
    struct component **stores;
    bool is_under_way = outbox_note_of(relay->id) == OUTBOX_UNDER_WAY;
    size_t count = find_stores(relay->rq, relay->spec, &stores);
    relay->store = NULL;
    relay->is_missing = false;
    relay->discards = count > 0;
    for (size_t i = 0; i < count && !is_under_way; i++) {
        const struct component_facts *facts = hold_facts(relay->rq, stores[i]);
        bool is_there;
        err_t err = look(relay, stores[i], &is_there); /* suspends */
        if (err != OK)
            return err;
        const struct outbox_route *route = slice_eq(facts->outbox.inner_topic, relay->spec->topic)
                                               ? &facts->outbox
                                               : relay->spec->outbox;
        if (is_there) {
            relay->store = stores[i];
            relay->route = route;
            return OK;
        }
        relay->discards = relay->discards && route->discards;
    }
    relay->is_missing = count > 0 && !is_under_way;
    return OK;
}

static err_t
publish(struct relay *relay)
{
    struct request *rq = relay->rq;
    if (!outbox_address(&relay->event, relay->route))
        return fail(rq, ERR_PUBLISH_OUTBOX, "the event has too many attributes");
    const struct publish_message message = { .pubsub = relay->route->pubsub,
                                             .topic = relay->route->topic,
                                             .content_type = CLOUDEVENT_CONTENT_TYPE,
                                             .data = cloudevent_write(&relay->event) };
    if (publish_bytes(rq, &message) != OK) /* suspends */
        return fail(rq, ERR_PUBLISH_OUTBOX, SLICE_FMT, SLICE_ARG(task_diag(rq->task)->message));
    relay->is_published = true;
    return OK;
}

/* True: the event is done with. Words in rq->error: a step has failed. */
static bool
try_once(struct relay *relay)
{
    struct request *rq = relay->rq;
    rq->error = (struct api_error){ .message = SLICE_EMPTY };
    if (find_marker(relay) != OK) /* suspends */
        return false;
    if (relay->store == NULL)
        return relay->is_missing &&
               (relay->is_published || outbox_note_of(relay->id) == OUTBOX_REFUSED);
    if (!relay->is_published && publish(relay) != OK) /* suspends */
        return false;
    const struct state_item marker = { .key = relay->id,
                                       .is_bare = true,
                                       .etag = SLICE_EMPTY,
                                       .concurrency = SLICE_EMPTY,
                                       .consistency = SLICE_EMPTY };
    return state_delete(rq, relay->store, &marker) == OK; /* suspends */
}

/* --- an event ----------------------------------------------------------------------------------*/

/* False: this process or its subscription ends, and the broker has another who can wait. */
static bool
pause_between(struct request *rq, const struct subscription *subscription, uint64_t delay_ms)
{
    uint64_t end_ms = clock_now_ms() + delay_ms, now_ms;
    while ((now_ms = clock_now_ms()) < end_ms) {
        uint64_t left_ms = end_ms - now_ms;
        /* Relaxed: facts of their own, seen soon enough. */
        if (atomic_load_explicit(&subscription->is_closing, memory_order_relaxed) ||
            atomic_load_explicit(&rq->kernel->is_ending, memory_order_relaxed) ||
            task_sleep(rq->task,
                       left_ms < LIMIT_outbox_end_look_ms ? left_ms : LIMIT_outbox_end_look_ms) !=
                OK)
            return false;
    }
    return true;
}

/* The broker keeps what is not decided, and gives it again to this process or to another. */
static enum verdict
give_up(const struct relay *relay)
{
    struct slice words = relay->rq->error.message;
    if (words.len == 0 && relay->is_missing && relay->discards) {
        log_warn(SCOPE,
                 "dropped outbox message " SLICE_FMT " of topic " SLICE_FMT
                 ": its transaction is not in the state store",
                 SLICE_ARG(relay->id), SLICE_ARG(relay->spec->topic));
        return VERDICT_DROP;
    }
    log_error(
        SCOPE,
        "cannot publish outbox message " SLICE_FMT " of topic " SLICE_FMT
        ", which is tried again: " SLICE_FMT,
        SLICE_ARG(relay->id), SLICE_ARG(relay->spec->topic),
        SLICE_ARG(words.len > 0 ? words : SLICE("its transaction is not in the state store")));
    return VERDICT_RETRY;
}

/* The request's own context goes on; it is kept in `traceid`. */
static void
take_trace(struct relay *relay)
{
    struct slice parent = cloudevent_text(&relay->event, SLICE("traceid"));
    struct slice state = cloudevent_text(&relay->event, SLICE("tracestate"));
    struct trace_context context;
    if (parent.data == NULL || !trace_context_parse(parent, &context))
        return;
    relay->rq->traceparent = parent;
    if (state.data != NULL && tracestate_is_valid(state))
        relay->rq->tracestate = state;
}

/* False: it is none of ours, which another try would not change. Its id names what is deleted, so
 * it is taken for no other key than one of a marker. */
static bool
unwrap(struct relay *relay, const struct pubsub_message *message)
{
    struct request *rq = relay->rq;
    struct slice wrong = SLICE("its id is none of the outbox");
    if (cloudevent_read(&relay->event, rq->arena, message->data, task_diag(rq->task)) != OK)
        wrong = task_diag(rq->task)->message;
    else
        relay->id = cloudevent_text(&relay->event, SLICE("id"));
    if (relay->id.data != NULL && outbox_is_id(relay->id))
        return true;
    log_error(SCOPE, "dropped a message of outbox topic " SLICE_FMT ": " SLICE_FMT,
              SLICE_ARG(relay->spec->topic), SLICE_ARG(wrong));
    return false;
}

static enum verdict
relay_event(struct request *rq, struct subscription *subscription,
            const struct pubsub_message *message)
{
    struct relay relay = { .rq = rq, .spec = subscription->spec };
    uint64_t end_ms = clock_now_ms() + LIMIT_outbox_wait_ms, delay_ms = LIMIT_outbox_look_ms;
    if (!unwrap(&relay, message))
        return VERDICT_DROP;
    take_trace(&relay);
    while (!try_once(&relay)) { /* suspends */
        if (clock_now_ms() >= end_ms)
            return give_up(&relay);
        if (!pause_between(rq, subscription, delay_ms)) /* suspends */
            return VERDICT_RETRY;
        delay_ms = delay_ms * 3 < LIMIT_outbox_look_max_ms ? delay_ms * 3
                                                           : LIMIT_outbox_look_max_ms;
    }
    outbox_note_forget(relay.id);
    return VERDICT_SUCCESS;
}

/* --- subscriptions -----------------------------------------------------------------------------*/

static const struct topic_taker relay_taker = { .judge = relay_event };

/* Worker 0: what has been followed so far. */
static struct followed {
    struct topic_spec **specs; /* malloc'ed, counted */
    size_t count;
} followed;

static struct topic_spec *
spec_of(const struct outbox_route *route)
{
    struct topic_spec *spec = topic_spec_new(TOPIC_INTERNAL);
    struct outbox_route *own = ARENA_NEW(&spec->arena, struct outbox_route);
    *own = (struct outbox_route){ .pubsub = arena_dup(&spec->arena, route->pubsub),
                                  .topic = arena_dup(&spec->arena, route->topic),
                                  .inner_pubsub = arena_dup(&spec->arena, route->inner_pubsub),
                                  .inner_topic = arena_dup(&spec->arena, route->inner_topic),
                                  .discards = route->discards };
    spec->pubsub = own->inner_pubsub;
    spec->topic = own->inner_topic;
    spec->outbox = own;
    return spec;
}

static bool
is_known(const struct followed *list, struct slice inner_pubsub, struct slice inner_topic)
{
    for (size_t i = 0; i < list->count; i++)
        if (slice_eq(list->specs[i]->pubsub, inner_pubsub) &&
            slice_eq(list->specs[i]->topic, inner_topic))
            return true;
    return false;
}

static void
add_present(struct followed *list, const struct map *by_name)
{
    size_t cursor = 0;
    struct slice name;
    void *value;
    while (map_next(by_name, &cursor, &name, &value)) {
        const struct outbox_route *route = &((const struct component *)value)->facts->outbox;
        if (route->topic.len > 0 && !is_known(list, route->inner_pubsub, route->inner_topic))
            list->specs[list->count++] = spec_of(route);
    }
}

/* What a store has left behind in a topic that was its own is still told of. The latest come first.
 */
static void
add_former(struct followed *list)
{
    size_t most = list->count + LIMIT_outbox_former_max;
    for (size_t i = 0; i < followed.count; i++) {
        struct topic_spec *spec = followed.specs[i];
        if (list->count < most && !is_known(list, spec->pubsub, spec->topic))
            list->specs[list->count++] = topic_spec_ref(spec);
        topic_spec_unref(spec);
    }
}

void
outbox_relay_follow(struct kernel_worker *first)
{
    const struct map *by_name = &first->components.by_name;
    struct followed list = { 0 };
    list.specs = calloc(by_name->count + followed.count + 1, sizeof(struct topic_spec *));
    if (list.specs == NULL)
        abort();
    add_present(&list, by_name);
    add_former(&list);
    free(followed.specs);
    followed = list;
    subscriber_set(first->kernel->subscriber, TOPIC_INTERNAL, &relay_taker, list.specs, list.count);
}
