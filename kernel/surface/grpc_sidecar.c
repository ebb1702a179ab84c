/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata and shutdown over gRPC. */
#include "api/metadata.h"
#include "api/subscription.h"
#include "base/json.h"
#include "config/duration.h"
#include "dapr/proto/runtime/v1/dapr.pb-c.h"
#include "dapr/proto/runtime/v1/metadata.pb-c.h"
#include "surface/grpc_surface.h"

enum { DESCRIPTION_BYTES_MAX = 64 * 1024 * 1024, CAPABILITIES_MAX = 32 };

typedef Dapr__Proto__Runtime__V1__GetMetadataResponse response_t;
typedef Dapr__Proto__Runtime__V1__RegisteredComponents component_t;
typedef Dapr__Proto__Runtime__V1__GetMetadataResponse__ExtendedMetadataEntry extended_t;

/* --- components --------------------------------------------------------------------------------*/

static char *
next_text(struct json *json, struct arena *arena)
{
    struct slice text;
    return json_string(json, arena, &text) ? pb_string(arena, text) : pb_string(arena, SLICE_EMPTY);
}

static void
read_capabilities(struct json *json, struct arena *arena, component_t *component)
{
    component->capabilities = ARENA_ARRAY(arena, char *, CAPABILITIES_MAX);
    json_enter(json);
    while (json_array_next(json)) {
        char *text = next_text(json, arena);
        if (component->n_capabilities < CAPABILITIES_MAX)
            component->capabilities[component->n_capabilities++] = text;
    }
}

static component_t *
read_component(struct json *json, struct arena *arena)
{
    component_t *component = ARENA_NEW(arena, component_t);
    struct slice name, ignored;
    dapr__proto__runtime__v1__registered_components__init(component);
    json_enter(json);
    while (json_object_next(json, arena, &name)) {
        if (slice_eq(name, SLICE("name")))
            component->name = next_text(json, arena);
        else if (slice_eq(name, SLICE("type")))
            component->type = next_text(json, arena);
        else if (slice_eq(name, SLICE("version")))
            component->version = next_text(json, arena);
        else if (slice_eq(name, SLICE("capabilities")))
            read_capabilities(json, arena, component);
        else
            (void)json_skip(json, &ignored); /* our own text is sound */
    }
    return component;
}

/* `text` is what kernel->describe() gives: components as JSON, separated by commas. */
static void
read_components(struct arena *arena, struct slice text, response_t *response)
{
    struct json json;
    size_t capacity = 0;
    json_init(&json, arena_printf(arena, "[%.*s]", (int)text.len, text.data));
    if (json_peek(&json) != JSON_ARRAY)
        return;
    json_enter(&json);
    while (json_array_next(&json)) {
        size_t count = response->n_registered_components;
        if (count == capacity) {
            size_t more = capacity == 0 ? 8 : capacity * 2;
            response->registered_components = arena_grow(arena, response->registered_components,
                                                         capacity * sizeof(component_t *),
                                                         more * sizeof(component_t *));
            capacity = more;
        }
        response->registered_components[count] = read_component(&json, arena);
        response->n_registered_components++;
    }
}

/* --- metadata ----------------------------------------------------------------------------------*/

static extended_t *
extended_entry(struct arena *arena, struct slice name, struct slice value)
{
    extended_t *entry = ARENA_NEW(arena, extended_t);
    dapr__proto__runtime__v1__get_metadata_response__extended_metadata_entry__init(entry);
    entry->key = pb_string(arena, name);
    entry->value = pb_string(arena, value);
    return entry;
}

static void
put_extended(struct request *rq, response_t *response)
{
    const struct slice version = SLICE("daprRuntimeVersion");
    struct pair *pairs;
    size_t count;
    bool has_version = false;
    metadata_list(rq, &pairs, &count);
    response->extended_metadata = ARENA_ARRAY(rq->arena, extended_t *, count + 1);
    for (size_t i = 0; i < count; i++) {
        has_version |= slice_eq(pairs[i].name, version);
        response->extended_metadata[i] = extended_entry(rq->arena, pairs[i].name, pairs[i].value);
    }
    if (!has_version)
        response->extended_metadata[count++] = extended_entry(rq->arena, version,
                                                              rq->kernel->version);
    response->n_extended_metadata = count;
}

static char *
duration_text(struct arena *arena, uint64_t ms)
{
    char text[DURATION_TEXT_BYTES];
    return pb_string(arena, duration_print((int64_t)ms * DURATION_MS_NS, text));
}

