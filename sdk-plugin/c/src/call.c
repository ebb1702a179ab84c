/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call of the sidecar: received whole (or as a stream), handed to its handler, answered once.
 *
 *   pooled → receiving → running → pooled               answered at once
 *                      → running → sending → pooled     the answer waits for credit
 *                      → running → streaming → pooled   echo only
 */
#include "sdk.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

enum { FEW_PARTS = 8 };

static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int events);

/* --- objects -----------------------------------------------------------------------------------*/

static struct remora_call *
take(void)
{
    struct list *node = list_take_first(&sdk.pool);
    if (node != NULL) {
        sdk.pool_count--;
        return container_of(node, struct remora_call, pooled);
    }
    struct remora_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        abort();
    arena_init(&call->arena);
    list_init(&call->pooled);
    list_init(&call->exchange.out.node);
    ev_init(&call->timer, on_deadline);
    return call;
}

static void
run_releases(struct remora_call *call)
{
    while (call->held != NULL) {
        struct held *held = call->held;
        call->held = held->next;
        held->release(held->arg);
    }
}

void
call_free(struct remora_call *call)
{
    assert(call->state != CALL_POOLED);
    ev_timer_stop(sdk.loop, &call->timer);
    outbound_stop(&call->exchange.out);
    call->exchange.in.bytes.is_secret = call->arena.is_secret;
    inbound_fini(&call->exchange.in);
    link_remove(&call->exchange);
    run_releases(call);
    arena_reset(&call->arena);
    call->state = CALL_POOLED;
    call->serial++;
    list_append(sdk.pool.next, &call->pooled); /* in front: its memory is warm */
    sdk.pool_count++;
    struct component *component = TAKE(call->component);
    if (component != NULL)
        component_leave(component); /* last: may answer another call */
}

/* Not in call_free(), so that whoever just answered may still look at the object's serial. */
void
call_trim_pool(void)
{
    while (sdk.pool_count > SDK_CALLS_POOLED_MAX) {
        struct remora_call *call = container_of(sdk.pool.prev, struct remora_call, pooled);
        list_remove(&call->pooled);
        sdk.pool_count--;
        arena_fini(&call->arena);
        free(call);
    }
}

static void
set_fresh(struct remora_call *call)
{
    call->exchange.in = (struct inbound){ .is_complete = true };
    call->exchange.out.is_active = false;
    call->message = call->body = SLICE_EMPTY;
    call->component = NULL;
    call->is_cancelled = false;
    call->on_cancel = NULL;
    call->many = NULL;
}

/* --- receiving ---------------------------------------------------------------------------------*/

static void
refuse(uint64_t id, enum remora_code code, const char *message)
{
    const struct frame frame = {
        .kind = FRAME_RESPONSE,
        .call = id,
        .has_status = true,
        .status = { .code = code, .message = slice_str(message) },
    };
    link_append(&frame, NULL, 0);
}

/* Of what holds keys, secrets, or the metadata of a component nothing is left when it ends. */
static bool
is_secret(uint32_t method)
{
    return method == METHOD(INIT) || method == METHOD(SECRET_GET) ||
           method == METHOD(SECRET_BULK_GET) ||
           (method >= METHOD(CRYPTO_GET_KEY) && method <= METHOD(CRYPTO_VERIFY));
}

static struct remora_call *
new_from_frame(const struct frame *frame)
{
    struct remora_call *call = take();
    set_fresh(call);
    call->exchange.id = frame->call;
    call->state = CALL_RECEIVING;
    call->method = frame->method;
    call->arena.is_secret = is_secret(frame->method);
    call->handle = frame->component;
    call->depth = frame->depth;
    call->deadline_ms = frame->timeout_ms == 0 ? UINT64_MAX : clock_now_ms() + frame->timeout_ms;
    call->request_id = call->traceparent = call->tracestate = SLICE_EMPTY;
    if (frame->request_id.len > 0)
        call->request_id = arena_dup(&call->arena, frame->request_id);
    if (frame->traceparent.len > 0)
        call->traceparent = arena_dup(&call->arena, frame->traceparent);
    if (frame->tracestate.len > 0)
        call->tracestate = arena_dup(&call->arena, frame->tracestate);
    return call;
}

static void
set_timer(struct remora_call *call)
{
    ev_timer_set(&call->timer, (double)remora_call_time_left_ms(call) / 1000.0, 0);
    ev_timer_start(sdk.loop, &call->timer);
}

/* A call that outlives the frame it came with must be findable and must end in time. */
static void
keep_open(struct remora_call *call)
{
    link_add(&call->exchange);
    if (call->deadline_ms != UINT64_MAX && !ev_is_active(&call->timer))
        set_timer(call);
}

