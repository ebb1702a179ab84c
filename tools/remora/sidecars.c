/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding sidecars: their run directories say that they live, their admin sockets who they are,
 * their command lines which ports they have, their parents which launcher looks after them. Only
 * what is shown, and nothing that is acted upon, comes from attributes that any client may set.
 */
#include "sidecars.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "client.h"
#include "config/cli.h"
#include "http.h"
#include "processes.h"
#include "say.h"

enum { SIDECARS_MAX = 1024, METADATA_MS = 2000 };

struct finding {
    struct arena *arena;
    struct sidecar *sidecars;
    size_t count;
};

/* Ports and sizes as its own parser reads them. */
static void
read_command_line(struct arena *arena, struct sidecar *sidecar)
{
    struct options options;
    struct slice message;
    size_t count = 0;
    char **arguments = process_arguments(arena, sidecar->pid, &count);
    if (arguments == NULL ||
        cli_parse(arena, (int)count, arguments, env_of_process(), &options, &message) != CLI_RUN)
        return;
    sidecar->app_port = options.app_port;
    sidecar->has_metrics = options.enable_metrics;
    sidecar->body_bytes_max = options.max_body_bytes;
    sidecar->head_bytes_max = options.read_buffer_bytes;
    if (options.unix_domain_socket.len == 0)
        sidecar->grpc_port = options.grpc_port;
    else
        sidecar->http_socket = arena_printf(arena, SLICE_FMT "/dapr-%s-http.socket",
                                            SLICE_ARG(options.unix_domain_socket), sidecar->app_id)
                                   .data;
}

/* remorad ─ remora-exec ─ remora run */
static void
find_launcher(struct sidecar *sidecar)
{
    pid_t keeper = process_parent_of(sidecar->pid);
    if (keeper <= 1 || !process_runs(keeper, "remora-exec"))
        return;
    pid_t launcher = process_parent_of(keeper);
    if (launcher > 1 && process_runs(launcher, "remora"))
        sidecar->launcher_pid = launcher;
}

/* One member of "extended". */
static void
take_attribute(struct arena *arena, struct sidecar *sidecar, struct slice name, struct slice value)
{
    const char *text = arena_str(arena, value);
    uint64_t pid;
    if (slice_eq(name, SLICE("appCommand")))
        sidecar->command = text;
    else if (slice_eq(name, SLICE("runTemplatePath")))
        sidecar->template = text;
    else if (slice_eq(name, SLICE("appLogPath")))
        sidecar->app_log = text;
    else if (slice_eq(name, SLICE("daprdLogPath")))
        sidecar->sidecar_log = text;
    else if (slice_eq(name, SLICE("appPID")) && slice_to_u64(value, &pid) && pid <= INT32_MAX)
        sidecar->app_pid = (pid_t)pid;
}

static void
read_extended(struct arena *arena, struct json *json, struct sidecar *sidecar)
{
    struct slice name, value;
    json_enter(json);
    while (json_object_next(json, arena, &name)) {
        if (json_peek(json) != JSON_STRING)
            (void)json_skip(json, &value); /* an error shows in the loop's condition */
        else if (json_string(json, arena, &value))
            take_attribute(arena, sidecar, name, value);
    }
}

/* What its launcher told it, if it answers. */
static void
read_attributes(struct arena *arena, struct sidecar *sidecar)
{
    struct http_reply reply;
    struct json json;
    struct slice name, value;
    const char *error;
    if (!http_call(arena,
                   &(struct http_request){ .socket = sidecar->http_socket,
                                           .port = sidecar->http_port,
                                           .method = "GET",
                                           .target = "/v1.0/metadata",
                                           .timeout_ms = METADATA_MS },
                   &reply, &error) ||
        reply.status != 200)
        return;
    json_init(&json, reply.body);
    if (json_peek(&json) != JSON_OBJECT)
        return;
    json_enter(&json);
    while (json_object_next(&json, arena, &name)) {
        if (slice_eq(name, SLICE("extended")) && json_peek(&json) == JSON_OBJECT)
            read_extended(arena, &json, sidecar);
        else
            (void)json_skip(&json, &value); /* an error shows in the loop's condition */
    }
}

static void
on_located(void *arg, const struct location *location, struct timespec made)
{
    struct finding *finding = arg;
    struct client *client = client_open(location);
    Remora__Admin__V1__Request request = REMORA__ADMIN__V1__REQUEST__INIT;
    request.method = REMORA__ADMIN__V1__METHOD__METHOD_STATUS;
    const char *error;
    const Remora__Admin__V1__Reply *reply = NULL;
    (void)made;
    if (client == NULL || finding->count == SIDECARS_MAX)
        return;
    reply = client_try(client, finding->arena, &request, &error);
    client_close(client);
    if (reply == NULL && location_is_alive(location)) /* else it has just ended */
        complain("%s: %s", location->admin_path, error);
    if (reply == NULL || reply->status == NULL)
        return;
    struct sidecar *sidecar = &finding->sidecars[finding->count++];
    *sidecar = (struct sidecar){ .app_id = reply->status->app_id,
                                 .pid = reply->status->pid,
                                 .http_port = (uint16_t)reply->status->http_port,
                                 .started_unix_ms = reply->status->started_unix_ms };
    read_command_line(finding->arena, sidecar);
    find_launcher(sidecar);
    read_attributes(finding->arena, sidecar);
    if (sidecar->http_socket != NULL)
        sidecar->http_port = 0;
}

static int
by_start(const void *a, const void *b)
{
    const struct sidecar *first = a, *second = b;
    return (first->started_unix_ms > second->started_unix_ms) -
           (first->started_unix_ms < second->started_unix_ms);
}

struct sidecar *
sidecars_find(struct arena *arena, const char *run_dir, size_t *ret_count)
{
    struct finding finding = { .arena = arena,
                               .sidecars = ARENA_ARRAY(arena, struct sidecar, SIDECARS_MAX) };
    locate_all(run_dir, on_located, &finding);
    qsort(finding.sidecars, finding.count, sizeof *finding.sidecars, by_start);
    *ret_count = finding.count;
    return finding.sidecars;
}

const struct sidecar *
sidecars_named(const struct sidecar *sidecars, size_t count, const char *app_id)
{
    for (size_t i = count; i > 0; i--)
        if (strcmp(sidecars[i - 1].app_id, app_id) == 0)
            return &sidecars[i - 1];
    complain("no sidecar of yours with app id %s is running; `remora list` shows all", app_id);
    return NULL;
}
