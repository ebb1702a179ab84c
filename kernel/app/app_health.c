/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probes of the application's health: one task of worker 0 that asks again and again. The
 * application counts as unwell until the first good probe, and again after so many bad ones in a
 * row. The words are the reference's.
 */
#include "app/app_health.h"

#include <stdio.h>

#include "app/app_internal.h"
#include "app/grpc_app.h"
#include "base/clock.h"
#include "base/log.h"
#include "telemetry/metrics.h"

#define SCOPE "dapr.apphealth"

bool
app_is_healthy(const struct app *app)
{
    return !atomic_load_explicit(&app->is_unwell, memory_order_relaxed); /* a fact of its own */
}

void
app_health_listen(struct app *app, struct app_health_listener *listener)
{
    listener->next = app->listeners;
    app->listeners = listener;
}

static void
set_healthy(struct app *app, bool is_healthy)
{
    atomic_store_explicit(&app->is_unwell, !is_healthy, memory_order_relaxed);
    for (struct app_health_listener *l = app->listeners; l != NULL; l = l->next)
        l->on_change(l, is_healthy);
}

bool
app_health_take(struct app *app, bool is_good, struct slice reason)
{
    bool was_healthy = app_is_healthy(app);
    if (is_good) {
        app->failures = 0;
        if (!was_healthy) {
            log_info(SCOPE, "App entered healthy status");
            set_healthy(app, true);
        }
    } else if (was_healthy && ++app->failures >= app->settings.health_threshold) {
        log_warn(SCOPE, "App entered un-healthy status: " SLICE_FMT, SLICE_ARG(reason));
        set_healthy(app, false);
    }
    return app_is_healthy(app);
}

/* --- one probe ---------------------------------------------------------------------------------*/

static void
count(const char *status, uint64_t started_ns)
{
    const struct slice label = slice_str(status);
    metrics_record(metrics_series(METRICS_http_healthprobe, &label), clock_now_ns() - started_ns);
}

/* OK: the status is an answer's. */
static err_t
ask(struct task *t, struct app_channel *channel, int *ret_status)
{
    const struct app_settings *settings = &channel->app->settings;
    struct client_call call;
    const struct http_header token = { SLICE("dapr-api-token"), settings->api_token };
    const struct client_head head = { .method = SLICE("GET"),
                                      .target = settings->health_path,
                                      .headers = &token,
                                      .header_count = settings->api_token.len > 0 ? 1 : 0 };
    struct slice chunk;
    err_t err = client_start(t, app_client(channel), &head, &call); /* suspends */
    if (err == OK)
        err = client_end(t, &call);
    if (err == OK)
        err = client_head(t, &call);
    if (err == OK)
        *ret_status = call.status;
    while (err == OK && client_read(t, &call, &chunk) == OK && chunk.len > 0)
        ; /* for the connection's sake: the status alone counts */
    client_finish(&call);
    return err;
}

static bool
probe_http(struct task *t, struct app_channel *channel, struct slice *ret_reason)
{
    uint64_t started_ns = clock_now_ns();
    int status = 0;
    err_t err = ask(t, channel, &status); /* suspends */
    char text[16];
    (void)snprintf(text, sizeof text, "%d", err == OK ? status : 500); /* fits */
    count(text, started_ns);
    if (err == OK && status >= 200 && status < 300)
        return true;
    if (err == OK)
        *ret_reason = arena_printf(task_arena(t), "Health check failed with status code: %d",
                                   status);
    else if (err == ERR_DEADLINE)
        *ret_reason = SLICE("Network error: context deadline exceeded");
    else
        *ret_reason = arena_printf(task_arena(t), "Network error: " SLICE_FMT,
                                   SLICE_ARG(task_diag(t)->message));
    return false;
}

static bool
probe(struct task *t, struct app_channel *channel, struct slice *ret_reason)
{
    if (!app_is_grpc(channel->app->settings.protocol))
        return probe_http(t, channel, ret_reason);
    if (app_grpc_probe(t, channel) == OK) /* suspends */
        return true;
    struct slice why = task_diag(t)->message;
    *ret_reason = why.len > 0 ? why : SLICE("gRPC health check failed");
    return false;
}

/* --- again and again ---------------------------------------------------------------------------*/

struct round {
    struct app_channel *channel;
    struct wait *wait; /* of the prober */
};

/* Each probe is a task of its own, so that what it allocates goes with it. */
static void
round_main(struct task *t, void *arg)
{
    const struct round *round = arg;
    struct app *app = round->channel->app;
    struct slice reason = SLICE("timeout");
    (void)task_deadline_push(t, app->settings.health_timeout_ms);
    bool is_good = probe(t, round->channel, &reason); /* suspends */
    if (!app->is_stopped) {
        log_debug(SCOPE, "App health probe successful: %s", is_good ? "true" : "false");
        (void)app_health_take(app, is_good, reason);
    }
    wait_done(round->wait, OK);
}

static void
probe_once(struct task *t, struct app_channel *channel)
{
    struct wait wait;
    struct round round = { .channel = channel, .wait = &wait };
    wait_init(&wait, t, NULL);
    if (task_spawn(channel->worker, "app health probe", round_main, &round) == NULL)
        return;           /* no task to be had: in the next round */
    task_shield_begin(t); /* it has a deadline, and uses this stack */
    err_t err = TASK_WAIT(t, &wait);
    task_shield_end(t);
    (void)err; /* nothing else ends it */
}

static void
prober_main(struct task *t, void *arg)
{
    struct app_channel *channel = arg;
    struct app *app = channel->app;
    uint64_t next_ms = clock_now_ms();
    log_info(SCOPE, "App health probes starting");
    while (!app->is_stopped) {
        probe_once(t, channel); /* suspends */
        uint64_t now_ms = clock_now_ms();
        next_ms += app->settings.health_interval_ms;
        if (next_ms < now_ms)
            next_ms = now_ms; /* a round that took longer makes no backlog */
        if (app->is_stopped || task_sleep(t, next_ms - now_ms) != OK)
            break;
    }
    log_info(SCOPE, "App health probes stopping");
    app->prober = NULL;
}

void
app_health_start(struct app_channel *channel)
{
    struct app *app = channel->app;
    if (!app->settings.checks_health || app->prober != NULL || app->is_stopped)
        return;
    app->probing = channel;
    app->prober = task_spawn(channel->worker, "app health", prober_main, channel);
    if (app->prober == NULL)
        log_error(SCOPE, "no task is free to probe the application: it counts as unhealthy");
}

static void
on_stop(struct mail *mail)
{
    struct app *app = container_of(mail, struct app, stop_mail);
    app->is_stopped = true;
    if (app->prober != NULL)
        task_cancel(app->prober);
}

void
app_health_stop(struct app *app, struct worker *first)
{
    if (app->settings.checks_health &&
        !atomic_exchange_explicit(&app->is_asked_to_stop, true, memory_order_relaxed))
        worker_post(first, &app->stop_mail, on_stop);
}
