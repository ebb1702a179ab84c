/* SPDX-License-Identifier: Apache-2.0 */
/* Typed messages of calls: unpacked into the memory of the call, and refused. */
#include "sdk.h"

#include "base/pb.h"

const struct remora_pair *
call_pairs(struct remora_call *call, Remora__Plugin__V1__Pair *const *from, size_t count)
{
    struct remora_pair *pairs = ARENA_ARRAY(&call->arena, struct remora_pair, count);
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
