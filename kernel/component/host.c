/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Components and the plugins that serve them; see host.h. The story: host_start() assigns each
 * component to a plugin; the supervisor spawns it (on_listen, on_spawned) with a dock on some
 * worker; the dock reports a link (on_dock_event); init_member() creates each component over it;
 * on_init_done() publishes it to the workers. A plugin that comes back goes the same way again.
 */
#include "component/host.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "async/listener.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/pb.h"
#include "component/dock.h"
#include "component/host_internal.h"
#include "component/key_prefix.h"
#include "remora/plugin/v1/plugin.pb-c.h"

#define SCOPE "dapr.runtime.processor"

enum { RETRY_MS_FIRST = 500, RETRY_MS_MAX = 30000 };

static void init_member(struct member *member);

/* --- to the workers ----------------------------------------------------------------------------*/

static void
publish(struct host *host, struct member *member, struct link *link, uint32_t operations_max)
{
    const struct component_spec *spec = member->spec;
    const struct component_value *strategy = component_value(spec, SLICE("keyPrefix"));
    struct arena scratch;
    arena_init(&scratch);
    const struct component_facts facts = {
        .kind = member->kind,
        .name = spec->name,
        .type = spec->type,
        .version = spec->version,
        .key_prefix = key_prefix(&scratch, strategy == NULL ? SLICE_EMPTY : strategy->value,
                                 host->config.app_id, host->config.namespace_, spec->name),
        .generation = member->generation,
        .handle = (uint32_t)member->index + 1,
        .capabilities = member->capabilities,
        .operations_max = operations_max,
    };
    struct component_facts *shared = component_facts_new(&facts);
    arena_fini(&scratch);
    struct latch *writes = latch_new();
    routes_publish(&host->routes, shared, link, writes, NULL);
    component_facts_unref(shared);
    latch_unref(member->writes); /* of the generation before */
    member->writes = writes;
}

/* --- settling ----------------------------------------------------------------------------------*/

static void
settle(struct member *member)
{
    struct host *host = member->host;
    if (member->is_settled)
        return;
    member->is_settled = true;
    assert(host->unsettled > 0);
    if (--host->unsettled == 0 && host->is_starting) {
        host->is_starting = false;
        host->config.on_settled(host->config.arg);
    }
}

static void
set_error(struct member *member, struct slice error)
{
    free(member->error);
    member->error = malloc(error.len + 1);
    if (member->error == NULL)
        abort();
    memcpy(member->error, error.data, error.len);
    member->error[error.len] = '\0';
}

/* The only place that changes it, once it is assigned. */
static void
set_standing(struct member *member, enum standing standing)
{
    struct host *host = member->host;
    enum standing was = member->standing;
    member->standing = standing;
    if (was == standing || host->config.on_component == NULL)
        return;
    struct host_component component = member_describe(member);
    host->config.on_component(host->config.arg, &component, standing_name(was));
}

/* Ends the start, or goes on without the component. `text` is what the reference says after
 * "process component N error: ". */
static void
give_up(struct member *member, struct slice text)
{
    struct host *host = member->host;
    struct arena scratch; /* retries go on for ever */
    arena_init(&scratch);
    struct slice whole = arena_printf(&scratch, "process component " SLICE_FMT " error: " SLICE_FMT,
                                      SLICE_ARG(member->spec->name), SLICE_ARG(text));
    if (member->error == NULL)
        set_error(member, text);
    set_standing(member, STANDING_FAILED);
    if (member->spec->ignore_errors || !host->is_starting) {
        log_error("dapr.runtime", "Ignoring error processing component: " SLICE_FMT,
                  SLICE_ARG(whole));
        settle(member);
    } else {
        log_warn("dapr.runtime",
                 "Error processing component, daprd will exit gracefully: " SLICE_FMT,
                 SLICE_ARG(whole));
        host->config.on_fatal(host->config.arg, whole);
    }
    arena_fini(&scratch);
}

/* The prefix stands twice in the reference's texts, and tools look for them. */
static void
init_failed(struct member *member, struct slice cause)
{
    struct arena scratch;
    arena_init(&scratch);
    struct slice name = component_log_name(&scratch, member->spec);
    struct slice once = arena_printf(
        &scratch, "[INIT_COMPONENT_FAILURE]: initialization error occurred for " SLICE_FMT ": ",
        SLICE_ARG(name));
    log_error(SCOPE, "Failed to init component " SLICE_FMT ": " SLICE_FMT SLICE_FMT,
              SLICE_ARG(name), SLICE_ARG(once), SLICE_ARG(cause));
    set_error(member, cause);
    give_up(member, arena_printf(&scratch, SLICE_FMT SLICE_FMT SLICE_FMT, SLICE_ARG(once),
                                 SLICE_ARG(once), SLICE_ARG(cause)));
    arena_fini(&scratch);
}

