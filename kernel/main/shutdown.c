/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of the process: tells ending.c what has happened and does what it decides. Requests in
 * flight are answered first, then components and plugins end, then workers. Past the grace period
 * what is left is cut and the exit code says so.
 */
#include <stdlib.h>
#include <unistd.h>

#include "api/binding_reader.h"
#include "api/configuration_watch.h"
#include "api/subscriber.h"
#include "api/topic_stream.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/duration.h"
#include "main/runtime.h"

#define SCOPE "dapr.runtime"

enum { DRAIN_POLL_MS = 5 };

static void tell(struct runtime *runtime, enum ending_event event);

/* --- the last steps ----------------------------------------------------------------------------*/

/* Plugins die with us; a destructor could only wait for what did not end. Files would stay. */
__attribute__((noreturn)) static void
cut(struct runtime *runtime)
{
    servers_unlink(runtime);
    if (runtime->has_rundir)
        rundir_close(&runtime->rundir);
    _exit(1);
}

static void
on_host_stopped(void *arg)
{
    log_info(SCOPE, "Dapr runtime stopped");
    tell(arg, ENDING_CLOSED);
}

static void
close_host(struct runtime *runtime)
{
    log_info(SCOPE, "Dapr is shutting down");
    app_port_stop(runtime);
    reload_stop(&runtime->reload);
    host_stop(runtime->host, ending_close_ms(&runtime->ending, clock_now_ms()), on_host_stopped,
              runtime);
}

/* --- draining requests -------------------------------------------------------------------------*/

/* Main thread. */
static void
on_drained(struct mail *mail)
{
    struct runtime *runtime = container_of(mail, struct runtime_worker, drained_mail)->runtime;
    if (--runtime->workers_draining == 0)
        tell(runtime, ENDING_DRAINED);
}

/* Worker. */
static void
check_drained(struct timer *timer)
{
    struct runtime_worker *worker = container_of(timer, struct runtime_worker, drain_timer);
    size_t open = 0;
    for (size_t i = 0; i < worker->server_count; i++)
        open += h1_server_connections(worker->servers[i]);
    const struct kernel *kernel = worker->kernel_worker.kernel;
    bool is_first = worker == worker->runtime->workers;
    if (open == 0 && (!is_first || (subscriber_is_at_rest(kernel->subscriber) &&
                                    binding_reader_is_at_rest(kernel->binding_reader))))
        mailbox_post(&worker->runtime->control, &worker->drained_mail, on_drained);
    else
        timer_set(&worker->kernel_worker.worker.timers, timer, clock_now_ms() + DRAIN_POLL_MS);
}

/* Worker. */
static void
on_drain(struct mail *mail)
{
    struct runtime_worker *worker = container_of(mail, struct runtime_worker, drain_mail);
    component_table_started(&worker->kernel_worker.components); /* as far as they ever will */
    for (size_t i = 0; i < worker->server_count; i++)
        h1_server_drain(worker->servers[i]);
    timer_init(&worker->drain_timer, check_drained);
    check_drained(&worker->drain_timer);
}

static void
drain(struct runtime *runtime)
{
    struct kernel *kernel = &runtime->kernel;
    app_port_stop(runtime);
    atomic_store_explicit(&kernel->is_ready, false, memory_order_relaxed);
    atomic_store_explicit(&kernel->is_outbound_ready, false, memory_order_relaxed);
    atomic_store_explicit(&kernel->is_ending, true, memory_order_relaxed);
    for (size_t i = 0; i < runtime->server_names.count; i++)
        log_info("dapr.runtime.http", "Closing HTTP server " SLICE_FMT "…",
                 SLICE_ARG(runtime->server_names.items[i]));
    subscriber_stop(kernel->subscriber);
    binding_reader_stop(kernel->binding_reader);
    topic_streams_nudge();
    configuration_watches_nudge();
    runtime->workers_draining = runtime->worker_count;
    for (unsigned i = 0; i < runtime->worker_count; i++)
        worker_post(&runtime->workers[i].kernel_worker.worker, &runtime->workers[i].drain_mail,
                    on_drain);
}

