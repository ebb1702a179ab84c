/* SPDX-License-Identifier: Apache-2.0 */
/* Output bindings; see binding.h. */
#include "api/binding.h"

#include "api/header_text.h"
#include "api/operation.h"
#include "base/limits.h"
#include "component/binding_facts.h"
#include "telemetry/trace_context.h"

typedef Remora__Plugin__V1__BindingInvoke invoke_t;
typedef Remora__Plugin__V1__BindingReply reply_t;

static err_t
fail_invoke(struct request *rq, const struct binding_request *request, struct slice reason)
{
    return fail(rq, ERR_INVOKE_OUTPUT_BINDING,
                "error invoking output binding " SLICE_FMT ": " SLICE_FMT, SLICE_ARG(request->name),
                SLICE_ARG(reason));
}

static err_t
fail_operation(struct request *rq, const struct binding_request *request,
               const struct component *binding)
{
    return fail_invoke(rq, request,
                       arena_printf(rq->arena,
                                    "binding " SLICE_FMT " does not support operation " SLICE_FMT
                                    ". supported operations:" SLICE_FMT,
                                    SLICE_ARG(request->name), SLICE_ARG(request->operation),
                                    SLICE_ARG(binding->facts->binding.operations)));
}

/* What the user gave, and what a binding that calls others passes on. */
static void
put_metadata(struct request *rq, const struct binding_request *request, invoke_t *out)
{
    size_t count = request->metadata_count;
    struct pair *pairs = ARENA_ARRAY(rq->arena, struct pair, count + 3);
    for (size_t i = 0; i < count; i++)
        pairs[i] = request->metadata[i];
    pairs[count++] = (struct pair){ SLICE("traceparent"),
                                    rq->traceparent.len > 0 ? rq->traceparent : TRACEPARENT_NONE };
    if (rq->tracestate.len > 0)
        pairs[count++] = (struct pair){ SLICE("tracestate"), rq->tracestate };
    if (rq->baggage.len > 0)
        pairs[count++] = (struct pair){ SLICE("baggage"), rq->baggage };
    out->metadata = operation_pack_pairs(rq->arena, pairs, count);
    out->n_metadata = count;
}

/* The call must not be finished yet. */
static err_t
take_reply(struct request *rq, const struct binding_request *request, struct component_call *call,
           struct binding_response *ret)
{
    const reply_t *reply = operation_unpack(rq, &remora__plugin__v1__binding_reply__descriptor,
                                            LIMIT_binding_metadata_max, call);
    if (reply == NULL)
        return fail_invoke(rq, request, SLICE("the plugin's answer is malformed"));
    struct pair *pairs = ARENA_ARRAY(rq->arena, struct pair, reply->n_metadata);
    for (size_t i = 0; i < reply->n_metadata; i++)
        pairs[i] = (struct pair){ slice_str(reply->metadata[i]->name),
                                  slice_str(reply->metadata[i]->value) };
    ret->responds = reply->responds;
    ret->metadata = pairs;
    ret->metadata_count = reply->n_metadata;
    if (reply->failure != NULL)
        return fail_invoke(rq, request, slice_str(reply->failure->message));
    err_t err = bus_call_body_all(rq->task, &call->bus, LIMIT_message_bytes_max, &ret->data);
    if (err == OK) /* suspended */
        return OK;
    return fail_invoke(rq, request, operation_reason(rq, err, call));
}

size_t
binding_headers(struct request *rq, const struct binding_response *response,
                const struct http_header **ret_headers)
{
    struct http_header *headers = ARENA_ARRAY(rq->arena, struct http_header,
                                              response->metadata_count);
    size_t count = 0, left = LIMIT_binding_headers_bytes;
    for (size_t i = 0; i < response->metadata_count; i++) {
        const struct pair *pair = &response->metadata[i];
        struct slice name = header_text_name(rq->arena, SLICE("metadata."), pair->name);
        if (name.len == 0 || !header_text_is_value(pair->value) ||
            name.len + pair->value.len > left)
            continue;
        left -= name.len + pair->value.len;
        headers[count++] = (struct http_header){ name, pair->value };
    }
    *ret_headers = headers;
    return count;
}

err_t
binding_invoke(struct request *rq, const struct binding_request *request,
               struct binding_response *ret)
{
    *ret = (struct binding_response){ .data = SLICE_EMPTY };
    if (request->operation.len == 0)
        return fail_invoke(rq, request, SLICE("operation field is missing from request"));
    struct component *binding = operation_component(rq, COMPONENT_BINDING, request->name);
    if (binding == NULL || (binding->facts->capabilities & IS_OUTPUT_BINDING) == 0)
        return fail_invoke(rq, request,
                           arena_printf(rq->arena, "couldn't find output binding " SLICE_FMT,
                                        SLICE_ARG(request->name)));
    if (!binding_has_operation(&binding->facts->binding, request->operation))
        return fail_operation(rq, request, binding);
    invoke_t out = REMORA__PLUGIN__V1__BINDING_INVOKE__INIT;
    struct component_call call;
    out.operation = pb_string(rq->arena, request->operation);
    put_metadata(rq, request, &out);
    const struct operation operation = {
        .method = REMORA__PLUGIN__V1__METHOD__METHOD_BINDING_INVOKE,
        .is_write = true,
        .message = pb_pack(rq->arena, &out.base),
        .parts = &request->data,
        .part_count = 1,
        .counted_as = request->operation,
    };
    err_t err = operation_run(rq, binding, &operation, &call); /* suspends */
    if (operation_has_failed(err, &call))
        err = fail_invoke(rq, request, operation_reason(rq, err, &call));
    else
        err = take_reply(rq, request, &call, ret);
    component_call_finish(rq->task, &call);
    return err;
}
