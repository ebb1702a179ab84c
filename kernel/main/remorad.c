/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remorad, the sidecar: reads what it is told, starts workers, servers and plugins, waits for the
 * end. The main thread runs libev (signals, child processes, timers); requests are the workers'.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/binding_reader.h"
#include "api/host_service.h"
#include "api/metadata.h"
#include "api/middleware_app.h"
#include "api/outbox_relay.h"
#include "api/subscriber.h"
#include "async/offload.h"
#include "base/clock.h"
#include "base/inject.h"
#include "base/json.h"
#include "base/log.h"
#include "component/exchange.h"
#include "config/component.h"
#include "config/file.h"
#include "main/control_plane.h"
#include "main/conceal.h"
#include "main/observe.h"
#include "main/runtime.h"
#include "main/subscriptions.h"
#include "peer/identity.h"
#include "surface/http_state_json.h"

#define SCOPE "dapr.runtime"

enum { MALLOC_MMAP_BYTES = 256 * 1024, MALLOC_TRIM_BYTES = 1024 * 1024 };

/* --- the main thread's mailbox -----------------------------------------------------------------*/

/* Any thread. */
static void
wake_control(void *arg)
{
    struct runtime *runtime = arg;
    ev_async_send(runtime->loop, &runtime->wake);
}

static void
on_wake(struct ev_loop *loop, ev_async *async, int events)
{
    (void)loop;
    (void)events;
    struct runtime *runtime = async->data;
    (void)mailbox_run(&runtime->control); /* whether there was mail does not matter */
}

struct describe_mail {
    struct mail mail;
    struct wait wait;
    struct runtime *runtime;
    struct buf *components;
    struct buf *details;
};

static bool
describe_configuration(const struct runtime *runtime, struct buf *details)
{
    const char *error = runtime->configuration_error;
    return buf_printf(details, ",\"configuration\":{\"generation\":%u",
                      runtime->configuration_generation) &&
           (error == NULL || (buf_append(details, SLICE(",\"error\":")) &&
                              json_write_string(details, slice_str(error), true))) &&
           buf_append_byte(details, '}');
}

/* Only if there is trouble: what is in force stands in `resiliencies`. */
static bool
describe_policies(const struct runtime *runtime, struct buf *details)
{
    const char *error = runtime->policies_error;
    return error == NULL ||
           (buf_append(details, SLICE(",\"resiliency\":{\"error\":")) &&
            json_write_string(details, slice_str(error), true) && buf_append_byte(details, '}'));
}

static void
on_describe_mail(struct mail *mail)
{
    struct describe_mail *request = container_of(mail, struct describe_mail, mail);
    struct host *host = request->runtime->host;
    bool fits = host_describe(host, request->components, request->details) &&
                describe_configuration(request->runtime, request->details) &&
                describe_policies(request->runtime, request->details);
    wait_done(&request->wait, fits ? OK : ERR_TOO_LARGE);
}

/* A worker's task asks for the present components and plugins. */
static err_t
describe(struct request *rq, struct buf *components, struct buf *details)
{
    struct describe_mail request = {
        .runtime = container_of(rq->kernel, struct runtime, kernel),
        .components = components,
        .details = details,
    };
    wait_init(&request.wait, rq->task, NULL);
    task_shield_begin(rq->task); /* the main thread writes into this stack */
    mailbox_post(&request.runtime->control, &request.mail, on_describe_mail);
    err_t err = TASK_WAIT(rq->task, &request.wait);
    task_shield_end(rq->task);
    return err == OK ? OK : fail(rq, ERR_INTERNAL, "the metadata is too large");
}

/* --- administration ----------------------------------------------------------------------------*/

static void
describe_process(void *arg, struct admin_process *ret_process)
{
    static const char *const stages[] = {
        [STAGE_WORKING] = "running",  [STAGE_BLOCKING] = "blocking", [STAGE_DRAINING] = "draining",
        [STAGE_CLOSING] = "stopping", [STAGE_ENDED] = "stopping",
    };
    const struct runtime *runtime = arg;
    bool is_starting = runtime->ending.stage == STAGE_WORKING && !runtime->is_settled;
    *ret_process = (struct admin_process){
        .app_id = runtime->options.app_id,
        .namespace_ = runtime->options.namespace_name,
        .stage = is_starting ? "starting" : stages[runtime->ending.stage],
        .is_ready = atomic_load_explicit(&runtime->kernel.is_ready, memory_order_relaxed),
        .http_port = runtime->options.http_port,
        .worker_count = runtime->worker_count,
        .started_unix_ms = runtime->started_unix_ms,
    };
}