/* --- Init --------------------------------------------------------------------------------------*/

static char *
pack_init_request(struct host *host, const struct component_spec *spec, size_t *ret_bytes)
{
    struct arena arena;
    arena_init(&arena);
    Remora__Plugin__V1__InitRequest message = REMORA__PLUGIN__V1__INIT_REQUEST__INIT;
    message.name = pb_string(&arena, spec->name);
    message.type = pb_string(&arena, spec->type);
    message.version = pb_string(&arena, spec->version);
    message.app_id = pb_string(&arena, host->config.app_id);
    message.namespace_ = pb_string(&arena, host->config.namespace_);
    message.n_metadata = spec->value_count;
    message.metadata = ARENA_ARRAY(&arena, Remora__Plugin__V1__Pair *, spec->value_count + 1);
    for (size_t i = 0; i < spec->value_count; i++) {
        message.metadata[i] = ARENA_NEW(&arena, Remora__Plugin__V1__Pair);
        remora__plugin__v1__pair__init(message.metadata[i]);
        message.metadata[i]->name = pb_string(&arena, spec->values[i].name);
        message.metadata[i]->value = pb_string(&arena, spec->values[i].value);
    }
    struct slice packed = pb_pack(&arena, &message.base);
    char *copy = malloc(packed.len + 1);
    if (copy == NULL)
        abort();
    memcpy(copy, packed.data, packed.len);
    *ret_bytes = packed.len;
    arena_fini(&arena);
    return copy;
}

static void
init_member(struct member *member)
{
    struct ward *ward = member->ward;
    if (ward->dock == NULL || !ward->has_link)
        return; /* it is tried when the plugin is back */
    size_t bytes;
    char *request = pack_init_request(member->host, member->spec, &bytes);
    member->generation++;
    set_standing(member, STANDING_WAITING);
    dock_init_component(ward->dock, member->index, member->generation, (uint32_t)member->index + 1,
                        request, bytes, member->spec->init_timeout_ms);
}

static void
on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct member *member = timer->data;
    ev_timer_stop(loop, timer);
    if (!member->host->is_stopping)
        init_member(member);
}

static void
retry_later(struct member *member)
{
    struct host *host = member->host;
    if (host->is_stopping || ev_is_active(&member->retry))
        return;
    member->retry_ms = member->retry_ms == 0 ? RETRY_MS_FIRST : member->retry_ms * 2;
    if (member->retry_ms > RETRY_MS_MAX)
        member->retry_ms = RETRY_MS_MAX;
    ev_timer_set(&member->retry, member->retry_ms / 1000.0, 0.);
    ev_timer_start(host->config.loop, &member->retry);
}

static void
on_init_done(struct ward *ward, struct dock_event *event)
{
    struct host *host = ward->host;
    struct member *member = &host->members[event->component];
    if (event->generation != member->generation || host->is_stopping)
        return; /* of a process that is gone, or soon is */
    if (event->error != NULL && !ward->has_link && !host->is_starting)
        return; /* the link was lost: the next process gets another try */
    if (event->error != NULL) {
        init_failed(member, slice_str(event->error));
        retry_later(member);
        return;
    }
    member->capabilities = event->capabilities;
    member->retry_ms = 0;
    free(TAKE(member->error));
    set_standing(member, STANDING_READY);
    ward->published = event->link;
    publish(host, member, event->link, event->operations_max);
    struct arena scratch;
    arena_init(&scratch);
    struct slice name = component_log_name(&scratch, member->spec);
    log_info(SCOPE, "Component loaded: " SLICE_FMT, SLICE_ARG(name));
    arena_fini(&scratch);
    settle(member);
}

/* --- plugins -----------------------------------------------------------------------------------*/

static void
link_ready(struct ward *ward)
{
    struct host *host = ward->host;
    ward->has_link = true;
    for (size_t i = 0; i < host->member_count; i++)
        if (host->members[i].ward == ward && !ev_is_active(&host->members[i].retry))
            init_member(&host->members[i]);
}

static void
link_gone(struct ward *ward)
{
    struct host *host = ward->host;
    if (!ward->has_link)
        return;
    ward->has_link = false;
    for (size_t i = 0; i < host->member_count; i++) {
        struct member *member = &host->members[i];
        if (member->ward != ward)
            continue;
        if (member->standing == STANDING_READY) {
            set_standing(member, STANDING_WAITING);
            routes_detach(&host->routes, member->spec->name, ward->published, NULL);
        }
    }
}

