/* SPDX-License-Identifier: Apache-2.0 */
/* The lock API over gRPC. */
#include "api/lock.h"
#include "dapr/proto/runtime/v1/lock.pb-c.h"
#include "surface/grpc_surface.h"

void
grpc_lock_try(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__TryLockRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__try_lock_request__descriptor);
    Dapr__Proto__Runtime__V1__TryLockResponse out =
        DAPR__PROTO__RUNTIME__V1__TRY_LOCK_RESPONSE__INIT;
    bool is_held = false;
    if (in == NULL)
        return;
    const struct lock_request lock = { .store = slice_str(in->store_name),
                                       .resource = slice_str(in->resource_id),
                                       .owner = slice_str(in->lock_owner),
                                       .expiry_seconds = in->expiry_in_seconds };
    if (lock_try(&rpc->rq, &lock, &is_held) != OK) { /* suspends */
        rpc_fail(rpc);
        return;
    }
    out.success = is_held;
    rpc_reply(rpc, &out.base);
}

void
grpc_lock_release(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__UnlockRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__unlock_request__descriptor);
    Dapr__Proto__Runtime__V1__UnlockResponse out = DAPR__PROTO__RUNTIME__V1__UNLOCK_RESPONSE__INIT;
    enum lock_status status = LOCK_UNLOCKED;
    if (in == NULL)
        return;
    const struct lock_request lock = { .store = slice_str(in->store_name),
                                       .resource = slice_str(in->resource_id),
                                       .owner = slice_str(in->lock_owner) };
    if (lock_release(&rpc->rq, &lock, &status) != OK) { /* suspends */
        rpc_fail(rpc);
        return;
    }
    out.status = (Dapr__Proto__Runtime__V1__UnlockResponse__Status)status;
    rpc_reply(rpc, &out.base);
}
