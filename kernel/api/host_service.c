/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services of the kernel for plugins: the same functions of api/ that applications reach through a
 * surface, with the plugin contract as the surface.
 */
#include "api/host_service.h"

#include "api/binding_event.h"
#include "api/configuration_watch.h"
#include "api/deliver.h"
#include "api/state.h"
#include "base/limits.h"
#include "base/pb.h"
#include "remora/plugin/v1/plugin.pb-c.h"
#include "telemetry/trace_context.h"

enum { MESSAGE_BUDGET_BYTES = 1024 * 1024 };

static void
reply_failure(struct request *rq, struct host_call *call, enum grpc_code code, struct slice message)
{
    const struct frame_status status = {
        .code = (uint32_t)code, .message = slice_first(message, FRAME_STATUS_MESSAGE_MAX)
    };
    host_call_reply(rq->task, call, &status, SLICE_EMPTY, SLICE_EMPTY);
}

static void
reply_error(struct request *rq, struct host_call *call)
{
    reply_failure(rq, call, rq->error.grpc, rq->error.message);
}

static bool
is_granted(const struct host_call *call, const char *service)
{
    const struct link_config *config = &call->link->config;
    for (size_t i = 0; i < config->host_service_count; i++)
        if (strcmp(config->host_services[i], service) == 0)
            return true;
    return false;
}

static const void *
unpack(struct request *rq, const ProtobufCMessageDescriptor *descriptor,
       const struct host_call *call)
{
    return pb_unpack(rq->arena, descriptor, host_call_message(call), LIMIT_frame_depth_max,
                     MESSAGE_BUDGET_BYTES);
}

static void
get_state(struct request *rq, struct host_call *call)
{
    const Remora__Plugin__V1__HostStateGet *in = unpack(
        rq, &remora__plugin__v1__host_state_get__descriptor, call);
    struct component *store;
    struct state_value value = { 0 };
    struct state_body body = { 0 };
    struct slice bytes = SLICE_EMPTY;
    if (in == NULL) {
        reply_failure(rq, call, GRPC_INVALID_ARGUMENT, SLICE("malformed HostStateGet"));
        return;
    }
    err_t err = state_store_find(rq, slice_str(in->store), &store);
    if (err == OK)
        err = state_get(rq, store, &(struct state_get){ .key = slice_str(in->key) }, &value, &body);
    if (err == OK && value.found &&
        state_body_all(rq, &body, LIMIT_message_bytes_max, &bytes) != OK)
        err = fail(rq, ERR_STATE_GET, "the value is too large or was lost on its way");
    state_body_end(rq, &body);
    if (err != OK) {
        reply_error(rq, call);
        return;
    }
    Remora__Plugin__V1__StateValue out = REMORA__PLUGIN__V1__STATE_VALUE__INIT;
    out.found = value.found;
    out.expires_unix_ms = value.expires_unix_ms;
    if (value.has_etag) {
        out._etag_case = REMORA__PLUGIN__V1__STATE_VALUE___ETAG_ETAG;
        out.etag = pb_string(rq->arena, value.etag);
    }
    host_call_reply(rq->task, call, NULL, pb_pack(rq->arena, &out.base), bytes);
}

static void
set_state(struct request *rq, struct host_call *call)
{
    const Remora__Plugin__V1__HostStateSet *in = unpack(
        rq, &remora__plugin__v1__host_state_set__descriptor, call);
    struct component *store;
    if (in == NULL) {
        reply_failure(rq, call, GRPC_INVALID_ARGUMENT, SLICE("malformed HostStateSet"));
        return;
    }
    struct state_item item = { .key = slice_str(in->key),
                               .value = host_call_body(call),
                               .is_json = in->json,
                               .has_etag = in->_etag_case ==
                                           REMORA__PLUGIN__V1__HOST_STATE_SET___ETAG_ETAG };
    struct pair ttl = { .name = SLICE("ttlInSeconds") };
    if (item.has_etag)
        item.etag = slice_str(in->etag);
    if (in->_ttl_seconds_case == REMORA__PLUGIN__V1__HOST_STATE_SET___TTL_SECONDS_TTL_SECONDS) {
        ttl.value = arena_printf(rq->arena, "%lld", (long long)in->ttl_seconds);
        item.metadata = &ttl;
        item.metadata_count = 1;
    }
    if (state_store_find(rq, slice_str(in->store), &store) == OK &&
        state_save(rq, store, &item, 1) == OK)
        host_call_reply(rq->task, call, NULL, SLICE_EMPTY, SLICE_EMPTY);
    else
        reply_error(rq, call);
}

static void
delete_state(struct request *rq, struct host_call *call)
{
    const Remora__Plugin__V1__HostStateDelete *in = unpack(
        rq, &remora__plugin__v1__host_state_delete__descriptor, call);
    struct component *store;
    if (in == NULL) {
        reply_failure(rq, call, GRPC_INVALID_ARGUMENT, SLICE("malformed HostStateDelete"));
        return;
    }
    struct state_item item = { .key = slice_str(in->key),
                               .has_etag = in->_etag_case ==
                                           REMORA__PLUGIN__V1__HOST_STATE_DELETE___ETAG_ETAG };
    if (item.has_etag)
        item.etag = slice_str(in->etag);
    if (state_store_find(rq, slice_str(in->store), &store) == OK &&
        state_delete(rq, store, &item) == OK)
        host_call_reply(rq->task, call, NULL, SLICE_EMPTY, SLICE_EMPTY);
    else
        reply_error(rq, call);
}

static const struct service {
    uint32_t method;
    const char *grant; /* in the manifest's host_services; NULL: whoever has what it is about */
    void (*serve)(struct request *rq, struct host_call *call);
} services[] = {
    { REMORA__PLUGIN__V1__METHOD__METHOD_HOST_STATE_GET, "state", get_state },
    { REMORA__PLUGIN__V1__METHOD__METHOD_HOST_STATE_SET, "state", set_state },
    { REMORA__PLUGIN__V1__METHOD__METHOD_HOST_STATE_DELETE, "state", delete_state },
    { REMORA__PLUGIN__V1__METHOD__METHOD_HOST_DELIVER, NULL, deliver_messages },
    { REMORA__PLUGIN__V1__METHOD__METHOD_HOST_CONFIGURATION_CHANGED, NULL, configuration_changed },
    { REMORA__PLUGIN__V1__METHOD__METHOD_HOST_BINDING_EVENT, NULL, binding_event },
};

/* A plugin works for somebody, whose trace goes on in what it asks for. */
static void
take_trace(struct request *rq, const struct host_call *call)
{
    struct trace_context context;
    if (!trace_context_parse(call->traceparent, &context))
        return;
    rq->traceparent = call->traceparent;
    if (tracestate_is_valid(call->tracestate))
        rq->tracestate = call->tracestate;
}

void
host_service(struct task *t, struct host_call *call)
{
    struct request rq;
    request_init(&rq, t);
    rq.depth = call->depth + 1;
    take_trace(&rq, call);
    for (size_t i = 0; i < ARRAY_LEN(services); i++) {
        if (services[i].method != call->method)
            continue;
        if (services[i].grant == NULL || is_granted(call, services[i].grant))
            services[i].serve(&rq, call); /* suspends */
        else
            reply_failure(&rq, call, GRPC_PERMISSION_DENIED,
                          SLICE("the plugin's manifest does not ask for this service"));
        return;
    }
    reply_failure(&rq, call, GRPC_UNIMPLEMENTED, SLICE("the sidecar has no such service"));
}