/* `payload` stays valid until the call ends. */
static void
run(struct remora_call *call, struct slice payload)
{
    const uint32_t message_bytes = call->exchange.in.message_bytes;
    const uint64_t serial = call->serial;
    call->state = CALL_RUNNING;
    if (message_bytes > payload.len) {
        call_fail(call, REMORA_INVALID_ARGUMENT, "the message is longer than its payload");
        return;
    }
    call->message = slice_first(payload, message_bytes);
    call->body = slice_from(payload, message_bytes);
    dispatch_run(call);
    if (call->serial == serial && call->state == CALL_RUNNING)
        keep_open(call);
}

/* Streams have no end to wait for: they start with their message. */
static void
start_stream(struct remora_call *call)
{
    struct inbound *in = &call->exchange.in;
    struct slice kept = buf_slice(&in->bytes);
    call->message = arena_dup(&call->arena, slice_first(kept, in->message_bytes));
    buf_consume(&in->bytes, in->message_bytes);
    call->state = CALL_STREAMING;
    link_add(&call->exchange);
    inbound_take(&call->exchange, in->message_bytes);
    const uint64_t serial = call->serial;
    echo_stream_start(call);
    if (call->serial == serial && in->bytes.len > 0)
        echo_stream_data(call, buf_slice(&in->bytes));
    if (call->serial == serial) {
        buf_fini(&in->bytes);
        if (in->is_complete)
            echo_stream_end(call);
    }
}

static void
on_kept(struct remora_call *call)
{
    struct inbound *in = &call->exchange.in;
    if (call->method == METHOD(ECHO_STREAM) && in->bytes.len >= in->message_bytes)
        start_stream(call);
    else if (in->is_complete)
        run(call, buf_slice(&in->bytes)); /* of a stream: without a whole message, so refused */
}

static void
on_bad_payload(struct remora_call *call, enum inbound_result result)
{
    if (result == INBOUND_VIOLATION) {
        call_free(call);
        sdk_end(EXIT_FAILURE, "a call's payload exceeds its credit or its announced length");
        return;
    }
    call->state = CALL_RUNNING;
    call_fail(call, REMORA_RESOURCE_EXHAUSTED, "the request is too large for this plugin");
}

/* Collects, and runs the handler when nothing is missing. */
static void
receive(struct remora_call *call, struct slice payload)
{
    struct inbound *in = &call->exchange.in;
    enum inbound_result result = inbound_count(in, payload.len);
    if (result == INBOUND_OK && call->state == CALL_STREAMING) {
        echo_stream_data(call, payload);
        return;
    }
    if (result == INBOUND_OK)
        result = inbound_keep(in, payload);
    if (result != INBOUND_OK) {
        on_bad_payload(call, result);
        return;
    }
    const bool is_stream = call->method == METHOD(ECHO_STREAM);
    if (!is_stream)
        inbound_take(&call->exchange, payload.len);
    on_kept(call);
}

void
call_on_request(const struct frame *frame)
{
    if (frame->call % 2 == 0 || link_find(frame->call) != NULL) {
        sdk_end(EXIT_FAILURE, "the sidecar used a call number that is not its own or not new");
        return;
    }
    if (sdk.link.exchange_count >= LIMIT_link_calls_max) {
        refuse(frame->call, REMORA_RESOURCE_EXHAUSTED, "too many calls are open");
        return;
    }
    struct remora_call *call = new_from_frame(frame);
    struct inbound *in = &call->exchange.in;
    const enum inbound_result result = inbound_init(in, frame);
    if (!dispatch_accept(call))
        return;
    if (result != INBOUND_OK || in->message_bytes > LIMIT_message_bytes_max) {
        on_bad_payload(call, INBOUND_TOO_LARGE);
    } else if (!frame->open_ended && frame->payload.len == frame->payload_bytes &&
               call->method != METHOD(ECHO_STREAM)) {
        in->is_complete = true;
        run(call, arena_dup(&call->arena, frame->payload));
    } else {
        keep_open(call);
        receive(call, frame->payload);
    }
}

void
call_on_data(struct exchange *exchange, const struct frame *frame)
{
    struct remora_call *call = container_of(exchange, struct remora_call, exchange);
    if (call->state == CALL_RECEIVING || call->state == CALL_STREAMING)
        receive(call, frame->payload);
    else if (inbound_count(&exchange->in, frame->payload.len) != INBOUND_OK)
        sdk_end(EXIT_FAILURE, "payload beyond the end of a request");
}

void
call_on_end(struct exchange *exchange, const struct frame *frame)
{
    struct remora_call *call = container_of(exchange, struct remora_call, exchange);
    if (exchange->in.is_complete || !exchange->in.open_ended)
        return;
    exchange->in.is_complete = true;
    if (frame->has_status && frame->status.code != REMORA_OK) {
        call_on_cancel(exchange); /* the caller broke off */
    } else if (call->state == CALL_STREAMING) {
        echo_stream_end(call);
    } else if (call->state == CALL_RECEIVING) {
        on_kept(call);
    }
}

