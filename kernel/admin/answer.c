/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The methods of the admin protocol, one function each and a table of them at the end. Nothing here
 * waits: what takes time (a restart) is ordered and goes on by itself, and shows in the feed.
 */
#include "admin/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "admin/message.h"
#include "base/log.h"
#include "base/pb.h"

#define SCOPE "remora.admin"

enum { REQUEST_BUDGET_BYTES = 256 * 1024 };

/* One request being answered. */
struct ask {
    const struct admin_config *config;
    const struct feed *feed;
    const Remora__Admin__V1__Request *request;
    struct arena *arena;
    Remora__Admin__V1__Reply *reply;
};

static void
    PRINTF_LIKE(3, 4) refuse(struct ask *ask, Remora__Admin__V1__Code code, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args); /* cut if too long */
    va_end(args);
    remora__admin__v1__reply__init(ask->reply);
    ask->reply->code = code;
    ask->reply->message = message_text(ask->arena, slice_str(text));
}

/* --- the process -------------------------------------------------------------------------------*/

static void
version(struct ask *ask)
{
    (void)ask; /* every reply has it */
}

static void
count_plugins(struct host *host, Remora__Admin__V1__Status *status)
{
    const struct plugin *plugin;
    for (size_t i = 0; (plugin = host_plugin_at(host, i)) != NULL; i++) {
        if (plugin_role(plugin) != PLUGIN_SERVES)
            continue;
        status->plugins++;
        status->plugins_ready += plugin_state(plugin) == PLUGIN_READY;
    }
    size_t cursor = 0;
    struct host_component component;
    while (host_next_component(host, &cursor, &component)) {
        status->components++;
        status->components_ready += component.is_ready;
    }
}

static void
status(struct ask *ask)
{
    const struct admin_config *config = ask->config;
    struct admin_process process = { .stage = "" };
    config->process(config->arg, &process);
    Remora__Admin__V1__Status *of = ARENA_NEW(ask->arena, Remora__Admin__V1__Status);
    remora__admin__v1__status__init(of);
    of->app_id = message_text(ask->arena, process.app_id);
    of->namespace_ = message_text(ask->arena, process.namespace_);
    of->stage = message_text(ask->arena, slice_str(process.stage));
    of->ready = process.is_ready;
    of->pid = (int32_t)getpid();
    of->http_port = process.http_port;
    of->workers = process.worker_count;
    of->run_dir = message_text(ask->arena, slice_str(config->rundir->path));
    of->started_unix_ms = process.started_unix_ms;
    count_plugins(config->host, of);
    ask->reply->status = of;
}

static void
recent_events(struct ask *ask)
{
    ask->reply->events = feed_recent(ask->feed, ask->arena, &ask->reply->n_events);
}

/* --- components --------------------------------------------------------------------------------*/

/* Those of one plugin, or all when `plugin` is empty. */
static void
add_components(struct ask *ask, struct slice plugin)
{
    struct host *host = ask->config->host;
    size_t cursor = 0;
    struct host_component component;
    ask->reply->components = ARENA_ARRAY(ask->arena, Remora__Admin__V1__Component *,
                                         host_component_count(host) + 1);
    while (host_next_component(host, &cursor, &component)) {
        if (plugin.len == 0 || slice_eq(component.plugin, plugin))
            ask->reply->components[ask->reply->n_components++] = message_component(ask->arena,
                                                                                   &component);
    }
}

static void
list_components(struct ask *ask)
{
    add_components(ask, SLICE_EMPTY);
}

/* --- plugins -----------------------------------------------------------------------------------*/

