/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics, API logging and features of a Configuration; see observing.h. */
#include "config/observing.h"

#include "base/limits.h"

_Static_assert(LATENCY_BUCKETS_MAX <= UINT8_MAX, "read as one array");

static err_t
wrong(struct diag *diag, const char *path, const char *what, const struct node *node)
{
    return DIAG_FAIL(diag, ERR_CONFIG, "line %u: spec.%s must be %s, not %s", node->line, path,
                     what, node_what(node));
}

/* Absent: unchanged. */
static err_t
read_bool(const struct node *map, const char *name, const char *path, bool *value,
          struct diag *diag)
{
    const struct node *node = node_get(map, slice_str(name));
    if (node == NULL)
        return OK;
    bool got;
    if (!node_bool(node, &got))
        return wrong(diag, path, "a bool", node);
    *value = got;
    return OK;
}

static err_t
read_texts(struct arena *arena, const struct node *list, const char *path, struct text_list *texts,
           struct diag *diag)
{
    if (list == NULL)
        return OK;
    if (list->type != NODE_LIST)
        return wrong(diag, path, "a list", list);
    *texts = (struct text_list){ 0 };
    for (const struct node_item *item = list->items; item != NULL; item = item->next) {
        struct slice text;
        if (!node_text(arena, item->value, &text))
            return wrong(diag, path, "a list of texts", item->value);
        text_list_add(arena, texts, text);
    }
    if (texts->count > LIMIT_metric_templates_max)
        return DIAG_FAIL(diag, ERR_CONFIG, "line %u: spec.%s has more than %d items", list->line,
                         path, LIMIT_metric_templates_max);
    return OK;
}

/* --- metrics -----------------------------------------------------------------------------------*/

static err_t
read_buckets(struct arena *arena, const struct node *list, struct metrics_settings *settings,
             struct diag *diag)
{
    static const char path[] = "metrics.latencyDistributionBuckets";
    size_t count = 0;
    if (list == NULL)
        return OK;
    if (list->type != NODE_LIST)
        return wrong(diag, path, "a list", list);
    for (const struct node_item *item = list->items; item != NULL; item = item->next) {
        struct slice text;
        uint64_t bound;
        if (!node_text(arena, item->value, &text) || !slice_to_u64(text, &bound) || bound == 0 ||
            bound > UINT32_MAX)
            return wrong(diag, path, "a list of milliseconds", item->value);
        if (count == LATENCY_BUCKETS_MAX || (count > 0 && bound <= settings->buckets[count - 1]))
            return DIAG_FAIL(diag, ERR_CONFIG,
                             "line %u: spec.%s must ascend and have at most %d items",
                             item->value->line, path, LATENCY_BUCKETS_MAX);
        settings->buckets[count++] = bound;
    }
    settings->bucket_count = count;
    return OK;
}

static err_t
read_http(struct arena *arena, const struct node *http, struct metrics_settings *settings,
          struct diag *diag)
{
    err_t err = OK;
    if (node_get(http, SLICE("increasedCardinality")) != NULL) {
        settings->has_cardinality = true;
        err = read_bool(http, "increasedCardinality", "metrics.http.increasedCardinality",
                        &settings->has_increased_cardinality, diag);
    }
    if (err == OK)
        err = read_bool(http, "excludeVerbs", "metrics.http.excludeVerbs",
                        &settings->excludes_verbs, diag);
    if (err == OK)
        err = read_texts(arena, node_get(http, SLICE("pathMatching")), "metrics.http.pathMatching",
                         &settings->templates, diag);
    return err;
}

err_t
metrics_settings_read(struct arena *arena, const struct node *node,
                      struct metrics_settings *settings, struct text_list *ret_ignored,
                      struct diag *diag)
{
    bool is_enabled = !settings->is_off;
    if (node == NULL)
        return OK;
    if (node->type != NODE_MAP)
        return wrong(diag, "metrics", "a map", node);
    const struct node *rules = node_get(node, SLICE("rules"));
    if (rules != NULL && rules->type == NODE_LIST && rules->count > 0)
        text_list_add(arena, ret_ignored, SLICE("spec.metrics.rules"));
    err_t err = read_bool(node, "enabled", "metrics.enabled", &is_enabled, diag);
    if (err == OK)
        err = read_bool(node, "recordErrorCodes", "metrics.recordErrorCodes",
                        &settings->records_error_codes, diag);
    if (err == OK)
        err = read_http(arena, node_get(node, SLICE("http")), settings, diag);
    if (err == OK)
        err = read_buckets(arena, node_get(node, SLICE("latencyDistributionBuckets")), settings,
                           diag);
    settings->is_off = !is_enabled;
    return err;
}

/* --- logging and features ----------------------------------------------------------------------*/

err_t
api_log_settings_read(const struct node *node, struct api_log_settings *settings, struct diag *diag)
{
    const struct node *log = node_get(node, SLICE("apiLogging"));
    err_t err = OK;
    if (node_get(log, SLICE("enabled")) != NULL) {
        settings->has_enabled = true;
        err = read_bool(log, "enabled", "logging.apiLogging.enabled", &settings->is_enabled, diag);
    }
    if (err == OK)
        err = read_bool(log, "obfuscateURLs", "logging.apiLogging.obfuscateURLs",
                        &settings->obfuscates_urls, diag);
    if (err == OK)
        err = read_bool(log, "omitHealthChecks", "logging.apiLogging.omitHealthChecks",
                        &settings->omits_health_checks, diag);
    return err;
}

static bool
holds(const struct text_list *list, struct slice text)
{
    for (size_t i = 0; i < list->count; i++)
        if (slice_eq(list->items[i], text))
            return true;
    return false;
}

err_t
feature_settings_read(struct arena *arena, const struct node *node,
                      struct feature_settings *settings, struct diag *diag)
{
    if (node == NULL)
        return OK;
    if (node->type != NODE_LIST)
        return wrong(diag, "features", "a list", node);
    *settings = (struct feature_settings){ 0 };
    for (const struct node_item *item = node->items; item != NULL; item = item->next) {
        const struct node *name = node_get(item->value, SLICE("name"));
        bool is_enabled = false;
        struct slice text;
        if (name == NULL || !node_text(arena, name, &text))
            return wrong(diag, "features", "a list of maps with a name", item->value);
        err_t err = read_bool(item->value, "enabled", "features.enabled", &is_enabled, diag);
        if (err != OK)
            return err;
        struct text_list *list = is_enabled ? &settings->enabled : &settings->disabled;
        if (!holds(list, text))
            text_list_add(arena, list, text);
    }
    return OK;
}

bool
feature_is_off(const struct feature_settings *settings, struct slice name)
{
    return holds(&settings->disabled, name);
}
