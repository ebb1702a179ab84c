/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the plugin into the sidecar: state of other components, messages for subscriptions. Even
 * call numbers; `done` is called exactly once, never from within the function that asked. */
#include "sdk.h"

#include <assert.h>
#include <stdlib.h>

#include "base/wire.h"

struct host_call {
    struct exchange exchange;
    struct list node; /* in open_calls */
    struct arena arena;
    /* How it ended; `answer` and `body` are empty unless the code is REMORA_OK. False: the answer
     * cannot be. */
    bool (*on_done)(struct host_call *call, const struct remora_host_reply *reply,
                    struct slice answer, struct slice body);
    remora_host_done *done;          /* of calls for state */
    remora_delivered *delivered;     /* of messages */
    remora_configuration_told *told; /* of changes */
    remora_event_done *handled;      /* of events */
    size_t message_count;
    void *arg;
    bool has_response;
};

static struct list open_calls = { &open_calls, &open_calls };
static size_t open_count;
static uint64_t last_id;

static const struct remora_host_reply malformed = {
    .code = REMORA_INTERNAL,
    .message = { "the sidecar's answer is malformed",
                 sizeof "the sidecar's answer is malformed" - 1 },
};

static void
finish(struct host_call *call, const struct remora_host_reply *reply, struct slice answer,
       struct slice body)
{
    outbound_stop(&call->exchange.out);
    link_remove(&call->exchange);
    list_remove(&call->node);
    open_count--;
    if (!call->on_done(call, reply, answer, body))
        (void)call->on_done(call, &malformed, SLICE_EMPTY, SLICE_EMPTY); /* always takes that */
    inbound_fini(&call->exchange.in);
    arena_fini(&call->arena);
    free(call);
}

