/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resiliency documents to policies and targets; see resiliency.h. A document is read into lists of
 * its own first and joined with the others only if all of it is sound.
 */
#include "config/resiliency.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "config/duration.h"
#include "config/number.h"

enum {
    CONSTANT_DELAY_MS = 5000,
    EXPONENTIAL_DELAY_MS_MAX = 60000,
    EXPONENTIAL_ELAPSED_MS_MAX = 15 * 60 * 1000,
    BREAKER_TIMEOUT_MS = 60000,
};

static const char *const kind_fields[TARGET_KINDS] = {
    [TARGET_APP] = "apps",
    [TARGET_ACTOR] = "actors",
    [TARGET_COMPONENT] = "components",
};

/* The document being read. */
struct reading {
    struct arena *arena;
    const struct resource *resource;
    struct resiliency_document document;
    struct resiliency_config config; /* what it says itself */
    struct slice error;              /* the first; empty: none so far */
};

static bool refuse(struct reading *reading, const char *format, ...) PRINTF_LIKE(2, 3);

static bool
refuse(struct reading *reading, const char *format, ...)
{
    char words[1024];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(words, sizeof words, format, args); /* cut is fine */
    va_end(args);
    size_t kept = len < (int)sizeof words ? (size_t)len : sizeof words - 1;
    reading->error = arena_dup(reading->arena, slice_of(words, kept));
    return false;
}

/* --- fields ------------------------------------------------------------------------------------*/

static bool
read_text(struct reading *reading, const struct node *parent, const char *field, const char *what,
          struct slice *ret_text)
{
    const struct node *node = node_get(parent, slice_str(field));
    *ret_text = SLICE_EMPTY;
    if (node == NULL)
        return true;
    if (!node_text(reading->arena, node, ret_text))
        return refuse(reading, "%s: %s: expected text, found %s (line %u)", what, field,
                      node_what(node), node->line);
    *ret_text = arena_dup(reading->arena, *ret_text); /* the node's own text goes away */
    return true;
}

/* Go's durations, or milliseconds. What is longer than centuries is centuries. */
static bool
parse_ms(struct slice text, uint64_t *ret_ms, char ret_error[DURATION_ERROR_BYTES])
{
    int64_t ns, ms;
    if (slice_to_i64(text, &ms)) {
        *ret_ms = ms < 0                                      ? 0
                  : (uint64_t)ms < INT64_MAX / DURATION_MS_NS ? (uint64_t)ms
                                                              : INT64_MAX / DURATION_MS_NS;
        return true;
    }
    if (!duration_parse(text, &ns, ret_error))
        return false;
    /* A part of a millisecond is none only where it says so itself. */
    *ret_ms = ns <= 0 ? 0 : (uint64_t)(ns - 1) / DURATION_MS_NS + 1;
    return true;
}

static bool
read_ms(struct reading *reading, const struct node *parent, const char *field, const char *what,
        uint64_t *ms)
{
    struct slice text;
    char error[DURATION_ERROR_BYTES];
    if (!read_text(reading, parent, field, what, &text))
        return false;
    if (text.len == 0 || parse_ms(text, ms, error))
        return true;
    return refuse(reading, "%s: error decoding '%s': %s", what, field, error);
}

static bool
read_number(struct reading *reading, const struct node *parent, const char *field, const char *what,
            int64_t *number)
{
    struct slice text;
    int64_t value;
    if (!read_text(reading, parent, field, what, &text))
        return false;
    if (text.len == 0)
        return true;
    if (number_to_i64(text, &value) != NUMBER_OK)
        return refuse(reading, "%s: error decoding '%s': invalid number \"" SLICE_FMT "\"", what,
                      field, SLICE_ARG(slice_first(text, 100)));
    *number = value;
    return true;
}

/* --- codes -------------------------------------------------------------------------------------*/

/* One code, as it stands in a list or at an end of a range. */
static bool
read_code(struct reading *reading, struct slice text, struct slice pattern, const char *which,
          const struct code_range *valid, int *ret_code)
{
    int64_t code;
    if (!slice_to_i64(slice_trim(text), &code))
        return refuse(
            reading, "failed to parse %s code " SLICE_FMT " from pattern " SLICE_FMT " to int",
            which, SLICE_ARG(slice_first(text, 100)), SLICE_ARG(slice_first(pattern, 100)));
    if (code < valid->first || code > valid->last)
        return refuse(reading, "invalid pattern " SLICE_FMT ", %s code %lld is not valid",
                      SLICE_ARG(slice_first(pattern, 100)), which, (long long)code);
    *ret_code = (int)code;
    return true;
}