/* --- what has happened -------------------------------------------------------------------------*/

static void
log_blocking(const struct runtime *runtime)
{
    char text[DURATION_TEXT_BYTES];
    struct slice duration = duration_print((int64_t)runtime->ending.block_ms * DURATION_MS_NS,
                                           text);
    log_info(SCOPE,
             "Blocking graceful shutdown for " SLICE_FMT " or until app reports unhealthy...",
             SLICE_ARG(duration));
}

static void
on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    tell(timer->data, ENDING_TIME);
}

static void
arm(struct runtime *runtime)
{
    uint64_t deadline_ms = runtime->ending.deadline_ms, now_ms = clock_now_ms();
    ev_timer_stop(runtime->loop, &runtime->ending_timer);
    if (deadline_ms == UINT64_MAX)
        return;
    ev_now_update(runtime->loop);
    ev_timer_init(&runtime->ending_timer, on_time,
                  deadline_ms > now_ms ? (double)(deadline_ms - now_ms) / 1000.0 : 0., 0.);
    runtime->ending_timer.data = runtime;
    ev_timer_start(runtime->loop, &runtime->ending_timer);
}

static void
tell(struct runtime *runtime, enum ending_event event)
{
    struct ending_step step = ending_on(&runtime->ending, event, clock_now_ms());
    if (step.words != NULL)
        LOG_AT(step.act == ACT_CUT ? LOG_FATAL : LOG_INFO, SCOPE, "%s", step.words);
    arm(runtime);
    if (!runtime->is_serving && step.act != ACT_NOTHING && step.act != ACT_CUT)
        return; /* the start sees that it is not wanted any more */
    switch (step.act) {
    case ACT_NOTHING:
        break;
    case ACT_BLOCK:
        log_blocking(runtime);
        subscriber_stop(runtime->kernel.subscriber);
        binding_reader_stop(runtime->kernel.binding_reader);
        if (!app_is_healthy(runtime->app))
            shutdown_app_unhealthy(runtime);
        break;
    case ACT_DRAIN:
        drain(runtime);
        break;
    case ACT_CLOSE:
        close_host(runtime);
        break;
    case ACT_LEAVE:
        ev_break(runtime->loop, EVBREAK_ALL);
        break;
    case ACT_CUT:
        cut(runtime);
    }
}

void
shutdown_signal(struct runtime *runtime, const char *name)
{
    if (runtime->ending.signal_count > 0)
        log_fatal("dapr.signals", "Received signal '%s' during shutdown; exiting immediately",
                  name);
    else
        log_info("dapr.signals", "Received signal '%s'; beginning shutdown", name);
    tell(runtime, ENDING_SIGNAL);
}

void
shutdown_app_unhealthy(struct runtime *runtime)
{
    tell(runtime, ENDING_APP_UNHEALTHY);
}

struct shutdown_mail {
    struct mail mail;
    struct runtime *runtime;
    bool force;
};

static void
on_shutdown_mail(struct mail *mail)
{
    struct shutdown_mail *request = container_of(mail, struct shutdown_mail, mail);
    struct runtime *runtime = request->runtime;
    bool force = request->force;
    free(request);
    if (!force)
        log_info(SCOPE, "Shutdown requested via API");
    tell(runtime, force ? ENDING_FORCED : ENDING_ASKED);
}

void
shutdown_request(struct kernel *kernel, bool force)
{
    struct runtime *runtime = container_of(kernel, struct runtime, kernel);
    struct shutdown_mail *request = malloc(sizeof *request);
    if (request == NULL)
        abort();
    *request = (struct shutdown_mail){ .runtime = runtime, .force = force };
    mailbox_post(&runtime->control, &request->mail, on_shutdown_mail);
}

void
shutdown_fatal(struct runtime *runtime, struct slice message)
{
    if (runtime->fatal_message.len == 0)
        runtime->fatal_message = arena_dup(&runtime->arena, message);
    tell(runtime, ENDING_FATAL);
}