static void
open_admin(struct runtime *runtime)
{
    runtime->admin = admin_open(&(struct admin_config){ .loop = runtime->loop,
                                                        .rundir = &runtime->rundir,
                                                        .host = runtime->host,
                                                        .version = REMORA_VERSION,
                                                        .arg = runtime,
                                                        .process = describe_process });
}

static void
on_plugin(void *arg, struct plugin *plugin, enum plugin_state from)
{
    observe_plugin(plugin, from);
    admin_on_plugin(((struct runtime *)arg)->admin, plugin, from);
}

static void
on_swap(void *arg, struct plugin *plugin, bool has_taken_over, const char *error)
{
    struct runtime *runtime = arg;
    admin_on_swap(runtime->admin, plugin, has_taken_over, error);
    reload_on_swap(&runtime->reload, slice_str(plugin_name(plugin)), has_taken_over);
}

static void
on_component(void *arg, const struct host_component *component, const char *was)
{
    observe_component(component);
    admin_on_component(((struct runtime *)arg)->admin, component, was);
}

/* What was looked up in the store before it was another may be something else now. */
static void
on_secrets(void *arg, struct slice store, bool is_routine)
{
    struct runtime *runtime = arg;
    if (runtime->is_settled)
        endpoints_rotated(runtime, store, is_routine);
}

/* --- signals -----------------------------------------------------------------------------------*/

static void
on_signal(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)loop;
    (void)events;
    shutdown_signal(signal->data, signal->signum == SIGINT ? "interrupt" : "terminated");
}

static void
on_hangup(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)loop;
    (void)events;
    struct runtime *runtime = signal->data;
    if (runtime->options.log_file.len > 0 && !log_open_file(runtime->options.log_file.data))
        log_error(SCOPE, "the log file cannot be opened anew (errno %d), ignoring", errno);
    log_info("dapr.signals", "Received signal 'hangup'; reading the resources again");
    reload_now(&runtime->reload);
}

static void
watch_signals(struct runtime *runtime)
{
    (void)signal(SIGPIPE, SIG_IGN); /* writing to who left is an error code, not an end */
    ev_signal_init(&runtime->on_interrupt, on_signal, SIGINT);
    ev_signal_init(&runtime->on_terminate, on_signal, SIGTERM);
    ev_signal_init(&runtime->on_hangup, on_hangup, SIGHUP);
    runtime->on_interrupt.data = runtime->on_terminate.data = runtime->on_hangup.data = runtime;
    ev_signal_start(runtime->loop, &runtime->on_interrupt);
    ev_signal_start(runtime->loop, &runtime->on_terminate);
    ev_signal_start(runtime->loop, &runtime->on_hangup);
}

/* --- start -------------------------------------------------------------------------------------*/

/* The application, or the control plane; the last of all that had to come makes us ready. */
static void
on_ready(struct runtime *runtime)
{
    if (--runtime->waiting_for > 0 || runtime->ending.stage > STAGE_BLOCKING)
        return;
    atomic_store_explicit(&runtime->kernel.is_ready, true, memory_order_relaxed);
    log_info(SCOPE, "dapr initialized. Status: Running. Init Elapsed %llums",
             (unsigned long long)(clock_now_ms() - runtime->started_ms));
}

/* Worker. */
static void
on_started(struct mail *mail)
{
    struct runtime_worker *worker = container_of(mail, struct runtime_worker, started_mail);
    component_table_started(&worker->kernel_worker.components);
}