/* Main thread, from the mailbox. */
static void
on_dock_event(struct mail *mail)
{
    static const enum link_event link_events[] = {
        [DOCK_CONNECTED] = LINK_CONNECTED, [DOCK_READY] = LINK_READY, [DOCK_FAILED] = LINK_FAILED,
        [DOCK_ANSWERED] = LINK_ANSWERED,   [DOCK_LOST] = LINK_LOST,
    };
    struct dock_event *event = container_of(mail, struct dock_event, mail);
    struct ward *ward = event->user;
    if (ward->dock == event->dock) {
        if (event->kind == DOCK_INIT_DONE)
            on_init_done(ward, event);
        if (event->kind == DOCK_READY)
            link_ready(ward);
        if (event->kind == DOCK_LOST)
            link_gone(ward);
        if (event->kind != DOCK_INIT_DONE)
            supervisor_link_event(ward->plugin, plugin_generation(ward->plugin),
                                  link_events[event->kind], event->reason);
    }
    link_unref(event->link);
    free(event->error);
    free(event);
}

static void
on_listen(void *arg, struct plugin *plugin, const char *socket_path, const char *token,
          uint32_t generation)
{
    struct host *host = arg;
    struct ward *ward = plugin_user(plugin);
    const struct manifest *manifest = plugin_manifest(plugin);
    int fd = listener_bind_unix(socket_path, 0600);
    if (fd < 0)
        log_error("remora.host", "cannot listen for plugin %s (errno %d)", plugin_name(plugin),
                  errno);
    const struct dock_config config = {
        .worker = ward->worker,
        .control = host->config.control,
        .on_event = on_dock_event,
        .listen_fd = fd,
        .token = token,
        .epoch = generation,
        .plugin_name = manifest->name,
        .kernel_version = host->config.version,
        .app_id = host->config.app_id.data,
        .namespace_ = host->config.namespace_.data,
        .host_services = manifest->host_services.items,
        .host_service_count = manifest->host_services.count,
        .on_host_call = host->config.on_host_call,
        .user = ward,
    };
    ward->dock = dock_new(&config);
}

static void
on_spawned(void *arg, struct plugin *plugin, uint32_t generation, pid_t pid)
{
    (void)arg;
    (void)generation;
    struct ward *ward = plugin_user(plugin);
    dock_open(ward->dock, pid);
}

static void
on_closed(void *arg, struct plugin *plugin, uint32_t generation)
{
    (void)arg;
    (void)generation;
    struct ward *ward = plugin_user(plugin);
    link_gone(ward);
    dock_close(TAKE(ward->dock));
}

/* A plugin that cannot even say hello takes its components down with it while we start. */
static void
on_changed(void *arg, struct plugin *plugin, enum plugin_state from)
{
    struct host *host = arg;
    if (host->config.on_plugin != NULL)
        host->config.on_plugin(host->config.arg, plugin, from);
    if (plugin_state(plugin) != PLUGIN_FAILED || !host->is_starting || host->is_stopping)
        return;
    struct plugin_status status = plugin_status(plugin, &host->arena);
    struct slice cause = arena_printf(
        &host->arena, "plugin %s ended (" SLICE_FMT ")" SLICE_FMT SLICE_FMT, plugin_name(plugin),
        SLICE_ARG(status.last_exit), SLICE_ARG(status.line_count > 0 ? SLICE(": ") : SLICE_EMPTY),
        SLICE_ARG(status.line_count > 0 ? status.lines[status.line_count - 1] : SLICE_EMPTY));
    for (size_t i = 0; i < host->member_count && host->is_starting && !host->is_stopping; i++)
        if (host->members[i].ward == plugin_user(plugin) && !host->members[i].is_settled)
            init_failed(&host->members[i], cause);
}

/* --- start and stop ----------------------------------------------------------------------------*/

struct host *
host_new(const struct host_config *config)
{
    struct host *host = calloc(1, sizeof *host);
    if (host == NULL)
        abort();
    host->config = *config;
    host->routes = (struct routes){ .workers = config->workers,
                                    .tables = config->tables,
                                    .count = config->worker_count };
    arena_init(&host->arena);
    const struct supervisor_config supervisor_config = {
        .exec_path = config->exec_path,
        .rundir = config->rundir,
        .sandbox = config->sandbox,
        .environment = config->environment,
    };
    const struct supervisor_hooks hooks = { .arg = host,
                                            .listen = on_listen,
                                            .spawned = on_spawned,
                                            .closed = on_closed,
                                            .changed = on_changed };
    host->supervisor = supervisor_new(config->loop, &supervisor_config, &hooks);
    return host;
}

static struct ward *
ward_of(struct host *host, struct plugin *plugin)
{
    struct ward *ward = plugin_user(plugin);
    if (ward != NULL)
        return ward;
    ward = calloc(1, sizeof *ward);
    host->wards = realloc(host->wards, (host->ward_count + 1) * sizeof(struct ward *));
    if (ward == NULL || host->wards == NULL)
        abort();
    *ward = (struct ward){
        .host = host,
        .plugin = plugin,
        .worker = host->config.workers[host->ward_count % host->config.worker_count]
    };
    host->wards[host->ward_count++] = ward;
    plugin_set_user(plugin, ward);
    return ward;
}

