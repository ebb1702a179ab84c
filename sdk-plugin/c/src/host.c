/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the plugin into the sidecar: state of other components. Even call numbers; `done` is
 * called exactly once, never from within the function that asked. */
#include "sdk.h"

#include <assert.h>
#include <stdlib.h>

#include "base/wire.h"

struct host_call {
    struct exchange exchange;
    struct list node; /* in open_calls */
    struct arena arena;
    remora_host_done *done;
    void *arg;
    bool has_response;
    struct remora_host_reply reply; /* what the response's first frame said */
};

static struct list open_calls = { &open_calls, &open_calls };
static size_t open_count;
static uint64_t last_id;

static void
finish(struct host_call *call, const struct remora_host_reply *reply)
{
    outbound_stop(&call->exchange.out);
    link_remove(&call->exchange);
    list_remove(&call->node);
    open_count--;
    call->done(reply, call->arg);
    inbound_fini(&call->exchange.in);
    arena_fini(&call->arena);
    free(call);
}

static void
fail(struct host_call *call, enum remora_code code, const char *message)
{
    finish(call,
           &(struct remora_host_reply){ .code = code, .message = to_remora(slice_str(message)) });
}

void
host_fail_all(void)
{
    while (!list_is_empty(&open_calls))
        fail(container_of(open_calls.next, struct host_call, node), REMORA_UNAVAILABLE,
             "the connection to the sidecar has ended");
}

/* --- asking ------------------------------------------------------------------------------------*/

static void
on_request_sent(struct outbound *out)
{
    (void)out; /* the response is what ends the call */
}

static void
on_refused(void *arg)
{
    fail(arg, REMORA_RESOURCE_EXHAUSTED, "too many calls into the sidecar are open");
}

static struct host_call *
host_new(remora_host_done *done, void *arg)
{
    struct host_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        abort();
    arena_init(&call->arena);
    list_init(&call->node);
    list_append(&open_calls, &call->node);
    open_count++;
    call->exchange.id = last_id += 2;
    call->done = done;
    call->arg = arg;
    return call;
}

/* What the calls have in common is taken from the call they are made for. */
static struct frame
head_of(const struct host_call *call, const struct remora_call *parent, uint32_t method)
{
    struct frame head = { .kind = FRAME_REQUEST, .call = call->exchange.id, .method = method };
    head.depth = 1;
    if (parent == NULL)
        return head;
    head.depth = parent->depth + 1;
    const uint64_t left = remora_call_time_left_ms(parent);
    if (left != UINT64_MAX)
        head.timeout_ms = left > 0 ? left : 1;
    return head;
}

static void
keep_trace(struct host_call *call, struct frame *head, const struct remora_call *parent)
{
    if (parent == NULL)
        return;
    head->request_id = arena_dup(&call->arena, parent->request_id);
    head->traceparent = arena_dup(&call->arena, parent->traceparent);
    head->tracestate = arena_dup(&call->arena, parent->tracestate);
}

static void
start(struct host_call *call, const struct remora_call *parent, uint32_t method,
      struct slice message, struct slice body)
{
    if (open_count > LIMIT_host_calls_max || !sdk.link.is_up) {
        remora_post(on_refused, call);
        return;
    }
    struct slice *parts = arena_alloc(&call->arena, 2 * sizeof *parts);
    parts[0] = message;
    parts[1] = arena_dup(&call->arena, body);
    struct frame head = head_of(call, parent, method);
    keep_trace(call, &head, parent);
    head.message_bytes = (uint32_t)message.len;
    head.payload_bytes = message.len + body.len;
    link_add(&call->exchange);
    call->exchange.out = (struct outbound){ .head = head,
                                            .call = call->exchange.id,
                                            .parts = parts,
                                            .part_count = 2,
                                            .on_done = on_request_sent };
    outbound_start(&call->exchange.out);
}

/* Store and key are the first two fields of each request; `json` is the third of a set. */
static struct slice
encode(struct host_call *call, struct remora_slice store, struct remora_slice key, bool json)
{
    char *first = arena_alloc(&call->arena, store.len + key.len + (size_t)3 * WIRE_HEAD_MAX);
    char *at = wire_put_bytes(first, 1, from_remora(store));
    at = wire_put_bytes(at, 2, from_remora(key));
    at = wire_put_number(at, 3, json);
    return slice_of(first, (size_t)(at - first));
}