static void
on_settled(void *arg)
{
    struct runtime *runtime = arg;
    if (runtime->ending.stage > STAGE_BLOCKING)
        return;
    runtime->is_settled = true;
    atomic_store_explicit(&runtime->kernel.is_outbound_ready, true, memory_order_relaxed);
    log_info(SCOPE, "All outstanding components processed");
    log_info(SCOPE, "Loading endpoints…");
    log_info(SCOPE, "Waiting for all outstanding http endpoints to be processed…");
    log_info(SCOPE, "All outstanding http endpoints processed");
    for (unsigned i = 0; i < runtime->worker_count; i++)
        worker_post(&runtime->workers[i].kernel_worker.worker, &runtime->workers[i].started_mail,
                    on_started);
    runtime->waiting_for = 2;
    control_plane_start(runtime, on_ready);
    if (runtime->options.app_port != 0)
        app_port_wait(runtime, on_ready);
    else
        on_ready(runtime);
    reload_start(&runtime->reload);
}

static void
on_component_fatal(void *arg, struct slice message)
{
    struct runtime *runtime = arg;
    shutdown_fatal(runtime, arena_printf(&runtime->arena, "failed to load components: " SLICE_FMT,
                                         SLICE_ARG(message)));
}

static bool
fatal(const struct diag *diag)
{
    log_fatal(SCOPE, "Fatal error from runtime: " SLICE_FMT, SLICE_ARG(diag->message));
    return false;
}

struct host_load *
read_resources(struct runtime *runtime, bool is_reload)
{
    const struct options *options = &runtime->options;
    struct host_load *load = host_load_new();
    struct arena scratch;
    struct resources resources = { 0 };
    struct diag diag;
    arena_init(&scratch);
    diag_init(&diag, &load->arena);
    const struct resource_filter filter = { .app_id = options->app_id,
                                            .namespace_name = options->namespace_name,
                                            .denied = &runtime->configuration.denied_components };
    err_t err = resources_read(&scratch, &options->resources, &resources, &diag);
    if (err == OK)
        err = components_read(&load->arena, &scratch, &resources, &filter, &load->components,
                              &diag);
    if (err == OK)
        err = endpoints_take(runtime, &scratch, &resources, &filter, is_reload, &diag);
    if (err == OK)
        names_add_resolver(runtime, load);
    if (err == OK)
        policies_take(runtime, &resources, &filter, is_reload);
    if (err == OK)
        subscriptions_take(runtime, &scratch, &resources, &filter);
    load->first_broken = arena_dup(&load->arena, resources.first_broken);
    for (size_t i = 0; i < resources.warnings.count; i++)
        log_warn("dapr.runtime.loader.disk", SLICE_FMT, SLICE_ARG(resources.warnings.items[i]));
    arena_fini(&scratch);
    if (err == OK)
        return load;
    if (is_reload)
        log_error(SCOPE, "the changed resources are not used: " SLICE_FMT, SLICE_ARG(diag.message));
    else
        (void)fatal(&diag); /* logs it */
    host_load_unref(load);
    return NULL;
}

static void
log_options(const struct options *options)
{
    log_info(SCOPE, "Starting Dapr Runtime -- version " REMORA_VERSION " -- Remora");
    log_info(SCOPE, "Log level set to: " SLICE_FMT, SLICE_ARG(options->log_level_text));
    for (size_t i = 0; i < options->deprecated.count; i++)
        log_warn(SCOPE, SLICE_FMT, SLICE_ARG(options->deprecated.items[i]));
    if (options->ignored.count == 0)
        return;
    struct buf names;
    buf_init(&names, 8192);
    bool fits = true;
    for (size_t i = 0; i < options->ignored.count && fits; i++)
        fits = buf_printf(&names, "%s" SLICE_FMT, i == 0 ? "" : " ",
                          SLICE_ARG(options->ignored.items[i]));
    log_warn(SCOPE, "These options have no effect yet, ignoring them: " SLICE_FMT,
             SLICE_ARG(buf_slice(&names)));
    buf_fini(&names);
}

/* Origins as the guard wants them: none for the default, which means no CORS at all. */
static void
set_origins(struct runtime *runtime)
{
    struct text_list origins = { 0 };
    struct slice rest = runtime->options.allowed_origins, part;
    if (rest.len == 0)
        return;
    while (slice_split(&rest, ',', &part))
        if (slice_trim(part).len > 0)
            text_list_add(&runtime->arena, &origins, slice_trim(part));
    runtime->kernel.allowed_origins = origins.items;
    runtime->kernel.allowed_origin_count = origins.count;
}