/* The path of a sandboxed plugin to the files its component names. */
static void
allow_files(struct plugin *plugin, const struct component_spec *spec)
{
    for (size_t i = 0; i < spec->value_count; i++)
        if (!plugin_allow_metadata(plugin, spec->values[i].name, spec->values[i].value))
            log_debug("remora.host", "plugin %s gets the files of %.*s with its next process",
                      plugin_name(plugin), SLICE_ARG(spec->name));
}

/* "state store" for state: what the reference calls a component it has no code for. */
static const char *
kind_words(enum component_kind kind)
{
    return kind == COMPONENT_STATE ? "state store" : "component";
}

static struct slice
isolation(const struct component_spec *spec)
{
    const struct component_annotation *wish = component_annotation(spec,
                                                                   SLICE("remora.io/isolate"));
    bool is_isolated = false;
    if (wish != NULL && !slice_to_bool(wish->value, &is_isolated))
        is_isolated = false;
    return is_isolated ? spec->name : SLICE_EMPTY;
}

/* Finds the component's plugin; failures are reported. */
static void
assign(struct host *host, struct member *member)
{
    struct component_spec *spec = member->spec;
    struct slice name = component_log_name(&host->arena, spec);
    if (!component_kind_of(spec->type, &member->kind)) {
        give_up(member,
                arena_printf(&host->arena, "incorrect type " SLICE_FMT, SLICE_ARG(spec->type)));
        return;
    }
    const struct manifest *manifest = catalogue_find(host->config.catalogue, spec->type,
                                                     spec->version);
    if (manifest == NULL) {
        give_up(member,
                arena_printf(
                    &host->arena,
                    "[INIT_COMPONENT_FAILURE]: initialization error occurred for " SLICE_FMT
                    ": [CREATE_COMPONENT_FAILURE]: initialization error occurred for " SLICE_FMT
                    ": couldn't find %s " SLICE_FMT "/" SLICE_FMT,
                    SLICE_ARG(name), SLICE_ARG(name), kind_words(member->kind),
                    SLICE_ARG(spec->type), SLICE_ARG(spec->version)));
        return;
    }
    if (spec->has_secrets) {
        init_failed(member, SLICE("secretKeyRef needs a secret store, and there is none"));
        return;
    }
    struct diag diag;
    struct text_list warnings = { 0 };
    diag_init(&diag, &host->arena);
    if (component_resolve(&host->arena, spec, &host->config.context, &warnings, &diag) != OK) {
        init_failed(member, diag.message);
        return;
    }
    for (size_t i = 0; i < warnings.count; i++)
        log_warn(SCOPE, SLICE_FMT, SLICE_ARG(warnings.items[i]));
    struct plugin *plugin = supervisor_plugin(host->supervisor, manifest, isolation(spec));
    member->ward = ward_of(host, plugin);
    allow_files(plugin, spec);
}

void
host_start(struct host *host, const struct component_list *components)
{
    host->is_starting = true;
    host->unsettled = components->count + 1; /* one for ourselves, until all are assigned */
    host->member_count = components->count;
    host->members = calloc(components->count + 1, sizeof *host->members);
    if (host->members == NULL)
        abort();
    for (size_t i = 0; i < components->count; i++) {
        struct member *member = &host->members[i];
        *member = (struct member){ .host = host, .index = i, .spec = &components->items[i] };
        ev_timer_init(&member->retry, on_retry, 0., 0.);
        member->retry.data = member;
        assign(host, member);
        if (host->is_stopping)
            return; /* that was fatal */
    }
    for (size_t i = 0; i < host->ward_count; i++)
        plugin_start(host->wards[i]->plugin);
    struct member *self = &host->members[components->count];
    self->host = host;
    settle(self);
}

void
host_stop(struct host *host, uint32_t deadline_ms, void (*stopped)(void *arg), void *arg)
{
    host->is_stopping = true;
    for (size_t i = 0; i < host->member_count; i++)
        ev_timer_stop(host->config.loop, &host->members[i].retry);
    supervisor_stop_all(host->supervisor, deadline_ms, stopped, arg);
}

void
host_free(struct host *host)
{
    supervisor_free(host->supervisor);
    for (size_t i = 0; i < host->member_count; i++) {
        free(host->members[i].error);
        latch_unref(host->members[i].writes);
    }
    for (size_t i = 0; i < host->ward_count; i++)
        free(host->wards[i]);
    free(host->wards);
    free(host->members);
    arena_fini(&host->arena);
    free(host);
}
