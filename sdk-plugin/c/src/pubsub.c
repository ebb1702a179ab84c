/* SPDX-License-Identifier: Apache-2.0 */
/* Pub/sub: publishing and subscribing decoded, handed to the type's functions, answered. Messages
 * go the other way through host.c. */
#include "sdk.h"

#include <assert.h>

#include "base/pb.h"

static void
publish(struct remora_call *call, const struct remora_pubsub_ops *ops)
{
    const Remora__Plugin__V1__PubsubPublish *in = call_unpack(
        call, &remora__plugin__v1__pubsub_publish__descriptor);
    if (in == NULL || in->topic[0] == '\0') {
        call_refuse_malformed(call, "PubsubPublish");
        return;
    }
    struct remora_publish *message = ARENA_NEW(&call->arena, struct remora_publish);
    *message = (struct remora_publish){
        .topic = to_remora(slice_str(in->topic)),
        .content_type = to_remora(slice_str(in->content_type)),
        .data = to_remora(call->body),
        .has_ttl = in->_ttl_seconds_case ==
                   REMORA__PLUGIN__V1__PUBSUB_PUBLISH___TTL_SECONDS_TTL_SECONDS,
        .ttl_seconds = in->ttl_seconds,
        .has_metadata = in->has_metadata || in->n_metadata > 0,
        .metadata = unpack_pairs(&call->arena, in->metadata, in->n_metadata),
        .metadata_count = in->n_metadata,
    };
    ops->publish(call, call->component->self, message);
}

static bool
take_entry(struct remora_call *call, const Remora__Plugin__V1__PubsubPublishBulk__Entry *entry,
           struct slice topic, size_t *at, struct remora_publish *message)
{
    if (entry->data_bytes > call->body.len - *at)
        return false;
    *message = (struct remora_publish){
        .topic = to_remora(topic),
        .content_type = to_remora(slice_str(entry->content_type)),
        .data = to_remora(slice_of(call->body.data + *at, (size_t)entry->data_bytes)),
        .has_ttl = entry->_ttl_seconds_case ==
                   REMORA__PLUGIN__V1__PUBSUB_PUBLISH_BULK__ENTRY___TTL_SECONDS_TTL_SECONDS,
        .ttl_seconds = entry->ttl_seconds,
        .entry_id = to_remora(slice_str(entry->entry_id)),
        .has_metadata = entry->n_metadata > 0,
        .metadata = unpack_pairs(&call->arena, entry->metadata, entry->n_metadata),
        .metadata_count = entry->n_metadata,
    };
    *at += (size_t)entry->data_bytes;
    return true;
}

static void
publish_many(struct remora_call *call, const struct remora_pubsub_ops *ops)
{
    const Remora__Plugin__V1__PubsubPublishBulk *in = call_unpack(
        call, &remora__plugin__v1__pubsub_publish_bulk__descriptor);
    bool is_good = in != NULL && in->topic[0] != '\0';
    size_t at = 0, count = is_good ? in->n_entries : 0;
    struct remora_publish *messages = ARENA_ARRAY(&call->arena, struct remora_publish, count);
    for (size_t i = 0; i < count && is_good; i++)
        is_good = take_entry(call, in->entries[i], slice_str(in->topic), &at, &messages[i]);
    if (!is_good || at != call->body.len)
        call_refuse_malformed(call, "PubsubPublishBulk");
    else
        ops->publish_many(call, call->component->self, messages, count,
                          unpack_pairs(&call->arena, in->metadata, in->n_metadata), in->n_metadata);
}

static void
subscribe(struct remora_call *call, const struct remora_pubsub_ops *ops)
{
    const Remora__Plugin__V1__PubsubSubscribe *in = call_unpack(
        call, &remora__plugin__v1__pubsub_subscribe__descriptor);
    if (in == NULL || in->topic[0] == '\0' || in->subscription == 0 || in->window == 0) {
        call_refuse_malformed(call, "PubsubSubscribe");
        return;
    }
    struct remora_subscription *subscription = ARENA_NEW(&call->arena, struct remora_subscription);
    *subscription = (struct remora_subscription){
        .id = in->subscription,
        .topic = to_remora(slice_str(in->topic)),
        .metadata = unpack_pairs(&call->arena, in->metadata, in->n_metadata),
        .metadata_count = in->n_metadata,
        .window = in->window,
        .batch_messages_max = in->batch_messages_max,
        .batch_await_ms = in->batch_await_ms,
    };
    ops->subscribe(call, call->component->self, subscription);
}

static void
unsubscribe(struct remora_call *call, const struct remora_pubsub_ops *ops)
{
    const Remora__Plugin__V1__PubsubUnsubscribe *in = call_unpack(
        call, &remora__plugin__v1__pubsub_unsubscribe__descriptor);
    if (in == NULL || in->subscription == 0)
        call_refuse_malformed(call, "PubsubUnsubscribe");
    else
        ops->unsubscribe(call, call->component->self, in->subscription);
}

static bool
is_served(const struct remora_pubsub_ops *ops, uint32_t method)
{
    switch (method) {
    case METHOD(PUBSUB_PUBLISH):
        return ops->publish != NULL;
    case METHOD(PUBSUB_PUBLISH_BULK):
        return ops->publish_many != NULL;
    case METHOD(PUBSUB_SUBSCRIBE):
        return ops->subscribe != NULL;
    default:
        return ops->unsubscribe != NULL;
    }
}

void
pubsub_run(struct remora_call *call)
{
    const struct remora_pubsub_ops *ops = call->component->type->pubsub;
    if (ops == NULL || !is_served(ops, call->method))
        call_refuse_unsupported(call);
    else if (call->method == METHOD(PUBSUB_PUBLISH))
        publish(call, ops);
    else if (call->method == METHOD(PUBSUB_PUBLISH_BULK))
        publish_many(call, ops);
    else if (call->method == METHOD(PUBSUB_SUBSCRIBE))
        subscribe(call, ops);
    else
        unsubscribe(call, ops);
}

void
remora_pubsub_reply_failures(remora_call *call, const struct remora_failure *const *failures,
                             size_t count)
{
    assert(call->method == METHOD(PUBSUB_PUBLISH_BULK));
    Remora__Plugin__V1__PubsubPublishBulkReply reply =
        REMORA__PLUGIN__V1__PUBSUB_PUBLISH_BULK_REPLY__INIT;
    reply.failures = ARENA_ARRAY(&call->arena,
                                 Remora__Plugin__V1__PubsubPublishBulkReply__Failure *, count);
    for (size_t i = 0; i < count; i++) {
        if (failures[i] == NULL)
            continue;
        Remora__Plugin__V1__PubsubPublishBulkReply__Failure *failure = ARENA_NEW(
            &call->arena, Remora__Plugin__V1__PubsubPublishBulkReply__Failure);
        remora__plugin__v1__pubsub_publish_bulk_reply__failure__init(failure);
        failure->index = (uint32_t)i;
        failure->status = pack_status(call, failures[i]);
        reply.failures[reply.n_failures++] = failure;
    }
    call_reply(call, pb_pack(&call->arena, &reply.base), NULL, 0);
}