static bool
read_range(struct reading *reading, struct slice pattern, const struct code_range *valid,
           struct code_range *ret_range)
{
    struct slice first = pattern;
    ptrdiff_t dash = slice_find_byte(pattern, '-');
    if (dash >= 0)
        first = slice_first(pattern, (size_t)dash);
    if (!read_code(reading, first, pattern, "start", valid, &ret_range->first))
        return false;
    ret_range->last = ret_range->first;
    if (dash < 0)
        return true;
    struct slice last = slice_from(pattern, (size_t)dash + 1);
    if (slice_find_byte(last, '-') >= 0)
        return refuse(reading, "invalid pattern " SLICE_FMT ", more than one '-' exists",
                      SLICE_ARG(slice_first(pattern, 100)));
    if (!read_code(reading, last, pattern, "end", valid, &ret_range->last))
        return false;
    if (ret_range->last < ret_range->first)
        return refuse(reading,
                      "invalid pattern " SLICE_FMT ", start value should not bigger than end value",
                      SLICE_ARG(slice_first(pattern, 100)));
    return true;
}

static bool
read_ranges(struct reading *reading, const struct node *matching, const char *field,
            const char *what, const struct code_range *valid, struct code_ranges *ret_ranges)
{
    struct slice text, part;
    if (!read_text(reading, matching, field, what, &text))
        return false;
    size_t count = 0, parts = 1;
    for (size_t i = 0; i < text.len; i++)
        parts += text.data[i] == ',';
    if (parts > LIMIT_resiliency_ranges_max)
        return refuse(reading, "%s: %s: more than %d codes", what, field,
                      (int)LIMIT_resiliency_ranges_max);
    struct code_range *ranges = ARENA_ARRAY(reading->arena, struct code_range, parts);
    while (slice_split(&text, ',', &part)) {
        if (slice_trim(part).len == 0)
            continue;
        if (!read_range(reading, part, valid, &ranges[count]))
            return false;
        count++;
    }
    *ret_ranges = (struct code_ranges){ ranges, count };
    return true;
}

bool
code_ranges_match(const struct code_ranges *ranges, int code)
{
    for (size_t i = 0; i < ranges->count; i++)
        if (code >= ranges->items[i].first && code <= ranges->items[i].last)
            return true;
    return ranges->count == 0;
}

/* --- policies ----------------------------------------------------------------------------------*/

static bool
read_timeout(struct reading *reading, const struct node_item *item)
{
    struct slice text = SLICE_EMPTY;
    char error[DURATION_ERROR_BYTES];
    struct timeout_policy policy = { .name = arena_dup(reading->arena, item->key) };
    if (!node_text(reading->arena, item->value, &text))
        return refuse(reading, "invalid duration \"" SLICE_FMT "\": expected text, found %s",
                      SLICE_ARG(slice_first(item->key, 100)), node_what(item->value));
    if (!parse_ms(text, &policy.timeout_ms, error))
        return refuse(reading, "invalid duration \"" SLICE_FMT "\", " SLICE_FMT ": %s",
                      SLICE_ARG(slice_first(item->key, 100)), SLICE_ARG(slice_first(text, 100)),
                      error);
    reading->config.timeouts[reading->config.timeout_count++] = policy;
    return true;
}

static bool
read_retry_kind(struct reading *reading, const struct node *node, const char *what,
                struct retry_policy *policy)
{
    struct slice kind;
    if (!read_text(reading, node, "policy", what, &kind))
        return false;
    policy->is_exponential = slice_eq_nocase(kind, SLICE("exponential"));
    if (kind.len == 0 || policy->is_exponential || slice_eq_nocase(kind, SLICE("constant")))
        return true;
    return refuse(reading,
                  "%s: error decoding 'policy': unexpected back off policy type: " SLICE_FMT, what,
                  SLICE_ARG(slice_first(kind, 100)));
}

