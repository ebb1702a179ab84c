/* SPDX-License-Identifier: Apache-2.0 */
/* The publish API over gRPC. */
#include "api/publish_bulk.h"
#include "base/limits.h"
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

/* --- bulk --------------------------------------------------------------------------------------*/

typedef Dapr__Proto__Runtime__V1__BulkPublishResponse reply_t;
typedef Dapr__Proto__Runtime__V1__BulkPublishResponseFailedEntry failed_t;

static const struct bulk_entry *
entries_of(struct rpc *rpc, const Dapr__Proto__Runtime__V1__BulkPublishRequest *in)
{
    if (in->n_entries > LIMIT_publish_entries_max)
        return NULL; /* refused by their number, without a look at them */
    struct bulk_entry *entries = ARENA_ARRAY(rpc->rq.arena, struct bulk_entry, in->n_entries + 1);
    for (size_t i = 0; i < in->n_entries; i++) {
        const Dapr__Proto__Runtime__V1__BulkPublishRequestEntry *from = in->entries[i];
        entries[i] = (struct bulk_entry){ .id = slice_str(from->entry_id),
                                          .content_type = slice_str(from->content_type),
                                          .data = pb_slice(from->event),
                                          .metadata_count = from->n_metadata };
        RPC_PAIRS(rpc->rq.arena, from->metadata, from->n_metadata, &entries[i].metadata);
    }
    return entries;
}

/* Some have failed: the others are published, so the call has succeeded. */
static void
answer_failures(struct rpc *rpc, const struct bulk_failure *failures, size_t count)
{
    struct arena *arena = rpc->rq.arena;
    reply_t out = DAPR__PROTO__RUNTIME__V1__BULK_PUBLISH_RESPONSE__INIT;
    out.failedentries = ARENA_ARRAY(arena, failed_t *, count);
    out.n_failedentries = count;
    for (size_t i = 0; i < count; i++) {
        failed_t *failed = ARENA_NEW(arena, failed_t);
        dapr__proto__runtime__v1__bulk_publish_response_failed_entry__init(failed);
        failed->entry_id = pb_string(arena, failures[i].id);
        failed->error = pb_string(arena, failures[i].reason);
        out.failedentries[i] = failed;
    }
    rpc_reply(rpc, &out.base);
}

void
grpc_publish_bulk(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__BulkPublishRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__bulk_publish_request__descriptor);
    struct bulk_failure *failures;
    size_t count;
    if (in == NULL)
        return;
    struct publish_bulk bulk = { .request = { .pubsub = slice_str(in->pubsub_name),
                                              .topic = slice_str(in->topic),
                                              .metadata_count = in->n_metadata },
                                 .entries = entries_of(rpc, in),
                                 .entry_count = in->n_entries };
    RPC_PAIRS(rpc->rq.arena, in->metadata, in->n_metadata, &bulk.request.metadata);
    if (publish_bulk_begin(&rpc->rq, &bulk) != OK || /* suspends */
        publish_bulk(&rpc->rq, &bulk, &failures, &count) != OK) {
        rpc_fail(rpc);
    } else if (count > 0 && count == in->n_entries) {
        (void)publish_fail(&rpc->rq, &bulk.request, failures[0].reason);
        rpc_fail(rpc);
    } else {
        answer_failures(rpc, failures, count);
    }
}