static void
fail(struct host_call *call, enum remora_code code, const char *message)
{
    finish(call,
           &(struct remora_host_reply){ .code = code, .message = to_remora(slice_str(message)) },
           SLICE_EMPTY, SLICE_EMPTY);
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
host_new(void *arg)
{
    struct host_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        abort();
    arena_init(&call->arena);
    list_init(&call->node);
    list_append(&open_calls, &call->node);
    open_count++;
    call->exchange.id = last_id += 2;
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

/* The first part is the message; all are in the call's arena. */
static void
start(struct host_call *call, const struct remora_call *parent, uint32_t method,
      struct slice *parts, size_t part_count)
{
    if (open_count > LIMIT_host_calls_max || !sdk.link.is_up) {
        remora_post(on_refused, call);
        return;
    }
    struct frame head = head_of(call, parent, method);
    keep_trace(call, &head, parent);
    head.message_bytes = (uint32_t)parts[0].len;
    for (size_t i = 0; i < part_count; i++)
        head.payload_bytes += parts[i].len;
    link_add(&call->exchange);
    call->exchange.out = (struct outbound){ .head = head,
                                            .call = call->exchange.id,
                                            .parts = parts,
                                            .part_count = part_count,
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

/* StateValue: found 1, etag 2. Set and delete answer Empty, which reads as not found. */
static bool
on_state(struct host_call *call, const struct remora_host_reply *from, struct slice answer,
         struct slice body)
{
    struct remora_host_reply reply = *from;
    struct wire_reader r = wire_reader(answer);
    struct wire_field f;
    reply.etag = to_remora(SLICE_EMPTY);
    reply.value = to_remora(body);
    while (wire_next(&r, &f)) {
        if (f.field == 1)
            reply.found = wire_number(&r, &f) != 0;
        else if (f.field == 2)
            reply.etag = to_remora(wire_bytes(&r, &f));
    }
    if (!r.is_bad)
        call->done(&reply, call->arg);
    return !r.is_bad;
}

static void
ask_state(remora_call *parent, uint32_t method, struct host_call *call, struct slice message,
          struct slice body, remora_host_done *done)
{
    struct slice *parts = arena_alloc(&call->arena, 2 * sizeof *parts);
    parts[0] = message;
    parts[1] = arena_dup(&call->arena, body);
    call->on_done = on_state;
    call->done = done;
    start(call, parent, method, parts, 2);
}

void
remora_host_state_get(remora_call *parent, struct remora_slice store, struct remora_slice key,
                      remora_host_done *done, void *arg)
{
    struct host_call *call = host_new(arg);
    ask_state(parent, METHOD(HOST_STATE_GET), call, encode(call, store, key, false), SLICE_EMPTY,
              done);
}

void
remora_host_state_set(remora_call *parent, struct remora_slice store, struct remora_slice key,
                      struct remora_slice value, bool json, remora_host_done *done, void *arg)
{
    struct host_call *call = host_new(arg);
    ask_state(parent, METHOD(HOST_STATE_SET), call, encode(call, store, key, json),
              from_remora(value), done);
}

void
remora_host_state_delete(remora_call *parent, struct remora_slice store, struct remora_slice key,
                         remora_host_done *done, void *arg)
{
    struct host_call *call = host_new(arg);
    ask_state(parent, METHOD(HOST_STATE_DELETE), call, encode(call, store, key, false), SLICE_EMPTY,
              done);
}

/* --- messages ----------------------------------------------------------------------------------*/

/* HostDeliverReply: verdicts 1, packed or one by one. */
static size_t
take_verdicts(struct slice answer, enum remora_verdict *verdicts, size_t most)
{
    struct wire_reader r = wire_reader(answer);
    struct wire_field f;
    size_t count = 0;
    while (wire_next(&r, &f)) {
        if (f.field != 1)
            continue;
        struct wire_reader packed = wire_reader(f.bytes);
        uint64_t number = f.number;
        bool is_packed = f.type == WIRE_BYTES;
        while ((!is_packed || wire_get_varint(&packed, &number)) && count < most) {
            verdicts[count++] = number == REMORA__PLUGIN__V1__VERDICT__VERDICT_DONE ? REMORA_DONE
                                                                                    : REMORA_RETRY;
            if (!is_packed)
                break;
        }
    }
    return r.is_bad ? 0 : count;
}

static bool
on_delivered(struct host_call *call, const struct remora_host_reply *reply, struct slice answer,
             struct slice body)
{
    (void)body;
    size_t count = call->message_count, told = 0;
    enum remora_verdict *verdicts = arena_alloc(&call->arena, (count + 1) * sizeof *verdicts);
    if (reply->code == REMORA_OK)
        told = take_verdicts(answer, verdicts, count);
    while (told < count)
        verdicts[told++] = REMORA_RETRY; /* nothing was said of it */
    call->delivered(verdicts, count, call->arg);
    return true;
}

/* PubsubMessage: id 1, topic 2, content_type 3, metadata 4 {name 1, value 2}, data_bytes 5. */
static size_t
pair_len(const struct remora_pair *pair)
{
    return wire_bytes_len(1, from_remora(pair->name)) + wire_bytes_len(2, from_remora(pair->value));
}

static size_t
message_len(const struct remora_message *message)
{
    size_t len = wire_bytes_len(1, from_remora(message->id)) +
                 wire_bytes_len(2, from_remora(message->topic)) +
                 wire_bytes_len(3, from_remora(message->content_type)) +
                 wire_number_len(5, message->data.len);
    for (size_t i = 0; i < message->metadata_count; i++) {
        size_t pair = pair_len(&message->metadata[i]);
        len += 1 + wire_varint_len(pair) + pair;
    }
    return len;
}

static char *
put_message(char *at, const struct remora_message *message)
{
    at = wire_put_head(at, 2, message_len(message));
    at = wire_put_bytes(at, 1, from_remora(message->id));
    at = wire_put_bytes(at, 2, from_remora(message->topic));
    at = wire_put_bytes(at, 3, from_remora(message->content_type));
    for (size_t i = 0; i < message->metadata_count; i++) {
        at = wire_put_head(at, 4, pair_len(&message->metadata[i]));
        at = wire_put_bytes(at, 1, from_remora(message->metadata[i].name));
        at = wire_put_bytes(at, 2, from_remora(message->metadata[i].value));
    }
    return wire_put_number(at, 5, message->data.len);
}

void
remora_deliver(uint64_t subscription, const struct remora_message *messages, size_t count,
               remora_delivered *done, void *arg)
{
    struct host_call *call = host_new(arg);
    struct slice *parts = arena_alloc(&call->arena, (count + 1) * sizeof *parts);
    size_t len = WIRE_NUMBER_MAX;
    for (size_t i = 0; i < count; i++)
        len += WIRE_HEAD_MAX + message_len(&messages[i]);
    char *first = arena_alloc(&call->arena, len);
    char *at = wire_put_number(first, 1, subscription);
    for (size_t i = 0; i < count; i++) {
        at = put_message(at, &messages[i]);
        parts[i + 1] = arena_dup(&call->arena, from_remora(messages[i].data));
    }
    parts[0] = slice_of(first, (size_t)(at - first));
    call->on_done = on_delivered;
    call->delivered = done;
    call->message_count = count;
    start(call, NULL, METHOD(HOST_DELIVER), parts, count + 1);
}

/* --- configuration -----------------------------------------------------------------------------*/

static bool
on_told(struct host_call *call, const struct remora_host_reply *reply, struct slice answer,
        struct slice body)
{
    (void)answer;
    (void)body;
    call->told(reply->code == REMORA_OK, call->arg);
    return true;
}

static void
tell(struct host_call *call, struct slice message, remora_configuration_told *told)
{
    struct slice *part = ARENA_NEW(&call->arena, struct slice);
    *part = message;
    call->on_done = on_told;
    call->told = told;
    start(call, NULL, METHOD(HOST_CONFIGURATION_CHANGED), part, 1);
}

void
remora_configuration_changed(uint64_t subscription, const struct remora_configuration_item *items,
                             size_t count, remora_configuration_told *told, void *arg)
{
    struct host_call *call = host_new(arg);
    tell(call, configuration_pack_change(&call->arena, subscription, items, count), told);
}

void
remora_configuration_missed(uint64_t subscription, remora_configuration_told *told, void *arg)
{
    struct host_call *call = host_new(arg);
    tell(call, configuration_pack_missed(&call->arena, subscription), told);
}

/* --- bindings ----------------------------------------------------------------------------------*/

static bool
on_handled(struct host_call *call, const struct remora_host_reply *reply, struct slice answer,
           struct slice body)
{
    const struct remora_pair *metadata = NULL;
    size_t count = 0;
    bool is_handled = reply->code == REMORA_OK;
    if (is_handled && !binding_take_answer(&call->arena, answer, &metadata, &count))
        return false;
    call->handled(is_handled, to_remora(body), metadata, count, call->arg);
    return true;
}

void
remora_binding_event(uint64_t reading, const struct remora_event *event, remora_event_done *done,
                     void *arg)
{
    struct host_call *call = host_new(arg);
    struct slice *parts = ARENA_ARRAY(&call->arena, struct slice, 2);
    parts[0] = binding_pack_event(&call->arena, reading, event);
    parts[1] = arena_dup(&call->arena, from_remora(event->data));
    call->on_done = on_handled;
    call->handled = done;
    start(call, NULL, METHOD(HOST_BINDING_EVENT), parts, 2);
}

/* --- being answered ----------------------------------------------------------------------------*/

static void
deliver(struct host_call *call, struct slice payload)
{
    static const struct remora_host_reply ok = { .code = REMORA_OK };
    const struct inbound *in = &call->exchange.in;
    if (in->message_bytes > payload.len)
        finish(call, &malformed, SLICE_EMPTY, SLICE_EMPTY);
    else
        finish(call, &ok, slice_first(payload, in->message_bytes),
               slice_from(payload, in->message_bytes));
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
        finish(call,
               &(struct remora_host_reply){ .code = (enum remora_code)frame->status.code,
                                            .message = to_remora(frame->status.message) },
               SLICE_EMPTY, SLICE_EMPTY);
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