static err_t
read_state_items(struct request *rq, struct slice json, struct state_item **ret_items,
                 size_t *ret_count)
{
    struct save_request save = { 0 };
    err_t err = parse_state_items(rq, json, &save);
    *ret_items = save.items;
    *ret_count = save.count;
    return err;
}

static void
init_kernel(struct runtime *runtime)
{
    struct kernel *kernel = &runtime->kernel;
    const struct options *options = &runtime->options;
    kernel->app_id = options->app_id;
    kernel->namespace_ = options->namespace_name;
    kernel->version = SLICE(REMORA_VERSION);
    kernel->api_token = options->api_token;
    kernel->body_bytes_max = options->max_body_bytes;
    kernel->app = (struct app_properties){ .port = options->app_port,
                                           .protocol = options->app_protocol.len > 0
                                                           ? options->app_protocol
                                                           : SLICE("http"),
                                           .channel_address = options->app_channel_address };
    kernel->read_state_items = read_state_items;
    kernel->shutdown = shutdown_request;
    kernel->describe = describe;
    kernel->sample = observe_sample;
    metadata_init(kernel);
    prompt_cache_init(&kernel->prompts);
    set_origins(runtime);
}

/* Worker 0. */
static void
on_component_change(struct component_watcher *watcher)
{
    struct runtime *runtime = container_of(watcher, struct runtime, component_watcher);
    outbox_relay_follow(&runtime->workers[0].kernel_worker);
    subscriber_look_again(runtime->kernel.subscriber);
    binding_reader_look_again(runtime->kernel.binding_reader);
}

static bool
init_workers(struct runtime *runtime)
{
    runtime->worker_count = runtime->options.worker_count;
    runtime->workers = calloc(runtime->worker_count, sizeof *runtime->workers);
    if (runtime->workers == NULL)
        abort();
    runtime->kernel.subscriber = subscriber_new(&runtime->workers[0].kernel_worker);
    runtime->kernel.binding_reader = binding_reader_new(&runtime->workers[0].kernel_worker);
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        struct runtime_worker *worker = &runtime->workers[i];
        worker->runtime = runtime;
        worker->kernel_worker.kernel = &runtime->kernel;
        component_table_init(&worker->kernel_worker.components);
        component_table_starting(&worker->kernel_worker.components);
        if (i == 0) {
            runtime->component_watcher.on_change = on_component_change;
            list_append(&worker->kernel_worker.components.watchers,
                        &runtime->component_watcher.link);
        }
        name_cache_init(&worker->kernel_worker.names);
        app_channel_init(&worker->kernel_worker.app, runtime->app, &worker->kernel_worker.worker);
        worker->kernel_worker.app.filter = &middleware_app_filter;
        worker->kernel_worker.peers = peers_new(&worker->kernel_worker.worker,
                                                &(struct peers_config){ 0 });
        endpoint_desk_init(&worker->kernel_worker.outside, &worker->kernel_worker);
        if (worker_init(&worker->kernel_worker.worker, i) != OK) {
            log_fatal(SCOPE, "Fatal error from runtime: cannot create worker %u (errno %d)", i,
                      errno);
            runtime->worker_count = i;
            return false;
        }
        worker->kernel_worker.settings = settings_ref(runtime->settings);
        worker->kernel_worker.identity = identity_ref(security_identity(runtime));
        if (worker->kernel_worker.identity != NULL)
            peers_use(worker->kernel_worker.peers, worker->kernel_worker.identity->client);
        worker->kernel_worker.worker.user = &worker->kernel_worker;
        worker->kernel_worker.worker.crew = &runtime->crew;
        exporter_set_init(&worker->kernel_worker.exporters, &worker->kernel_worker.worker);
        exporter_set_use(&worker->kernel_worker.exporters, runtime->settings->collectors);
    }
    return true;
}

