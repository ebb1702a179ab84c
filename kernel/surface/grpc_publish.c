/* SPDX-License-Identifier: Apache-2.0 */
/* The publish API over gRPC. */
#include "api/publish.h"
#include "dapr/proto/runtime/v1/pubsub.pb-c.h"
#include "surface/grpc_surface.h"

void
grpc_publish(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__PublishEventRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__publish_event_request__descriptor);
    if (in == NULL)
        return;
    struct publish_request publish = { .pubsub = slice_str(in->pubsub_name),
                                       .topic = slice_str(in->topic),
                                       .content_type = slice_str(in->data_content_type),
                                       .data = pb_slice(in->data),
                                       .metadata_count = in->n_metadata };
    RPC_PAIRS(rpc->rq.arena, in->metadata, in->n_metadata, &publish.metadata);
    if (publish_event(&rpc->rq, &publish) == OK) /* suspends */
        rpc_empty(rpc);
    else
        rpc_fail(rpc);
}
