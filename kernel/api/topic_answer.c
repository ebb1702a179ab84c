/* SPDX-License-Identifier: Apache-2.0 */
/* Programmatic subscriptions; see topic_answer.h. */
#include "api/topic_answer.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/pb.h"
#include "cel/cel.h"
#include "dapr/proto/runtime/v1/appcallback.pb-c.h"

#define SCOPE "dapr.runtime.processor.subscription"

enum { BULK_MESSAGES_DEFAULT = 100, BULK_AWAIT_MS_DEFAULT = 1000, BULK_MESSAGES_MAX = 10000 };

/* --- lists -------------------------------------------------------------------------------------*/

void
topic_list_add(struct topic_list *list, struct topic_spec *spec)
{
    if (list->count == list->room) {
        size_t more = list->room == 0 ? 8 : list->room * 2;
        struct topic_spec **items = realloc(list->items, more * sizeof(struct topic_spec *));
        if (items == NULL)
            abort();
        list->items = items;
        list->room = more;
    }
    list->items[list->count++] = spec;
}

void
topic_list_fini(struct topic_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        topic_spec_unref(list->items[i]);
    free(list->items);
    *list = (struct topic_list){ 0 };
}

/* --- rules and batches -------------------------------------------------------------------------*/

/* As it is written, which is what an application of gRPC knows it by. */
static struct slice
path_of(struct arena *arena, struct slice path)
{
    return path.len == 0 ? SLICE("/") : arena_dup(arena, path);
}

bool
topic_rules_set(struct topic_spec *spec, const struct topic_rule_text *rules, size_t count,
                struct slice default_path, struct diag *diag)
{
    struct arena *arena = &spec->arena;
    spec->rules = ARENA_ARRAY(arena, struct topic_rule, count + 1);
    for (size_t i = 0; i < count; i++) {
        struct topic_rule *rule = &spec->rules[spec->rule_count];
        rule->match = arena_dup(arena, slice_trim(rules[i].match));
        rule->path = path_of(arena, rules[i].path);
        if (rule->match.len > 0 && (rule->program = cel_compile(arena, rule->match, diag)) == NULL)
            return false;
        spec->rule_count++;
    }
    if (default_path.len > 0)
        spec->rules[spec->rule_count++] = (struct topic_rule){
            .match = SLICE_EMPTY, .path = path_of(arena, default_path)
        };
    return true;
}

void
topic_bulk_set(struct topic_spec *spec, bool is_enabled, int64_t messages_max, int64_t await_ms)
{
    spec->is_bulk = is_enabled;
    spec->bulk_messages_max = messages_max <= 0                  ? BULK_MESSAGES_DEFAULT
                              : messages_max > BULK_MESSAGES_MAX ? BULK_MESSAGES_MAX
                                                                 : (uint32_t)messages_max;
    spec->bulk_await_ms = await_ms <= 0           ? BULK_AWAIT_MS_DEFAULT
                          : await_ms > UINT32_MAX ? UINT32_MAX
                                                  : (uint32_t)await_ms;
}

/* Of two for one topic the later counts. */
static void
add_or_replace(struct topic_list *list, struct topic_spec *spec)
{
    for (size_t i = 0; i < list->count; i++) {
        struct topic_spec **at = &list->items[i];
        if (slice_eq((*at)->pubsub, spec->pubsub) && slice_eq((*at)->topic, spec->topic)) {
            topic_spec_unref(*at);
            *at = topic_spec_ref(spec);
            return;
        }
    }
    topic_list_add(list, topic_spec_ref(spec));
}

/* Adds it, or says why not. */
static void
finish(struct topic_spec *spec, bool is_good, const struct diag *diag, struct topic_list *list)
{
    if (!is_good)
        log_error(SCOPE,
                  "error reading the subscription to topic " SLICE_FMT " of pubsub " SLICE_FMT
                  ": " SLICE_FMT,
                  SLICE_ARG(spec->topic), SLICE_ARG(spec->pubsub), SLICE_ARG(diag->message));
    else if (spec->pubsub.len == 0 || spec->topic.len == 0)
        log_warn(SCOPE, "a subscription of the application names no pubsub or no topic, skipping");
    else if (spec->rule_count == 0)
        log_warn(SCOPE,
                 "subscription route is empty: topic " SLICE_FMT " of pubsub " SLICE_FMT
                 " is skipped",
                 SLICE_ARG(spec->topic), SLICE_ARG(spec->pubsub));
    else
        add_or_replace(list, spec);
}

/* --- JSON --------------------------------------------------------------------------------------*/

/* One element while it is read. */
struct element {
    struct topic_spec *spec;
    struct arena scratch;
    struct json *json;
    struct topic_rule_text *rules;
    size_t rule_count, rule_room;
    struct slice route, default_path;
    bool has_route;
    struct pair *pairs;
    size_t pair_count, pair_room;
    bool bulk_enabled;
    int64_t bulk_messages, bulk_await;
};

