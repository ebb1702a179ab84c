/* SPDX-License-Identifier: Apache-2.0 */
/* Name resolution: the question decoded, handed to the type's function, answered. */
#include "sdk.h"

#include <assert.h>

#include "base/pb.h"

static const struct remora_name_query *
query_of(struct remora_call *call, const Remora__Plugin__V1__NameResolve *message)
{
    struct remora_name_query *query = arena_alloc(&call->arena, sizeof *query);
    *query = (struct remora_name_query){
        .id = to_remora(slice_str(message->id)),
        .namespace_ = to_remora(slice_str(message->namespace_)),
        .port = message->port <= UINT16_MAX ? (uint16_t)message->port : 0,
        .metadata = unpack_pairs(&call->arena, message->metadata, message->n_metadata),
        .metadata_count = message->n_metadata,
    };
    return query;
}

void
names_run(struct remora_call *call)
{
    const struct remora_name_ops *ops = call->component->type->names;
    const Remora__Plugin__V1__NameResolve *message;
    if (ops == NULL || ops->resolve == NULL) {
        call_fail(call, REMORA_UNIMPLEMENTED, "%s resolves no names", call->component->type->type);
        return;
    }
    message = pb_unpack(&call->arena, &remora__plugin__v1__name_resolve__descriptor, call->message,
                        LIMIT_frame_depth_max, LIMIT_message_bytes_max);
    if (message == NULL || message->id[0] == '\0' || call->body.len > 0)
        call_fail(call, REMORA_INVALID_ARGUMENT, "malformed NameResolve");
    else
        ops->resolve(call, call->component->self, query_of(call, message));
}

void
remora_name_reply(remora_call *call, const struct remora_slice *addresses, size_t count,
                  uint64_t ttl_ms)
{
    assert(call->method == METHOD(NAME_RESOLVE));
    assert(count > 0 && count <= REMORA_NAME_ADDRESSES_MAX);
    Remora__Plugin__V1__NameResolveReply reply = REMORA__PLUGIN__V1__NAME_RESOLVE_REPLY__INIT;
    reply.n_addresses = count;
    reply.addresses = ARENA_ARRAY(&call->arena, char *, count);
    reply.ttl_ms = ttl_ms;
    for (size_t i = 0; i < count; i++)
        reply.addresses[i] = arena_str(&call->arena, from_remora(addresses[i]));
    call_reply(call, pb_pack(&call->arena, &reply.base), NULL, 0);
}
