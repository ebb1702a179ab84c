/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPEndpoint documents: read with the other resources, and again when these or the secrets of a
 * store may have changed. What has changed takes effect in place; calls under way end as they
 * began. Main thread.
 */
#include "api/endpoint.h"
#include "base/log.h"
#include "main/runtime.h"

#define SCOPE "dapr.runtime"

static void
log_events(const struct endpoints *old, const struct endpoints *next)
{
    for (size_t i = 0; i < endpoints_count(next); i++) {
        struct slice name = endpoints_name(next, i);
        const struct endpoint *before = endpoints_get(old, name);
        if (before == NULL)
            reload_log_event("HTTPEndpoint", "CREATED", name);
        else if (before != endpoints_get(next, name))
            reload_log_event("HTTPEndpoint", "UPDATED", name);
    }
    for (size_t i = 0; i < endpoints_count(old); i++)
        if (endpoints_get(next, endpoints_name(old, i)) == NULL)
            reload_log_event("HTTPEndpoint", "DELETED", endpoints_name(old, i));
}

/* Takes the reference. Before the workers start the settings are still ours alone. */
static void
put_in_force(struct runtime *runtime, struct endpoints *endpoints, bool is_reload)
{
    struct settings *settings = is_reload ? settings_derive(runtime->settings) : runtime->settings;
    endpoints_unref(settings->endpoints);
    settings->endpoints = endpoints;
    if (is_reload)
        settings_replace(runtime, settings);
}

err_t
endpoints_take(struct runtime *runtime, struct arena *scratch, struct resources *resources,
               const struct resource_filter *filter, bool is_reload, struct diag *diag)
{
    const struct http_endpoint_context context = { .env_keys = runtime->options.env_keys,
                                                   .env = env_of_process() };
    struct http_endpoint_list list = { 0 };
    err_t err = http_endpoints_read(scratch, scratch, resources, filter, &context, &list, diag);
    if (err != OK)
        return err;
    struct endpoints *old = runtime->settings->endpoints;
    struct endpoints *next = endpoints_next(old, &list, resources->first_broken.len > 0);
    if (next == NULL)
        return OK;
    if (is_reload)
        log_events(old, next);
    for (size_t i = 0; !is_reload && i < endpoints_count(next); i++)
        log_info(SCOPE, "Found http endpoint: " SLICE_FMT, SLICE_ARG(endpoints_name(next, i)));
    put_in_force(runtime, next, is_reload);
    return OK;
}

void
endpoints_rotated(struct runtime *runtime, struct slice store, bool is_routine)
{
    struct endpoints *next = endpoints_renewed(runtime->settings->endpoints, store);
    if (next == NULL)
        return;
    if (!is_routine) /* which comes every so often */
        log_info(SCOPE,
                 "The secrets of " SLICE_FMT
                 " may have changed: HTTP endpoints that use them ask again",
                 SLICE_ARG(store));
    put_in_force(runtime, next, true);
}
