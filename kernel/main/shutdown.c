/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of the process, step by step: perhaps work on for a while
 * (--dapr-block-shutdown-duration), let requests in flight finish, end the plugins, end the
 * workers. Past the grace period what is left is cut and the exit code says so.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/duration.h"
#include "main/runtime.h"

#define SCOPE "dapr.runtime"

enum { DRAIN_POLL_MS = 5, PLUGINS_MS = 2000, FATAL_PLUGINS_MS = 500 };

static void
set_stage(struct runtime *runtime, enum stage stage)
{
    runtime->stage = stage;
}

/* --- the last steps ----------------------------------------------------------------------------*/

static void
on_plugins_stopped(void *arg)
{
    struct runtime *runtime = arg;
    set_stage(runtime, STAGE_ENDED);
    ev_break(runtime->loop, EVBREAK_ALL);
}

static void
stop_plugins(struct runtime *runtime, uint32_t deadline_ms)
{
    set_stage(runtime, STAGE_PLUGINS);
    reload_stop(&runtime->reload);
    host_stop(runtime->host, deadline_ms, on_plugins_stopped, runtime);
}

/* --- draining requests -------------------------------------------------------------------------*/

/* Main thread. */
static void
on_drained(struct mail *mail)
{
    struct runtime *runtime = container_of(mail, struct runtime_worker, drained_mail)->runtime;
    if (--runtime->workers_draining == 0 && runtime->stage == STAGE_DRAINING)
        stop_plugins(runtime, PLUGINS_MS);
}

/* Worker. */
static void
check_drained(struct timer *timer)
{
    struct runtime_worker *worker = container_of(timer, struct runtime_worker, drain_timer);
    size_t open = 0;
    for (size_t i = 0; i < worker->server_count; i++)
        open += h1_server_connections(worker->servers[i]);
    if (open == 0)
        mailbox_post(&worker->runtime->control, &worker->drained_mail, on_drained);
    else
        timer_set(&worker->kernel_worker.worker.timers, timer, clock_now_ms() + DRAIN_POLL_MS);
}

/* Worker. */
static void
on_drain(struct mail *mail)
{
    struct runtime_worker *worker = container_of(mail, struct runtime_worker, drain_mail);
    for (size_t i = 0; i < worker->server_count; i++)
        h1_server_drain(worker->servers[i]);
    timer_init(&worker->drain_timer, check_drained);
    check_drained(&worker->drain_timer);
}

static void
drain(struct runtime *runtime)
{
    set_stage(runtime, STAGE_DRAINING);
    atomic_store_explicit(&runtime->kernel.is_ready, false, memory_order_relaxed);
    log_info("dapr.runtime.http", "Closing HTTP server on port %u", runtime->options.http_port);
    runtime->workers_draining = runtime->worker_count;
    for (unsigned i = 0; i < runtime->worker_count; i++)
        worker_post(&runtime->workers[i].kernel_worker.worker, &runtime->workers[i].drain_mail,
                    on_drain);
}

static void
on_grace_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
    log_fatal(SCOPE, "Graceful shutdown timeout exceeded, forcing shutdown");
    _exit(1); /* plugins die with us; a destructor could only wait for what did not end */
}

static void
begin_draining(struct runtime *runtime)
{
    ev_timer_init(&runtime->grace_timer, on_grace_over, runtime->options.grace_ms / 1000.0, 0.);
    ev_timer_start(runtime->loop, &runtime->grace_timer);
    drain(runtime);
}

static void
on_block_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    log_info(SCOPE, "Block shutdown period expired, entering shutdown...");
    begin_draining(timer->data);
}

void
shutdown_begin(struct runtime *runtime)
{
    if (runtime->stage > STAGE_RUNNING)
        return;
    if (runtime->options.block_shutdown_ms == 0 || runtime->stage == STAGE_STARTING) {
        begin_draining(runtime);
        return;
    }
    char text[DURATION_TEXT_BYTES];
    struct slice duration = duration_print(
        (int64_t)runtime->options.block_shutdown_ms * DURATION_MS_NS, text);
    log_info(SCOPE,
             "Blocking graceful shutdown for " SLICE_FMT " or until app reports unhealthy...",
             SLICE_ARG(duration));
    set_stage(runtime, STAGE_BLOCKING);
    ev_timer_init(&runtime->block_timer, on_block_over, runtime->options.block_shutdown_ms / 1000.0,
                  0.);
    runtime->block_timer.data = runtime;
    ev_timer_start(runtime->loop, &runtime->block_timer);
}

void
shutdown_fatal(struct runtime *runtime)
{
    runtime->exit_code = 1;
    if (runtime->stage < STAGE_PLUGINS)
        stop_plugins(runtime, FATAL_PLUGINS_MS);
}