/* --- giving up ---------------------------------------------------------------------------------*/

void
call_cancel(struct remora_call *call)
{
    if (call->is_cancelled)
        return;
    call->is_cancelled = true;
    void (*fn)(remora_call *, void *) = call->on_cancel;
    call->on_cancel = NULL;
    if (fn != NULL)
        fn(call, call->on_cancel_arg);
}

void
call_break_off(struct remora_call *call, enum remora_code code, const char *message)
{
    const bool has_begun = call->exchange.out.head.kind == 0;
    const struct frame frame = {
        .kind = has_begun ? FRAME_END : FRAME_RESPONSE,
        .call = call->exchange.id,
        .has_status = true,
        .status = { .code = code, .message = slice_str(message) },
    };
    link_append(&frame, NULL, 0);
    call_free(call);
}

static void
end_early(struct remora_call *call, enum remora_code code, const char *message)
{
    switch (call->state) {
    case CALL_RECEIVING:
        call->state = CALL_RUNNING;
        call_fail(call, code, "%s", message);
        break;
    case CALL_RUNNING:
        call_cancel(call);
        break;
    case CALL_SENDING:
    case CALL_STREAMING:
        call_break_off(call, code, message);
        break;
    case CALL_POOLED:
        assert(!"a pooled call is in no table");
        break;
    }
}

void
call_on_cancel(struct exchange *exchange)
{
    end_early(container_of(exchange, struct remora_call, exchange), REMORA_CANCELLED,
              "the call was cancelled");
}

static void
on_deadline(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct remora_call *call = container_of(watcher, struct remora_call, timer);
    (void)loop;
    (void)events;
    /* The loop counts from when its turn began: after a long one it is early, and a handler would
     * take that for a caller that has given up. */
    if (remora_call_time_left_ms(call) > 0)
        set_timer(call);
    else
        end_early(call, REMORA_DEADLINE_EXCEEDED, "the deadline passed");
}

/* --- answering ---------------------------------------------------------------------------------*/

struct remora_call *
call_new_part(struct remora_call *parent, struct many *many, size_t part)
{
    struct remora_call *call = take();
    set_fresh(call);
    call->exchange.id = 0;
    call->state = CALL_RUNNING;
    call->method = parent->method;
    call->depth = parent->depth;
    call->deadline_ms = parent->deadline_ms;
    /* Borrowed: parts end before their parent does. */
    call->request_id = parent->request_id;
    call->traceparent = parent->traceparent;
    call->tracestate = parent->tracestate;
    call->many = many;
    call->part = part;
    component_enter(parent->component);
    call->component = parent->component;
    sdk.link.has_batch = true; /* turn_end() is due after its handler, as after any */
    return call;
}

void
call_reply_status(struct remora_call *call, const struct frame_status *status)
{
    assert(call->state == CALL_RUNNING && call->many == NULL);
    struct frame frame = { .kind = FRAME_RESPONSE, .call = call->exchange.id };
    if (status != NULL && status->code != REMORA_OK) {
        frame.has_status = true;
        frame.status = *status;
    }
    link_append(&frame, NULL, 0);
    call_free(call);
}

static void
release(const struct remora_bytes *bodies, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bodies[i].release != NULL)
            bodies[i].release(bodies[i].arg);
}

static struct slice
body_slice(const struct remora_bytes *body)
{
    return slice_of(body->len == 0 ? "" : body->data, body->len);
}

/* The answer outlives its sender's memory: copies what is not handed over. */
static void
send_under_credit(struct remora_call *call, const struct frame *head, struct slice *parts,
                  const struct remora_bytes *bodies)
{
    struct outbound *out = &call->exchange.out;
    for (size_t i = 1; i < out->part_count; i++) {
        if (bodies[i - 1].release == NULL) {
            parts[i] = arena_dup(&call->arena, parts[i]);
            continue;
        }
        struct held *held = arena_alloc(&call->arena, sizeof *held);
        *held = (struct held){ call->held, bodies[i - 1].release, bodies[i - 1].arg };
        call->held = held;
    }
    call->state = CALL_SENDING;
    ev_timer_stop(sdk.loop, &call->timer);
    link_add(&call->exchange);
    out->head = *head;
    out->call = call->exchange.id;
    out->parts = parts;
    outbound_start(out);
}

static void
on_sent_all(struct outbound *out)
{
    call_free(container_of(out, struct remora_call, exchange.out));
}

