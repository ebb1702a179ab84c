/* SPDX-License-Identifier: Apache-2.0 */
/* Batches for gRPC applications; see deliver_bulk_grpc.h. */
#include "api/deliver_bulk_grpc.h"

#include "api/deliver_grpc.h"
#include "api/deliver_headers.h"
#include "api/trace.h"
#include "app/grpc_app.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/pb.h"
#include "dapr/proto/runtime/v1/appcallback.pb-c.h"

#define SCOPE "dapr.runtime.processor.subscription"

typedef Dapr__Proto__Runtime__V1__TopicEventBulkRequest request_t;
typedef Dapr__Proto__Runtime__V1__TopicEventBulkRequest__MetadataEntry pair_t;
typedef Dapr__Proto__Runtime__V1__TopicEventBulkRequestEntry entry_t;
typedef Dapr__Proto__Runtime__V1__TopicEventBulkRequestEntry__MetadataEntry entry_pair_t;
typedef Dapr__Proto__Runtime__V1__TopicEventCERequest event_t;

static ProtobufCBinaryData
bytes_of(struct slice bytes)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *)(uintptr_t)bytes.data, /* is only read */
                                  .len = bytes.len };
}

static event_t *
pack_event(struct arena *arena, const struct cloudevent *event)
{
    event_t *out = ARENA_NEW(arena, event_t);
    dapr__proto__runtime__v1__topic_event_cerequest__init(out);
    out->id = deliver_text_of(arena, event, SLICE("id"));
    out->source = deliver_text_of(arena, event, SLICE("source"));
    out->type = deliver_text_of(arena, event, SLICE("type"));
    out->spec_version = deliver_text_of(arena, event, SLICE("specversion"));
    out->data_content_type = deliver_text_of(arena, event, SLICE("datacontenttype"));
    out->data = bytes_of(deliver_data_of(arena, event));
    out->extensions = deliver_extensions_of(arena, event);
    return out;
}

static entry_t *
pack_entry(struct arena *arena, const struct bulk_event *from)
{
    entry_t *out = ARENA_NEW(arena, entry_t);
    dapr__proto__runtime__v1__topic_event_bulk_request_entry__init(out);
    out->entry_id = pb_string(arena, from->entry_id);
    out->n_metadata = from->metadata_count;
    out->metadata = ARENA_ARRAY(arena, entry_pair_t *, from->metadata_count + 1);
    for (size_t i = 0; i < from->metadata_count; i++) {
        out->metadata[i] = ARENA_NEW(arena, entry_pair_t);
        dapr__proto__runtime__v1__topic_event_bulk_request_entry__metadata_entry__init(
            out->metadata[i]);
        out->metadata[i]->key = pb_string(arena, from->metadata[i].name);
        out->metadata[i]->value = pb_string(arena, from->metadata[i].value);
    }
    if (from->raw.data != NULL) {
        out->content_type = pb_string(arena, SLICE("application/octet-stream"));
        out->event_case = DAPR__PROTO__RUNTIME__V1__TOPIC_EVENT_BULK_REQUEST_ENTRY__EVENT_BYTES;
        out->bytes = bytes_of(from->raw);
    } else {
        out->event_case =
            DAPR__PROTO__RUNTIME__V1__TOPIC_EVENT_BULK_REQUEST_ENTRY__EVENT_CLOUD_EVENT;
        out->cloud_event = pack_event(arena, from->event);
    }
    return out;
}

static struct slice
pack(struct arena *arena, const struct topic_spec *spec, struct slice path,
     const struct bulk_event *events, size_t count)
{
    request_t out = DAPR__PROTO__RUNTIME__V1__TOPIC_EVENT_BULK_REQUEST__INIT;
    pair_t pair, *pairs[] = { &pair };
    dapr__proto__runtime__v1__topic_event_bulk_request__metadata_entry__init(&pair);
    pair.key = pb_string(arena, SLICE("pubsubName"));
    pair.value = pb_string(arena, spec->pubsub);
    out.metadata = pairs;
    out.n_metadata = ARRAY_LEN(pairs);
    out.id = pb_string(arena, cloudevent_uuid(arena));
    out.topic = pb_string(arena, spec->topic);
    out.pubsub_name = pb_string(arena, spec->pubsub);
    out.type = pb_string(arena, SLICE("com.dapr.event.sent.bulk"));
    out.path = pb_string(arena, slice_eq(path, SLICE("/")) ? SLICE_EMPTY : path);
    out.entries = ARENA_ARRAY(arena, entry_t *, count);
    out.n_entries = count;
    for (size_t i = 0; i < count; i++)
        out.entries[i] = pack_entry(arena, &events[i]);
    return pb_pack(arena, &out.base);
}

static void
read_answer(struct request *rq, struct slice message, size_t count, bulk_status_fn *take, void *arg)
{
    static const char *const words[] = { "SUCCESS", "RETRY", "DROP" };
    enum { ENTRY_BYTES = 256 };
    const Dapr__Proto__Runtime__V1__TopicEventBulkResponse *in = pb_unpack(
        rq->arena, &dapr__proto__runtime__v1__topic_event_bulk_response__descriptor, message,
        LIMIT_grpc_depth_max, message.len * 4 + count * ENTRY_BYTES + 4096);
    for (size_t i = 0; in != NULL && i < in->n_statuses; i++) {
        unsigned status = (unsigned)in->statuses[i]->status;
        take(arg, slice_str(in->statuses[i]->entry_id),
             status < ARRAY_LEN(words) ? slice_str(words[status]) : SLICE("UNKNOWN"));
    }
}

err_t
deliver_bulk_grpc(struct request *rq, const struct topic_spec *spec, struct slice path,
                  const struct bulk_event *events, size_t count, bulk_status_fn *take, void *arg,
                  enum grpc_code *ret_code)
{
    struct app_channel *channel = &kernel_worker_of(rq->task)->app;
    struct http_header metadata[1 + TRACE_HEADERS_MAX];
    struct grpc_answer answer = { 0 };
    metadata[0] = (struct http_header){ SLICE("pubsubname"), spec->pubsub };
    size_t metadata_count = 1;
    if (count > 0 && deliver_has_trace(events[0].event))
        metadata_count += trace_grpc_metadata(rq, metadata + 1);
    err_t err = app_enter(rq->task, channel); /* suspends */
    if (err != OK)
        return err;
    err = app_grpc_bulk_event(rq->task, channel, pack(rq->arena, spec, path, events, count),
                              metadata, metadata_count, &answer); /* suspends */
    app_leave(channel);
    if (err != OK)
        return err;
    *ret_code = answer.code;
    if (answer.code == GRPC_OK)
        read_answer(rq, answer.message, count, take, arg);
    else
        log_warn(
            SCOPE,
            "non-success returned from app while processing bulk pub/sub event, topic: " SLICE_FMT
            ", rpc error: code = %s desc = " SLICE_FMT,
            SLICE_ARG(spec->topic), grpc_code_name(answer.code), SLICE_ARG(answer.text));
    return OK;
}
