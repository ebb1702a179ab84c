/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls over a link: ours to the plugin (link_call) and the plugin's to us (host_call). Sending a
 * payload is the same in both directions: a first frame with as much as fits, then data frames as
 * credit allows, a chunk a turn, so that calls take turns.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "bus/link.h"
#include "bus/link_internal.h"

enum {
    CHUNK_BYTES = 64 * 1024,
    HOST_PAYLOAD_BYTES_MAX = LIMIT_message_bytes_max,
};

/* --- sending -----------------------------------------------------------------------------------*/

void
flow_wake(struct flow *flow)
{
    if (flow->waiting != NULL)
        wait_done(TAKE(flow->waiting), OK);
}

void
flow_stop(struct flow *flow)
{
    flow->has_stopped = true;
    flow_wake(flow);
}

/* The payload as a row of slices, consumed from the front. */
struct payload {
    struct slice message;
    const struct slice *parts;
    size_t part_count;
    size_t at;        /* 0: message, i: parts[i - 1] */
    size_t at_offset;
    uint64_t left;
};

static struct payload
payload_of(struct slice message, const struct slice *parts, size_t part_count)
{
    struct payload payload = {
        .message = message, .parts = parts, .part_count = part_count, .left = message.len
    };
    for (size_t i = 0; i < part_count; i++)
        payload.left += parts[i].len;
    return payload;
}

enum { PARTS_PER_FRAME = 64 };

/* Takes up to `bytes` off the front as at most PARTS_PER_FRAME slices. */
static size_t
payload_take(struct payload *payload, size_t bytes, struct slice parts[PARTS_PER_FRAME])
{
    size_t count = 0;
    while (bytes > 0 && count < PARTS_PER_FRAME && payload->at <= payload->part_count) {
        struct slice whole = payload->at == 0 ? payload->message : payload->parts[payload->at - 1];
        struct slice piece = slice_first(slice_from(whole, payload->at_offset), bytes);
        payload->at_offset += piece.len;
        if (payload->at_offset == whole.len) {
            payload->at++;
            payload->at_offset = 0;
        }
        if (piece.len == 0)
            continue;
        parts[count++] = piece;
        bytes -= piece.len;
        payload->left -= piece.len;
    }
    return count;
}

static size_t
parts_bytes(const struct slice *parts, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += parts[i].len;
    return bytes;
}

/* Sends one frame with up to `bytes` of the payload, whose link credit the caller holds. */
static bool
send_piece(struct link *link, struct flow *flow, struct frame *frame, struct payload *payload,
           size_t bytes)
{
    struct slice parts[PARTS_PER_FRAME];
    size_t count = payload_take(payload, bytes, parts);
    size_t taken = parts_bytes(parts, count);
    if (taken < bytes) /* very many small parts: the rest is for the next frame */
        gate_leave(&link->credit, (int64_t)(bytes - taken));
    flow->credit_bytes -= (int64_t)taken;
    return link_send(link, frame, parts, count);
}

static err_t
wait_for_call_credit(struct task *t, struct flow *flow)
{
    while (flow->credit_bytes <= 0 && !flow->has_stopped) {
        struct wait wait;
        wait_init(&wait, t, NULL);
        flow->waiting = &wait;
        err_t err = TASK_WAIT(t, &wait);
        flow->waiting = NULL;
        if (err != OK)
            return err;
    }
    return OK;
}

/* What the first frame left over, in data frames. */
static err_t
send_rest(struct task *t, struct link *link, uint64_t id, struct flow *flow,
          struct payload *payload)
{
    while (payload->left > 0) {
        err_t err = wait_for_call_credit(t, flow);
        if (err != OK || flow->has_stopped)
            return err;
        uint64_t bytes = payload->left < CHUNK_BYTES ? payload->left : CHUNK_BYTES;
        if (bytes > (uint64_t)flow->credit_bytes)
            bytes = (uint64_t)flow->credit_bytes;
        if ((err = gate_enter(t, &link->credit, (int64_t)bytes)) != OK)
            return err;
        struct frame frame = { .kind = FRAME_DATA, .call = id };
        if (flow->has_stopped || !send_piece(link, flow, &frame, payload, (size_t)bytes))
            return flow->has_stopped ? OK : ERR_CLOSED;
    }
    return OK;
}