static bool
read_retry(struct reading *reading, const struct node_item *item)
{
    static const struct code_range http = { 100, 599 }, grpc = { 0, 16 };
    const struct node *node = item->value, *matching = node_get(node, SLICE("matching"));
    struct retry_policy policy = { .name = arena_dup(reading->arena, item->key),
                                   .delay_ms = CONSTANT_DELAY_MS,
                                   .delay_ms_max = EXPONENTIAL_DELAY_MS_MAX,
                                   .elapsed_ms_max = EXPONENTIAL_ELAPSED_MS_MAX,
                                   .retries_max = -1 };
    const char *what = arena_printf(reading->arena, "invalid retry configuration \"" SLICE_FMT "\"",
                                    SLICE_ARG(slice_first(item->key, 100)))
                           .data;
    if (matching != NULL && matching->type != NODE_MAP)
        return refuse(reading, "%s: matching: expected a map, found %s", what, node_what(matching));
    if (!read_retry_kind(reading, node, what, &policy) ||
        !read_ms(reading, node, "duration", what, &policy.delay_ms) ||
        !read_ms(reading, node, "maxInterval", what, &policy.delay_ms_max) ||
        !read_number(reading, node, "maxRetries", what, &policy.retries_max) ||
        !read_ranges(reading, matching, "httpStatusCodes", what, &http, &policy.http) ||
        !read_ranges(reading, matching, "gRPCStatusCodes", what, &grpc, &policy.grpc))
        return false;
    if (policy.retries_max < 0)
        policy.retries_max = -1;
    reading->config.retries[reading->config.retry_count++] = policy;
    return true;
}

static bool
read_breaker(struct reading *reading, const struct node_item *item)
{
    const struct node *node = item->value;
    struct breaker_policy policy = { .name = arena_dup(reading->arena, item->key) };
    struct slice trip;
    int64_t requests_max = 1;
    char error[TRIP_ERROR_BYTES];
    const char *what = arena_printf(reading->arena,
                                    "invalid circuit breaker configuration \"" SLICE_FMT "\"",
                                    SLICE_ARG(slice_first(item->key, 100)))
                           .data;
    if (!read_number(reading, node, "maxRequests", what, &requests_max) ||
        !read_ms(reading, node, "interval", what, &policy.interval_ms) ||
        !read_ms(reading, node, "timeout", what, &policy.timeout_ms) ||
        !read_text(reading, node, "trip", what, &trip))
        return false;
    if (requests_max < 0 || requests_max > UINT32_MAX)
        return refuse(reading, "%s: error decoding 'maxRequests': %lld is out of range", what,
                      (long long)requests_max);
    trip = slice_trim(trip);
    if (trip.len > 0 && !trip_parse(reading->arena, trip, &policy.trip, error))
        return refuse(reading, "%s: error decoding 'trip': %s", what, error);
    policy.requests_max = requests_max == 0 ? 1 : (uint32_t)requests_max;
    if (policy.timeout_ms == 0)
        policy.timeout_ms = BREAKER_TIMEOUT_MS;
    reading->config.breakers[reading->config.breaker_count++] = policy;
    return true;
}

/* --- targets -----------------------------------------------------------------------------------*/

static bool
read_names(struct reading *reading, const struct node *node, const char *what,
           struct policy_names *ret_names)
{
    if (node != NULL && node->type != NODE_MAP)
        return refuse(reading, "%s: expected a map, found %s", what, node_what(node));
    return read_text(reading, node, "timeout", what, &ret_names->timeout) &&
           read_text(reading, node, "retry", what, &ret_names->retry) &&
           read_text(reading, node, "circuitBreaker", what, &ret_names->breaker);
}

static bool
read_scope(struct reading *reading, const struct node *node, const char *what,
           struct target_rule *rule)
{
    struct slice scope;
    if (!read_text(reading, node, "circuitBreakerScope", what, &scope))
        return false;
    if (rule->names.breaker.len == 0)
        return true;
    if (scope.len == 0)
        return refuse(reading, "actor circuit breakers must include scope");
    rule->breaker_scope = slice_eq(scope, SLICE("type")) ? BREAKER_SCOPE_TYPE : BREAKER_SCOPE_ID;
    if (slice_eq(scope, SLICE("type")) || slice_eq(scope, SLICE("id")) ||
        slice_eq(scope, SLICE("both")))
        return true;
    return refuse(reading, "unknown circuit breaker scope \"" SLICE_FMT "\"",
                  SLICE_ARG(slice_first(scope, 100)));
}