/* A string, or null, which is as good as none; anything else is skipped. */
static void
take_text(struct element *e, struct slice *ret_text)
{
    struct slice raw;
    if (json_peek(e->json) == JSON_STRING)
        (void)json_string(e->json, &e->scratch, ret_text); /* the error sticks */
    else
        (void)json_skip(e->json, &raw);
}

static int64_t
take_number(struct element *e)
{
    struct slice raw;
    uint64_t number = 0;
    if (json_skip(e->json, &raw) && slice_to_u64(raw, &number) && number <= INT32_MAX)
        return (int64_t)number;
    return 0;
}

static bool
take_bool(struct element *e)
{
    struct slice raw;
    return json_skip(e->json, &raw) && slice_eq(raw, SLICE("true"));
}

/* Calls fn for each member of an object; what is none is skipped. */
static void
each_member(struct element *e, void (*fn)(struct element *e, struct slice name))
{
    struct slice name, raw;
    if (json_peek(e->json) != JSON_OBJECT) {
        (void)json_skip(e->json, &raw);
        return;
    }
    json_enter(e->json);
    while (json_object_next(e->json, &e->scratch, &name))
        fn(e, name);
}

static void
skip(struct element *e)
{
    struct slice raw;
    (void)json_skip(e->json, &raw); /* the error sticks */
}

static void
on_rule_member(struct element *e, struct slice name)
{
    struct topic_rule_text *rule = &e->rules[e->rule_count - 1];
    if (slice_eq_nocase(name, SLICE("match")))
        take_text(e, &rule->match);
    else if (slice_eq_nocase(name, SLICE("path")))
        take_text(e, &rule->path);
    else
        skip(e);
}

static void
take_rules(struct element *e)
{
    if (json_peek(e->json) != JSON_ARRAY) {
        skip(e);
        return;
    }
    json_enter(e->json);
    while (json_array_next(e->json)) {
        if (e->rule_count == e->rule_room) {
            size_t more = e->rule_room == 0 ? 8 : e->rule_room * 2;
            e->rules = arena_grow(&e->scratch, e->rules, e->rule_room * sizeof *e->rules,
                                  more * sizeof *e->rules);
            e->rule_room = more;
        }
        e->rules[e->rule_count++] = (struct topic_rule_text){ SLICE_EMPTY, SLICE_EMPTY };
        each_member(e, on_rule_member);
    }
}

static void
on_routes_member(struct element *e, struct slice name)
{
    if (slice_eq_nocase(name, SLICE("rules")))
        take_rules(e);
    else if (slice_eq_nocase(name, SLICE("default")))
        take_text(e, &e->default_path);
    else
        skip(e);
}

static void
on_metadata_member(struct element *e, struct slice name)
{
    struct slice value = SLICE_EMPTY;
    if (json_peek(e->json) == JSON_STRING)
        take_text(e, &value);
    else
        (void)json_skip(e->json, &value);
    if (e->pair_count == e->pair_room) {
        size_t more = e->pair_room == 0 ? 8 : e->pair_room * 2;
        e->pairs = arena_grow(&e->scratch, e->pairs, e->pair_room * sizeof *e->pairs,
                              more * sizeof *e->pairs);
        e->pair_room = more;
    }
    e->pairs[e->pair_count++] = (struct pair){ name, value };
}

static void
on_bulk_member(struct element *e, struct slice name)
{
    if (slice_eq_nocase(name, SLICE("enabled")))
        e->bulk_enabled = take_bool(e);
    else if (slice_eq_nocase(name, SLICE("maxMessagesCount")))
        e->bulk_messages = take_number(e);
    else if (slice_eq_nocase(name, SLICE("maxAwaitDurationMs")))
        e->bulk_await = take_number(e);
    else
        skip(e);
}

static void
take_own_text(struct element *e, struct slice *ret_text)
{
    take_text(e, ret_text);
    *ret_text = arena_dup(&e->spec->arena, *ret_text);
}

static void
on_member(struct element *e, struct slice name)
{
    if (slice_eq_nocase(name, SLICE("pubsubname"))) {
        take_own_text(e, &e->spec->pubsub);
    } else if (slice_eq_nocase(name, SLICE("topic"))) {
        take_own_text(e, &e->spec->topic);
    } else if (slice_eq_nocase(name, SLICE("deadLetterTopic"))) {
        take_own_text(e, &e->spec->dead_letter_topic);
    } else if (slice_eq_nocase(name, SLICE("route"))) {
        e->has_route = json_peek(e->json) == JSON_STRING;
        take_text(e, &e->route);
    } else if (slice_eq_nocase(name, SLICE("routes"))) {
        each_member(e, on_routes_member);
    } else if (slice_eq_nocase(name, SLICE("metadata"))) {
        each_member(e, on_metadata_member);
    } else if (slice_eq_nocase(name, SLICE("bulkSubscribe"))) {
        each_member(e, on_bulk_member);
    } else {
        skip(e);
    }
}