static bool
start_workers(struct runtime *runtime)
{
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        observe_worker(&runtime->workers[i]);
        if (worker_start(&runtime->workers[i].kernel_worker.worker) != OK) {
            log_fatal(SCOPE, "Fatal error from runtime: cannot start worker %u (errno %d)", i,
                      errno);
            return false;
        }
    }
    return true;
}

static void
find_plugins(struct runtime *runtime, const char *program_folder)
{
    catalogue_init(&runtime->catalogue);
    for (size_t i = 0; i < runtime->options.plugins_path.count; i++)
        catalogue_add_folder(&runtime->catalogue, runtime->options.plugins_path.items[i].data);
    struct slice standard = arena_printf(&runtime->arena, "%s/../plugins", program_folder);
    catalogue_add_folder(&runtime->catalogue, standard.data);
}

static bool
open_rundir(struct runtime *runtime)
{
    const struct options *options = &runtime->options;
    struct diag diag;
    diag_init(&diag, &runtime->arena);
    const struct rundir_config config = {
        .wanted = options->run_dir.len > 0 ? options->run_dir.data : NULL,
        .xdg_runtime_dir = options->xdg_runtime_dir.len > 0 ? options->xdg_runtime_dir.data : NULL,
    };
    if (rundir_open(&config, &runtime->rundir, &diag) != OK)
        return fatal(&diag);
    runtime->has_rundir = true;
    return true;
}

static void
make_host(struct runtime *runtime, const char *program_folder)
{
    struct options *options = &runtime->options;
    struct worker **workers = ARENA_ARRAY(&runtime->arena, struct worker *, runtime->worker_count);
    struct component_table **tables = ARENA_ARRAY(&runtime->arena, struct component_table *,
                                                  runtime->worker_count);
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        workers[i] = &runtime->workers[i].kernel_worker.worker;
        tables[i] = &runtime->workers[i].kernel_worker.components;
    }
    const struct host_config config = {
        .loop = runtime->loop,
        .control = &runtime->control,
        .workers = workers,
        .tables = tables,
        .worker_count = runtime->worker_count,
        .rundir = &runtime->rundir,
        .catalogue = &runtime->catalogue,
        .exec_path = arena_printf(&runtime->arena, "%s/remora-exec", program_folder).data,
        .sandbox = options->sandbox,
        .environment = env_of_process(),
        .app_id = options->app_id,
        .namespace_ = options->namespace_name,
        .version = REMORA_VERSION,
        .context = { .app_id = options->app_id,
                     .namespace_name = options->namespace_name.len > 0 ? options->namespace_name
                                                                       : SLICE("default"),
                     .pod_name = options->pod_name,
                     .env_keys = options->env_keys,
                     .env = env_of_process() },
        .instance = &runtime->instance,
        .on_host_call = host_service,
        .arg = runtime,
        .on_settled = on_settled,
        .on_fatal = on_component_fatal,
        .on_plugin = on_plugin,
        .on_component = on_component,
        .on_secrets = on_secrets,
        .on_swap = on_swap,
    };
    runtime->host = host_new(&config);
}

/* Many connections need many descriptors, and the soft limit is often a habit. */
static void
raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* then it stays as it was */
}

static bool
start(struct runtime *runtime, struct host_load **ret_load)
{
    const char *folder = catalogue_program_folder(&runtime->arena);
    if (folder == NULL) {
        log_fatal(SCOPE, "Fatal error from runtime: /proc is not mounted");
        return false;
    }
    const char *log_file = runtime->options.log_file.data;
    if (runtime->options.log_file.len > 0 && !log_open_file(log_file)) {
        log_fatal(SCOPE, "Fatal error from runtime: failed to open the log file %s: %s", log_file,
                  file_error_words(&runtime->arena, errno));
        return false;
    }
    raise_descriptor_limit();
    log_options(&runtime->options);
    if (!security_start(runtime) || !configure(runtime))
        return false;
    if (security_identity(runtime) != NULL) /* now there is who counts */
        metrics_record(metrics_series(METRICS_mtls_init, NULL), 0);
    log_info(SCOPE, "standalone mode configured");
    log_info(SCOPE, "app id: " SLICE_FMT, SLICE_ARG(runtime->options.app_id));
    tracing_log(runtime->settings);
    reload_open(&runtime->reload, runtime); /* before they are read: no change is missed */
    if ((*ret_load = read_resources(runtime, false)) == NULL)
        return false;
    if (!names_find_host(runtime))
        return false;
    find_plugins(runtime, folder);
    app_port_init(runtime);
    if (!open_rundir(runtime) || !init_workers(runtime))
        return false;
    if (!servers_bind_internal(runtime) || !control_plane_init(runtime))
        return false;
    make_host(runtime, folder);
    open_admin(runtime);
    if (runtime->options.app_port == 0)
        log_warn("dapr.runtime.channels",
                 "App channel is not initialized. Did you configure an app-port?");
    return servers_bind(runtime);
}

