/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for the application: with --app-port the sidecar is not ready before somebody accepts a
 * connection there and has been asked what applications are asked. A task asks again and again.
 */
#include "main/app_port.h"

#include <stdlib.h>
#include <unistd.h>

#include "api/binding_reader.h"
#include "api/subscriber.h"
#include "api/topic_answer.h"
#include "app/app_init.h"
#include "async/connect.h"
#include "base/log.h"
#include "main/runtime.h"

#define SCOPE "dapr.runtime"

enum { CONNECT_MS = 500, PAUSE_MS = 50 };

/* --- settings and health -----------------------------------------------------------------------*/

static enum app_protocol
protocol_of(struct slice name)
{
    static const struct {
        const char *name;
        enum app_protocol protocol;
    } protocols[] = {
        { "https", APP_HTTPS }, { "h2c", APP_H2C }, { "grpc", APP_GRPC }, { "grpcs", APP_GRPCS }
    };
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
        if (slice_eq_nocase(name, slice_str(protocols[i].name)))
            return protocols[i].protocol;
    return APP_HTTP;
}

struct health_mail {
    struct mail mail;
    struct runtime *runtime;
};

/* Main thread. */
static void
on_unhealthy(struct mail *mail)
{
    struct health_mail *news = container_of(mail, struct health_mail, mail);
    shutdown_app_unhealthy(news->runtime);
    free(news);
}

/* Worker 0. */
static void
on_health(struct app_health_listener *listener, bool is_healthy)
{
    struct runtime *runtime = container_of(listener, struct runtime, app_port.listener);
    subscriber_allow_app(runtime->kernel.subscriber, is_healthy);
    binding_reader_allow(runtime->kernel.binding_reader, is_healthy);
    if (is_healthy)
        return;
    struct health_mail *news = malloc(sizeof *news);
    if (news == NULL)
        abort();
    news->runtime = runtime;
    mailbox_post(&runtime->control, &news->mail, on_unhealthy);
}

/* Worker. */
static const struct path_rules *
path_rules_here(void)
{
    const struct kernel_worker *here = worker_current()->user;
    return &here->settings->path_rules;
}

void
app_port_init(struct runtime *runtime)
{
    const struct options *options = &runtime->options;
    struct slice path = options->app_health_check_path;
    bool has_slash = path.len > 0 && path.data[0] == '/';
    const struct app_settings settings = {
        .protocol = protocol_of(options->app_protocol),
        .host = options->app_channel_address,
        .port = options->app_port,
        .app_id = options->app_id,
        .namespace_ = options->namespace_name,
        .api_token = options->app_api_token,
        .concurrency_max = options->app_max_concurrency,
        .body_bytes_max = options->max_body_bytes,
        .path_rules = path_rules_here,
        .binding_options_ms = options->app_binding_options_ms,
        .checks_health = options->enable_app_health_check && options->app_port != 0,
        .health_path = has_slash ? path
                                 : arena_printf(&runtime->arena, "/" SLICE_FMT, SLICE_ARG(path)),
        .health_interval_ms = options->app_health_interval_ms,
        .health_timeout_ms = options->app_health_timeout_ms,
        .health_threshold = options->app_health_failures,
    };
    runtime->app = app_new(&settings);
    runtime->app_port.listener.on_change = on_health;
    app_health_listen(runtime->app, &runtime->app_port.listener);
}

void
app_port_close(struct runtime *runtime)
{
    if (runtime->app != NULL && runtime->is_serving)
        app_health_stop(runtime->app, &runtime->workers[0].kernel_worker.worker);
}

/* --- again and again ---------------------------------------------------------------------------*/

/* Main thread. */
static void
on_found(struct mail *mail)
{
    struct runtime *runtime = container_of(mail, struct runtime, app_port.mail);
    if (!atomic_load_explicit(&runtime->app_port.is_over, memory_order_relaxed))
        runtime->app_port.on_found(runtime);
}

static bool
is_over(const struct runtime *runtime)
{
    return atomic_load_explicit(&runtime->app_port.is_over, memory_order_relaxed);
}

/* Somebody accepts a connection. */
static bool
accepts(struct task *t, const struct options *options)
{
    const struct connect_target target = { .host = options->app_channel_address,
                                           .port = options->app_port };
    int fd;
    uint64_t outer = task_deadline_push(t, CONNECT_MS);
    err_t err = connect_to(t, &target, &fd); /* suspends */
    task_deadline_pop(t, outer);
    if (err == OK)
        (void)close(fd); /* was only asked */
    return err == OK;
}

/* Each try is a task of its own, so that what it allocates goes with it. */
struct knock {
    const struct runtime *runtime;
    struct wait *wait;
};

static void
knock_main(struct task *t, void *arg)
{
    const struct knock *knock = arg;
    bool is_there = accepts(t, &knock->runtime->options); /* suspends */
    wait_done(knock->wait, is_there ? OK : ERR_PEER_UNREACHABLE);
}