static bool
read_target(struct reading *reading, enum target_kind kind, const struct node_item *item)
{
    const struct node *node = item->value;
    struct target_rule rule = { .name = arena_dup(reading->arena, item->key),
                                .document = reading->document.name,
                                .namespace_ = reading->document.namespace_ };
    int64_t breakers_max = 0;
    const char *what = arena_printf(reading->arena, "targets.%s." SLICE_FMT, kind_fields[kind],
                                    SLICE_ARG(slice_first(item->key, 100)))
                           .data;
    if (node->type != NODE_MAP && !node_is_null(node))
        return refuse(reading, "%s: expected a map, found %s", what, node_what(node));
    if (kind == TARGET_COMPONENT) {
        if (!read_names(reading, node_get(node, SLICE("outbound")), what, &rule.names) ||
            !read_names(reading, node_get(node, SLICE("inbound")), what, &rule.inbound))
            return false;
    } else if (!read_names(reading, node->type == NODE_MAP ? node : NULL, what, &rule.names)) {
        return false;
    }
    if (!read_number(reading, node, "circuitBreakerCacheSize", what, &breakers_max))
        return false;
    if (breakers_max < 0 || breakers_max > LIMIT_breakers_max)
        return refuse(reading, "%s: circuitBreakerCacheSize: must provide a positive size", what);
    rule.breakers_max = (uint32_t)breakers_max;
    if (kind == TARGET_ACTOR && !read_scope(reading, node, what, &rule))
        return false;
    reading->config.targets[kind][reading->config.target_count[kind]++] = rule;
    return true;
}

/* --- documents ---------------------------------------------------------------------------------*/

/* The map behind a field; NULL if there is nothing in it. */
static bool
read_map(struct reading *reading, const struct node *parent, const char *field,
         const struct node **ret_map)
{
    const struct node *map = node_get(parent, slice_str(field));
    *ret_map = NULL;
    if (map == NULL)
        return true;
    if (map->type != NODE_MAP)
        return refuse(reading, "%s: expected a map, found %s (line %u)", field, node_what(map),
                      map->line);
    if (map->count > LIMIT_resiliency_policies_max)
        return refuse(reading, "%s: more than %d of them", field,
                      (int)LIMIT_resiliency_policies_max);
    *ret_map = map;
    return true;
}

static const struct node_item *
items_of(const struct node *map)
{
    return map == NULL ? NULL : map->items;
}

static size_t
count_of(const struct node *map)
{
    return map == NULL ? 0 : map->count;
}

static bool
read_policies(struct reading *reading, const struct node *policies)
{
    const struct node *timeouts, *retries, *breakers;
    struct arena *arena = reading->arena;
    struct resiliency_config *config = &reading->config;
    if (!read_map(reading, policies, "timeouts", &timeouts) ||
        !read_map(reading, policies, "retries", &retries) ||
        !read_map(reading, policies, "circuitBreakers", &breakers))
        return false;
    config->timeouts = ARENA_ARRAY(arena, struct timeout_policy, count_of(timeouts));
    config->retries = ARENA_ARRAY(arena, struct retry_policy, count_of(retries));
    config->breakers = ARENA_ARRAY(arena, struct breaker_policy, count_of(breakers));
    for (const struct node_item *item = items_of(timeouts); item != NULL; item = item->next)
        if (!read_timeout(reading, item))
            return false;
    for (const struct node_item *item = items_of(retries); item != NULL; item = item->next)
        if (!read_retry(reading, item))
            return false;
    for (const struct node_item *item = items_of(breakers); item != NULL; item = item->next)
        if (!read_breaker(reading, item))
            return false;
    return true;
}

static bool
read_targets(struct reading *reading, const struct node *targets)
{
    for (enum target_kind kind = 0; kind < TARGET_KINDS; kind++) {
        const struct node *map;
        if (!read_map(reading, targets, kind_fields[kind], &map))
            return false;
        reading->config.targets[kind] = ARENA_ARRAY(reading->arena, struct target_rule,
                                                    count_of(map));
        for (const struct node_item *item = items_of(map); item != NULL; item = item->next)
            if (!read_target(reading, kind, item))
                return false;
    }
    return true;
}

