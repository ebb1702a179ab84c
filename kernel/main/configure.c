/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Configuration: read at the start, and again when its files change or a hangup asks for it.
 * What it decides becomes a generation of struct settings that all workers go over to while they
 * work. A file that cannot be used changes nothing: what was in force stays so, and log and
 * metadata say why. Main thread.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "main/observe.h"
#include "main/runtime.h"

#define SCOPE "dapr.runtime"

/* NULL: `diag` says why. One reference. */
static struct settings *
read_files(struct runtime *runtime, struct configuration *ret_configuration,
           struct text_list *ret_ignored, struct diag *diag)
{
    struct settings *settings = settings_new();
    err_t err = configuration_read(&settings->arena, &runtime->options.config, ret_configuration,
                                   ret_ignored, diag);
    if (err == OK)
        err = tracing_settings_finish(&settings->arena, env_of_process(),
                                      &ret_configuration->tracing, ret_ignored, diag);
    if (err == OK)
        return settings;
    settings_unref(settings);
    return NULL;
}

/* Takes the settings. The words of the log come from here. */
static void
put_in_force(struct runtime *runtime, struct settings *settings,
             const struct configuration *configuration, const struct text_list *ignored)
{
    settings->secret_scopes = configuration->secret_scopes;
    settings->access = configuration->access_control.policy;
    settings->api_rules = configuration->api_rules;
    settings->http_pipeline = configuration->http_pipeline;
    settings->app_http_pipeline = configuration->app_http_pipeline;
    settings->trust_domain = configuration->access_control.trust_domain;
    tracing_setup(runtime, &configuration->tracing, settings);
    if (runtime->settings != NULL)
        tracing_log(settings);
    observe_setup(runtime, configuration, settings);
    if (configuration->wants_mtls && !runtime->options.enable_mtls)
        log_warn(SCOPE ".security",
                 "spec.mtls.enabled of the Configuration does nothing by itself, "
                 "--enable-mtls does");
    if (configuration->access_control.is_denying_by_caution)
        log_warn("dapr.acl", "No global default action has been specified. Setting default global "
                             "action as Deny");
    for (size_t i = 0; i < ignored->count; i++)
        log_warn(SCOPE, SLICE_FMT " of the Configuration has no effect yet, ignoring it",
                 SLICE_ARG(ignored->items[i]));
    struct settings *old = runtime->settings;
    if (old != NULL)
        settings_carry(settings, old);
    runtime->settings = settings;
    runtime->configuration = *configuration;
    runtime->configuration_generation++;
    free(TAKE(runtime->configuration_error));
    metrics_attach(settings->metrics, runtime->options.worker_count);
    settings_unref(old); /* and in its time by each worker */
}

static bool
has_secret_store(const struct host *host, struct slice name)
{
    size_t cursor = 0;
    struct host_component component;
    while (host_next_component(host, &cursor, &component))
        if (slice_eq(component.name, name) &&
            slice_has_prefix_nocase(component.type, SLICE("secretstores.")))
            return true;
    return false;
}

static bool
has_component(const struct host *host, const struct pipeline_handler *handler)
{
    size_t cursor = 0;
    struct host_component component;
    while (host_next_component(host, &cursor, &component))
        if (slice_eq(component.name, handler->name) &&
            slice_eq_nocase(component.type, handler->type))
            return true;
    return false;
}

/* What is named and not there is passed by, as in the reference: nobody should rely on it. */
static void
warn_of_missing_middleware(const struct runtime *runtime, const struct pipeline *pipeline,
                           const char *name)
{
    for (size_t i = 0; i < pipeline->count; i++)
        if (!has_component(runtime->host, &pipeline->handlers[i]))
            log_warn(
                SCOPE,
                "spec.%s of the Configuration names the middleware '" SLICE_FMT
                "' of type " SLICE_FMT ", but there is no such component: requests pass without it",
                name, SLICE_ARG(pipeline->handlers[i].name), SLICE_ARG(pipeline->handlers[i].type));
}

