/* SPDX-License-Identifier: Apache-2.0 */
/* Declarative subscriptions; see subscription.h. */
#include "config/subscription.h"

#include "base/limits.h"
#include "config/number.h"

struct loader {
    struct arena *arena;
    struct resources *resources;
    const struct resource *resource;
};

static bool
refuse(const struct loader *l, const struct node *at, const char *path, const char *wanted)
{
    resources_warn(l->arena, l->resources, l->resource->file, at, "%s must be %s", path, wanted);
    return false;
}

static bool
take_text(const struct loader *l, const struct node *map, const char *name, const char *path,
          struct slice *ret_text)
{
    struct slice text;
    *ret_text = SLICE_EMPTY;
    if (map == NULL)
        return true;
    if (!resource_text(l->arena, l->resources, l->resource->file, map, name, path, &text))
        return false;
    *ret_text = arena_dup(l->arena, text);
    return true;
}

static bool
take_number(const struct loader *l, const struct node *map, const char *name, const char *path,
            int64_t *ret_number)
{
    struct slice text;
    *ret_number = 0;
    if (!take_text(l, map, name, path, &text))
        return false;
    return text.len == 0 || number_to_i64(text, ret_number) == NUMBER_OK ||
           refuse(l, map, path, "a number");
}

/* A map that may be missing. */
static bool
take_map(const struct loader *l, const struct node *parent, const char *name, const char *path,
         const struct node **ret_map)
{
    *ret_map = parent == NULL ? NULL : node_get(parent, slice_str(name));
    if (*ret_map != NULL && node_is_null(*ret_map))
        *ret_map = NULL;
    return *ret_map == NULL || (*ret_map)->type == NODE_MAP || refuse(l, *ret_map, path, "a map");
}

static size_t
count_items(const struct node *node)
{
    size_t count = 0;
    for (const struct node_item *item = node == NULL ? NULL : node->items; item != NULL;
         item = item->next)
        count++;
    return count;
}

static bool
take_metadata(const struct loader *l, struct subscription_document *document)
{
    const struct node *map;
    if (!take_map(l, l->resource->spec, "metadata", "spec.metadata", &map))
        return false;
    document->metadata = ARENA_ARRAY(l->arena, struct subscription_pair, count_items(map) + 1);
    for (const struct node_item *item = map == NULL ? NULL : map->items; item != NULL;
         item = item->next) {
        struct subscription_pair *pair = &document->metadata[document->metadata_count++];
        pair->name = arena_dup(l->arena, item->key);
        if (!node_text(l->arena, item->value, &pair->value))
            return refuse(l, item->value, "spec.metadata", "a map of texts");
    }
    return true;
}

static bool
take_rules(const struct loader *l, const struct node *routes,
           struct subscription_document *document)
{
    const struct node *rules = node_get(routes, SLICE("rules"));
    if (rules != NULL && node_is_null(rules))
        rules = NULL;
    if (rules != NULL && rules->type != NODE_LIST)
        return refuse(l, rules, "spec.routes.rules", "a list");
    document->rules = ARENA_ARRAY(l->arena, struct subscription_pair, count_items(rules) + 1);
    for (const struct node_item *item = rules == NULL ? NULL : rules->items; item != NULL;
         item = item->next) {
        struct subscription_pair *rule = &document->rules[document->rule_count++];
        if (item->value->type != NODE_MAP)
            return refuse(l, item->value, "spec.routes.rules[]", "a map");
        if (!take_text(l, item->value, "match", "spec.routes.rules[].match", &rule->name) ||
            !take_text(l, item->value, "path", "spec.routes.rules[].path", &rule->value))
            return false;
    }
    return true;
}

static bool
take_routes(const struct loader *l, struct subscription_document *document)
{
    const struct node *routes;
    struct slice route;
    if (!take_map(l, l->resource->spec, "routes", "spec.routes", &routes) ||
        !take_text(l, l->resource->spec, "route", "spec.route", &route))
        return false;
    document->default_path = route;
    if (routes == NULL)
        return true;
    struct slice path;
    if (!take_rules(l, routes, document) ||
        !take_text(l, routes, "default", "spec.routes.default", &path))
        return false;
    if (path.len > 0)
        document->default_path = path;
    return true;
}

static bool
take_bulk(const struct loader *l, struct subscription_document *document)
{
    const struct node *bulk;
    struct slice enabled;
    if (!take_map(l, l->resource->spec, "bulkSubscribe", "spec.bulkSubscribe", &bulk))
        return false;
    document->has_bulk = bulk != NULL;
    if (!take_text(l, bulk, "enabled", "spec.bulkSubscribe.enabled", &enabled))
        return false;
    document->bulk_enabled = slice_eq_nocase(enabled, SLICE("true"));
    return take_number(l, bulk, "maxMessagesCount", "spec.bulkSubscribe.maxMessagesCount",
                       &document->bulk_messages_max) &&
           take_number(l, bulk, "maxAwaitDurationMs", "spec.bulkSubscribe.maxAwaitDurationMs",
                       &document->bulk_await_ms);
}

static bool
take_document(const struct loader *l, struct subscription_document *document)
{
    const struct resource *r = l->resource;
    *document = (struct subscription_document){ .name = arena_dup(l->arena, r->name) };
    if (r->spec == NULL || r->spec->type != NODE_MAP)
        return refuse(l, r->root, "spec", "a map");
    return take_text(l, r->spec, "pubsubname", "spec.pubsubname", &document->pubsub) &&
           take_text(l, r->spec, "topic", "spec.topic", &document->topic) &&
           take_text(l, r->spec, "deadLetterTopic", "spec.deadLetterTopic",
                     &document->dead_letter_topic) &&
           take_metadata(l, document) && take_routes(l, document) && take_bulk(l, document);
}

static bool
is_subscription(const struct resource *r)
{
    return slice_eq(r->kind, SLICE("Subscription")) &&
           (r->api_version.len == 0 || slice_eq(r->api_version, SLICE("dapr.io/v1alpha1")) ||
            slice_eq(r->api_version, SLICE("dapr.io/v2alpha1")));
}

void
subscriptions_read(struct arena *arena, struct resources *resources,
                   const struct resource_filter *filter, struct subscription_list *ret_list)
{
    struct loader l = { .arena = arena, .resources = resources };
    struct slice first_broken = resources->first_broken;
    size_t most = resources->count < LIMIT_subscriptions_max ? resources->count
                                                             : LIMIT_subscriptions_max;
    *ret_list = (struct subscription_list){ 0 };
    ret_list->items = ARENA_ARRAY(arena, struct subscription_document, most + 1);
    resources->reading = "Subscription";
    for (size_t i = 0; i < resources->count && ret_list->count < most; i++) {
        l.resource = &resources->items[i];
        if (!is_subscription(l.resource) || !resource_is_in_namespace(l.resource, filter) ||
            !resource_is_in_scope(l.resource, filter))
            continue;
        if (take_document(&l, &ret_list->items[ret_list->count]))
            ret_list->count++;
        else
            text_list_add(arena, &ret_list->refused, l.resource->name);
    }
    resources->reading = NULL;
    resources->first_broken = first_broken; /* is about components */
}
