/* SPDX-License-Identifier: Apache-2.0 */
/* What a Configuration asks for; see configuration.h. */
#include "config/configuration.h"

#include <stdlib.h>

#include "base/limits.h"
#include "config/field.h"
#include "config/file.h"
#include "config/node.h"

/* Types of components, that nobody can add to the folder what is not wanted. */
static err_t
read_denied(struct arena *arena, const struct node *components, struct text_list *denied,
            struct diag *diag)
{
    const struct node *list = NULL;
    if (components != NULL && components->type != NODE_MAP)
        return field_wrong(diag, "components", "a map", components);
    err_t err = field_list(components, "deny", "components.deny", &list, diag);
    if (err != OK || list == NULL)
        return err;
    if (list->count > LIMIT_denied_components_max)
        return DIAG_FAIL(diag, ERR_CONFIG, "line %u: spec.components.deny has more than %d items",
                         list->line, LIMIT_denied_components_max);
    *denied = (struct text_list){ 0 };
    for (const struct node_item *item = list->items; item != NULL; item = item->next) {
        struct slice text = SLICE_EMPTY;
        if (item->value->type != NODE_SCALAR || !node_text(arena, item->value, &text))
            return field_wrong(diag, "components.deny", "a list of texts", item->value);
        text_list_add(arena, denied, text);
    }
    return OK;
}

/* What protects the application's secrets, the application and the sidecar. */
static err_t
read_access(struct arena *arena, const struct node *spec, const char *file,
            struct configuration *configuration, struct text_list *ret_ignored, struct diag *diag)
{
    struct diag inner;
    diag_init(&inner, arena);
    err_t err = OK;
    const struct node *secrets = node_get(spec, SLICE("secrets"));
    const struct node *access = node_get(spec, SLICE("accessControl"));
    if (secrets != NULL)
        err = secret_scopes_read(arena, secrets, &configuration->secret_scopes, &inner);
    if (err == OK && access != NULL && access->type != NODE_MAP)
        err = field_wrong(&inner, "accessControl", "a map", access);
    if (err == OK)
        err = api_rules_read(arena, node_get(spec, SLICE("api")), &configuration->api_rules,
                             ret_ignored, &inner);
    if (err == OK)
        err = pipeline_read(arena, node_get(spec, SLICE("httpPipeline")), "httpPipeline",
                            &configuration->http_pipeline, &inner);
    if (err == OK)
        err = pipeline_read(arena, node_get(spec, SLICE("appHttpPipeline")), "appHttpPipeline",
                            &configuration->app_http_pipeline, &inner);
    if (err == OK)
        err = read_denied(arena, node_get(spec, SLICE("components")),
                          &configuration->denied_components, &inner);
    access_spec_merge(&configuration->access_spec, access);
    if (err == OK)
        return OK;
    return DIAG_FAIL(diag, err, "error loading configuration: %s: " SLICE_FMT, file,
                     SLICE_ARG(inner.message));
}

/* The rest of it is for the certificate authority. */
static err_t
read_mtls(const struct node *spec, const char *file, struct configuration *configuration,
          struct diag *diag)
{
    bool is_on = false;
    const struct node *enabled = node_get(node_get(spec, SLICE("mtls")), SLICE("enabled"));
    if (enabled != NULL && !node_bool(enabled, &is_on))
        return DIAG_FAIL(diag, ERR_CONFIG,
                         "error loading configuration: %s: spec.mtls.enabled is no boolean", file);
    configuration->wants_mtls |= is_on;
    return OK;
}

static bool
is_read(struct slice key)
{
    static const char *const keys[] = {
        "mtls",         "secrets",         "accessControl", "api",     "metric",
        "metrics",      "logging",         "features",      "tracing", "nameResolution",
        "httpPipeline", "appHttpPipeline", "components",
    };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (slice_eq_nocase(key, slice_str(keys[i])))
            return true;
    return false;
}