void
warn_of_idle_settings(const struct runtime *runtime)
{
    warn_of_missing_middleware(runtime, &runtime->settings->http_pipeline, "httpPipeline");
    warn_of_missing_middleware(runtime, &runtime->settings->app_http_pipeline, "appHttpPipeline");
    /* A scope is easily meant for a store of another name. */
    const struct secret_scopes *scopes = &runtime->settings->secret_scopes;
    for (size_t i = 0; i < scopes->count; i++)
        if (!has_secret_store(runtime->host, scopes->items[i].store))
            log_warn(SCOPE,
                     "Secrets configuration added for '" SLICE_FMT
                     "', but no matching secret store was found",
                     SLICE_ARG(scopes->items[i].store));
}

bool
configure(struct runtime *runtime)
{
    struct text_list ignored = { 0 };
    struct configuration configuration;
    struct diag diag;
    diag_init(&diag, &runtime->arena);
    struct settings *settings = read_files(runtime, &configuration, &ignored, &diag);
    if (settings == NULL) {
        log_fatal(SCOPE, "Fatal error from runtime: " SLICE_FMT, SLICE_ARG(diag.message));
        return false;
    }
    if (runtime->options.config.count == 0)
        log_info(SCOPE, "loading default configuration");
    put_in_force(runtime, settings, &configuration, &ignored);
    runtime->serves_metrics = settings->metrics != NULL;
    return true;
}

/* --- changes -----------------------------------------------------------------------------------*/

static void
stay(struct runtime *runtime, struct slice cause)
{
    log_error(SCOPE, "the changed Configuration is not used, what was in force stays: " SLICE_FMT,
              SLICE_ARG(cause));
    free(runtime->configuration_error);
    runtime->configuration_error = slice_dup_str(cause);
    metrics_record(metrics_series(METRICS_configuration_change, &SLICE("false")), 0);
    admin_on_configuration(runtime->admin, runtime->configuration.name,
                           runtime->configuration_generation, runtime->configuration_error);
}

/* Every worker goes over at its next turn; requests that have passed a rule are not asked again. */
static void
publish(struct runtime *runtime)
{
    bool serves_metrics = runtime->settings->metrics != NULL;
    if (!serves_metrics)
        servers_set_metrics(runtime, false);
    for (unsigned i = 0; i < runtime->worker_count; i++)
        settings_publish(runtime->settings, &runtime->workers[i].kernel_worker);
    if (serves_metrics)
        servers_set_metrics(runtime, true);
}

void
settings_replace(struct runtime *runtime, struct settings *settings)
{
    struct settings *old = runtime->settings;
    runtime->settings = settings;
    for (unsigned i = 0; i < runtime->worker_count; i++)
        settings_publish(settings, &runtime->workers[i].kernel_worker);
    settings_unref(old); /* and in its time by each worker */
}

bool
hot_reload_is_on(const struct configuration *configuration)
{
    return !feature_is_off(&configuration->features, SLICE("HotReload"));
}

void
configure_again(struct runtime *runtime, bool is_asked)
{
    struct arena scratch;
    struct text_list ignored = { 0 };
    struct configuration configuration;
    struct diag diag;
    if (runtime->options.config.count == 0)
        return;
    arena_init(&scratch);
    diag_init(&diag, &scratch);
    struct settings *settings = read_files(runtime, &configuration, &ignored, &diag);
    if (settings == NULL) {
        stay(runtime, diag.message);
    } else if (!is_asked && text_list_eq(&configuration.sources, &runtime->configuration.sources)) {
        free(TAKE(runtime->configuration_error)); /* a change was taken back */
        settings_unref(settings);
    } else {
        bool is_same_resolver = name_resolution_is_same(&configuration.names,
                                                        &runtime->configuration.names);
        bool is_same_denial = text_list_eq(&configuration.denied_components,
                                           &runtime->configuration.denied_components);
        bool was_hot = hot_reload_is_on(&runtime->configuration);
        if (!is_asked)
            reload_log_event("Configuration", "UPDATED", configuration.name);
        put_in_force(runtime, settings, &configuration, &ignored);
        publish(runtime);
        if (!is_same_resolver || !is_same_denial)
            reload_resources(&runtime->reload);
        warn_of_idle_settings(runtime);
        metrics_record(metrics_series(METRICS_configuration_change, &SLICE("true")), 0);
        admin_on_configuration(runtime->admin, configuration.name,
                               runtime->configuration_generation, NULL);
        if (was_hot != hot_reload_is_on(&configuration))
            reload_switch(&runtime->reload);
    }
    arena_fini(&scratch);
}