/* The one that serves. NULL: it was refused. */
static struct plugin *
named_plugin(struct ask *ask)
{
    struct slice name = slice_str(ask->request->name);
    struct plugin *plugin;
    for (size_t i = 0; (plugin = host_plugin_at(ask->config->host, i)) != NULL; i++)
        if (plugin_role(plugin) == PLUGIN_SERVES && slice_eq(name, slice_str(plugin_name(plugin))))
            return plugin;
    if (name.len == 0)
        refuse(ask, REMORA__ADMIN__V1__CODE__CODE_INVALID_ARGUMENT, "a plugin's name is missing");
    else
        refuse(ask, REMORA__ADMIN__V1__CODE__CODE_NOT_FOUND, "no plugin is named %s", name.data);
    return NULL;
}

static void
add_plugin(struct ask *ask, struct plugin *plugin, bool with_lines)
{
    const struct plugin_status of = plugin_status(plugin, ask->arena);
    ask->reply->plugins[ask->reply->n_plugins++] = message_plugin(ask->arena, &of, plugin,
                                                                  with_lines);
}

/* A retired plugin whose process is gone is no news. */
static bool
is_history(const struct plugin *plugin)
{
    return plugin_role(plugin) == PLUGIN_RETIRED && plugin_state(plugin) == PLUGIN_STOPPED;
}

static void
list_plugins(struct ask *ask)
{
    struct host *host = ask->config->host;
    size_t count = 0;
    while (host_plugin_at(host, count) != NULL)
        count++;
    ask->reply->plugins = ARENA_ARRAY(ask->arena, Remora__Admin__V1__Plugin *, count + 1);
    for (size_t i = 0; i < count; i++)
        if (!is_history(host_plugin_at(host, i)))
            add_plugin(ask, host_plugin_at(host, i), false);
}

static void
describe_plugin(struct ask *ask)
{
    struct plugin *plugin = named_plugin(ask);
    if (plugin == NULL)
        return;
    ask->reply->plugins = ARENA_ARRAY(ask->arena, Remora__Admin__V1__Plugin *, 1);
    add_plugin(ask, plugin, true);
    add_components(ask, slice_str(plugin_name(plugin)));
}

static void
plugin_logs(struct ask *ask)
{
    struct plugin *plugin = named_plugin(ask);
    if (plugin == NULL)
        return;
    struct plugin_status of = plugin_status(plugin, ask->arena);
    size_t wanted = ask->request->lines == 0 ? of.line_count : ask->request->lines;
    size_t skipped = wanted < of.line_count ? of.line_count - wanted : 0;
    ask->reply->lines = ARENA_ARRAY(ask->arena, char *, of.line_count + 1);
    for (size_t i = skipped; i < of.line_count; i++)
        ask->reply->lines[ask->reply->n_lines++] = message_text(ask->arena, of.lines[i]);
}

static bool
is_shutting_down(struct ask *ask)
{
    bool is_late = host_is_stopping(ask->config->host);
    if (is_late)
        refuse(ask, REMORA__ADMIN__V1__CODE__CODE_UNAVAILABLE, "the sidecar is shutting down");
    return is_late;
}

static void
restart_plugin(struct ask *ask)
{
    struct plugin *plugin = named_plugin(ask);
    if (plugin == NULL)
        return;
    if (is_shutting_down(ask))
        return;
    log_info(SCOPE, "event=plugin_restart plugin=%s", plugin_name(plugin));
    plugin_restart(plugin, "restarted by an administrator");
    ask->reply->plugins = ARENA_ARRAY(ask->arena, Remora__Admin__V1__Plugin *, 1);
    add_plugin(ask, plugin, false);
}

static void
swap_plugin(struct ask *ask)
{
    struct plugin *plugin = named_plugin(ask);
    struct admin_process process = { .is_ready = false };
    if (plugin == NULL || is_shutting_down(ask))
        return;
    ask->config->process(ask->config->arg, &process);
    if (!process.is_ready) {
        refuse(ask, REMORA__ADMIN__V1__CODE__CODE_UNAVAILABLE, "the sidecar is not running yet");
        return;
    }
    struct diag diag;
    diag_init(&diag, ask->arena);
    const char *executable = ask->request->executable;
    log_info(SCOPE, "event=plugin_swap plugin=%s%s%s", plugin_name(plugin),
             executable[0] == '\0' ? "" : " executable=", executable);
    if (host_swap(ask->config->host, slice_str(plugin_name(plugin)), executable, &diag) != OK) {
        refuse(ask, REMORA__ADMIN__V1__CODE__CODE_FAILED_PRECONDITION, SLICE_FMT,
               SLICE_ARG(diag.message));
        return;
    }
    ask->reply->plugins = ARENA_ARRAY(ask->arena, Remora__Admin__V1__Plugin *, 1);
    add_plugin(ask, plugin, false);
}

