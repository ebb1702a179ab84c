/* SPDX-License-Identifier: Apache-2.0 */
/* Both connections as one; see control.h. */
#include "control/control.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/limits.h"
#include "control/placement.h"
#include "control/scheduler.h"

enum { ADDRESS_BYTES_MAX = 320 };

struct control {
    struct control_config config;
    struct scheduler scheduler; /* the worker's, as the next two */
    struct placement placement;
    bool is_started;
    unsigned stopping;
    /* What others are told. */
    pthread_mutex_t lock;
    struct buf connected; /* addresses, a line feed behind each */
    bool is_placed;
    bool is_ready;
};

/* Hosts in the order of the service's answer. */
static void
tell(struct control *control)
{
    struct list *hosts = &control->scheduler.hosts, *node;
    bool fits = true; /* what does not is not shown: so many there are not */
    (void)pthread_mutex_lock(&control->lock); /* a plain mutex does not fail */
    buf_clear(&control->connected);
    for (node = hosts->next; node != hosts && fits; node = node->next) {
        const struct scheduler_host *host = LIST_ENTRY(node, struct scheduler_host, link);
        if (host->is_connected && !host->line.is_stopping)
            fits = buf_append(&control->connected, host->address) &&
                   buf_append_byte(&control->connected, '\n');
    }
    control->is_placed = control->placement.is_connected;
    (void)pthread_mutex_unlock(&control->lock);
}

static void
look(struct control *control)
{
    const struct control_config *config = &control->config;
    bool was_ready = control->is_ready; /* which is written here only */
    tell(control);
    bool is_ready = (config->scheduler_count == 0 || control->scheduler.has_hosts) &&
                    (config->placement_count == 0 || control->placement.is_connected);
    if (was_ready || !is_ready)
        return;
    (void)pthread_mutex_lock(&control->lock); /* a plain mutex does not fail */
    control->is_ready = true;
    (void)pthread_mutex_unlock(&control->lock);
    if (config->on_ready != NULL)
        config->on_ready(config->arg);
}

static void
on_scheduler(struct scheduler *scheduler)
{
    look(container_of(scheduler, struct control, scheduler));
}

static void
on_placement(struct placement *placement)
{
    look(container_of(placement, struct control, placement));
}

static void
one_less(struct control *control)
{
    if (--control->stopping == 0 && control->config.on_stopped != NULL)
        control->config.on_stopped(control->config.arg);
}

static void
on_scheduler_stopped(struct scheduler *scheduler)
{
    one_less(container_of(scheduler, struct control, scheduler));
}

static void
on_placement_stopped(struct placement *placement)
{
    one_less(container_of(placement, struct control, placement));
}

struct control *
control_new(const struct control_config *config)
{
    struct control *control = calloc(1, sizeof *control);
    if (control == NULL)
        abort();
    control->config = *config;
    control->scheduler.on_change = on_scheduler;
    control->scheduler.on_stopped = on_scheduler_stopped;
    control->placement.on_change = on_placement;
    control->placement.on_stopped = on_placement_stopped;
    list_init(&control->scheduler.hosts);
    (void)pthread_mutex_init(&control->lock, NULL); /* a plain mutex needs no resources */
    buf_init(&control->connected, (size_t)LIMIT_scheduler_hosts_max * ADDRESS_BYTES_MAX);
    control->is_ready = config->scheduler_count == 0 && config->placement_count == 0;
    return control;
}

void
control_free(struct control *control)
{
    if (control == NULL)
        return;
    buf_fini(&control->connected);
    (void)pthread_mutex_destroy(&control->lock); /* nobody holds it any more */
    free(control);
}

void
control_start(struct control *control)
{
    control->is_started = true;
    placement_start(&control->placement, &control->config);
    scheduler_start(&control->scheduler, &control->config);
}

void
control_stop(struct control *control)
{
    if (!control->is_started)
        return;
    control->is_started = false;
    control->stopping = 2;
    placement_stop(&control->placement);
    scheduler_stop(&control->scheduler);
}

struct control_status
control_status(struct control *control, struct arena *arena)
{
    struct control_status status = { 0 };
    if (control == NULL)
        return status;
    status.has_scheduler = control->config.scheduler_count > 0;
    status.has_placement = control->config.placement_count > 0;
    (void)pthread_mutex_lock(&control->lock); /* a plain mutex does not fail */
    struct slice rest = arena_dup(arena, buf_slice(&control->connected)), address;
    status.is_placed = control->is_placed;
    (void)pthread_mutex_unlock(&control->lock);
    status.connected = ARENA_ARRAY(arena, struct slice, LIMIT_scheduler_hosts_max);
    while (slice_split(&rest, '\n', &address))
        if (address.len > 0 && status.connected_count < LIMIT_scheduler_hosts_max)
            status.connected[status.connected_count++] = address;
    return status;
}

bool
control_is_ready(struct control *control)
{
    if (control == NULL)
        return true;
    (void)pthread_mutex_lock(&control->lock); /* a plain mutex does not fail */
    bool is_ready = control->is_ready;
    (void)pthread_mutex_unlock(&control->lock);
    return is_ready;
}
