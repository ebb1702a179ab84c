/* SPDX-License-Identifier: Apache-2.0 */
/* Scheduler and placement of Dapr's control plane; see control_plane.h. */
#include "main/control_plane.h"

#include <stdlib.h>

#include "base/log.h"
#include "control/control.h"
#include "control/line.h"
#include "main/runtime.h"
#include "peer/identity.h"

enum { NS_PER_MS = 1000000, IP_TEXT_BYTES = 64 };

struct control_plane {
    struct runtime *runtime;
    void (*on_ready)(struct runtime *runtime);
    struct control_config config;
    struct mail start_mail, ready_mail, stop_mail; /* to worker 0, from it, to it */
    bool was_started;
};

/* Worker 0: what its own connections use. */
static struct tls_context *
tls_of_worker(void *arg)
{
    const struct control_plane *plane = arg;
    const struct identity *identity = plane->runtime->workers[0].kernel_worker.identity;
    return identity == NULL ? NULL : identity->client;
}

/* Main thread. */
static void
on_ready_mail(struct mail *mail)
{
    struct control_plane *plane = container_of(mail, struct control_plane, ready_mail);
    plane->on_ready(plane->runtime);
}

/* Worker 0. */
static void
on_ready(void *arg)
{
    struct control_plane *plane = arg;
    mailbox_post(&plane->runtime->control, &plane->ready_mail, on_ready_mail);
}

/* --- what the options say ----------------------------------------------------------------------*/

/* Some deployments give an empty address in quotes where there is none. */
static void
add_address(struct arena *arena, struct text_list *list, struct slice text)
{
    const char quotes[] = "\"' ";
    while (text.len > 0 && strchr(quotes, text.data[0]) != NULL)
        text = slice_from(text, 1);
    while (text.len > 0 && strchr(quotes, text.data[text.len - 1]) != NULL)
        text.len--;
    if (text.len > 0)
        text_list_add(arena, list, text);
}

static bool
check(const struct text_list *list, const char *service)
{
    for (size_t i = 0; i < list->count; i++) {
        if (line_address_is_valid(list->items[i]))
            continue;
        log_fatal("dapr.runtime",
                  "Fatal error from runtime: address " SLICE_FMT " of the %s service is not of the "
                  "form host:port",
                  SLICE_ARG(list->items[i]), service);
        return false;
    }
    return true;
}

static struct slice
service_id(struct runtime *runtime, const char *service)
{
    const struct options *options = &runtime->options;
    return arena_printf(&runtime->arena, "spiffe://" SLICE_FMT "/ns/" SLICE_FMT "/%s",
                        SLICE_ARG(options->control_plane_trust_domain),
                        SLICE_ARG(options->control_plane_namespace), service);
}

static struct slice
host_name(struct runtime *runtime)
{
    struct slice host = runtime->kernel.host_address;
    bool has_colon = slice_find_byte(host, ':') >= 0;
    return arena_printf(&runtime->arena, has_colon ? "[" SLICE_FMT "]:%u" : SLICE_FMT ":%u",
                        SLICE_ARG(host), runtime->internal_port);
}

/* The newer flag names a kind in front, of which there is one. */
static struct slice
placement_addresses(const struct options *options)
{
    const struct slice kind = SLICE("placement:");
    if (options->placement_host_address.len > 0)
        return options->placement_host_address;
    return slice_has_prefix(options->actors_service, kind)
               ? slice_from(options->actors_service, kind.len)
               : SLICE_EMPTY;
}

bool
control_plane_init(struct runtime *runtime)
{
    const struct options *options = &runtime->options;
    struct text_list schedulers = { 0 }, placements = { 0 };
    struct slice rest = placement_addresses(options), part;
    for (size_t i = 0; i < options->scheduler_host_address.count; i++)
        add_address(&runtime->arena, &schedulers, options->scheduler_host_address.items[i]);
    while (slice_split(&rest, ',', &part))
        add_address(&runtime->arena, &placements, part);
    if (!check(&schedulers, "scheduler") || !check(&placements, "placement"))
        return false;
    struct control_plane *plane = calloc(1, sizeof *plane);
    if (plane == NULL)
        abort();
    plane->runtime = runtime;
    plane->config = (struct control_config){
        .worker = &runtime->workers[0].kernel_worker.worker,
        .app_id = options->app_id,
        .namespace_ = options->namespace_name.len > 0 ? options->namespace_name : SLICE("default"),
        .host_name = host_name(runtime),
        .schedulers = schedulers.items,
        .scheduler_count = schedulers.count,
        .placements = placements.items,
        .placement_count = placements.count,
        .scheduler_id = service_id(runtime, "dapr-scheduler"),
        .placement_id = service_id(runtime, "dapr-placement"),
        .round_ms = (uint64_t)options->actors_disseminate_timeout_ns / NS_PER_MS,
        .tls = tls_of_worker,
        .on_ready = on_ready,
        .arg = plane,
    };
    runtime->control_plane = plane;
    runtime->kernel.control = control_new(&plane->config);
    return true;
}

/* --- start and end -----------------------------------------------------------------------------*/

/* Worker 0. */
static void
on_start(struct mail *mail)
{
    struct control_plane *plane = container_of(mail, struct control_plane, start_mail);
    control_start(plane->runtime->kernel.control);
}

void
control_plane_start(struct runtime *runtime, void (*on_ready_fn)(struct runtime *runtime))
{
    struct control_plane *plane = runtime->control_plane;
    plane->on_ready = on_ready_fn;
    plane->was_started = true;
    bool has_nothing = control_is_ready(runtime->kernel.control); /* to wait for */
    worker_post(&runtime->workers[0].kernel_worker.worker, &plane->start_mail, on_start);
    if (has_nothing)
        on_ready_fn(runtime);
}

/* Worker 0. */
static void
on_stop(struct mail *mail)
{
    struct control_plane *plane = container_of(mail, struct control_plane, stop_mail);
    control_stop(plane->runtime->kernel.control);
}

void
control_plane_stop(struct runtime *runtime)
{
    struct control_plane *plane = runtime->control_plane;
    if (plane != NULL && plane->was_started)
        worker_post(&runtime->workers[0].kernel_worker.worker, &plane->stop_mail, on_stop);
}

void
control_plane_free(struct runtime *runtime)
{
    control_free(runtime->kernel.control);
    runtime->kernel.control = NULL;
    free(runtime->control_plane);
}
