/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a component with one connection; see client.h. */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>

#include "failure.h"

static void
client_free(struct client *client)
{
    link_free(client->link);
    server_fini(&client->server);
    free(client);
}

static void
init_failed(struct client *client, const char *why)
{
    remora_reply_error(client->init, REMORA_UNAVAILABLE, "%s at %s: %s", client->kind->fault,
                       client->server.settings.shown_host, why);
    client_free(client);
}

void
client_is_fit(struct client *client)
{
    remora_call *call = client->init;
    client->init = NULL;
    remora_reply_init(call, client, client->kind->capabilities, 0);
}

void
client_is_unfit(struct client *client, enum remora_code code, const char *why)
{
    remora_reply_error(client->init, code, "%s", why);
    client_free(client);
}

/* --- the connection ----------------------------------------------------------------------------*/

static void
on_ready(void *owner)
{
    struct client *client = owner;
    if (client->is_down)
        remora_log(REMORA_INFO, "%s: connected again host=%s", client->kind->shown,
                   client->server.settings.shown_host);
    client->is_down = false;
    if (client->init == NULL)
        return;
    if (client->kind->probe != NULL)
        client->kind->probe(client);
    else
        client_is_fit(client);
}

static void
on_down(void *owner, const char *why, bool refused)
{
    struct client *client = owner;
    if (client->init != NULL) {
        snprintf(client->last_why, sizeof client->last_why, "%s", why);
        if (refused || client->retries_left-- <= 0)
            init_failed(client, why);
        return;
    }
    if (!client->is_down)
        remora_log(REMORA_WARN, "%s: no connection, trying on host=%s reason=\"%s\"",
                   client->kind->shown, client->server.settings.shown_host, why);
    client->is_down = true;
}

/* The sidecar waits no longer. A component that came up later would be nobody's. */
static void
on_init_cancelled(remora_call *call, void *arg)
{
    struct client *client = arg;
    char why[CONN_WHY_BYTES];
    (void)call;
    snprintf(why, sizeof why, "%s",
             client->last_why[0] != '\0' ? client->last_why : "context deadline exceeded");
    init_failed(client, why);
}

void
client_init(remora_call *call, const struct remora_config *config, const struct client_kind *kind)
{
    static const struct link_events events = { .ready = on_ready, .down = on_down };
    char why[SETTINGS_WHY_BYTES];
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL)
        abort();
    if (!server_init(&client->server, config, why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        free(client);
        return;
    }
    client->kind = kind;
    client->init = call;
    client->retries_left = client->server.settings.max_retries;
    client->link = server_connect(&client->server, 0, &events, client);
    remora_call_on_cancel(call, on_init_cancelled,
                          client); /* which may be at once: nothing follows */
}

void
client_close(void *self)
{
    client_free(self);
}

/* --- operations --------------------------------------------------------------------------------*/

void
client_command(struct client *client, remora_call *call, struct remora_slice key,
               const struct remora_slice *args, size_t count, conn_done *done, void *arg)
{
    uint64_t wait_ms = (uint64_t)client->server.settings.dial_timeout_ms;
    uint64_t left_ms = remora_call_time_left_ms(call);
    if (!link_command(client->link, LINK_MAIN, link_slot(client->link, key), args, count,
                      wait_ms < left_ms ? wait_ms : left_ms, done, arg))
        remora_reply_failure(call, failure_busy(call));
}

bool
client_failed(struct client *client, remora_call *call, const struct conn_result *result,
              bool is_write)
{
    struct remora_failure *failure = failure_of_result(call, result, is_write, "");
    if (failure_is_replica(result))
        link_restart(client->link, "the server has become a replica");
    if (failure != NULL)
        remora_reply_failure(call, failure);
    return failure != NULL;
}
