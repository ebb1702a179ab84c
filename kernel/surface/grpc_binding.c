/* SPDX-License-Identifier: Apache-2.0 */
/* Output bindings over gRPC. */
#include "api/binding.h"
#include "api/header_text.h"
#include "base/pb.h"
#include "dapr/proto/runtime/v1/binding.pb-c.h"
#include "surface/grpc_surface.h"

typedef Dapr__Proto__Runtime__V1__InvokeBindingResponse response_t;
typedef Dapr__Proto__Runtime__V1__InvokeBindingResponse__MetadataEntry entry_t;

/* A failure has no message: what it has to tell stands before the status. */
static void
tell_metadata(struct rpc *rpc, const struct binding_response *response)
{
    const struct http_header *headers;
    size_t count = binding_headers(&rpc->rq, response, &headers), kept = 0;
    struct http_header *ascii = ARENA_ARRAY(rpc->rq.arena, struct http_header, count);
    for (size_t i = 0; i < count; i++)
        if (header_text_is_ascii(headers[i].value))
            ascii[kept++] = headers[i];
    rpc->call.more_metadata = ascii;
    rpc->call.more_metadata_count = kept;
}

static void
answer(struct rpc *rpc, const struct binding_response *response)
{
    struct arena *arena = rpc->rq.arena;
    response_t out = DAPR__PROTO__RUNTIME__V1__INVOKE_BINDING_RESPONSE__INIT;
    out.data.data = (uint8_t *)(uintptr_t)response->data.data;
    out.data.len = response->data.len;
    out.n_metadata = response->metadata_count;
    out.metadata = ARENA_ARRAY(arena, entry_t *, response->metadata_count);
    for (size_t i = 0; i < response->metadata_count; i++) {
        out.metadata[i] = ARENA_NEW(arena, entry_t);
        dapr__proto__runtime__v1__invoke_binding_response__metadata_entry__init(out.metadata[i]);
        out.metadata[i]->key = pb_string(arena, response->metadata[i].name);
        out.metadata[i]->value = pb_string(arena, response->metadata[i].value);
    }
    rpc_reply(rpc, &out.base);
}

void
grpc_binding_invoke(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__InvokeBindingRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__invoke_binding_request__descriptor);
    struct binding_response response;
    if (in == NULL)
        return;
    struct binding_request request = { .name = slice_str(in->name),
                                       .operation = slice_str(in->operation),
                                       .data = pb_slice(in->data),
                                       .metadata_count = in->n_metadata };
    RPC_PAIRS(rpc->rq.arena, in->metadata, in->n_metadata, &request.metadata);
    if (binding_invoke(&rpc->rq, &request, &response) == OK) { /* suspends */
        answer(rpc, &response);
    } else {
        tell_metadata(rpc, &response);
        rpc_fail(rpc);
    }
}
