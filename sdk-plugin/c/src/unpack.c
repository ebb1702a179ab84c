/* SPDX-License-Identifier: Apache-2.0 */
/* Typed messages of calls: parts that many have, out of them and into them, and how calls that make
 * no sense are refused. */
#include "sdk.h"

#include "base/pb.h"

const struct remora_pair *
unpack_pairs(struct arena *arena, Remora__Plugin__V1__Pair *const *from, size_t count)
{
    struct remora_pair *pairs = ARENA_ARRAY(arena, struct remora_pair, count);
    for (size_t i = 0; i < count; i++) {
        pairs[i].name = to_remora(slice_str(from[i]->name));
        pairs[i].value = to_remora(slice_str(from[i]->value));
    }
    return pairs;
}

const void *
call_unpack(struct remora_call *call, const ProtobufCMessageDescriptor *descriptor)
{
    return pb_unpack(&call->arena, descriptor, call->message, LIMIT_frame_depth_max,
                     LIMIT_message_bytes_max);
}

Remora__Plugin__V1__Status *
pack_status(struct remora_call *call, const struct remora_failure *failure)
{
    const struct frame_status from = call_status_of(call, failure);
    Remora__Plugin__V1__Status *status = ARENA_NEW(&call->arena, Remora__Plugin__V1__Status);
    remora__plugin__v1__status__init(status);
    status->code = (Remora__Plugin__V1__Code)from.code;
    status->message = arena_str(&call->arena, from.message);
    status->reason = arena_str(&call->arena, from.reason);
    status->effect = (Remora__Plugin__V1__Effect)from.effect;
    return status;
}

Remora__Plugin__V1__Pair **
pack_pairs(struct arena *arena, const struct remora_pair *from, size_t count)
{
    Remora__Plugin__V1__Pair **pairs = ARENA_ARRAY(arena, Remora__Plugin__V1__Pair *, count);
    for (size_t i = 0; i < count; i++) {
        pairs[i] = ARENA_NEW(arena, Remora__Plugin__V1__Pair);
        remora__plugin__v1__pair__init(pairs[i]);
        pairs[i]->name = arena_str(arena, from_remora(from[i].name));
        pairs[i]->value = arena_str(arena, from_remora(from[i].value));
    }
    return pairs;
}

void
call_refuse_malformed(struct remora_call *call, const char *message)
{
    call_fail(call, REMORA_INVALID_ARGUMENT, "malformed %s", message);
}

void
call_refuse_unsupported(struct remora_call *call)
{
    call_fail(call, REMORA_UNIMPLEMENTED, "%s does not support the operation",
              call->component->type->type);
}
