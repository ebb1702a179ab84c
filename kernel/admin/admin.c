/* SPDX-License-Identifier: Apache-2.0 */
/* The two sockets and what connects them to the rest; see admin.h. */
#include "admin/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "admin/answer.h"
#include "admin/feed.h"
#include "admin/message.h"
#include "admin/rep.h"
#include "admin/sp_server.h"
#include "base/log.h"

#define SCOPE "remora.admin"

struct admin {
    struct admin_config config;
    struct sp_server *commands;
    struct sp_server *events;
    struct feed feed;
};

static bool
on_request(void *arg, struct sp_client *client, struct slice message)
{
    struct admin *admin = arg;
    struct slice stack, body;
    struct arena arena;
    if (!rep_split(message, &stack, &body))
        return false;
    arena_init(&arena);
    struct slice reply = answer(&admin->config, &admin->feed, body, &arena);
    bool is_sent = sp_client_send(client, stack, reply) ||
                   sp_client_send(client, stack, answer_too_long(&admin->config, &arena));
    arena_fini(&arena);
    return is_sent;
}

/* Opens the socket of that name; the rest of `server` says what it is. */
static struct sp_server *
open_socket(const struct admin_config *config, const char *name, struct sp_server_config server)
{
    char path[SOCKET_PATH_BYTES_MAX];
    struct sp_server *opened = NULL;
    server.loop = config->loop;
    server.path = path;
    errno = ENAMETOOLONG;
    if (rundir_path(config->rundir, name, path))
        opened = sp_server_open(&server);
    if (opened == NULL)
        log_warn(SCOPE, "event=socket_unavailable name=%s error=\"%s\", going on without", name,
                 strerror(errno));
    return opened;
}

struct admin *
admin_open(const struct admin_config *config)
{
    struct admin *admin = calloc(1, sizeof *admin);
    if (admin == NULL)
        abort();
    admin->config = *config;
    const struct sp_server_config commands = {
        .own = SP_REP0,
        .peer = SP_REQ0,
        .clients_max = LIMIT_admin_clients_max,
        .message_bytes_max = LIMIT_admin_request_bytes_max,
        .output_bytes_max = LIMIT_admin_output_bytes_max,
        .greeting_ms = LIMIT_handshake_ms,
        .idle_ms = LIMIT_admin_idle_ms,
        .arg = admin,
        .on_message = on_request,
    };
    const struct sp_server_config events = {
        .own = SP_PUB0,
        .peer = SP_SUB0,
        .clients_max = LIMIT_admin_clients_max,
        .message_bytes_max = 1, /* any is one too many */
        .output_bytes_max = LIMIT_admin_subscriber_bytes_max,
        .greeting_ms = LIMIT_handshake_ms,
    };
    admin->commands = open_socket(config, "admin.sock", commands);
    admin->events = open_socket(config, "events.sock", events);
    feed_init(&admin->feed, admin->events);
    if (admin->commands != NULL && admin->events != NULL)
        return admin;
    admin_close(admin);
    return NULL;
}

void
admin_close(struct admin *admin)
{
    if (admin == NULL)
        return;
    sp_server_close(admin->commands);
    sp_server_close(admin->events);
    feed_fini(&admin->feed);
    free(admin);
}

/* --- events ------------------------------------------------------------------------------------*/

void
admin_on_plugin(struct admin *admin, struct plugin *plugin, enum plugin_state from)
{
    if (admin == NULL)
        return;
    struct arena arena;
    arena_init(&arena);
    struct plugin_status status = plugin_status(plugin, &arena);
    Remora__Admin__V1__Event event = REMORA__ADMIN__V1__EVENT__INIT;
    event.kind = REMORA__ADMIN__V1__EVENT_KIND__EVENT_KIND_PLUGIN;
    event.name = message_text(&arena, status.name);
    event.state = message_text(&arena, slice_str(plugin_state_name(status.state)));
    event.was = message_text(&arena, slice_str(plugin_state_name(from)));
    event.generation = status.generation;
    event.pid = (int32_t)status.pid;
    /* The reason stays until the next change for the worse; it explains no other. */
    if (status.state == PLUGIN_DRAINING || status.state == PLUGIN_FAILED)
        event.reason = message_text(&arena, status.reason);
    feed_publish(&admin->feed, &event);
    arena_fini(&arena);
}

void
admin_on_component(struct admin *admin, const struct host_component *component, const char *was)
{
    if (admin == NULL)
        return;
    struct arena arena;
    arena_init(&arena);
    Remora__Admin__V1__Event event = REMORA__ADMIN__V1__EVENT__INIT;
    event.kind = REMORA__ADMIN__V1__EVENT_KIND__EVENT_KIND_COMPONENT;
    event.name = message_text(&arena, component->name);
    event.state = message_text(&arena, slice_str(component->state));
    event.was = message_text(&arena, slice_str(was));
    event.generation = component->generation;
    event.plugin = message_text(&arena, component->plugin);
    event.reason = message_text(&arena, component->error);
    feed_publish(&admin->feed, &event);
    arena_fini(&arena);
}

void
admin_on_swap(struct admin *admin, struct plugin *plugin, bool has_taken_over, const char *error)
{
    if (admin == NULL)
        return;
    struct arena arena;
    arena_init(&arena);
    struct plugin_status status = plugin_status(plugin, &arena);
    Remora__Admin__V1__Event event = REMORA__ADMIN__V1__EVENT__INIT;
    event.kind = REMORA__ADMIN__V1__EVENT_KIND__EVENT_KIND_SWAP;
    event.name = message_text(&arena, status.name);
    event.state = message_text(&arena, has_taken_over ? SLICE("done") : SLICE("failed"));
    event.generation = status.generation;
    event.pid = (int32_t)status.pid;
    event.reason = message_text(&arena, slice_str(error));
    feed_publish(&admin->feed, &event);
    arena_fini(&arena);
}

void
admin_on_configuration(struct admin *admin, struct slice name, uint32_t generation,
                       const char *error)
{
    if (admin == NULL)
        return;
    struct arena arena;
    arena_init(&arena);
    Remora__Admin__V1__Event event = REMORA__ADMIN__V1__EVENT__INIT;
    event.kind = REMORA__ADMIN__V1__EVENT_KIND__EVENT_KIND_CONFIGURATION;
    event.name = message_text(&arena, name);
    event.state = message_text(&arena, error == NULL ? SLICE("done") : SLICE("failed"));
    event.generation = generation;
    event.reason = message_text(&arena, slice_str(error));
    feed_publish(&admin->feed, &event);
    arena_fini(&arena);
}
