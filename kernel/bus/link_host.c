/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin's calls into the kernel: payload is collected within a budget, then a task runs the
 * service and answers. Each call is answered exactly once, also the refused and cancelled ones.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/wire.h"
#include "bus/link.h"
#include "bus/link_internal.h"

static struct host_call *
find_host_call(struct link *link, uint64_t id)
{
    struct list *node;
    LIST_FOREACH (node, &link->host_calls) {
        struct host_call *call = LIST_ENTRY(node, struct host_call, node);
        if (call->id == id)
            return call;
    }
    return NULL;
}

struct flow *
link_host_flow(struct link *link, uint64_t id)
{
    struct host_call *call = find_host_call(link, id);
    return call == NULL ? NULL : &call->flow;
}

static void
host_call_free(struct host_call *call)
{
    list_remove(&call->node);
    call->link->host_call_count--;
    call->link->host_bytes -= call->payload_bytes;
    link_unref(call->link);
    buf_fini(&call->payload);
    free(call);
}

void
link_fail_host_calls(struct link *link)
{
    struct list *node, *next;
    LIST_FOREACH_SAFE(node, next, &link->host_calls)
    {
        struct host_call *call = LIST_ENTRY(node, struct host_call, node);
        flow_stop(&call->flow);
        if (call->task != NULL)
            task_cancel(call->task);
        else
            host_call_free(call);
    }
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

/* --- answering ---------------------------------------------------------------------------------*/

/* May end the link, and with it every call that has no task yet. */
static void
reply_at_once(struct link *link, uint64_t id, uint32_t code, const char *text)
{
    struct frame frame = { .kind = FRAME_RESPONSE,
                           .call = id,
                           .has_status = true,
                           .status = { .code = code, .message = slice_str(text) } };
    link_send_or_close(link, &frame);
}

/* Without half a character at the end. */
static struct slice
cut(struct slice text, size_t bytes_max)
{
    size_t len = text.len;
    if (len > bytes_max) {
        len = bytes_max;
        while (len > 0 && ((unsigned char)text.data[len] & 0xc0) == 0x80)
            len--;
    }
    return slice_first(text, len);
}

static err_t
send_reply(struct task *t, struct host_call *call, struct frame *frame, struct payload *payload)
{
    size_t bytes;
    err_t err = flow_enter(t, call->link, payload, &bytes); /* suspends */
    if (err != OK)
        return err;
    if (!flow_send(call->link, &call->flow, frame, payload, bytes))
        return ERR_OVERLOADED;
    return flow_send_rest(t, call->link, call->id, &call->flow, payload); /* suspends */
}

void
host_call_reply(struct task *t, struct host_call *call, const struct frame_status *status,
                struct slice message, struct slice body)
{
    assert(!call->has_replied);
    assert(message.len <= LIMIT_message_bytes_max);
    call->has_replied = true;
    struct payload payload = payload_of(message, &body, 1);
    struct frame frame = { .kind = FRAME_RESPONSE,
                           .call = call->id,
                           .message_bytes = (uint32_t)message.len,
                           .payload_bytes = payload.left };
    if (status != NULL) {
        frame.has_status = true;
        frame.status = *status;
        frame.status.message = cut(status->message, FRAME_STATUS_MESSAGE_MAX);
        frame.status.reason = cut(status->reason, FRAME_STATUS_REASON_MAX);
    }
    /* An answer once begun is finished, also one that says that the deadline has passed. */
    task_shield_begin(t);
    uint64_t outer = task_deadline_ms(t);
    task_deadline_pop(t, UINT64_MAX);
    (void)task_deadline_push(t, LIMIT_host_reply_ms);
    err_t err = send_reply(t, call, &frame, &payload);
    task_deadline_pop(t, outer);
    task_shield_end(t);
    if (err != OK)
        link_close(call->link, "the plugin does not take its answer");
}

static void
host_call_main(struct task *t, void *arg)
{
    struct host_call *call = arg;
    if (call->timeout_ms > 0)
        (void)task_deadline_push(t, call->timeout_ms); /* for the task's whole life */
    call->link->config.events->on_host_call(t, call);
    if (!call->has_replied)
        host_call_reply(t, call,
                        &(struct frame_status){ .code = GRPC_INTERNAL,
                                                .message = SLICE("the sidecar has no answer"),
                                                .reason = SLICE_EMPTY },
                        SLICE_EMPTY, SLICE_EMPTY);
    host_call_free(call);
}

/* --- receiving ---------------------------------------------------------------------------------*/

static void
start_host_call(struct host_call *call)
{
    call->task = task_spawn(call->link->worker, "host call", host_call_main, call);
    if (call->task != NULL)
        return;
    struct link *link = link_ref(call->link);
    uint64_t id = call->id;
    host_call_free(call);
    reply_at_once(link, id, GRPC_RESOURCE_EXHAUSTED, "the sidecar has too much to do");
    link_unref(link);
}

/* Why a new call of the plugin is refused, or NULL. */
static const char *
why_refused(const struct link *link, const struct frame *frame, uint32_t *ret_code)
{
    *ret_code = GRPC_INVALID_ARGUMENT;
    if (frame->open_ended || frame->message_bytes > frame->payload_bytes ||
        frame->payload.len > frame->payload_bytes)
        return "impossible payload lengths";
    *ret_code = GRPC_RESOURCE_EXHAUSTED;
    if (frame->payload_bytes > LIMIT_message_bytes_max)
        return "the payload is too large";
    if (frame->depth > LIMIT_host_depth_max)
        return "calls between plugin and sidecar are nested too deeply";
    if (link->host_call_count >= LIMIT_host_calls_max ||
        link->host_bytes + frame->payload_bytes > LIMIT_host_bytes_max)
        return "too many calls into the sidecar are open";
    return NULL;
}

static const char *
add_payload(struct host_call *call, struct slice bytes)
{
    struct link *link = call->link;
    if (call->task != NULL || bytes.len > call->payload_bytes - call->payload.len)
        return "more payload than announced";
    if (!intake_count(&call->intake, bytes.len))
        return "payload without credit on a call";
    bool kept = buf_append(&call->payload, bytes);
    assert(kept); /* the announced length was checked */
    if (call->payload.len == call->payload_bytes)
        start_host_call(call);
    else
        intake_give(link, call->id, &call->intake, bytes.len, LIMIT_call_credit_bytes);
    return NULL;
}

const char *
link_on_request(struct link *link, const struct frame *frame)
{
    if (frame->call == 0 || frame->call % 2 != 0)
        return "a plugin's call must have an even number";
    if (frame->call <= link->last_host_call)
        return "the numbers of a plugin's calls must grow";
    link->last_host_call = frame->call;
    uint32_t code;
    const char *refusal = why_refused(link, frame, &code);
    if (refusal != NULL) {
        reply_at_once(link, frame->call, code, refusal);
        return NULL;
    }
    size_t parent_len = frame->traceparent.len, state_len = frame->tracestate.len;
    struct host_call *call = malloc(sizeof *call + parent_len + state_len);
    if (call == NULL)
        abort();
    *call = (struct host_call){ .link = link_ref(link),
                                .traceparent = slice_of(call->texts, parent_len),
                                .tracestate = slice_of(call->texts + parent_len, state_len),
                                .id = frame->call,
                                .method = frame->method,
                                .depth = frame->depth,
                                .timeout_ms = frame->timeout_ms,
                                .message_bytes = frame->message_bytes,
                                .payload_bytes = frame->payload_bytes,
                                .flow = { .credit_bytes = LIMIT_call_credit_bytes },
                                .intake = { .window_bytes = LIMIT_call_credit_bytes } };
    (void)wire_put_raw(wire_put_raw(call->texts, frame->traceparent), frame->tracestate);
    buf_init(&call->payload, LIMIT_message_bytes_max);
    list_append(&link->host_calls, &call->node);
    link->host_call_count++;
    link->host_bytes += call->payload_bytes;
    return add_payload(call, frame->payload);
}

const char *
link_on_request_data(struct link *link, const struct frame *frame)
{
    if (frame->call > link->last_host_call)
        return "data without a request";
    struct host_call *call = find_host_call(link, frame->call);
    return call == NULL ? NULL
                        : add_payload(call, frame->payload); /* refused or cancelled before */
}

void
link_on_cancel(struct link *link, uint64_t id)
{
    struct host_call *call = find_host_call(link, id);
    if (call == NULL)
        return;
    flow_stop(&call->flow); /* nobody gives credit for the rest of the answer any more */
    if (call->task != NULL) {
        task_cancel(call->task);
        return;
    }
    (void)link_ref(link);
    host_call_free(call);
    reply_at_once(link, id, GRPC_CANCELLED, "cancelled");
    link_unref(link);
}
