/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The echo methods, which prove and measure the way of a payload. Served for component types that
 * begin with `test.`. The stream passes data on as it comes, and asks its sender for more only when
 * the receiver took some: it never holds more than one credit window.
 */
#include "sdk.h"

#include "base/pb.h"

enum { DELAY_MS_MAX = 600000 };

struct echo {
    ev_timer delay;
    struct remora_call *call;
    char *note;
};

bool
echo_is_served(const struct component *component)
{
    return strncmp(component->type->type, "test.", 5) == 0;
}

static const Remora__Plugin__V1__EchoRequest *
decode(struct remora_call *call)
{
    return pb_unpack(&call->arena, &remora__plugin__v1__echo_request__descriptor, call->message,
                     LIMIT_frame_depth_max, LIMIT_message_bytes_max);
}

static struct slice
encode(struct remora_call *call, char *note, uint64_t body_bytes)
{
    Remora__Plugin__V1__EchoReply reply = REMORA__PLUGIN__V1__ECHO_REPLY__INIT;
    reply.note = note;
    reply.body_bytes = body_bytes;
    return pb_pack(&call->arena, &reply.base);
}

/* --- whole payloads ----------------------------------------------------------------------------*/

static void
answer(struct remora_call *call, char *note)
{
    const struct remora_bytes body = { .data = call->body.data, .len = call->body.len };
    call_reply(call, encode(call, note, call->body.len), &body, 1);
}

static void
on_delay(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct echo *echo = container_of(watcher, struct echo, delay);
    answer(echo->call, echo->note);
}

static void
on_cancel(remora_call *call, void *arg)
{
    struct echo *echo = arg;
    ev_timer_stop(sdk.loop, &echo->delay);
    if (remora_call_time_left_ms(call) == 0)
        call_fail(call, REMORA_DEADLINE_EXCEEDED, "the deadline passed");
    else
        call_fail(call, REMORA_CANCELLED, "the call was cancelled");
}

void
echo_run(struct remora_call *call)
{
    const Remora__Plugin__V1__EchoRequest *request = decode(call);
    if (request == NULL) {
        call_fail(call, REMORA_INVALID_ARGUMENT, "malformed EchoRequest");
        return;
    }
    if (request->delay_ms == 0) {
        answer(call, request->note);
        return;
    }
    struct echo *echo = ARENA_NEW(&call->arena, struct echo);
    echo->call = call;
    echo->note = request->note;
    const uint32_t delay_ms = request->delay_ms < DELAY_MS_MAX ? request->delay_ms : DELAY_MS_MAX;
    ev_timer_init(&echo->delay, on_delay, delay_ms / 1000.0, 0);
    ev_timer_start(sdk.loop, &echo->delay);
    remora_call_on_cancel(call, on_cancel, echo);
}

/* --- streams -----------------------------------------------------------------------------------*/

static void
on_sent(struct outbound *out, size_t bytes)
{
    struct exchange *exchange = container_of(out, struct exchange, out);
    sdk.held_bytes -= bytes;
    exchange->in.budget -= bytes;
    inbound_take(exchange, bytes);
}

static void
on_done(struct outbound *out)
{
    call_free(container_of(out, struct remora_call, exchange.out));
}

void
echo_stream_start(struct remora_call *call)
{
    const Remora__Plugin__V1__EchoRequest *request = decode(call);
    struct outbound *out = &call->exchange.out;
    struct slice *message = arena_alloc(&call->arena, sizeof *message);
    *out = (struct outbound){
        .head = { .kind = FRAME_RESPONSE, .call = call->exchange.id, .open_ended = true },
        .call = call->exchange.id,
        .parts = message,
        .part_count = 1,
        .is_stream = true,
        .on_sent = on_sent,
        .on_done = on_done,
    };
    if (request == NULL) {
        call_break_off(call, REMORA_INVALID_ARGUMENT, "malformed EchoRequest");
        return;
    }
    *message = encode(call, request->note, 0);
    out->head.message_bytes = (uint32_t)message->len;
    outbound_start(out);
}

void
echo_stream_data(struct remora_call *call, struct slice bytes)
{
    if (sdk.held_bytes + bytes.len > SDK_TOTAL_BYTES_MAX) {
        call_break_off(call, REMORA_RESOURCE_EXHAUSTED, "too many streams at a time");
        return;
    }
    sdk.held_bytes += bytes.len;
    call->exchange.in.budget += bytes.len;
    if (!outbound_stream(&call->exchange.out, bytes))
        sdk_end(1, "a stream exceeds its credit"); /* inbound_count() has checked it */
}

void
echo_stream_end(struct remora_call *call)
{
    outbound_end(&call->exchange.out);
}