static size_t
first_bytes(const struct payload *payload)
{
    return payload->left < CHUNK_BYTES ? (size_t)payload->left : CHUNK_BYTES;
}

/* --- our calls ---------------------------------------------------------------------------------*/

static struct link_call **
slot_of(struct link *link, uint64_t id)
{
    return &link->calls[(id >> 1) % LINK_CALL_SLOTS];
}

static struct link_call *
find_call(struct link *link, uint64_t id)
{
    struct link_call *call = *slot_of(link, id);
    while (call != NULL && call->id != id)
        call = call->next;
    return call;
}

static void
register_call(struct link *link, struct link_call *call)
{
    call->link = link_ref(link);
    call->id = link->next_call;
    link->next_call += 2;
    call->next = *slot_of(link, call->id);
    *slot_of(link, call->id) = call;
    link->call_count++;
}

void
link_call_wake(struct link_call *call)
{
    if (call->waiting != NULL)
        wait_done(TAKE(call->waiting), OK);
}

static err_t
wait_for_news(struct task *t, struct link_call *call)
{
    struct wait wait;
    wait_init(&wait, t, NULL);
    call->waiting = &wait;
    err_t err = TASK_WAIT(t, &wait);
    call->waiting = NULL;
    return err;
}

static err_t
send_request(struct task *t, struct link_call *call, const struct link_args *args)
{
    struct link *link = call->link;
    struct payload payload = payload_of(args->message, args->body_parts, args->body_part_count);
    struct frame frame = { .kind = FRAME_REQUEST,
                           .call = call->id,
                           .method = args->method,
                           .component = args->component,
                           .depth = args->depth,
                           .message_bytes = (uint32_t)args->message.len,
                           .payload_bytes = payload.left,
                           .request_id = args->request_id,
                           .traceparent = args->traceparent,
                           .tracestate = args->tracestate };
    size_t bytes = first_bytes(&payload);
    err_t err = gate_enter(t, &link->credit, (int64_t)bytes);
    if (err != OK)
        return err;
    uint64_t left_ms = task_time_left_ms(t);
    frame.timeout_ms = left_ms == UINT64_MAX ? 0 : left_ms;
    if (!send_piece(link, &call->flow, &frame, &payload, bytes))
        return call->failure != OK ? call->failure : ERR_OVERLOADED;
    call->has_sent = true;
    err = send_rest(t, link, call->id, &call->flow, &payload);
    return call->failure != OK ? call->failure : err;
}

err_t
link_call(struct task *t, struct link *link, const struct link_args *args,
          struct link_call *ret_call)
{
    *ret_call = (struct link_call){ .arena = args->arena != NULL ? args->arena : task_arena(t),
                                    .flow = { .credit_bytes = LIMIT_call_credit_bytes } };
    buf_init(&ret_call->body, LIMIT_call_credit_bytes);
    if (link->state != LINK_READY)
        return ERR_PLUGIN_NOT_SENT;
    if (args->message.len > LIMIT_message_bytes_max)
        return ERR_TOO_LARGE;
    if (link->call_count >= LIMIT_link_calls_max)
        return ERR_OVERLOADED;
    register_call(link, ret_call);
    err_t err = send_request(t, ret_call, args);
    if (args->is_write && ret_call->has_sent)
        task_shield_begin(t);
    while (err == OK && !ret_call->has_reply && ret_call->failure == OK)
        err = wait_for_news(t, ret_call);
    if (args->is_write && ret_call->has_sent)
        task_shield_end(t);
    return ret_call->failure != OK ? ret_call->failure : err;
}

int64_t
link_call_body_bytes(const struct link_call *call)
{
    return call->open_ended ? -1 : (int64_t)(call->payload_bytes - call->message_bytes);
}

