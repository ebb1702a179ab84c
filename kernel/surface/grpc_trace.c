/* SPDX-License-Identifier: Apache-2.0 */
/* The span of a gRPC call: what it is named after and told about, as the reference runtime does. */
#include "surface/grpc_surface.h"
#include "surface/trace.h"

#define INVOKE "InvokeService"

void
grpc_trace_begin(struct rpc *rpc, bool is_ours)
{
    struct request *rq = &rpc->rq;
    struct grpc_call *call = &rpc->call;
    trace_take(rq, call->x, call->x->path, true);
    /* Only the answer of an invocation has the context in another form: its handler writes it. */
    struct slice binary = is_ours && !slice_eq(call->method, SLICE(INVOKE)) ? trace_binary(rq)
                                                                            : SLICE_EMPTY;
    if (binary.len > 0 && call->metadata_count < GRPC_METADATA_MAX)
        call->metadata[call->metadata_count++] = (struct http_header){ SLICE("grpc-trace-bin"),
                                                                       binary };
    if (rq->span != NULL && !is_ours &&
        slice_eq(grpc_metadata(call, SLICE("dapr-app-id")), rq->kernel->app_id))
        rq->span->kind = SPAN_SERVER; /* the application's call, on its way in */
}

/* A string field by its name; empty if there is none. */
static struct slice
text_of(const ProtobufCMessage *message, const char *name)
{
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(
        message->descriptor, name);
    if (field == NULL || field->type != PROTOBUF_C_TYPE_STRING ||
        field->label == PROTOBUF_C_LABEL_REPEATED)
        return SLICE_EMPTY;
    return slice_str(*(const char *const *)(const void *)((const char *)message + field->offset));
}

static const ProtobufCMessage *
message_of(const ProtobufCMessage *message, const char *name)
{
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(
        message->descriptor, name);
    if (field == NULL || field->type != PROTOBUF_C_TYPE_MESSAGE ||
        field->label == PROTOBUF_C_LABEL_REPEATED)
        return NULL;
    return *(const ProtobufCMessage *const *)(const void *)((const char *)message + field->offset);
}

static void
set_database(struct rpc *rpc, const char *type, struct slice name)
{
    struct span *span = rpc->rq.span;
    span_set(span, SLICE("db.system"), slice_str(type));
    span_set(span, SLICE("db.name"), name);
    span_set(span, SLICE("db.statement"), rpc->call.x->path);
    span_set(span, SLICE("db.connection_string"), slice_str(type));
    span_set(span, SLICE("rpc.service"), SLICE("Dapr"));
}

void
grpc_trace_request(struct rpc *rpc, const ProtobufCMessage *message)
{
    /* Stores by the request that names them. */
    static const struct {
        const char *request;
        const char *type;
        const char *field;
    } databases[] = {
        { "GetState", "state", "store_name" },    { "SaveState", "state", "store_name" },
        { "DeleteState", "state", "store_name" }, { "GetSecret", "secrets", "store_name" },
        { "InvokeBinding", "bindings", "name" },
    };
    struct slice method = rpc->call.method;
    struct span *span = rpc->rq.span;
    if (span == NULL)
        return;
    for (size_t i = 0; i < ARRAY_LEN(databases); i++)
        if (slice_eq(method, slice_str(databases[i].request)))
            set_database(rpc, databases[i].type, text_of(message, databases[i].field));
    if (slice_eq(method, SLICE(INVOKE))) {
        const ProtobufCMessage *inner = message_of(message, "message");
        trace_invocation(&rpc->rq, text_of(message, "id"),
                         inner == NULL ? SLICE_EMPTY : text_of(inner, "method"));
    } else if (slice_has_prefix(method, SLICE("PublishEvent")) ||
               slice_has_prefix(method, SLICE("BulkPublishEvent"))) {
        span_set(span, SLICE("rpc.service"), SLICE("Dapr"));
        span_set(span, SLICE("messaging.system"), SLICE("pubsub"));
        span_set(span, SLICE("messaging.destination.name"), text_of(message, "topic"));
    }
}

void
grpc_trace_end(struct rpc *rpc, uint64_t took_ns)
{
    struct span *span = rpc->rq.span;
    if (span == NULL)
        return;
    trace_take_attributes(&rpc->rq, rpc->call.x);
    span_set(span, SLICE("dapr.protocol"), SLICE("grpc"));
    span_set(span, SLICE("dapr.api"), rpc->call.x->path);
    span->has_failed = rpc->call.ended_code != GRPC_OK;
    if (!span->has_failed)
        span->failure = SLICE_EMPTY;
    trace_end(&rpc->rq, took_ns);
}