static bool
read_document(struct reading *reading)
{
    const struct resource *resource = reading->resource;
    const struct node *policies, *targets;
    reading->document = (struct resiliency_document){
        .name = arena_dup(reading->arena, resource->name),
        .namespace_ = arena_dup(reading->arena, resource->namespace_name),
    };
    if (resource->spec == NULL)
        return true;
    if (resource->spec->type != NODE_MAP)
        return refuse(reading, "spec: expected a map, found %s", node_what(resource->spec));
    if (!node_value(reading->arena, resource->spec, &reading->document.source))
        return refuse(reading, "spec: it is too large");
    return read_map(reading, resource->spec, "policies", &policies) &&
           read_map(reading, resource->spec, "targets", &targets) &&
           read_policies(reading, policies) && read_targets(reading, targets);
}

/* --- joining -----------------------------------------------------------------------------------*/

/* A list of structs that begin with their name, in the order of names. */
struct list_of {
    void *items;
    size_t *count;
    size_t item_bytes;
};

static struct slice
name_at(const struct list_of *list, size_t at)
{
    struct slice name;
    memcpy(&name, (const char *)list->items + at * list->item_bytes, sizeof name);
    return name;
}

/* Where the name is, or belongs. */
static size_t
place_of(const struct list_of *list, struct slice name)
{
    size_t from = 0, to = *list->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (slice_cmp(name_at(list, middle), name) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Adds what another list has, or puts it in the place of what has the same name. */
static void
join(const struct list_of *list, const void *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *item = (const char *)items + i * list->item_bytes;
        struct slice name;
        memcpy(&name, item, sizeof name);
        size_t at = place_of(list, name);
        char *place = (char *)list->items + at * list->item_bytes;
        if (at == *list->count || !slice_eq(name_at(list, at), name)) {
            memmove(place + list->item_bytes, place, (*list->count - at) * list->item_bytes);
            ++*list->count;
        }
        memcpy(place, item, list->item_bytes);
    }
}

static const void *
find(const struct list_of *list, struct slice name)
{
    size_t at = name.len == 0 ? *list->count : place_of(list, name);
    if (at == *list->count || !slice_eq(name_at(list, at), name))
        return NULL;
    return (const char *)list->items + at * list->item_bytes;
}

static bool
fits(const struct resiliency_config *config, const struct resiliency_config *more)
{
    bool ok = config->timeout_count + more->timeout_count <= LIMIT_resiliency_policies_max &&
              config->retry_count + more->retry_count <= LIMIT_resiliency_policies_max &&
              config->breaker_count + more->breaker_count <= LIMIT_resiliency_policies_max;
    for (size_t kind = 0; ok && kind < TARGET_KINDS; kind++)
        ok = config->target_count[kind] + more->target_count[kind] <= LIMIT_resiliency_policies_max;
    return ok;
}

static void
join_document(struct arena *arena, struct resiliency_config *config, const struct reading *reading)
{
    const struct resiliency_config *more = &reading->config;
#define JOIN(list, number)                                                                         \
    do {                                                                                           \
        const size_t item_bytes = sizeof *config->list;                                            \
        config->list = arena_grow(arena, config->list, config->number * item_bytes,                \
                                  (config->number + more->number) * item_bytes);                   \
        join(&(struct list_of){ config->list, &config->number, item_bytes }, more->list,           \
             more->number);                                                                        \
    } while (0)
    JOIN(timeouts, timeout_count);
    JOIN(retries, retry_count);
    JOIN(breakers, breaker_count);
    for (size_t kind = 0; kind < TARGET_KINDS; kind++)
        JOIN(targets[kind], target_count[kind]);
#undef JOIN
    config->documents[config->document_count++] = reading->document;
}

const struct timeout_policy *
resiliency_timeout(const struct resiliency_config *config, struct slice name)
{
    size_t count = config->timeout_count;
    return find(&(struct list_of){ config->timeouts, &count, sizeof *config->timeouts }, name);
}

const struct retry_policy *
resiliency_retry(const struct resiliency_config *config, struct slice name)
{
    size_t count = config->retry_count;
    return find(&(struct list_of){ config->retries, &count, sizeof *config->retries }, name);
}

const struct breaker_policy *
resiliency_breaker(const struct resiliency_config *config, struct slice name)
{
    size_t count = config->breaker_count;
    return find(&(struct list_of){ config->breakers, &count, sizeof *config->breakers }, name);
}

const struct target_rule *
resiliency_rule(const struct resiliency_config *config, enum target_kind kind, struct slice name)
{
    size_t count = config->target_count[kind];
    return find(&(struct list_of){ config->targets[kind], &count, sizeof **config->targets }, name);
}

/* --- warnings ----------------------------------------------------------------------------------*/

static void
warn_missing(struct arena *arena, struct resiliency_config *config, enum target_kind kind,
             const struct target_rule *rule, const char *what, struct slice policy)
{
    text_list_add(arena, &config->warnings,
                  arena_printf(arena,
                               "Resiliency target %s." SLICE_FMT " names the %s policy " SLICE_FMT
                               ", which does not exist; it has none",
                               kind_fields[kind], SLICE_ARG(rule->name), what, SLICE_ARG(policy)));
}

static void
check_names(struct arena *arena, struct resiliency_config *config, enum target_kind kind,
            const struct target_rule *rule, const struct policy_names *names)
{
    if (names->timeout.len > 0 && resiliency_timeout(config, names->timeout) == NULL)
        warn_missing(arena, config, kind, rule, "timeout", names->timeout);
    if (names->retry.len > 0 && resiliency_retry(config, names->retry) == NULL)
        warn_missing(arena, config, kind, rule, "retry", names->retry);
    if (names->breaker.len > 0 && resiliency_breaker(config, names->breaker) == NULL)
        warn_missing(arena, config, kind, rule, "circuit breaker", names->breaker);
}

/* Users may replace retries that are built in, but not by next to none. */
static void
check_built_in(struct arena *arena, struct resiliency_config *config)
{
    enum { RETRIES_MIN = 3 };
    for (size_t i = 0; i < config->retry_count; i++) {
        struct retry_policy *policy = &config->retries[i];
        if (!slice_has_prefix(policy->name, SLICE("DaprBuiltIn")) ||
            policy->retries_max >= RETRIES_MIN)
            continue;
        policy->retries_max = RETRIES_MIN;
        text_list_add(arena, &config->warnings,
                      arena_printf(arena,
                                   "Attempted override of " SLICE_FMT
                                   " did not meet minimum retry count, resetting to 3.",
                                   SLICE_ARG(policy->name)));
    }
}

static void
check_references(struct arena *arena, struct resiliency_config *config)
{
    for (enum target_kind kind = 0; kind < TARGET_KINDS; kind++)
        for (size_t i = 0; i < config->target_count[kind]; i++) {
            const struct target_rule *rule = &config->targets[kind][i];
            check_names(arena, config, kind, rule, &rule->names);
            check_names(arena, config, kind, rule, &rule->inbound);
        }
}

/* --- all of it ---------------------------------------------------------------------------------*/

static bool
is_ours(const struct resource *resource, const struct resource_filter *filter)
{
    return slice_eq(resource->kind, SLICE("Resiliency")) &&
           resource_is_in_namespace(resource, filter) && resource_is_in_scope(resource, filter);
}

void
resiliency_read(struct arena *arena, const struct resources *resources,
                const struct resource_filter *filter, struct resiliency_config *ret_config)
{
    *ret_config = (struct resiliency_config){ 0 };
    size_t count = 0;
    for (size_t i = 0; i < resources->count; i++)
        count += is_ours(&resources->items[i], filter);
    ret_config->documents = ARENA_ARRAY(arena, struct resiliency_document, count);
    for (size_t i = 0; i < resources->count; i++) {
        struct reading reading = { .arena = arena, .resource = &resources->items[i] };
        if (!is_ours(reading.resource, filter))
            continue;
        bool ok = read_document(&reading);
        if (ok && !fits(ret_config, &reading.config))
            ok = refuse(&reading, "more than %d policies or targets of one sort",
                        (int)LIMIT_resiliency_policies_max);
        if (ok) {
            join_document(arena, ret_config, &reading);
            continue;
        }
        text_list_add(arena, &ret_config->refused, reading.document.name);
        text_list_add(arena, &ret_config->errors,
                      arena_printf(arena,
                                   "Could not read resiliency policy " SLICE_FMT ": " SLICE_FMT,
                                   SLICE_ARG(reading.document.name), SLICE_ARG(reading.error)));
    }
    check_built_in(arena, ret_config);
    check_references(arena, ret_config);
}
