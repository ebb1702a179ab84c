/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process counts and says of itself: settings of metrics and of the log of calls, a shard
 * of counters for every thread, and samples of what nobody counts.
 */
#include "main/observe.h"

#include <stdio.h>
#include <string.h>

#include "async/remote.h"
#include "base/log.h"
#include "main/runtime.h"
#include "resiliency/policy.h"

#define SCOPE "dapr.runtime.diagnostics"

/* --- settings ----------------------------------------------------------------------------------*/

static void
log_buckets(const struct metrics_settings *settings)
{
    struct buf text;
    buf_init(&text, 4096);
    bool fits = true;
    for (size_t i = 0; i < settings->bucket_count; i++)
        fits = fits && buf_printf(&text, "%s%llu", i == 0 ? "" : " ",
                                  (unsigned long long)settings->buckets[i]);
    if (settings->bucket_count == 0)
        log_info(SCOPE,
                 "Using default latency distribution buckets: [1 2 3 4 5 6 8 10 13 16 20 25 30 "
                 "40 50 65 80 100 130 160 200 250 300 400 500 650 800 1000 2000 5000 10000 "
                 "20000 50000 100000]");
    else if (fits)
        log_info(SCOPE, "Using custom latency distribution buckets: [" SLICE_FMT "]",
                 SLICE_ARG(buf_slice(&text)));
    buf_fini(&text);
}

/* Hot reload is a feature that has to be turned off. */
static void
list_features(struct settings *settings, const struct feature_settings *features)
{
    struct text_list *list = &settings->enabled_features;
    if (!feature_is_off(features, SLICE("HotReload")))
        text_list_add(&settings->arena, list, SLICE("HotReload"));
    for (size_t i = 0; i < features->enabled.count; i++)
        if (!slice_eq(features->enabled.items[i], SLICE("HotReload")))
            text_list_add(&settings->arena, list, features->enabled.items[i]);
}

static void
log_features(const struct text_list *features)
{
    struct buf text;
    buf_init(&text, 4096);
    bool fits = true;
    for (size_t i = 0; i < features->count && fits; i++)
        fits = buf_printf(&text, "%s" SLICE_FMT, text.len == 0 ? "" : " ",
                          SLICE_ARG(features->items[i]));
    if (text.len > 0)
        log_info("dapr.runtime", "Enabled features: " SLICE_FMT, SLICE_ARG(buf_slice(&text)));
    buf_fini(&text);
}

static bool
same_buckets(const struct settings *settings, const struct metrics_settings *spec)
{
    return settings != NULL && settings->metrics != NULL &&
           settings->bucket_count == spec->bucket_count &&
           (spec->bucket_count == 0 || memcmp(settings->buckets, spec->buckets,
                                              spec->bucket_count * sizeof *spec->buckets) == 0);
}

/* Counters live on unless they would have other buckets. */
static void
set_metrics(struct runtime *runtime, const struct metrics_settings *spec, struct settings *settings)
{
    const struct settings *present = runtime->settings;
    log_buckets(spec);
    uint64_t *buckets = ARENA_ARRAY(&settings->arena, uint64_t, LATENCY_BUCKETS_MAX);
    memcpy(buckets, spec->buckets, sizeof spec->buckets);
    settings->buckets = buckets;
    settings->bucket_count = spec->bucket_count;
    if (same_buckets(present, spec)) {
        settings->metrics = metrics_ref(present->metrics);
        return;
    }
    settings->metrics = metrics_new(&(struct metrics_config){
        .app_id = runtime->kernel.app_id,
        .shard_count = (unsigned)runtime->options.worker_count + 1, /* and this thread's */
        .latency_ms = spec->bucket_count == 0 ? NULL : spec->buckets,
        .latency_count = spec->bucket_count,
    });
}

void
observe_setup(struct runtime *runtime, const struct configuration *configuration,
              struct settings *settings)
{
    const struct options *options = &runtime->options;
    const struct metrics_settings *spec = &configuration->metrics;
    settings->api_log = configuration->api_log;
    if (options->given[FLAG_enable_api_logging])
        settings->api_log.is_enabled = options->enable_api_logging;
    list_features(settings, &configuration->features);
    log_features(&settings->enabled_features);
    bool is_on = options->enable_metrics && !spec->is_off;
    log_info(SCOPE, "metric spec: {\"enabled\":%s}", is_on ? "true" : "false");
    if (!is_on)
        return;
    set_metrics(runtime, spec, settings);
    settings->records_error_codes = spec->records_error_codes;
    settings->path_rules.is_low = spec->has_cardinality && !spec->has_increased_cardinality;
    settings->path_rules.excludes_verbs = spec->excludes_verbs;
    path_rules_init(&settings->path_rules, &settings->arena, spec->templates.items,
                    spec->templates.count);
}

