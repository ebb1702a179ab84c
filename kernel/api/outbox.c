/* SPDX-License-Identifier: Apache-2.0 */
/* Events of transactions, on their way out; see outbox.h. */
#include "api/outbox.h"

#include "api/operation.h"
#include "api/outbox_note.h"
#include "api/publish.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/map.h"

/* As the reference runtime stores it: what it is does not matter. */
#define MARKER SLICE("\"0\"")
#define OVERRIDE_PREFIX SLICE("cloudevent.")
#define JSON_TYPE SLICE("application/json")

enum { UUID_CHARS = 36 };

bool
outbox_is_id(struct slice id)
{
    if (!slice_has_prefix(id, OUTBOX_ID_PREFIX) || id.len != OUTBOX_ID_PREFIX.len + UUID_CHARS)
        return false;
    for (size_t i = OUTBOX_ID_PREFIX.len; i < id.len; i++) {
        char c = id.data[i];
        if ((c < '0' || c > '9') && (c < 'a' || c > 'f') && c != '-')
            return false;
    }
    return true;
}

static err_t
fail_outbox(struct request *rq, struct slice reason)
{
    (void)fail(rq, ERR_PUBLISH_OUTBOX, "error while publishing outbox message: " SLICE_FMT,
               SLICE_ARG(reason));
    error_add_info(rq, "appID", rq->kernel->app_id);
    error_add_info(rq, "error", reason);
    return ERR_PUBLISH_OUTBOX;
}

/* --- metadata ----------------------------------------------------------------------------------*/

/* The last of that name (ASCII case ignored), or empty. */
static struct slice
option_of(const struct pair *pairs, size_t count, struct slice name)
{
    struct slice value = SLICE_EMPTY;
    for (size_t i = 0; i < count; i++)
        if (slice_eq_nocase(pairs[i].name, name))
            value = pairs[i].value;
    return value;
}

static bool
is_projection(const struct state_operation *operation)
{
    const struct state_item *item = &operation->item;
    struct slice text = option_of(item->metadata, item->metadata_count, SLICE("outbox.projection"));
    return !operation->is_delete && slice_is_truthy(text);
}

/* The data are the item's, the id is the marker's key. */
static bool
is_reserved(struct slice name)
{
    if (slice_has_prefix_nocase(name, OVERRIDE_PREFIX))
        name = slice_from(name, OVERRIDE_PREFIX.len);
    else if (slice_eq(name, SLICE("id")))
        return true;
    return name.len == 0 || slice_eq(name, SLICE("data")) || slice_eq(name, SLICE("data_base64")) ||
           slice_eq(name, SLICE("outbox.projection"));
}

static bool
add_item_attributes(struct cloudevent *event, const struct state_item *item)
{
    for (size_t i = 0; i < item->metadata_count; i++)
        if (!is_reserved(item->metadata[i].name) &&
            !cloudevent_set_text(event, item->metadata[i].name, item->metadata[i].value))
            return false;
    return true;
}

/* Metadata of the whole transaction is mostly the store's; the rest is for every event of it. An id
 * stands there for nothing else, unlike on an item, where the reference runtime passes over it. */
static bool
add_common_attributes(struct cloudevent *event, const struct pair *metadata, size_t count)
{
    static const char *const of_store[] = { "contentType", "partitionKey", "ttlInSeconds" };
    for (size_t i = 0; i < count; i++) {
        struct slice name = metadata[i].name;
        if (slice_eq(name, SLICE("id")))
            name = SLICE("cloudevent.id");
        if (!slice_is_one_of_nocase(name, of_store, ARRAY_LEN(of_store)) && !is_reserved(name) &&
            !cloudevent_set_text(event, name, metadata[i].value))
            return false;
    }
    return true;
}

/* --- data --------------------------------------------------------------------------------------*/

/* `contentType` beside the value or in its metadata; else what the event is labelled with. */
static struct slice
type_of(const struct state_item *item, const struct state_item *labelled)
{
    struct slice type = item->content_type;
    if (type.len == 0)
        type = option_of(item->metadata, item->metadata_count, SLICE("contentType"));
    if (type.len == 0)
        type = option_of(labelled->metadata, labelled->metadata_count, SLICE("datacontenttype"));
    return type;
}

/* What HTTP clients send is JSON, whatever they mean by it: a string is its text. Of the rest the
 * reference runtime makes a text too, which for what is more than a number nobody could read; those
 * stay JSON. */
