/* SPDX-License-Identifier: Apache-2.0 */
/* Bindings: invoking and reading decoded, handed to the type's functions, answered. Events go the
 * other way through host.c. */
#include "sdk.h"

#include <assert.h>

#include "base/pb.h"

static void
invoke(struct remora_call *call, const struct remora_binding_ops *ops)
{
    const Remora__Plugin__V1__BindingInvoke *in = call_unpack(
        call, &remora__plugin__v1__binding_invoke__descriptor);
    if (in == NULL || in->operation[0] == '\0') {
        call_refuse_malformed(call, "BindingInvoke");
        return;
    }
    struct remora_binding_request *request = ARENA_NEW(&call->arena, struct remora_binding_request);
    *request = (struct remora_binding_request){
        .operation = to_remora(slice_str(in->operation)),
        .data = to_remora(call->body),
        .metadata = unpack_pairs(&call->arena, in->metadata, in->n_metadata),
        .metadata_count = in->n_metadata,
    };
    ops->invoke(call, call->component->self, request);
}

static void
read_events(struct remora_call *call, const struct remora_binding_ops *ops)
{
    const Remora__Plugin__V1__BindingRead *in = call_unpack(
        call, &remora__plugin__v1__binding_read__descriptor);
    if (in == NULL || in->reading == 0 || in->window == 0)
        call_refuse_malformed(call, "BindingRead");
    else
        ops->read(call, call->component->self, in->reading, in->window);
}

static void
stop(struct remora_call *call, const struct remora_binding_ops *ops)
{
    const Remora__Plugin__V1__BindingStop *in = call_unpack(
        call, &remora__plugin__v1__binding_stop__descriptor);
    if (in == NULL || in->reading == 0)
        call_refuse_malformed(call, "BindingStop");
    else
        ops->stop(call, call->component->self, in->reading);
}

static bool
is_served(const struct remora_binding_ops *ops, uint32_t method)
{
    switch (method) {
    case METHOD(BINDING_INVOKE):
        return ops->invoke != NULL;
    case METHOD(BINDING_READ):
        return ops->read != NULL;
    default:
        return ops->stop != NULL;
    }
}

void
binding_run(struct remora_call *call)
{
    const struct remora_binding_ops *ops = call->component->type->binding;
    if (ops == NULL || !is_served(ops, call->method))
        call_refuse_unsupported(call);
    else if (call->method == METHOD(BINDING_INVOKE))
        invoke(call, ops);
    else if (call->method == METHOD(BINDING_READ))
        read_events(call, ops);
    else
        stop(call, ops);
}

void
remora_binding_reply(remora_call *call, struct remora_bytes data,
                     const struct remora_pair *metadata, size_t metadata_count,
                     const struct remora_failure *failure)
{
    assert(call->method == METHOD(BINDING_INVOKE));
    Remora__Plugin__V1__BindingReply reply = REMORA__PLUGIN__V1__BINDING_REPLY__INIT;
    reply.responds = true;
    reply.n_metadata = metadata_count;
    reply.metadata = pack_pairs(&call->arena, metadata, metadata_count);
    reply.failure = failure == NULL ? NULL : pack_status(call, failure);
    call_reply(call, pb_pack(&call->arena, &reply.base), &data, 1);
}

/* --- events ------------------------------------------------------------------------------------*/

struct slice
binding_pack_event(struct arena *arena, uint64_t reading, const struct remora_event *event)
{
    Remora__Plugin__V1__HostBindingEvent out = REMORA__PLUGIN__V1__HOST_BINDING_EVENT__INIT;
    out.reading = reading;
    out.n_metadata = event->metadata_count;
    out.metadata = pack_pairs(arena, event->metadata, event->metadata_count);
    return pb_pack(arena, &out.base);
}

bool
binding_take_answer(struct arena *arena, struct slice message,
                    const struct remora_pair **ret_metadata, size_t *ret_count)
{
    const Remora__Plugin__V1__HostBindingEventReply *in = pb_unpack(
        arena, &remora__plugin__v1__host_binding_event_reply__descriptor, message,
        LIMIT_frame_depth_max, LIMIT_message_bytes_max);
    if (in == NULL)
        return false;
    *ret_metadata = unpack_pairs(arena, in->metadata, in->n_metadata);
    *ret_count = in->n_metadata;
    return true;
}