/* `route` alone is a default. */
static void
take_element(struct json *json, struct topic_list *list)
{
    struct element e = { .spec = topic_spec_new(TOPIC_PROGRAMMATIC),
                         .json = json,
                         .route = SLICE_EMPTY,
                         .default_path = SLICE_EMPTY };
    struct diag diag;
    arena_init(&e.scratch);
    diag_init(&diag, &e.scratch);
    each_member(&e, on_member);
    if (!json->failed) {
        if (e.default_path.len == 0)
            e.default_path = e.route;
        topic_spec_set_metadata(e.spec, e.pairs, e.pair_count);
        topic_bulk_set(e.spec, e.bulk_enabled, e.bulk_messages, e.bulk_await);
        bool is_good = topic_rules_set(e.spec, e.rules, e.rule_count, e.default_path, &diag);
        finish(e.spec, is_good, &diag, list);
    }
    arena_fini(&e.scratch);
    topic_spec_unref(e.spec);
}

bool
topic_answer_read_json(struct slice answer, struct topic_list *ret_list)
{
    struct json json;
    *ret_list = (struct topic_list){ 0 };
    json_init(&json, answer);
    if (json_peek(&json) != JSON_ARRAY)
        return answer.len == 0 || json_peek(&json) == JSON_NULL;
    json_enter(&json);
    while (json_array_next(&json))
        take_element(&json, ret_list);
    if (!json.failed && json_end(&json))
        return true;
    log_error(SCOPE, "error reading the subscriptions of the application: %s", json.error);
    topic_list_fini(ret_list);
    return false;
}

/* --- gRPC --------------------------------------------------------------------------------------*/

typedef Dapr__Proto__Runtime__V1__TopicSubscription subscription_t;

static void
take_subscription(struct arena *scratch, const subscription_t *in, struct topic_list *list)
{
    struct topic_spec *spec = topic_spec_new(TOPIC_PROGRAMMATIC);
    const Dapr__Proto__Runtime__V1__TopicRoutes *routes = in->routes;
    size_t count = routes == NULL ? 0 : routes->n_rules;
    struct topic_rule_text *rules = ARENA_ARRAY(scratch, struct topic_rule_text, count + 1);
    struct pair *pairs = ARENA_ARRAY(scratch, struct pair, in->n_metadata + 1);
    struct diag diag;
    diag_init(&diag, scratch);
    spec->pubsub = arena_dup(&spec->arena, slice_str(in->pubsub_name));
    spec->topic = arena_dup(&spec->arena, slice_str(in->topic));
    spec->dead_letter_topic = arena_dup(&spec->arena, slice_str(in->dead_letter_topic));
    for (size_t i = 0; i < in->n_metadata; i++)
        pairs[i] = (struct pair){ slice_str(in->metadata[i]->key),
                                  slice_str(in->metadata[i]->value) };
    topic_spec_set_metadata(spec, pairs, in->n_metadata);
    for (size_t i = 0; i < count; i++)
        rules[i] = (struct topic_rule_text){ slice_str(routes->rules[i]->match),
                                             slice_str(routes->rules[i]->path) };
    if (in->bulk_subscribe != NULL)
        topic_bulk_set(spec, in->bulk_subscribe->enabled, in->bulk_subscribe->max_messages_count,
                       in->bulk_subscribe->max_await_duration_ms);
    /* Without routes everything goes to OnTopicEvent with an empty path. */
    struct slice default_path = routes == NULL ? SLICE("/") : slice_str(routes->default_);
    if (default_path.len == 0 && count == 0)
        default_path = SLICE("/");
    bool is_good = topic_rules_set(spec, rules, count, default_path, &diag);
    finish(spec, is_good, &diag, list);
    topic_spec_unref(spec);
}

bool
topic_answer_read_grpc(struct slice answer, struct topic_list *ret_list)
{
    struct arena scratch;
    *ret_list = (struct topic_list){ 0 };
    arena_init(&scratch);
    const Dapr__Proto__Runtime__V1__ListTopicSubscriptionsResponse *in = pb_unpack(
        &scratch, &dapr__proto__runtime__v1__list_topic_subscriptions_response__descriptor, answer,
        LIMIT_grpc_depth_max, LIMIT_app_config_bytes_max * 16);
    for (size_t i = 0; in != NULL && i < in->n_subscriptions; i++)
        take_subscription(&scratch, in->subscriptions[i], ret_list);
    if (in == NULL)
        log_error(SCOPE, "error reading the subscriptions of the application: malformed message");
    arena_fini(&scratch);
    return in != NULL;
}