void
call_reply(struct remora_call *call, struct slice message, const struct remora_bytes *bodies,
           size_t body_count)
{
    assert(call->state == CALL_RUNNING && call->many == NULL);
    struct slice few[FEW_PARTS];
    struct slice *parts = few;
    if (body_count + 1 > FEW_PARTS)
        parts = arena_alloc(&call->arena, (body_count + 1) * sizeof *parts);
    uint64_t total = message.len;
    parts[0] = message;
    for (size_t i = 0; i < body_count; i++) {
        parts[i + 1] = body_slice(&bodies[i]);
        total += bodies[i].len;
    }
    const struct frame head = { .kind = FRAME_RESPONSE,
                                .call = call->exchange.id,
                                .message_bytes = (uint32_t)message.len,
                                .payload_bytes = total };
    struct link *link = &sdk.link;
    if (total <= FRAME_PAYLOAD_MAX && total <= link->credit && total <= link->call_credit &&
        list_is_empty(&link->ready)) {
        link->credit -= total;
        link_append(&head, parts, body_count + 1);
        release(bodies, body_count);
        call_free(call);
        return;
    }
    struct slice *kept = arena_alloc(&call->arena, (body_count + 1) * sizeof *kept);
    memcpy(kept, parts, (body_count + 1) * sizeof *kept);
    call->exchange.out = (struct outbound){ .part_count = body_count + 1, .on_done = on_sent_all };
    send_under_credit(call, &head, kept, bodies);
}

struct frame_status
call_status_of(struct remora_call *call, const struct remora_failure *failure)
{
    struct slice reason = slice_str(failure->reason);
    return (struct frame_status){
        .code = failure->code == REMORA_OK ? REMORA_UNKNOWN : failure->code,
        .message = text_clean(&call->arena, slice_str(failure->message), FRAME_STATUS_MESSAGE_MAX),
        .reason = slice_first(reason, FRAME_STATUS_REASON_MAX),
        .effect = failure->effect,
    };
}

static void
end_with_failure(struct remora_call *call, const struct remora_failure *failure)
{
    if (call->many != NULL) {
        many_on_status(call, failure);
        return;
    }
    struct frame_status status = call_status_of(call, failure);
    component_on_reply(call, false);
    call_reply_status(call, &status);
}

static void PRINTF_LIKE(3, 0)
    fail_with(struct remora_call *call, enum remora_code code, const char *format, va_list args)
{
    char *text = arena_alloc(&call->arena, FRAME_STATUS_MESSAGE_MAX + 1);
    (void)vsnprintf(text, FRAME_STATUS_MESSAGE_MAX + 1, format, args); /* cut is fine */
    end_with_failure(call, &(struct remora_failure){ .code = code, .message = text });
}

void
call_fail(struct remora_call *call, enum remora_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_with(call, code, format, args);
    va_end(args);
}

void
remora_reply_error(remora_call *call, enum remora_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_with(call, code, format, args);
    va_end(args);
}

void
remora_reply_failure(remora_call *call, const struct remora_failure *failure)
{
    end_with_failure(call, failure);
}

void
remora_reply_ok(remora_call *call)
{
    if (call->many != NULL) {
        many_on_status(call, NULL);
        return;
    }
    if (call->method == METHOD(QUIESCE)) {
        component_on_reply(call, true); /* answers with a message of its own */
        return;
    }
    component_on_reply(call, true);
    call_reply_status(call, NULL);
}

/* --- what handlers ask -------------------------------------------------------------------------*/

uint64_t
remora_call_time_left_ms(const remora_call *call)
{
    if (call->deadline_ms == UINT64_MAX)
        return UINT64_MAX;
    const uint64_t now = clock_now_ms();
    return now < call->deadline_ms ? call->deadline_ms - now : 0;
}

bool
remora_call_is_cancelled(const remora_call *call)
{
    return call->is_cancelled;
}

void
remora_call_on_cancel(remora_call *call, void (*fn)(remora_call *call, void *arg), void *arg)
{
    call->on_cancel = fn;
    call->on_cancel_arg = arg;
    if (call->is_cancelled) {
        call->is_cancelled = false; /* it came before anyone listened */
        call_cancel(call);
    }
}

/* What the call still points to stays where it is: the plugin gives nothing up before the reply. */
bool
remora_call_keep(remora_call *call, struct remora_slice bytes, struct remora_bytes *ret)
{
    struct buf *whole = &call->exchange.in.bytes;
    const struct slice came = buf_slice(whole);
    void *memory;
    if (whole->start == 0 && bytes.len > came.len / 2 && bytes.data >= came.data &&
        bytes.data + bytes.len <= came.data + came.len) {
        size_t len;
        memory = buf_take(whole, &len);
    } else {
        memory = malloc(bytes.len + 1);
        if (memory == NULL)
            return false;
        if (bytes.len > 0)
            memcpy(memory, bytes.data, bytes.len);
        bytes.data = memory;
    }
    *ret = (struct remora_bytes){ bytes.data, bytes.len, free, memory };
    return true;
}

void *
remora_call_alloc(remora_call *call, size_t bytes)
{
    return arena_alloc(&call->arena, bytes);
}
