/* SPDX-License-Identifier: Apache-2.0 */
/* Conversation over gRPC. */
#include "api/conversation.h"
#include "surface/grpc_surface.h"

void
grpc_converse_alpha1(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__ConversationRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__conversation_request__descriptor);
    Dapr__Proto__Runtime__V1__ConversationResponse response;
    if (in == NULL || !rpc_admit(rpc)) /* suspends */
        return;
    if (conversation_alpha1(&rpc->rq, slice_str(in->name), in, &response) == OK) /* suspends */
        rpc_reply(rpc, &response.base);
    else
        rpc_fail(rpc);
}

void
grpc_converse_alpha2(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__ConversationRequestAlpha2 *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__conversation_request_alpha2__descriptor);
    Dapr__Proto__Runtime__V1__ConversationResponseAlpha2 response;
    if (in == NULL || !rpc_admit(rpc)) /* suspends */
        return;
    if (conversation_alpha2(&rpc->rq, slice_str(in->name), in, &response) == OK) /* suspends */
        rpc_reply(rpc, &response.base);
    else
        rpc_fail(rpc);
}