err_t
link_call_body(struct task *t, struct link_call *call, struct slice *ret_chunk)
{
    if (call->first_body.len > 0) {
        *ret_chunk = call->first_body;
        if (!call->has_ended)
            link_give_call_credit(call->link, call->id, call->first_body.len);
        call->first_body.len = 0;
        return OK;
    }
    buf_consume(&call->body, call->body_given);
    call->body_given = 0;
    while (call->body.len == 0 && !call->has_ended && call->failure == OK) {
        err_t err = wait_for_news(t, call);
        if (err != OK)
            return err;
    }
    if (call->body.len == 0 && call->failure != OK)
        return call->failure;
    *ret_chunk = buf_slice(&call->body);
    call->body_given = ret_chunk->len;
    if (!call->has_ended && call->failure == OK)
        link_give_call_credit(call->link, call->id, call->body_given);
    return OK;
}

void
link_call_finish(struct link_call *call)
{
    struct link *link = TAKE(call->link);
    if (link == NULL)
        return;
    struct link_call **at = slot_of(link, call->id);
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    link->call_count--;
    if (call->has_sent && !call->has_ended && link->state == LINK_READY) {
        struct frame frame = { .kind = FRAME_CANCEL, .call = call->id };
        if (!link_send(link, &frame, NULL, 0))
            link_close(link, "the plugin does not read");
    }
    buf_fini(&call->body);
    link_unref(link);
}

/* --- replies -----------------------------------------------------------------------------------*/

static const char *
begin_reply(struct link_call *call, const struct frame *frame)
{
    if (call->payload_got > 0 || call->has_reply)
        return NULL; /* a second answer is ignored: the first one counts */
    if (frame->message_bytes > LIMIT_message_bytes_max ||
        (!frame->open_ended && frame->message_bytes > frame->payload_bytes))
        return "impossible lengths in a response";
    if (!frame->open_ended && frame->payload.len > frame->payload_bytes)
        return "more payload than announced";
    call->open_ended = frame->open_ended;
    call->payload_bytes = frame->payload_bytes;
    call->message_bytes = frame->message_bytes;
    if (frame->has_status) {
        call->status = frame->status;
        call->status.message = arena_dup(call->arena, frame->status.message);
        call->status.reason = arena_dup(call->arena, frame->status.reason);
    }
    flow_stop(&call->flow); /* whatever we still had to send is not wanted */
    call->message = slice_of(arena_alloc(call->arena, call->message_bytes), call->message_bytes);
    return NULL;
}

/* Message bytes first, then the body: to the arena if all of it is here, else to the buffer. */
static const char *
add_payload(struct link_call *call, struct slice bytes, bool is_first)
{
    call->payload_got += bytes.len;
    if (!call->open_ended && call->payload_got > call->payload_bytes)
        return "more payload than announced";
    size_t wanted = call->message_bytes - call->message_got;
    struct slice part = slice_first(bytes, wanted);
    if (part.len > 0)
        memcpy((char *)(uintptr_t)call->message.data + call->message_got, part.data, part.len);
    call->message_got += part.len;
    bytes = slice_from(bytes, part.len);
    call->has_ended = !call->open_ended && call->payload_got == call->payload_bytes;
    if (bytes.len > 0) {
        if (is_first)
            call->first_body = arena_dup(call->arena, bytes);
        else if (!buf_append(&call->body, bytes))
            return "payload without credit on a call";
    }
    if (part.len > 0 && !is_first && !call->has_ended)
        link_give_call_credit(call->link, call->id, part.len);
    return NULL;
}