void
remora_host_state_get(remora_call *parent, struct remora_slice store, struct remora_slice key,
                      remora_host_done *done, void *arg)
{
    struct host_call *call = host_new(done, arg);
    start(call, parent, METHOD(HOST_STATE_GET), encode(call, store, key, false), SLICE_EMPTY);
}

void
remora_host_state_set(remora_call *parent, struct remora_slice store, struct remora_slice key,
                      struct remora_slice value, bool json, remora_host_done *done, void *arg)
{
    struct host_call *call = host_new(done, arg);
    start(call, parent, METHOD(HOST_STATE_SET), encode(call, store, key, json), from_remora(value));
}

void
remora_host_state_delete(remora_call *parent, struct remora_slice store, struct remora_slice key,
                         remora_host_done *done, void *arg)
{
    struct host_call *call = host_new(done, arg);
    start(call, parent, METHOD(HOST_STATE_DELETE), encode(call, store, key, false), SLICE_EMPTY);
}

/* --- being answered ----------------------------------------------------------------------------*/

/* StateValue: found 1, etag 2. Set and delete answer Empty, which reads as not found. */
static void
deliver(struct host_call *call, struct slice payload)
{
    struct inbound *in = &call->exchange.in;
    struct remora_host_reply reply = { .code = REMORA_OK };
    struct wire_reader r = wire_reader(slice_first(payload, in->message_bytes));
    struct wire_field f;
    reply.message = reply.etag = to_remora(SLICE_EMPTY);
    while (wire_next(&r, &f)) {
        if (f.field == 1)
            reply.found = wire_number(&r, &f) != 0;
        else if (f.field == 2)
            reply.etag = to_remora(wire_bytes(&r, &f));
    }
    reply.value = to_remora(slice_from(payload, in->message_bytes));
    if (r.is_bad || in->message_bytes > payload.len)
        fail(call, REMORA_INTERNAL, "the sidecar's answer is malformed");
    else
        finish(call, &reply);
}

static void
receive(struct host_call *call, struct slice payload)
{
    struct inbound *in = &call->exchange.in;
    enum inbound_result result = inbound_count(in, payload.len);
    if (result == INBOUND_OK)
        result = inbound_keep(in, payload);
    if (result == INBOUND_VIOLATION)
        sdk_end(EXIT_FAILURE, "an answer exceeds its credit or its announced length");
    else if (result == INBOUND_TOO_LARGE)
        fail(call, REMORA_RESOURCE_EXHAUSTED, "the answer is too large for this plugin");
    else if (in->is_complete)
        deliver(call, buf_slice(&in->bytes));
    else
        inbound_take(&call->exchange, payload.len);
}

void
host_on_response(struct exchange *exchange, const struct frame *frame)
{
    struct host_call *call = container_of(exchange, struct host_call, exchange);
    if (call->has_response) {
        sdk_end(EXIT_FAILURE, "the sidecar answered a call twice");
        return;
    }
    call->has_response = true;
    outbound_stop(&exchange->out); /* nobody waits for the rest of the request */
    if (frame->has_status && frame->status.code != REMORA_OK) {
        finish(call, &(struct remora_host_reply){ .code = (enum remora_code)frame->status.code,
                                                  .message = to_remora(frame->status.message) });
        return;
    }
    if (inbound_init(&exchange->in, frame) != INBOUND_OK) {
        fail(call, REMORA_RESOURCE_EXHAUSTED, "the answer is too large for this plugin");
        return;
    }
    receive(call, frame->payload);
}

void
host_on_data(struct exchange *exchange, const struct frame *frame)
{
    struct host_call *call = container_of(exchange, struct host_call, exchange);
    if (call->has_response)
        receive(call, frame->payload);
}

void
host_on_end(struct exchange *exchange, const struct frame *frame)
{
    struct host_call *call = container_of(exchange, struct host_call, exchange);
    if (!call->has_response)
        return;
    if (frame->has_status && frame->status.code != REMORA_OK)
        fail(call, (enum remora_code)frame->status.code, "the sidecar broke its answer off");
    else if (exchange->in.open_ended)
        deliver(call, buf_slice(&exchange->in.bytes));
}
