/* SPDX-License-Identifier: Apache-2.0 */
/* What all versions of HTTP share on the asking side; see client.h. */
#include "http/client.h"

#include "http/client_kind.h"

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