static const char *
on_reply_payload(struct link *link, const struct frame *frame)
{
    if (frame->call >= link->next_call)
        return "an answer to a call that was never made";
    struct link_call *call = find_call(link, frame->call);
    if (call == NULL)
        return NULL; /* cancelled meanwhile */
    bool is_first = frame->kind == FRAME_RESPONSE;
    if (is_first) {
        if (call->has_reply || call->message_got > 0)
            return NULL;
        const char *reason = begin_reply(call, frame);
        if (reason != NULL)
            return reason;
        link->answered_count++;
    } else if (!call->flow.has_stopped || call->has_ended) {
        return "data without a response";
    }
    const char *reason = add_payload(call, frame->payload, is_first);
    if (reason != NULL)
        return reason;
    if (is_first && frame->payload.len > call->first_body.len && !call->has_ended)
        link_give_call_credit(link, call->id, frame->payload.len - call->first_body.len);
    if (link->state == LINK_DEAD)
        return NULL;
    if (call->message_got == call->message_bytes) {
        call->has_reply = true;
        link_call_wake(call);
    }
    return NULL;
}

/* --- the plugin's calls ------------------------------------------------------------------------*/

static struct host_call *
find_host_call(struct link *link, uint64_t id)
{
    struct list *node;
    LIST_FOREACH(node, &link->host_calls)
    {
        struct host_call *call = LIST_ENTRY(node, struct host_call, node);
        if (call->id == id)
            return call;
    }
    return NULL;
}

struct flow *
link_find_flow(struct link *link, uint64_t id)
{
    if (id % 2 == 1) {
        struct link_call *call = find_call(link, id);
        return call == NULL ? NULL : &call->flow;
    }
    struct host_call *call = find_host_call(link, id);
    return call == NULL ? NULL : &call->flow;
}

void
host_call_free(struct host_call *call)
{
    list_remove(&call->node);
    call->link->host_call_count--;
    link_unref(call->link);
    buf_fini(&call->payload);
    free(call);
}

struct slice
host_call_message(const struct host_call *call)
{
    return slice_first(buf_slice(&call->payload), call->message_bytes);
}

struct slice
host_call_body(const struct host_call *call)
{
    return slice_from(buf_slice(&call->payload), call->message_bytes);
}

static void
reply_at_once(struct link *link, uint64_t id, uint32_t code, const char *text)
{
    struct frame frame = { .kind = FRAME_RESPONSE,
                           .call = id,
                           .has_status = true,
                           .status = { .code = code, .message = slice_str(text) } };
    if (!link_send(link, &frame, NULL, 0))
        link_close(link, "the plugin does not read");
}

void
host_call_reply(struct task *t, struct host_call *call, const struct frame_status *status,
                struct slice message, struct slice body)
{
    struct link *link = call->link;
    struct payload payload = payload_of(message, &body, 1);
    struct frame frame = { .kind = FRAME_RESPONSE,
                           .call = call->id,
                           .message_bytes = (uint32_t)message.len,
                           .payload_bytes = payload.left };
    if (status != NULL) {
        frame.has_status = true;
        frame.status = *status;
    }
    task_shield_begin(t); /* an answer once begun is finished */
    size_t bytes = first_bytes(&payload);
    err_t err = gate_enter(t, &link->credit, (int64_t)bytes);
    if (err == OK && !send_piece(link, &call->flow, &frame, &payload, bytes))
        err = ERR_CLOSED;
    if (err == OK)
        err = send_rest(t, link, call->id, &call->flow, &payload);
    task_shield_end(t);
    if (err != OK && link->state == LINK_READY)
        link_close(link, "the plugin does not take its answer");
}

static void
host_call_main(struct task *t, void *arg)
{
    struct host_call *call = arg;
    if (call->timeout_ms > 0)
        (void)task_deadline_push(t, call->timeout_ms); /* for the task's whole life */
    call->link->config.events->on_host_call(t, call);
    host_call_free(call);
}

static void
start_host_call(struct host_call *call)
{
    call->task = task_spawn(call->link->worker, "host call", host_call_main, call);
    if (call->task != NULL)
        return;
    struct link *link = link_ref(call->link);
    reply_at_once(link, call->id, GRPC_RESOURCE_EXHAUSTED, "the sidecar has too much to do");
    host_call_free(call);
    link_unref(link);
}

