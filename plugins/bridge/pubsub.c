/* SPDX-License-Identifier: Apache-2.0 */
/* See pubsub.h. */
#include "pubsub.h"

#include <string.h>

#include <dapr/proto/components/v1/pubsub.pb-c.h>

#include "../shared/memory.h"
#include "failure.h"
#include "kind.h"
#include "stream.h"
#include "wire.h"

#define V1(name) Dapr__Proto__Components__V1__##name
#define INIT(name) DAPR__PROTO__COMPONENTS__V1__##name##__INIT
#define DESCRIPTOR(name) (&dapr__proto__components__v1__##name##__descriptor)
#define METHOD(name) "/" BRIDGE_PACKAGE "PubSub/" name

enum { PAUSE_MS = 700 }; /* of the time there is for the end */

/* --- publishing --------------------------------------------------------------------------------*/

static void
on_published(struct ask *ask, void *reply, const struct rpc_end *end)
{
    if (reply != NULL) {
        remora_reply_ok(ask->call);
        return;
    }
    const struct remora_failure failure = failure_of(ask->call, end);
    remora_reply_failure(ask->call, &failure);
}

static void
publish(remora_call *call, void *self, const struct remora_publish *message)
{
    struct remote *remote = self;
    V1(PublishRequest) request = INIT(PUBLISH_REQUEST);
    request.data = wire_bytes(message->data);
    request.pubsub_name = remote->name;
    request.topic = wire_text(call, message->topic);
    request.content_type = wire_text(call, message->content_type);
    request.n_metadata = message->metadata_count;
    request.metadata = wire_map(call, message->metadata, message->metadata_count,
                                DESCRIPTOR(publish_request__metadata_entry));
    const struct ask ask = {
        .remote = remote,
        .call = call,
        .method = METHOD("Publish"),
        .request = &request.base,
        .reply = DESCRIPTOR(publish_response),
        .answer = on_published,
    };
    ask_remote(&ask);
}

/* What on_all_published() wants to know of the request, in memory of the call. */
struct bulk {
    size_t count;
    V1(BulkMessageEntry) * *entries;
};

static void
on_all_published(struct ask *ask, void *reply, const struct rpc_end *end)
{
    const struct bulk *bulk = ask->arg;
    const V1(BulkPublishResponse) *in = reply;
    if (in == NULL) {
        on_published(ask, NULL, end);
        return;
    }
    const struct remora_failure **failures = remora_call_alloc(
        ask->call, bulk->count * sizeof(const struct remora_failure *));
    for (size_t i = 0; i < bulk->count; i++)
        failures[i] = NULL;
    for (size_t i = 0; i < in->n_failed_entries; i++) {
        struct remora_failure *failure = remora_call_alloc(ask->call, sizeof *failure);
        *failure = (struct remora_failure){ .code = REMORA_INTERNAL,
                                            .message = in->failed_entries[i]->error };
        for (size_t k = 0; k < bulk->count; k++)
            if (strcmp(bulk->entries[k]->entry_id, in->failed_entries[i]->entry_id) == 0)
                failures[k] = failure;
    }
    remora_pubsub_reply_failures(ask->call, failures, bulk->count);
}

static V1(BulkMessageEntry) * entry_of(remora_call *call, const struct remora_publish *message)
{
    V1(BulkMessageEntry) *entry = remora_call_alloc(call, sizeof *entry);
    *entry = (V1(BulkMessageEntry))INIT(BULK_MESSAGE_ENTRY);
    entry->entry_id = wire_text(call, message->entry_id);
    entry->event = wire_bytes(message->data);
    entry->content_type = wire_text(call, message->content_type);
    entry->n_metadata = message->metadata_count;
    entry->metadata = wire_map(call, message->metadata, message->metadata_count,
                               DESCRIPTOR(bulk_message_entry__metadata_entry));
    return entry;
}

static void
publish_many(remora_call *call, void *self, const struct remora_publish *messages, size_t count,
             const struct remora_pair *metadata, size_t metadata_count)
{
    struct remote *remote = self;
    V1(BulkPublishRequest) request = INIT(BULK_PUBLISH_REQUEST);
    struct bulk *bulk = remora_call_alloc(call, sizeof *bulk);
    bulk->count = count;
    bulk->entries = remora_call_alloc(call, (count + 1) * sizeof(void *));
    for (size_t i = 0; i < count; i++)
        bulk->entries[i] = entry_of(call, &messages[i]);
    request.n_entries = count;
    request.entries = bulk->entries;
    request.pubsub_name = remote->name;
    request.topic = wire_text(call, count == 0 ? wire_str("") : messages[0].topic);
    request.n_metadata = metadata_count;
    request.metadata = wire_map(call, metadata, metadata_count,
                                DESCRIPTOR(bulk_publish_request__metadata_entry));
    const struct ask ask = {
        .remote = remote,
        .call = call,
        .method = METHOD("BulkPublish"),
        .request = &request.base,
        .reply = DESCRIPTOR(bulk_publish_response),
        .answer = on_all_published,
        .arg = bulk,
    };
    ask_remote(&ask);
}

/* --- subscribing -------------------------------------------------------------------------------*/

static void
on_delivered(const enum remora_verdict *verdicts, size_t count, void *arg)
{
    struct flight *flight = arg;
    V1(PullMessagesRequest) out = INIT(PULL_MESSAGES_REQUEST);
    V1(AckMessageError) error = INIT(ACK_MESSAGE_ERROR);
    char *id = memory_text(flight_id(flight)), words[] = "the message was not handled";
    out.ack_message_id = id;
    error.message = words;
    out.ack_error = count == 1 && verdicts[0] == REMORA_DONE ? NULL : &error;
    uint8_t *room = memory_new(protobuf_c_message_get_packed_size(&out.base) + 1);
    const size_t len = protobuf_c_message_pack(&out.base, room);
    flight_land(flight, (struct remora_slice){ (char *)room, len });
    free(room);
    free(id);
}

