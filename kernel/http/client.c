/* SPDX-License-Identifier: Apache-2.0 */
/* What all versions of HTTP share on the asking side; see client.h. */
#include "http/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "http/client_kind.h"
#include "http/tls.h"

enum { PORT_BYTES = 8 };

/* --- configuration -----------------------------------------------------------------------------*/

static struct slice
own(struct slice text)
{
    return slice_of(slice_copy(text), text.len);
}

/* host:port, with brackets where the host has colons of its own. */
static struct slice
make_authority(const struct client_config *config)
{
    bool is_v6 = slice_find_byte(config->host, ':') >= 0;
    size_t room = config->host.len + sizeof "[]:" + PORT_BYTES;
    char *text = malloc(room);
    if (text == NULL)
        abort();
    int len = snprintf(text, room, "%s%.*s%s:%u", is_v6 ? "[" : "", (int)config->host.len,
                       config->host.data, is_v6 ? "]" : "", config->port);
    return slice_of(text, (size_t)len);
}

static void
free_text(struct slice text)
{
    free((void *)(uintptr_t)text.data); /* ours: made by own() */
}

void
client_config_init(struct client_config *config, const struct client_config *from)
{
    *config = *from;
    config->host = own(from->host);
    config->unix_path = own(from->unix_path);
    config->peer_id = own(from->peer_id);
    if (from->authority.len > 0)
        config->authority = own(from->authority);
    else if (from->unix_path.len > 0)
        config->authority = own(SLICE("localhost"));
    else
        config->authority = make_authority(from);
    config->tls = tls_context_ref(from->tls);
    if (config->idle_ms == 0)
        config->idle_ms = LIMIT_client_idle_ms;
    if (config->connect_ms == 0)
        config->connect_ms = LIMIT_client_connect_ms;
    if (config->head_ms == 0)
        config->head_ms = UINT64_MAX;
    if (config->stall_ms == 0)
        config->stall_ms = UINT64_MAX;
    if (config->ping_ms == 0)
        config->ping_ms = LIMIT_h2_client_ping_ms;
    if (config->pong_ms == 0)
        config->pong_ms = LIMIT_h2_client_pong_ms;
    if (config->head_bytes_max == 0)
        config->head_bytes_max = LIMIT_client_head_bytes;
    if (config->connections_max == 0)
        config->connections_max = LIMIT_client_connections_max;
    if (config->waiters_max == 0)
        config->waiters_max = LIMIT_client_waiters_max;
}

void
client_config_fini(struct client_config *config)
{
    free_text(config->host);
    free_text(config->unix_path);
    free_text(config->peer_id);
    free_text(config->authority);
    tls_context_unref(config->tls);
}

/* --- dispatch ----------------------------------------------------------------------------------*/

struct client *
client_new(struct worker *worker, const struct client_config *config)
{
    return config->protocol == CLIENT_H2 ? h2_client_new(worker, config)
                                         : h1_client_new(worker, config);
}

void
client_close(struct client *client)
{
    if (client != NULL)
        client->kind->close(client);
}

size_t
client_connections(const struct client *client)
{
    return client->kind->connections(client);
}

err_t
client_start(struct task *t, struct client *client, const struct client_head *head,
             struct client_call *ret_call)
{
    *ret_call = (struct client_call){ .client = client, .arena = task_arena(t) };
    return client->kind->start(t, client, head, ret_call);
}

err_t
client_write(struct task *t, struct client_call *call, struct slice bytes)
{
    return bytes.len == 0 ? OK : call->transport->write(t, call, bytes);
}

err_t
client_write_move(struct task *t, struct client_call *call, struct buf *from)
{
    err_t err = from->len == 0                        ? OK
                : call->transport->write_move != NULL ? call->transport->write_move(t, call, from)
                                                      : client_write(t, call, buf_slice(from));
    buf_clear(from);
    return err;
}

err_t
client_read_move(struct task *t, struct client_call *call, struct buf *to)
{
    struct slice piece;
    if (call->transport->read_move != NULL)
        return call->transport->read_move(t, call, to);
    err_t err = client_read(t, call, &piece); /* suspends */
    return err != OK || buf_append(to, piece) ? err : ERR_TOO_LARGE;
}

err_t
client_end(struct task *t, struct client_call *call)
{
    return call->transport->end(t, call);
}

err_t
client_head(struct task *t, struct client_call *call)
{
    return call->status != 0 ? OK : call->transport->head(t, call);
}

err_t
client_read(struct task *t, struct client_call *call, struct slice *ret_chunk)
{
    return call->transport->read(t, call, ret_chunk);
}

void
client_finish(struct client_call *call)
{
    if (call->transport == NULL)
        return;
    const struct client_transport *transport = call->transport;
    call->transport = NULL;
    transport->finish(call);
}

struct slice
client_header_get(const struct client_call *call, struct slice name)
{
    for (size_t i = 0; i < call->header_count; i++)
        if (slice_eq_nocase(call->headers[i].name, name))
            return call->headers[i].value;
    return (struct slice){ 0 };
}