/* Why a new call of the plugin is refused, or NULL. */
static const char *
why_host_call_refused(const struct link *link, const struct frame *frame, uint32_t *ret_code)
{
    *ret_code = GRPC_RESOURCE_EXHAUSTED;
    if (link->host_call_count >= LIMIT_host_calls_max)
        return "too many calls into the sidecar are open";
    if (frame->depth > LIMIT_host_depth_max)
        return "calls between plugin and sidecar are nested too deeply";
    *ret_code = GRPC_INVALID_ARGUMENT;
    if (frame->open_ended || frame->payload_bytes > HOST_PAYLOAD_BYTES_MAX ||
        frame->message_bytes > frame->payload_bytes ||
        frame->payload.len > frame->payload_bytes)
        return "impossible or too large payload";
    return NULL;
}

static const char *
on_host_request(struct link *link, const struct frame *frame)
{
    if (frame->call == 0 || frame->call % 2 != 0)
        return "a plugin's call must have an even number";
    if (frame->call <= link->last_host_call)
        return "a call number was used twice";
    link->last_host_call = frame->call;
    uint32_t code;
    const char *refusal = why_host_call_refused(link, frame, &code);
    if (refusal != NULL) {
        reply_at_once(link, frame->call, code, refusal);
        return NULL;
    }
    struct host_call *call = malloc(sizeof *call);
    if (call == NULL)
        abort();
    *call = (struct host_call){ .link = link_ref(link),
                                .id = frame->call,
                                .method = frame->method,
                                .depth = frame->depth,
                                .timeout_ms = frame->timeout_ms,
                                .message_bytes = frame->message_bytes,
                                .payload_bytes = frame->payload_bytes,
                                .flow = { .credit_bytes = LIMIT_call_credit_bytes } };
    buf_init(&call->payload, HOST_PAYLOAD_BYTES_MAX);
    list_append(&link->host_calls, &call->node);
    link->host_call_count++;
    return NULL;
}

static const char *
on_host_payload(struct link *link, const struct frame *frame)
{
    struct host_call *call = find_host_call(link, frame->call);
    if (call == NULL)
        return NULL; /* refused or cancelled before */
    if (call->task != NULL || call->payload.len + frame->payload.len > call->payload_bytes)
        return "more payload than announced";
    if (!buf_append(&call->payload, frame->payload))
        return "more payload than announced";
    if (call->payload.len == call->payload_bytes)
        start_host_call(call);
    else
        link_give_call_credit(link, call->id, frame->payload.len);
    return NULL;
}

void
link_on_host_cancel(struct link *link, uint64_t id)
{
    struct host_call *call = find_host_call(link, id);
    if (call == NULL)
        return;
    if (call->task != NULL) {
        task_cancel(call->task);
        return;
    }
    (void)link_ref(link);
    reply_at_once(link, id, GRPC_CANCELLED, "cancelled");
    if (find_host_call(link, id) != NULL)
        host_call_free(call);
    link_unref(link);
}

/* --- dispatch ----------------------------------------------------------------------------------*/

const char *
link_on_payload(struct link *link, const struct frame *frame)
{
    if (frame->kind == FRAME_REQUEST) {
        const char *reason = on_host_request(link, frame);
        if (reason != NULL || link->state == LINK_DEAD)
            return reason;
        return on_host_payload(link, frame);
    }
    if (frame->call % 2 == 1)
        return on_reply_payload(link, frame);
    if (frame->kind == FRAME_RESPONSE)
        return "an answer to a call that was never made";
    return on_host_payload(link, frame);
}

const char *
link_on_end(struct link *link, const struct frame *frame)
{
    if (frame->call % 2 == 0)
        return NULL; /* host calls are never open-ended */
    struct link_call *call = find_call(link, frame->call);
    if (call == NULL)
        return NULL;
    if (!call->open_ended || call->message_got < call->message_bytes)
        return "an end where none belongs";
    if (frame->has_status && frame->status.code != 0 && call->failure == OK)
        call->failure = ERR_PLUGIN_FAILED;
    call->has_ended = true;
    link_call_wake(call);
    return NULL;
}
