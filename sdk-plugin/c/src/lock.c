/* SPDX-License-Identifier: Apache-2.0 */
/* Locks: the question decoded, handed to the type's function, answered. */
#include "sdk.h"

#include <assert.h>

#include "base/pb.h"

static void
try_lock(struct remora_call *call, const struct remora_lock_ops *ops)
{
    const Remora__Plugin__V1__LockTry *in = call_unpack(call,
                                                        &remora__plugin__v1__lock_try__descriptor);
    if (in == NULL || in->resource[0] == '\0' || in->owner[0] == '\0' || in->expiry_seconds == 0)
        call_refuse_malformed(call, "LockTry");
    else
        ops->try_lock(call, call->component->self, to_remora(slice_str(in->resource)),
                      to_remora(slice_str(in->owner)), in->expiry_seconds);
}

static void
unlock(struct remora_call *call, const struct remora_lock_ops *ops)
{
    const Remora__Plugin__V1__LockUnlock *in = call_unpack(
        call, &remora__plugin__v1__lock_unlock__descriptor);
    if (in == NULL || in->resource[0] == '\0' || in->owner[0] == '\0')
        call_refuse_malformed(call, "LockUnlock");
    else
        ops->unlock(call, call->component->self, to_remora(slice_str(in->resource)),
                    to_remora(slice_str(in->owner)));
}

void
lock_run(struct remora_call *call)
{
    const struct remora_lock_ops *ops = call->component->type->lock;
    if (ops == NULL ||
        (call->method == METHOD(LOCK_TRY) ? ops->try_lock == NULL : ops->unlock == NULL))
        call_refuse_unsupported(call);
    else if (call->method == METHOD(LOCK_TRY))
        try_lock(call, ops);
    else
        unlock(call, ops);
}

void
remora_lock_reply_tried(remora_call *call, bool success)
{
    assert(call->method == METHOD(LOCK_TRY));
    Remora__Plugin__V1__LockTryReply reply = REMORA__PLUGIN__V1__LOCK_TRY_REPLY__INIT;
    reply.success = success;
    call_reply(call, pb_pack(&call->arena, &reply.base), NULL, 0);
}

void
remora_lock_reply_unlocked(remora_call *call, enum remora_unlock status)
{
    assert(call->method == METHOD(LOCK_UNLOCK));
    Remora__Plugin__V1__LockUnlockReply reply = REMORA__PLUGIN__V1__LOCK_UNLOCK_REPLY__INIT;
    reply.status = (Remora__Plugin__V1__LockStatus)status;
    call_reply(call, pb_pack(&call->arena, &reply.base), NULL, 0);
}