/* The topic of the subscription, out of what was sent first. */
static bool
is_own_topic(const struct stream *stream, const char *topic)
{
    V1(PullMessagesRequest) *first = wire_unpack(DESCRIPTOR(pull_messages_request),
                                                 stream_first(stream));
    const bool is_own = first != NULL && first->topic != NULL &&
                        strcmp(first->topic->name, topic) == 0;
    wire_free(first);
    return is_own;
}

static bool
hand_over(struct stream *stream, struct flight *flight, struct remora_slice message)
{
    V1(PullMessagesResponse) *in = wire_unpack(DESCRIPTOR(pull_messages_response), message);
    if (in == NULL)
        return false;
    struct remora_pair *pairs = memory_new((in->n_metadata + 1) * sizeof *pairs);
    for (size_t i = 0; i < in->n_metadata; i++)
        pairs[i] = (struct remora_pair){ wire_str(in->metadata[i]->key),
                                         wire_str(in->metadata[i]->value) };
    const struct remora_message out = {
        .id = wire_str(in->id),
        .topic = wire_str(is_own_topic(stream, in->topic_name) ? "" : in->topic_name),
        .content_type = wire_str(in->content_type),
        .data = wire_slice(in->data),
        .metadata = pairs,
        .metadata_count = in->n_metadata,
    };
    flight_set_id(flight, in->id);
    remora_deliver(stream_id(stream), &out, 1, on_delivered, flight);
    free(pairs);
    wire_free(in);
    return true;
}

static const struct stream_kind pull_kind = {
    .method = METHOD("PullMessages"),
    .hand_over = hand_over,
};

static void
subscribe(remora_call *call, void *self, const struct remora_subscription *subscription)
{
    V1(PullMessagesRequest) first = INIT(PULL_MESSAGES_REQUEST);
    V1(Topic) topic = INIT(TOPIC);
    topic.name = wire_text(call, subscription->topic);
    topic.n_metadata = subscription->metadata_count;
    topic.metadata = wire_map(call, subscription->metadata, subscription->metadata_count,
                              DESCRIPTOR(topic__metadata_entry));
    first.topic = &topic;
    stream_open(self, &pull_kind, subscription->id, wire_pack(call, &first.base),
                subscription->window);
    remora_reply_ok(call);
}

static void
unsubscribe(remora_call *call, void *self, uint64_t subscription)
{
    stream_stop(self, subscription, call);
}

/* --- pause and resume --------------------------------------------------------------------------*/

struct pausing {
    struct remote *remote;
    remora_call *call;
};

static void
on_paused(void *arg, const struct rpc_end *end)
{
    const struct pausing *pausing = arg;
    (void)end; /* whoever cannot pause is cut off like this too */
    streams_stop(pausing->remote, pausing->call);
}

static void
on_resumed(void *arg, const struct rpc_end *end)
{
    const struct pausing *pausing = arg;
    if (end->code != REMORA_OK && end->code != REMORA_UNIMPLEMENTED)
        remora_log(REMORA_WARN, "component %s could not be resumed: %s", pausing->remote->name,
                   end->words);
    remora_reply_ok(pausing->call);
}

static void
tell(struct remote *remote, remora_call *call, const char *method, rpc_done *done)
{
    struct pausing *pausing = remora_call_alloc(call, sizeof *pausing);
    *pausing = (struct pausing){ remote, call };
    const struct rpc_request request = {
        .method = method,
        .timeout_ms = PAUSE_MS,
        .done = done,
        .arg = pausing,
    };
    (void)rpc_start(remote->channel, &request, wire_str(""));
}

void
pubsub_start(remora_call *call, void *self)
{
    tell(self, call, METHOD("Resume"), on_resumed);
}

void
pubsub_quiesce(remora_call *call, void *self)
{
    tell(self, call, METHOD("Pause"), on_paused);
}

/* --- what it can do ----------------------------------------------------------------------------*/

static void
take_features(struct remote *remote, struct remora_slice answer)
{
    static const struct {
        const char *name;
        unsigned capability;
    } features[] = {
        { "MESSAGE_TTL", REMORA_CAP_MESSAGE_TTL },
        { "SUBSCRIBE_WILDCARDS", REMORA_CAP_SUBSCRIBE_WILDCARDS },
        { "BULK_PUBSUB", REMORA_CAP_BULK_PUBLISH },
    };
    V1(FeaturesResponse) *in = wire_unpack(DESCRIPTOR(features_response), answer);
    remote->capabilities = 0;
    for (size_t i = 0; in != NULL && i < in->n_features; i++)
        for (size_t k = 0; k < sizeof features / sizeof features[0]; k++)
            if (strcmp(in->features[i], features[k].name) == 0)
                remote->capabilities |= features[k].capability;
    wire_free(in);
}

static void
reply_ready(struct remote *remote)
{
    remora_reply_init(remote->init_call, remote, remote->capabilities, 0);
}

static const struct step steps[] = {
    { .service = SERVICE_PUBSUB, .method = METHOD("Init"), .is_init = true },
    { .service = SERVICE_PUBSUB,
      .method = METHOD("Features"),
      .is_optional = true,
      .take = take_features },
    { .service = 0 },
};

const struct kind kind_pubsub = {
    .name = "pub/sub",
    .services = SERVICE_PUBSUB,
    .steps = steps,
    .reply = reply_ready,
};

const struct remora_pubsub_ops pubsub_ops = {
    .publish = publish,
    .publish_many = publish_many,
    .subscribe = subscribe,
    .unsubscribe = unsubscribe,
};