static bool
try_once(struct task *t, const struct runtime *runtime)
{
    struct wait wait;
    struct knock knock = { .runtime = runtime, .wait = &wait };
    wait_init(&wait, t, NULL);
    if (task_spawn(task_worker(t), "app port", knock_main, &knock) == NULL)
        return false;
    task_shield_begin(t); /* it has a deadline, and uses this stack */
    err_t err = TASK_WAIT(t, &wait);
    task_shield_end(t);
    return err == OK;
}

/* What the application wants is open before the sidecar says that it is ready; with health checks
 * it waits for the first good one instead. */
static void
subscribe(struct task *t, struct runtime *runtime)
{
    const struct app *app = runtime->app;
    struct subscriber *subscriber = runtime->kernel.subscriber;
    struct slice answer = app_subscriptions(app);
    struct topic_list list;
    bool is_read = app_is_grpc(app_settings(app)->protocol) ? topic_answer_read_grpc(answer, &list)
                                                            : topic_answer_read_json(answer, &list);
    if (is_read)
        subscriber_set(subscriber, TOPIC_PROGRAMMATIC, NULL, list.items, list.count);
    topic_list_fini(&list);
    if (!app_is_healthy(app))
        return;
    subscriber_allow_app(subscriber, true);
    if (subscriber_settle(t, subscriber) != OK) /* suspends */
        log_warn(SCOPE, "the start ended before the subscriptions were open");
    binding_reader_allow(runtime->kernel.binding_reader, true);
    if (binding_reader_settle(t, runtime->kernel.binding_reader) != OK) /* suspends */
        log_warn(SCOPE, "the start ended before the input bindings were read");
}

static void
ask(struct task *t, struct runtime *runtime)
{
    struct app_channel *channel = &runtime->workers[0].kernel_worker.app;
    if (runtime->options.skips_app_config)
        log_info(SCOPE, "Skipping programmatic dapr configuration loading");
    else
        app_ask_config(t, channel); /* suspends */
    if (runtime->options.skips_app_subscribe)
        log_info(SCOPE, "Skipping programmatic subscription loading");
    else
        app_ask_subscriptions(t, channel); /* suspends */
    subscribe(t, runtime);                 /* suspends */
}

static void
wait_for_app(struct task *t, struct runtime *runtime)
{
    bool is_first = true;
    while (!is_over(runtime) && !try_once(t, runtime)) { /* suspends */
        if (is_first)
            log_info(SCOPE, "waiting for application to listen on port %u",
                     runtime->options.app_port);
        is_first = false;
        if (task_sleep(t, PAUSE_MS) != OK)
            return;
    }
    if (is_over(runtime))
        return;
    log_info(SCOPE, "application discovered on port %u", runtime->options.app_port);
    app_health_start(&runtime->workers[0].kernel_worker.app);
    ask(t, runtime); /* suspends */
    if (!is_over(runtime))
        mailbox_post(&runtime->control, &runtime->app_port.mail, on_found);
}

/* Worker 0. */
static void
wait_main(struct task *t, void *arg)
{
    struct runtime *runtime = arg;
    wait_for_app(t, runtime); /* suspends */
    runtime->app_port.waiter = NULL;
}

static void
on_start(struct mail *mail)
{
    struct runtime *runtime = container_of(mail, struct runtime, app_port.mail);
    runtime->app_port.waiter = task_spawn(&runtime->workers[0].kernel_worker.worker, "app port",
                                          wait_main, runtime);
    if (runtime->app_port.waiter == NULL)
        log_error(SCOPE, "no task is free to wait for the application: the sidecar stays unready");
}

void
app_port_wait(struct runtime *runtime, void (*on_found_fn)(struct runtime *runtime))
{
    log_info(SCOPE,
             "application protocol: " SLICE_FMT ". waiting on port %u.  This will block until the "
             "app is listening on that port.",
             SLICE_ARG(runtime->options.app_protocol), runtime->options.app_port);
    runtime->app_port.on_found = on_found_fn;
    worker_post(&runtime->workers[0].kernel_worker.worker, &runtime->app_port.mail, on_start);
}

/* Worker 0. */
static void
on_stop(struct mail *mail)
{
    struct runtime *runtime = container_of(mail, struct runtime, app_port.stop_mail);
    if (runtime->app_port.waiter != NULL)
        task_cancel(runtime->app_port.waiter);
}

void
app_port_stop(struct runtime *runtime)
{
    bool was_over = atomic_exchange_explicit(&runtime->app_port.is_over, true,
                                             memory_order_relaxed);
    if (!was_over && runtime->is_serving)
        worker_post(&runtime->workers[0].kernel_worker.worker, &runtime->app_port.stop_mail,
                    on_stop);
}