/* Worker. */
static void
on_attach(struct mail *mail)
{
    struct runtime_worker *worker = container_of(mail, struct runtime_worker, attach_mail);
    metrics_attach(worker->kernel_worker.settings->metrics, worker->kernel_worker.worker.index);
}

void
observe_worker(struct runtime_worker *worker)
{
    worker_post(&worker->kernel_worker.worker, &worker->attach_mail, on_attach);
}

/* --- samples -----------------------------------------------------------------------------------*/

struct sampling {
    struct runtime_worker *worker;
    struct metric_samples *samples; /* its owner sleeps meanwhile */
};

/* What may still be sent to each component's plugin, told by the worker that has the link. */
static void
sample_credit(const struct kernel_worker *worker, struct metric_samples *samples)
{
    size_t cursor = 0;
    struct slice name;
    void *value;
    while (map_next(&worker->components.by_name, &cursor, &name, &value)) {
        const struct component *component = value;
        if (component->link != NULL && component->link->worker == &worker->worker)
            metric_samples_add(samples, FAMILY_remora_link_credit_bytes,
                               arena_dup(samples->arena, name),
                               (double)component->link->credit.free);
    }
}

static err_t
sample_worker(struct task *t, void *arg)
{
    const struct sampling *sampling = arg;
    struct metric_samples *samples = sampling->samples;
    const struct runtime_worker *here = sampling->worker;
    const struct task_pool *tasks = &here->kernel_worker.worker.tasks;
    struct slice index = arena_printf(samples->arena, "%u", task_worker(t)->index);
    size_t connections = 0;
    for (size_t i = 0; i < here->server_count; i++)
        connections += h1_server_connections(here->servers[i]);
    metric_samples_add(samples, FAMILY_remora_http_connections, index, (double)connections);
    metric_samples_add(samples, FAMILY_remora_tasks, index, (double)tasks->count);
    metric_samples_add(samples, FAMILY_remora_tasks_high_water, index, (double)tasks->count_max);
    metric_samples_add(samples, FAMILY_remora_task_stacks_pooled, index,
                       (double)tasks->spare_count);
    sample_credit(&here->kernel_worker, samples);
    return OK;
}

/* A line for each state, with 1 for the present one. */
static void
sample_breaker(void *arg, const struct breaker_report *report)
{
    struct metric_samples *samples = arg;
    const struct breaker_owner *owner = &report->owner;
    for (enum breaker_state state = 0; state <= BREAKER_STATES; state++) {
        const struct slice labels[METRIC_LABELS_MAX] = {
            owner->is_inbound ? SLICE("inbound") : SLICE("outbound"),
            arena_dup(samples->arena, owner->document),
            arena_dup(samples->arena, owner->namespace_),
            SLICE("circuitbreaker"),
            state == BREAKER_STATES ? SLICE("unknown") : slice_str(breaker_state_name(state)),
            arena_dup(samples->arena, owner->target),
        };
        metric_samples_add_all(samples, FAMILY_dapr_resiliency_cb_state, labels,
                               state == report->state);
    }
}

void
observe_sample(struct request *rq, struct metric_samples *samples)
{
    struct runtime *runtime = container_of(rq->kernel, struct runtime, kernel);
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        struct worker *worker = &runtime->workers[i].kernel_worker.worker;
        struct sampling sampling = { .worker = &runtime->workers[i], .samples = samples };
        if (worker == task_worker(rq->task))
            (void)sample_worker(rq->task, &sampling); /* cannot fail */
        else if (remote_run(rq->task, worker, "metrics", sample_worker, &sampling) != OK)
            log_debug(SCOPE, "worker %u has no task to spare, its samples are left out", i);
    }
    resiliency_each_breaker(settings_of(rq->task)->resiliency, sample_breaker, samples);
}

/* --- plugins and components --------------------------------------------------------------------*/

void
observe_plugin(const struct plugin *plugin, enum plugin_state from)
{
    struct slice name = slice_str(plugin_name(plugin));
    if (plugin_state(plugin) == PLUGIN_READY)
        metrics_record(metrics_series(METRICS_plugin_generation, &name), 0);
    else if (plugin_state(plugin) == PLUGIN_STARTING && from == PLUGIN_FAILED)
        metrics_record(metrics_series(METRICS_plugin, &name), 0);
}

void
observe_component(const struct host_component *component)
{
    struct slice failure[] = { component->type, component->name, SLICE("init") };
    if (slice_has_prefix(component->type, SLICE("nameresolution."))) {
        failure[1] = slice_from(component->type, sizeof "nameresolution." - 1);
        failure[0] = SLICE("nameResolution"); /* as the reference counts it, failures only */
    }
    if (component->is_ready && slice_eq(failure[0], component->type))
        metrics_record(metrics_series(METRICS_component_init, &component->type), 0);
    else if (!component->is_ready && component->error.len > 0)
        metrics_record(metrics_series(METRICS_component_init_fail, failure), 0);
}