static struct slice
data_of(struct arena *arena, const struct state_item *item, struct slice *type)
{
    struct json json;
    struct slice text;
    if (!item->is_json || cloudevent_is_json(*type))
        return item->value;
    json_init(&json, item->value);
    enum json_type kind = json_peek(&json);
    if (kind == JSON_STRING && json_string(&json, arena, &text))
        return text;
    if (type->len == 0 && kind != JSON_NUMBER && kind != JSON_BOOL)
        *type = JSON_TYPE;
    return slice_trim(item->value);
}

/* --- planning ----------------------------------------------------------------------------------*/

/* While a batch is planned. */
struct plan {
    struct request *rq;
    const struct pair *metadata; /* of the transaction */
    size_t metadata_count;
    struct map projections; /* key → the operation to be told of instead */
    struct state_operation *operations;
    struct outbox_batch *batch;
};

/* Of several for one key the first counts. */
static void
find_projections(struct plan *plan, const struct state_operation *operations, size_t count)
{
    map_init(&plan->projections);
    for (size_t i = 0; i < count; i++)
        if (is_projection(&operations[i]) &&
            map_get(&plan->projections, operations[i].item.key) == NULL)
            (void)map_put(&plan->projections, operations[i].item.key,
                          (void *)(uintptr_t)&operations[i]);
}

/* Takes out of the projections those of keys that are stored; one that is left has failed. */
static err_t
check_projections(struct plan *plan)
{
    const struct outbox_batch *batch = plan->batch;
    size_t cursor = 0;
    struct slice key;
    void *operation;
    for (size_t i = 0; i < batch->count; i++)
        if (!batch->operations[i].is_delete)
            (void)map_remove(&plan->projections, batch->operations[i].item.key);
    if (!map_next(&plan->projections, &cursor, &key, &operation))
        return OK;
    return fail_outbox(plan->rq,
                       arena_printf(plan->rq->arena,
                                    "nothing is stored under the key " SLICE_FMT " of a projection",
                                    SLICE_ARG(key)));
}

static bool
make_event(const struct plan *plan, const struct state_item *item, struct outbox_event *ret_event)
{
    struct request *rq = plan->rq;
    const struct outbox_route *route = plan->batch->route;
    const struct state_operation *projection = map_get(&plan->projections, item->key);
    const struct state_item *told = projection == NULL ? item : &projection->item;
    struct cloudevent event;
    const struct cloudevent_origin origin = { .pubsub = route->inner_pubsub,
                                              .topic = SLICE_EMPTY,
                                              .source = rq->kernel->app_id,
                                              .traceparent = rq->traceparent,
                                              .tracestate = rq->tracestate,
                                              .now_unix_ms = clock_unix_ms() };
    struct slice type = type_of(told, item);
    struct slice data = data_of(rq->arena, told, &type);
    struct slice id = arena_printf(rq->arena, SLICE_FMT SLICE_FMT, SLICE_ARG(OUTBOX_ID_PREFIX),
                                   SLICE_ARG(cloudevent_uuid(rq->arena)));
    cloudevent_make(&event, rq->arena, &origin, type, data);
    if (!cloudevent_set_text(&event, SLICE("id"), id) ||
        !cloudevent_set_text(&event, SLICE("traceparent"), SLICE_EMPTY) ||
        !add_common_attributes(&event, plan->metadata, plan->metadata_count) ||
        !add_item_attributes(&event, item))
        return false;
    *ret_event = (struct outbox_event){ .id = id, .text = cloudevent_write(&event) };
    return true;
}

static struct state_operation
marker_of(const struct outbox_event *event)
{
    return (struct state_operation){ .item = { .key = event->id,
                                               .value = MARKER,
                                               .is_json = true,
                                               .is_bare = true,
                                               .etag = SLICE_EMPTY,
                                               .concurrency = SLICE_EMPTY,
                                               .consistency = SLICE_EMPTY,
                                               .content_type = SLICE_EMPTY } };
}

static void
unref_facts(void *facts)
{
    component_facts_unref(facts);
}

/* What is stored, with an event for each item, and after it the markers of the events. */
static err_t
plan_all(struct plan *plan, const struct state_operation *operations, size_t count)
{
    struct outbox_batch *batch = plan->batch;
    for (size_t i = 0; i < count; i++) {
        if (is_projection(&operations[i]))
            continue;
        plan->operations[batch->count++] = operations[i];
        if (!operations[i].is_delete &&
            !make_event(plan, &operations[i].item, &batch->events[batch->event_count++]))
            return fail_outbox(plan->rq, SLICE("the event has too many attributes"));
    }
    err_t err = check_projections(plan);
    for (size_t i = 0; i < batch->event_count; i++)
        plan->operations[batch->count++] = marker_of(&batch->events[i]);
    return err;
}