/* Connections made since the ports are bound wait; who asks first finds every component known. */
static bool
serve(struct runtime *runtime, struct host_load *load)
{
    runtime->is_serving = true;
    names_describe(runtime);
    log_info(SCOPE, "Loading components…");
    host_start(runtime->host, load);
    subscriptions_hand_over(runtime);
    warn_of_idle_settings(runtime);
    if (!start_workers(runtime))
        return false;
    log_info(SCOPE, "Waiting for all outstanding components to be processed…");
    reload_watch_plugins(&runtime->reload);
    return true;
}

/* --- end ---------------------------------------------------------------------------------------*/

/* Worker: requests cannot outlive it. */
static void
on_close_servers(struct mail *mail)
{
    struct runtime_worker *worker = container_of(mail, struct runtime_worker, drain_mail);
    timer_stop(&worker->kernel_worker.worker.timers, &worker->drain_timer);
    for (size_t i = 0; i < worker->server_count; i++)
        h1_server_close(worker->servers[i], NULL, NULL);
    worker->server_count = 0;                             /* mail that comes late finds none */
    exporter_set_close(&worker->kernel_worker.exporters); /* sends what is left */
}

static void
end(struct runtime *runtime)
{
    app_port_close(runtime);
    control_plane_stop(runtime);
    security_stop(runtime);
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        struct runtime_worker *worker = &runtime->workers[i];
        if (worker->kernel_worker.worker.has_thread) {
            worker_post(&worker->kernel_worker.worker, &worker->drain_mail, on_close_servers);
            worker_stop(&worker->kernel_worker.worker);
        } else {
            on_close_servers(&worker->drain_mail);
        }
    }
    for (unsigned i = 0; i < runtime->worker_count; i++)
        worker_join(&runtime->workers[i].kernel_worker.worker);
    subscriber_close(runtime->kernel.subscriber);
    binding_reader_close(runtime->kernel.binding_reader);
    offload_fini();                       /* its threads may be waking a worker still */
    (void)mailbox_run(&runtime->control); /* what workers said last */
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        exchange_forget_retiring(&runtime->workers[i].kernel_worker.components);
        component_table_fini(&runtime->workers[i].kernel_worker.components);
        name_cache_fini(&runtime->workers[i].kernel_worker.names);
        app_channel_fini(&runtime->workers[i].kernel_worker.app);
        peers_free(TAKE(runtime->workers[i].kernel_worker.peers));
        endpoint_desk_fini(&runtime->workers[i].kernel_worker.outside);
        worker_fini(&runtime->workers[i].kernel_worker.worker); /* runs what mail is left */
        exporter_set_close(&runtime->workers[i].kernel_worker.exporters);
        settings_unref(TAKE(runtime->workers[i].kernel_worker.settings));
        identity_unref(TAKE(runtime->workers[i].kernel_worker.identity));
    }
    subscriber_free(TAKE(runtime->kernel.subscriber));
    binding_reader_free(TAKE(runtime->kernel.binding_reader));
    topic_list_fini(&runtime->topics);
    admin_close(TAKE(runtime->admin));
    if (runtime->host != NULL)
        host_free(runtime->host);
    catalogue_fini(&runtime->catalogue);
    servers_unlink(runtime);
    if (runtime->has_rundir)
        rundir_close(&runtime->rundir);
    security_free(runtime);
    control_plane_free(runtime);
    free(runtime->workers);
    app_free(runtime->app);
    metadata_fini(&runtime->kernel);
    prompt_cache_fini(&runtime->kernel.prompts);
    metrics_attach(NULL, 0);
    settings_unref(TAKE(runtime->settings));
    free(TAKE(runtime->configuration_error));
    free(TAKE(runtime->policies_error));
}