static void
put_app(struct request *rq, Dapr__Proto__Runtime__V1__AppConnectionProperties *app,
        Dapr__Proto__Runtime__V1__AppConnectionHealthProperties *health)
{
    const struct app_settings *settings = app_settings(kernel_worker_of(rq->task)->app.app);
    app->port = rq->kernel->app.port;
    app->protocol = pb_string(rq->arena, rq->kernel->app.protocol);
    app->channel_address = pb_string(rq->arena, rq->kernel->app.channel_address);
    if (settings->concurrency_max > 0)
        app->max_concurrency = (int32_t)settings->concurrency_max;
    if (!settings->checks_health)
        return;
    app->health = health;
    if (!app_is_grpc(settings->protocol))
        health->health_check_path = pb_string(rq->arena, settings->health_path);
    health->health_probe_interval = duration_text(rq->arena, settings->health_interval_ms);
    health->health_probe_timeout = duration_text(rq->arena, settings->health_timeout_ms);
    health->health_threshold = (int32_t)settings->health_threshold;
}

static void
put_resiliencies(struct request *rq, response_t *response)
{
    typedef Dapr__Proto__Runtime__V1__MetadataResiliency entry_t;
    struct text_list names = metadata_resiliencies(rq);
    response->resiliencies = ARENA_ARRAY(rq->arena, entry_t *, names.count);
    for (size_t i = 0; i < names.count; i++) {
        entry_t *entry = ARENA_NEW(rq->arena, entry_t);
        dapr__proto__runtime__v1__metadata_resiliency__init(entry);
        entry->name = pb_string(rq->arena, names.items[i]);
        response->resiliencies[response->n_resiliencies++] = entry;
    }
}

static void
put_endpoints(struct request *rq, response_t *response)
{
    typedef Dapr__Proto__Runtime__V1__MetadataHTTPEndpoint entry_t;
    struct text_list names = metadata_endpoints(rq);
    response->http_endpoints = ARENA_ARRAY(rq->arena, entry_t *, names.count);
    for (size_t i = 0; i < names.count; i++) {
        entry_t *entry = ARENA_NEW(rq->arena, entry_t);
        dapr__proto__runtime__v1__metadata_httpendpoint__init(entry);
        entry->name = pb_string(rq->arena, names.items[i]);
        response->http_endpoints[response->n_http_endpoints++] = entry;
    }
}

static void
put_control(struct request *rq, Dapr__Proto__Runtime__V1__ActorRuntime *actors,
            Dapr__Proto__Runtime__V1__MetadataScheduler *scheduler, response_t *response)
{
    struct control_status status = control_status(rq->kernel->control, rq->arena);
    actors->runtime_status =
        status.has_placement
            ? DAPR__PROTO__RUNTIME__V1__ACTOR_RUNTIME__ACTOR_RUNTIME_STATUS__RUNNING
            : DAPR__PROTO__RUNTIME__V1__ACTOR_RUNTIME__ACTOR_RUNTIME_STATUS__DISABLED;
    actors->host_ready = status.is_placed;
    actors->placement = pb_string(rq->arena, metadata_placement(&status));
    if (!status.has_scheduler)
        return;
    scheduler->connected_addresses = ARENA_ARRAY(rq->arena, char *, status.connected_count + 1);
    for (size_t i = 0; i < status.connected_count; i++)
        scheduler->connected_addresses[scheduler->n_connected_addresses++] = pb_string(
            rq->arena, status.connected[i]);
    response->_scheduler_case =
        DAPR__PROTO__RUNTIME__V1__GET_METADATA_RESPONSE___SCHEDULER_SCHEDULER;
    response->scheduler = scheduler;
}

static Dapr__Proto__Runtime__V1__PubsubSubscription *
pack_topic(struct arena *arena, const struct topic_spec *spec)
{
    Dapr__Proto__Runtime__V1__PubsubSubscription *out = ARENA_NEW(
        arena, Dapr__Proto__Runtime__V1__PubsubSubscription);
    dapr__proto__runtime__v1__pubsub_subscription__init(out);
    out->pubsub_name = pb_string(arena, spec->pubsub);
    out->topic = pb_string(arena, spec->topic);
    out->dead_letter_topic = pb_string(arena, spec->dead_letter_topic);
    out->type = (Dapr__Proto__Runtime__V1__PubsubSubscriptionType)(spec->kind + 1);
    out->metadata = ARENA_ARRAY(arena,
                                Dapr__Proto__Runtime__V1__PubsubSubscription__MetadataEntry *,
                                spec->metadata_count + 1);
    for (size_t i = 0; i < spec->metadata_count; i++) {
        Dapr__Proto__Runtime__V1__PubsubSubscription__MetadataEntry *entry = ARENA_NEW(
            arena, Dapr__Proto__Runtime__V1__PubsubSubscription__MetadataEntry);
        dapr__proto__runtime__v1__pubsub_subscription__metadata_entry__init(entry);
        entry->key = pb_string(arena, spec->metadata[i].name);
        entry->value = pb_string(arena, spec->metadata[i].value);
        out->metadata[out->n_metadata++] = entry;
    }
    out->rules = ARENA_NEW(arena, Dapr__Proto__Runtime__V1__PubsubSubscriptionRules);
    dapr__proto__runtime__v1__pubsub_subscription_rules__init(out->rules);
    out->rules->rules = ARENA_ARRAY(arena, Dapr__Proto__Runtime__V1__PubsubSubscriptionRule *,
                                    spec->rule_count + 1);
    for (size_t i = 0; i < spec->rule_count; i++) {
        Dapr__Proto__Runtime__V1__PubsubSubscriptionRule *rule = ARENA_NEW(
            arena, Dapr__Proto__Runtime__V1__PubsubSubscriptionRule);
        dapr__proto__runtime__v1__pubsub_subscription_rule__init(rule);
        rule->match = pb_string(arena, spec->rules[i].match);
        rule->path = pb_string(arena, spec->rules[i].path);
        out->rules->rules[out->rules->n_rules++] = rule;
    }
    return out;
}