err_t
outbox_plan(struct request *rq, const struct component *store,
            const struct state_operation *operations, size_t count, const struct pair *metadata,
            size_t metadata_count, struct outbox_batch *ret_batch)
{
    struct component_facts *facts = component_facts_ref(store->facts);
    struct plan plan = { .rq = rq, .metadata = metadata, .metadata_count = metadata_count };
    arena_on_dispose(rq->arena, unref_facts, facts); /* the route is used until the request ends */
    plan.operations = ARENA_ARRAY(rq->arena, struct state_operation, count * 2);
    *ret_batch = (struct outbox_batch){ .operations = plan.operations, .route = &facts->outbox };
    ret_batch->events = ARENA_ARRAY(rq->arena, struct outbox_event, count);
    plan.batch = ret_batch;
    find_projections(&plan, operations, count);
    err_t err = plan_all(&plan, operations, count);
    map_fini(&plan.projections);
    return err;
}

/* --- publishing --------------------------------------------------------------------------------*/

/* What may never be told must not be stored either; a broker that is not there yet may come. */
static err_t
check_target(struct request *rq, const struct outbox_route *route)
{
    const struct component *broker = component_find(rq->components, COMPONENT_PUBSUB,
                                                    route->pubsub);
    return broker == NULL ? OK : publish_allowed(rq, broker, route->topic);
}

err_t
outbox_publish(struct request *rq, struct outbox_batch *batch)
{
    const struct outbox_route *route = batch->route;
    err_t err = batch->event_count == 0 ? OK : check_target(rq, route);
    for (size_t i = 0; i < batch->event_count && err == OK; i++) {
        struct outbox_event *event = &batch->events[i];
        outbox_note_begin(event->id);
        event->is_begun = true;
        err = publish_bytes(rq, &(struct publish_message){ .pubsub = route->inner_pubsub,
                                                           .topic = route->inner_topic,
                                                           .content_type = CLOUDEVENT_CONTENT_TYPE,
                                                           .data = event->text }); /* suspends */
    }
    return err == OK ? OK : fail_outbox(rq, task_diag(rq->task)->message);
}

void
outbox_settle(const struct outbox_batch *batch, bool is_refused)
{
    for (size_t i = 0; i < batch->event_count; i++)
        if (batch->events[i].is_begun)
            outbox_note_end(batch->events[i].id, is_refused);
}

/* --- to subscribers ----------------------------------------------------------------------------*/

/* Of which attribute "cloudevent.NAME" takes the place: known ones may be written in any case. */
static struct slice
overridden(struct slice name)
{
    static const char *const names[] = { "id",      "source",      "subject",   "type",
                                         "traceid", "traceparent", "tracestate" };
    name = slice_from(name, OVERRIDE_PREFIX.len);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_eq_nocase(name, slice_str(names[i])))
            return slice_str(names[i]);
    return name;
}

static bool
override(struct cloudevent *event)
{
    size_t count = 0;
    struct cloudevent_member *members = ARENA_ARRAY(event->arena, struct cloudevent_member,
                                                    event->count + 1);
    for (size_t i = 0; i < event->count; i++)
        if (slice_has_prefix_nocase(event->members[i].name, OVERRIDE_PREFIX))
            members[count++] = event->members[i];
    for (size_t i = 0; i < count; i++) {
        struct slice name = overridden(members[i].name);
        cloudevent_remove(event, members[i].name);
        if (is_reserved(members[i].name) || slice_eq(name, SLICE("topic")) ||
            slice_eq(name, SLICE("pubsubname")))
            continue;
        /* The older name is one for the same, as when publishing. */
        if (!cloudevent_set_raw(event, name, members[i].raw) ||
            (slice_eq(name, SLICE("traceparent")) &&
             !cloudevent_set_raw(event, SLICE("traceid"), members[i].raw)))
            return false;
    }
    return true;
}

bool
outbox_address(struct cloudevent *event, const struct outbox_route *route)
{
    return override(event) && cloudevent_set_text(event, SLICE("topic"), route->topic) &&
           cloudevent_set_text(event, SLICE("pubsubname"), route->pubsub);
}