static int
run(struct runtime *runtime)
{
    struct host_load *load = NULL;
    runtime->started_unix_ms = clock_unix_ms();
    runtime->started_ms = clock_now_ms();
    runtime->loop = ev_default_loop(0);
    ev_async_init(&runtime->wake, on_wake);
    runtime->wake.data = runtime;
    ev_async_start(runtime->loop, &runtime->wake);
    mailbox_init(&runtime->control, wake_control, runtime);
    ending_init(&runtime->ending, runtime->options.grace_ms, runtime->options.block_shutdown_ms);
    init_kernel(runtime);
    watch_signals(runtime);
    if (start(runtime, &load) && serve(runtime, load)) {
        ev_run(runtime->loop, 0);
    } else {
        runtime->ending.has_failed |= runtime->ending.stage == STAGE_WORKING;
    }
    host_load_unref(load);
    end(runtime);
    bool has_failed = runtime->ending.has_failed;
    if (runtime->fatal_message.len > 0)
        log_fatal(SCOPE, "Fatal error from runtime: " SLICE_FMT, SLICE_ARG(runtime->fatal_message));
    if (!has_failed)
        log_info(SCOPE, "Daprd shutdown gracefully");
    arena_fini(&runtime->arena); /* last: the log's own texts are in it */
    return has_failed ? 1 : 0;
}

static void
setup_log(const struct options *options, char hostname[256])
{
    if (gethostname(hostname, 255) != 0)
        hostname[0] = '\0';
    log_setup(&(struct log_config){ .level = options->log_level,
                                    .json = options->log_as_json,
                                    .app_id = options->app_id.len > 0 ? options->app_id.data : "",
                                    .instance = hostname,
                                    .version = REMORA_VERSION,
                                    .fd = STDOUT_FILENO });
}

static int
print_help(const char *program, FILE *to)
{
    struct buf help;
    buf_init(&help, 64 * 1024);
    cli_help(&help, program);
    (void)fwrite(buf_slice(&help).data, 1, help.len, to); /* nowhere to complain */
    buf_fini(&help);
    return 0;
}

/* Fixed thresholds: left alone, malloc learns from the first large body to keep as much. */
static void
setup_malloc(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, MALLOC_MMAP_BYTES); /* 0 means: as before, which works too */
    (void)mallopt(M_TRIM_THRESHOLD, MALLOC_TRIM_BYTES);
}

int
main(int argc, char **argv)
{
    static struct runtime runtime;
    static char hostname[256];
    struct slice message = SLICE_EMPTY;
    conceal_environment();
    conceal_memory();
    setup_malloc();
    arena_init(&runtime.arena);
    enum cli_verdict verdict = cli_parse(&runtime.arena, argc, argv, env_of_process(),
                                         &runtime.options, &message);
    setup_log(&runtime.options, hostname);
    if (!inject_setup(getenv("INJECT")))
        log_warn(SCOPE, "INJECT is malformed, nothing is injected");
    switch (verdict) {
    case CLI_HELP:
        return print_help(argv[0], stderr);
    case CLI_VERSION:
        return puts(REMORA_VERSION) < 0;
    case CLI_BUILD_INFO:
        return puts("Version: " REMORA_VERSION "\nImplementation: Remora") < 0;
    case CLI_BAD_USAGE:
        (void)print_help(argv[0], stderr);
        (void)fprintf(stderr, "%.*s\n", (int)message.len, message.data);
        return 2; /* as recorded of daprd, where Go's flag packages end with it */
    case CLI_WAIT:
        return wait_for_sidecar(runtime.options.http_port);
    case CLI_FATAL:
        log_fatal(SCOPE, SLICE_FMT, SLICE_ARG(message));
        return 1;
    case CLI_RUN:
        break;
    }
    return run(&runtime);
}