static void
put_topics(struct request *rq, Dapr__Proto__Runtime__V1__GetMetadataResponse *response)
{
    const struct topic_spec *const *specs;
    size_t count = metadata_topics(rq, &specs); /* suspends */
    response->subscriptions = ARENA_ARRAY(rq->arena, Dapr__Proto__Runtime__V1__PubsubSubscription *,
                                          count + 1);
    for (size_t i = 0; i < count; i++)
        response->subscriptions[response->n_subscriptions++] = pack_topic(rq->arena, specs[i]);
}

static void
answer_metadata(struct rpc *rpc, struct slice components)
{
    struct request *rq = &rpc->rq;
    response_t response; /* not by the macro, which names deprecated fields */
    dapr__proto__runtime__v1__get_metadata_response__init(&response);
    Dapr__Proto__Runtime__V1__AppConnectionProperties app =
        DAPR__PROTO__RUNTIME__V1__APP_CONNECTION_PROPERTIES__INIT;
    Dapr__Proto__Runtime__V1__ActorRuntime actors = DAPR__PROTO__RUNTIME__V1__ACTOR_RUNTIME__INIT;
    Dapr__Proto__Runtime__V1__MetadataScheduler scheduler =
        DAPR__PROTO__RUNTIME__V1__METADATA_SCHEDULER__INIT;
    Dapr__Proto__Runtime__V1__AppConnectionHealthProperties health =
        DAPR__PROTO__RUNTIME__V1__APP_CONNECTION_HEALTH_PROPERTIES__INIT;
    put_app(rq, &app, &health);
    put_control(rq, &actors, &scheduler, &response);
    response.id = pb_string(rq->arena, rq->kernel->app_id);
    response.runtime_version = pb_string(rq->arena, rq->kernel->version);
    const struct text_list *features = &settings_of(rq->task)->enabled_features;
    response.enabled_features = ARENA_ARRAY(rq->arena, char *, features->count + 1);
    for (size_t i = 0; i < features->count; i++)
        response.enabled_features[response.n_enabled_features++] = pb_string(rq->arena,
                                                                             features->items[i]);
    response.app_connection_properties = &app;
    response.actor_runtime = &actors;
    read_components(rq->arena, components, &response);
    put_extended(rq, &response);
    put_resiliencies(rq, &response);
    put_endpoints(rq, &response);
    put_topics(rq, &response); /* suspends */
    rpc_reply(rpc, &response.base);
}

void
grpc_metadata_get(struct rpc *rpc)
{
    if (rpc_request(rpc, &dapr__proto__runtime__v1__get_metadata_request__descriptor) == NULL)
        return;
    struct buf components, details;
    buf_init(&components, DESCRIPTION_BYTES_MAX);
    buf_init(&details, DESCRIPTION_BYTES_MAX);
    if (rpc->rq.kernel->describe(&rpc->rq, &components, &details) == OK)
        answer_metadata(rpc, buf_slice(&components));
    else
        rpc_fail(rpc);
    buf_fini(&components);
    buf_fini(&details);
}

void
grpc_metadata_set(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__SetMetadataRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__set_metadata_request__descriptor);
    if (in == NULL)
        return;
    if (metadata_set(&rpc->rq, slice_str(in->key), slice_str(in->value)) == OK)
        rpc_empty(rpc);
    else
        rpc_fail(rpc);
}

void
grpc_shutdown(struct rpc *rpc)
{
    struct slice force = grpc_metadata(&rpc->call, SLICE("dapr-force-shutdown"));
    bool is_forced = false;
    if (force.data != NULL && !slice_to_bool(force, &is_forced))
        is_forced = false;
    if (rpc_request(rpc, &dapr__proto__runtime__v1__shutdown_request__descriptor) == NULL)
        return;
    rpc_empty(rpc);
    rpc->rq.kernel->shutdown(rpc->rq.kernel, is_forced);
}
