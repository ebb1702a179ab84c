/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resiliency documents: read with the other resources, and again when these may have changed. What
 * has changed takes effect in place, and circuit breakers whose policy is still the same keep their
 * state. A document that was in force and cannot be used any more leaves everything as it was. Main
 * thread.
 */
#include <stdlib.h>

#include "base/log.h"
#include "main/runtime.h"
#include "resiliency/policy.h"

#define SCOPE "dapr.runtime"

static const struct resiliency_document *
find(const struct resiliency_config *config, struct slice name)
{
    for (size_t i = 0; i < config->document_count; i++)
        if (slice_eq(config->documents[i].name, name))
            return &config->documents[i];
    return NULL;
}

static bool
is_same(const struct resiliency_document *a, const struct resiliency_document *b)
{
    return slice_eq(a->name, b->name) && slice_eq(a->namespace_, b->namespace_) &&
           slice_eq(a->source, b->source);
}

static bool
is_unchanged(const struct resiliency_config *old, const struct resiliency_config *fresh)
{
    bool same = old->document_count == fresh->document_count &&
                text_list_eq(&old->errors, &fresh->errors);
    for (size_t i = 0; same && i < old->document_count; i++)
        same = is_same(&old->documents[i], &fresh->documents[i]);
    return same;
}

static void
log_events(const struct resiliency_config *old, const struct resiliency_config *fresh)
{
    for (size_t i = 0; i < fresh->document_count; i++) {
        const struct resiliency_document *before = find(old, fresh->documents[i].name);
        if (before == NULL)
            reload_log_event("Resiliency", "CREATED", fresh->documents[i].name);
        else if (!is_same(before, &fresh->documents[i]))
            reload_log_event("Resiliency", "UPDATED", fresh->documents[i].name);
    }
    for (size_t i = 0; i < old->document_count; i++)
        if (find(fresh, old->documents[i].name) == NULL)
            reload_log_event("Resiliency", "DELETED", old->documents[i].name);
}

/* The first complaint about a document that is in force; empty: there is none. */
static struct slice
complaint_of(const struct resiliency_config *old, const struct resiliency_config *fresh)
{
    for (size_t i = 0; i < fresh->errors.count; i++)
        if (find(old, fresh->refused.items[i]) != NULL)
            return fresh->errors.items[i];
    return SLICE_EMPTY;
}

/* True if there is one, which is logged the first time it is seen. */
static bool
must_stay(struct runtime *runtime, const struct resiliency_config *old,
          const struct resiliency_config *fresh)
{
    struct slice complaint = complaint_of(old, fresh);
    if (complaint.len > 0 && !slice_eq(slice_str(runtime->policies_error), complaint))
        log_error(SCOPE, "the changed Resiliency is not used, what was in force stays: " SLICE_FMT,
                  SLICE_ARG(complaint));
    free(TAKE(runtime->policies_error));
    if (complaint.len > 0)
        runtime->policies_error = slice_dup_str(complaint);
    return complaint.len > 0;
}

static void
count_loaded(const struct resiliency_config *config)
{
    for (size_t i = 0; i < config->document_count; i++) {
        const struct slice labels[] = { config->documents[i].name,
                                        config->documents[i].namespace_ };
        metrics_record(metrics_series(METRICS_resiliency_loaded, labels), 0);
    }
}

/* Takes the reference. Before the workers start the settings are still ours alone. */
static void
put_in_force(struct runtime *runtime, struct resiliency *resiliency, bool is_reload)
{
    resiliency_enter_into_force(resiliency);
    count_loaded(resiliency_config(resiliency));
    struct settings *settings = is_reload ? settings_derive(runtime->settings) : runtime->settings;
    resiliency_unref(settings->resiliency);
    settings->resiliency = resiliency;
    if (is_reload)
        settings_replace(runtime, settings);
}

void
policies_take(struct runtime *runtime, const struct resources *resources,
              const struct resource_filter *filter, bool is_reload)
{
    static const struct resiliency_config nothing;
    struct resiliency *old = runtime->settings->resiliency;
    struct resiliency *fresh = resiliency_new(resources, filter, old);
    const struct resiliency_config *before = old == NULL ? &nothing : resiliency_config(old);
    const struct resiliency_config *after = resiliency_config(fresh);
    if (!is_reload)
        log_debug(SCOPE, "Found %zu resiliency configurations in resources path",
                  after->document_count);
    if (must_stay(runtime, before, after) || is_unchanged(before, after)) {
        resiliency_unref(fresh);
        return;
    }
    if (is_reload)
        log_events(before, after);
    put_in_force(runtime, fresh, is_reload);
}