static err_t
read_observing(struct arena *arena, const struct node *spec, const char *file,
               struct configuration *configuration, struct text_list *ret_ignored,
               struct diag *diag)
{
    struct diag inner;
    diag_init(&inner, arena);
    err_t err = metrics_settings_read(arena, node_get(spec, SLICE("metric")),
                                      &configuration->metrics, ret_ignored, &inner);
    if (err == OK)
        err = metrics_settings_read(arena, node_get(spec, SLICE("metrics")),
                                    &configuration->metrics, ret_ignored, &inner);
    if (err == OK)
        err = api_log_settings_read(node_get(spec, SLICE("logging")), &configuration->api_log,
                                    &inner);
    if (err == OK)
        err = feature_settings_read(arena, node_get(spec, SLICE("features")),
                                    &configuration->features, &inner);
    if (err == OK)
        err = tracing_settings_read(arena, node_get(spec, SLICE("tracing")),
                                    &configuration->tracing, &inner);
    if (err == OK)
        err = name_resolution_read(arena, node_get(spec, SLICE("nameResolution")),
                                   &configuration->names, &inner);
    if (err == OK)
        return OK;
    return DIAG_FAIL(diag, err, "error loading configuration: %s: " SLICE_FMT, file,
                     SLICE_ARG(inner.message));
}

static err_t
read_spec(struct arena *arena, const struct node *spec, const char *file,
          struct configuration *configuration, struct text_list *ret_ignored, struct diag *diag)
{
    for (const struct node_item *item = spec->items; item != NULL; item = item->next)
        if (!is_read(item->key))
            text_list_add(arena, ret_ignored,
                          arena_printf(arena, "spec." SLICE_FMT, SLICE_ARG(item->key)));
    err_t err = read_access(arena, spec, file, configuration, ret_ignored, diag);
    if (err == OK)
        err = read_observing(arena, spec, file, configuration, ret_ignored, diag);
    if (err == OK)
        err = read_mtls(spec, file, configuration, diag);
    return err;
}

static err_t
read_file(struct arena *arena, const char *file, struct configuration *configuration,
          struct text_list *ret_ignored, struct diag *diag)
{
    size_t len;
    const char *words;
    char *text = file_read(arena, file, &len, &words);
    if (text == NULL)
        return DIAG_FAIL(diag, ERR_CONFIG, "error loading configuration: stat %s: %s", file, words);
    struct node *root;
    struct node_error error;
    text_list_add(arena, &configuration->sources, slice_of(text, len));
    bool ok = node_parse(arena, slice_of(text, len), 1, &root, &error);
    free(text);
    if (!ok)
        return DIAG_FAIL(diag, ERR_CONFIG,
                         "error loading configuration: %s: error converting YAML to JSON: %s", file,
                         error.text);
    const struct node *name = node_get(node_get(root, SLICE("metadata")), SLICE("name"));
    if (name != NULL && name->type == NODE_SCALAR && name->text.len > 0)
        configuration->name = name->text;
    const struct node *spec = node_get(root, SLICE("spec"));
    if (spec == NULL || spec->type != NODE_MAP)
        return OK;
    return read_spec(arena, spec, file, configuration, ret_ignored, diag);
}

err_t
configuration_read(struct arena *arena, const struct text_list *files,
                   struct configuration *ret_configuration, struct text_list *ret_ignored,
                   struct diag *diag)
{
    struct configuration configuration = { 0 };
    for (size_t i = 0; i < files->count; i++) {
        err_t err = read_file(arena, files->items[i].data, &configuration, ret_ignored, diag);
        if (err != OK)
            return err;
    }
    struct diag inner;
    diag_init(&inner, arena);
    err_t err = access_control_read(arena, &configuration.access_spec,
                                    &configuration.access_control, &inner);
    if (err != OK)
        return DIAG_FAIL(diag, err, "error loading configuration: " SLICE_FMT,
                         SLICE_ARG(inner.message));
    *ret_configuration = configuration;
    return OK;
}