/* --- dispatch ----------------------------------------------------------------------------------*/

typedef void method_fn(struct ask *ask);

static method_fn *
method_of(Remora__Admin__V1__Method method)
{
    static method_fn *const methods[] = {
        [REMORA__ADMIN__V1__METHOD__METHOD_VERSION] = version,
        [REMORA__ADMIN__V1__METHOD__METHOD_STATUS] = status,
        [REMORA__ADMIN__V1__METHOD__METHOD_LIST_PLUGINS] = list_plugins,
        [REMORA__ADMIN__V1__METHOD__METHOD_DESCRIBE_PLUGIN] = describe_plugin,
        [REMORA__ADMIN__V1__METHOD__METHOD_PLUGIN_LOGS] = plugin_logs,
        [REMORA__ADMIN__V1__METHOD__METHOD_RESTART_PLUGIN] = restart_plugin,
        [REMORA__ADMIN__V1__METHOD__METHOD_SWAP_PLUGIN] = swap_plugin,
        [REMORA__ADMIN__V1__METHOD__METHOD_LIST_COMPONENTS] = list_components,
        [REMORA__ADMIN__V1__METHOD__METHOD_RECENT_EVENTS] = recent_events,
    };
    size_t number = (size_t)method; /* any 32 bits may have come; a negative one is huge */
    return number < ARRAY_LEN(methods) ? methods[number] : NULL;
}

/* In every reply: what the client speaks with, and the reason why no reply is empty, which not
 * every binding of NNG can receive. */
static struct slice
pack(struct ask *ask, const char *kernel_version)
{
    Remora__Admin__V1__Version of = REMORA__ADMIN__V1__VERSION__INIT;
    of.version = message_text(ask->arena, slice_str(kernel_version));
    of.major = ADMIN_MAJOR;
    of.minor = ADMIN_MINOR;
    ask->reply->version = &of;
    return pb_pack(ask->arena, &ask->reply->base);
}

struct slice
answer(const struct admin_config *config, const struct feed *feed, struct slice request,
       struct arena *arena)
{
    Remora__Admin__V1__Reply reply = REMORA__ADMIN__V1__REPLY__INIT;
    struct ask ask = { .config = config, .feed = feed, .arena = arena, .reply = &reply };
    ask.request = pb_unpack(arena, &remora__admin__v1__request__descriptor, request, 1,
                            REQUEST_BUDGET_BYTES);
    method_fn *method = ask.request == NULL ? NULL : method_of(ask.request->method);
    if (ask.request == NULL)
        refuse(&ask, REMORA__ADMIN__V1__CODE__CODE_INVALID_ARGUMENT, "that is not a Request");
    else if (method == NULL)
        refuse(&ask, REMORA__ADMIN__V1__CODE__CODE_UNIMPLEMENTED, "there is no method %d",
               (int)ask.request->method);
    else
        method(&ask);
    return pack(&ask, config->version);
}

struct slice
answer_too_long(const struct admin_config *config, struct arena *arena)
{
    Remora__Admin__V1__Reply reply = REMORA__ADMIN__V1__REPLY__INIT;
    struct ask ask = { .arena = arena, .reply = &reply };
    refuse(&ask, REMORA__ADMIN__V1__CODE__CODE_RESOURCE_EXHAUSTED, "the answer is too long");
    return pack(&ask, config->version);
}
