/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our calls over a link, from the caller's side (link_call and its steps, on a task) and from the
 * plugin's (its replies, outside tasks). A call is in the link's table from open to finish; what
 * arrives for one that is no longer there was cancelled and is dropped.
 */
#include <assert.h>

#include "bus/link.h"
#include "bus/link_internal.h"
#include "remora/plugin/v1/plugin.pb-c.h"

/* --- the table ---------------------------------------------------------------------------------*/

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
    link_watch(link);
}

static void
unregister_call(struct link *link, struct link_call *call)
{
    struct link_call **at = slot_of(link, call->id);
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    link->call_count--;
}

struct flow *
link_call_flow(struct link *link, uint64_t id)
{
    struct link_call *call = find_call(link, id);
    return call == NULL ? NULL : &call->flow;
}

/* --- the caller --------------------------------------------------------------------------------*/

static void
wake(struct link_call *call)
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

/* How a step ended: an answer that is here counts, whatever happened after it. */
static err_t
outcome(const struct link_call *call, err_t err)
{
    if (call->has_reply)
        return OK;
    return call->failure != OK ? call->failure : err;
}

static struct slice
at_most(struct slice s, size_t bytes_max)
{
    return s.len > bytes_max ? SLICE_EMPTY : s;
}

static err_t
send_request(struct task *t, struct link_call *call, const struct link_args *args)
{
    struct link *link = call->link;
    struct payload payload = payload_of(args->message, args->body_parts, args->body_part_count);
    size_t bytes;
    err_t err = flow_enter(t, link, &payload, &bytes);
    if (err != OK)
        return err;
    uint64_t left_ms = task_time_left_ms(t);
    if (left_ms == 0 || task_is_cancelled(t)) { /* nothing waited, so nothing noticed */
        gate_leave(&link->credit, (int64_t)bytes);
        return left_ms == 0 ? ERR_DEADLINE : ERR_CANCELLED;
    }
    /* A trace context too long to pass on is left out whole, as its specification asks. */
    struct frame frame = { .kind = FRAME_REQUEST,
                           .call = call->id,
                           .method = args->method,
                           .component = args->component,
                           .timeout_ms = left_ms == UINT64_MAX ? 0 : left_ms,
                           .depth = args->depth,
                           .message_bytes = (uint32_t)args->message.len,
                           .payload_bytes = args->open_ended ? 0 : payload.left,
                           .open_ended = args->open_ended,
                           .request_id = args->request_id,
                           .traceparent = at_most(args->traceparent, FRAME_TRACEPARENT_MAX),
                           .tracestate = at_most(args->tracestate, FRAME_TRACESTATE_MAX) };
    if (!flow_send(link, &call->flow, &frame, &payload, bytes))
        return ERR_OVERLOADED;
    call->has_sent = true;
    return flow_send_rest(t, link, call->id, &call->flow, &payload);
}

/* Of what holds keys or secrets nothing is left in the buffers that it has passed, from the first
 * one on. */
static bool
is_secret(uint32_t method)
{
    return method == REMORA__PLUGIN__V1__METHOD__METHOD_SECRET_GET ||
           method == REMORA__PLUGIN__V1__METHOD__METHOD_SECRET_BULK_GET ||
           (method >= REMORA__PLUGIN__V1__METHOD__METHOD_CRYPTO_GET_KEY &&
            method <= REMORA__PLUGIN__V1__METHOD__METHOD_CRYPTO_VERIFY);
}

err_t
link_call_open(struct task *t, struct link *link, const struct link_args *args,
               struct link_call *ret_call)
{
    *ret_call = (struct link_call){ .arena = args->arena != NULL ? args->arena : task_arena(t),
                                    .is_write = args->is_write,
                                    .proves_work = args->method > LIFECYCLE_METHOD_MAX,
                                    .flow = { .credit_bytes = LIMIT_call_credit_bytes },
                                    .intake = { .window_bytes = LIMIT_call_credit_bytes } };
    buf_init(&ret_call->body, LIMIT_call_credit_bytes);
    buf_init(&ret_call->held, LIMIT_call_credit_bytes);
    if (is_secret(args->method))
        link->in.is_secret = link->stream.out.is_secret = ret_call->body.is_secret =
            ret_call->held.is_secret = true;
    if (link->state != LINK_OPEN)
        return ERR_PLUGIN_NOT_SENT;
    if (args->message.len > LIMIT_message_bytes_max)
        return ERR_TOO_LARGE;
    if (link->call_count >= LIMIT_link_calls_max)
        return ERR_OVERLOADED;
    register_call(link, ret_call);
    return outcome(ret_call, send_request(t, ret_call, args));
}

err_t
link_call_write(struct task *t, struct link_call *call, struct slice bytes)
{
    struct payload payload = payload_of(bytes, NULL, 0);
    err_t err = flow_send_rest(t, call->link, call->id, &call->flow, &payload);
    if (call->failure != OK)
        return call->failure;
    return err == OK && payload.left > 0 ? ERR_CLOSED : err;
}

err_t
link_call_end(struct link_call *call)
{
    struct frame frame = { .kind = FRAME_END, .call = call->id };
    if (!call->flow.has_stopped && !link_send(call->link, &frame, NULL, 0))
        return outcome(call, ERR_OVERLOADED);
    return outcome(call, OK);
}

err_t
link_call_reply(struct task *t, struct link_call *call)
{
    err_t err = OK;
    task_begun(t);
    if (call->is_write)
        task_shield_begin(t);
    while (err == OK && !call->has_reply && call->failure == OK)
        err = wait_for_news(t, call);
    if (call->is_write)
        task_shield_end(t);
    task_begun_end(t);
    return outcome(call, err);
}

err_t
link_call(struct task *t, struct link *link, const struct link_args *args,
          struct link_call *ret_call)
{
    assert(!args->open_ended);
    err_t err = link_call_open(t, link, args, ret_call);
    return err != OK ? err : link_call_reply(t, ret_call);
}

int64_t
link_call_body_bytes(const struct link_call *call)
{
    return call->open_ended ? -1 : (int64_t)(call->payload_bytes - call->message_bytes);
}

static void
give_back(struct link_call *call, size_t bytes)
{
    if (bytes > 0 && !call->has_ended)
        intake_give(call->link, call->id, &call->intake, bytes, LIMIT_call_credit_bytes);
}

err_t
link_call_body(struct task *t, struct link_call *call, struct slice *ret_chunk)
{
    if (call->first_body.len > 0) {
        *ret_chunk = call->first_body;
        call->first_body = SLICE_EMPTY;
        give_back(call, ret_chunk->len);
        return OK;
    }
    buf_clear(&call->held);
    call->body_given = 0;
    err_t err = OK;
    task_begun(t);
    while (err == OK && call->body.len == 0 && !call->has_ended && call->failure == OK)
        err = wait_for_news(t, call);
    task_begun_end(t);
    if (err != OK)
        return err;
    if (call->body.len == 0 && call->failure != OK)
        return call->failure;
    struct buf given = call->body;
    call->body = call->held;
    call->held = given;
    call->body_given = given.len;
    *ret_chunk = buf_slice(&call->held);
    give_back(call, given.len);
    return OK;
}

void
link_call_finish(struct link_call *call)
{
    struct link *link = TAKE(call->link);
    if (link == NULL)
        return;
    assert(call->waiting == NULL);
    assert(call->flow.waiting == NULL);
    unregister_call(link, call);
    if (call->has_sent && !call->has_ended && link->state == LINK_OPEN) {
        struct frame frame = { .kind = FRAME_CANCEL, .call = call->id };
        link_send_or_close(link, &frame);
    }
    buf_fini(&call->body);
    buf_fini(&call->held);
    link_unref(link);
}

void
link_fail_calls(struct link *link)
{
    for (size_t i = 0; i < LINK_CALL_SLOTS; i++) {
        for (struct link_call *call = link->calls[i]; call != NULL; call = call->next) {
            if (!call->has_ended)
                call->failure = call->has_sent ? ERR_PLUGIN_UNKNOWN : ERR_PLUGIN_NOT_SENT;
            flow_stop(&call->flow);
            wake(call);
        }
    }
}

/* --- replies -----------------------------------------------------------------------------------*/

/* The first frame of a reply: most often all of it, and then kept with one copy. */
static void
keep_first(struct link_call *call, struct slice bytes)
{
    if (bytes.len >= call->message_bytes) {
        struct slice kept = arena_dup(call->arena, bytes);
        call->message = slice_first(kept, call->message_bytes);
        call->message_got = call->message_bytes;
        call->first_body = slice_from(kept, call->message_bytes);
        return;
    }
    char *whole = arena_alloc(call->arena, call->message_bytes);
    memcpy(whole, bytes.data, bytes.len);
    call->message = slice_of(whole, call->message_bytes);
    call->message_got = bytes.len;
}

static void
keep_status(struct link_call *call, const struct frame_status *status)
{
    call->status = *status;
    call->status.message = arena_dup(call->arena, status->message);
    call->status.reason = arena_dup(call->arena, status->reason);
}

/* What the reply's frames have in common, once its bytes are counted and kept. */
static void
on_progress(struct link_call *call, size_t message_bytes)
{
    call->has_ended = !call->open_ended && call->payload_got == call->payload_bytes;
    give_back(call, message_bytes);
    if (call->message_got == call->message_bytes) {
        call->has_reply = true;
        wake(call);
    }
}

/* The call a frame is for, NULL if it is over. */
static const char *
find_answered(struct link *link, uint64_t id, struct link_call **ret_call)
{
    *ret_call = NULL;
    if (id >= link->next_call)
        return "an answer to a call that was never made";
    struct link_call *call = find_call(link, id);
    if (call != NULL && !call->has_sent)
        return "an answer to a call that was never made";
    *ret_call = call;
    return NULL;
}

const char *
link_on_reply(struct link *link, const struct frame *frame)
{
    struct link_call *call;
    const char *reason = find_answered(link, frame->call, &call);
    if (reason != NULL || call == NULL || call->has_begun)
        return reason; /* a second answer is ignored: the first one counts */
    if (frame->message_bytes > LIMIT_message_bytes_max || frame->payload_bytes > INT64_MAX ||
        (!frame->open_ended && frame->message_bytes > frame->payload_bytes))
        return "impossible lengths in a response";
    if (!frame->open_ended && frame->payload.len > frame->payload_bytes)
        return "more payload than announced";
    if (!intake_count(&call->intake, frame->payload.len))
        return "payload without credit on a call";
    call->has_begun = true;
    call->open_ended = frame->open_ended;
    call->payload_bytes = frame->payload_bytes;
    call->message_bytes = frame->message_bytes;
    call->payload_got = frame->payload.len;
    if (call->proves_work && link->answered_count++ == 0 &&
        link->config.events->on_answered != NULL)
        link->config.events->on_answered(link);
    if (frame->has_status)
        keep_status(call, &frame->status);
    /* Who answers with a whole payload or an error has read enough; a stream goes on both ways. */
    if (!frame->open_ended || call->status.code != 0)
        flow_stop(&call->flow);
    keep_first(call, frame->payload);
    on_progress(call, call->message_got);
    return NULL;
}

const char *
link_on_reply_data(struct link *link, const struct frame *frame)
{
    struct link_call *call;
    const char *reason = find_answered(link, frame->call, &call);
    if (reason != NULL || call == NULL)
        return reason;
    if (!call->has_begun)
        return "data without a response";
    struct slice bytes = frame->payload;
    call->payload_got += bytes.len;
    if (call->has_ended || (!call->open_ended && call->payload_got > call->payload_bytes))
        return "more payload than announced";
    if (!intake_count(&call->intake, bytes.len))
        return "payload without credit on a call";
    struct slice part = slice_first(bytes, call->message_bytes - call->message_got);
    if (part.len > 0)
        memcpy((char *)(uintptr_t)call->message.data + call->message_got, part.data, part.len);
    call->message_got += part.len;
    bool kept = buf_append(&call->body, slice_from(bytes, part.len));
    assert(kept); /* the window is not wider than the buffer */
    on_progress(call, part.len);
    return NULL;
}

const char *
link_on_reply_end(struct link *link, const struct frame *frame)
{
    struct link_call *call;
    const char *reason = find_answered(link, frame->call, &call);
    if (reason != NULL || call == NULL)
        return reason;
    if (!call->open_ended || !call->has_reply || call->has_ended)
        return "an end where none belongs";
    call->has_ended = true;
    if (frame->has_status && frame->status.code != 0) {
        /* No words: the caller may be reading its arena on another thread by now. */
        call->status.code = frame->status.code;
        call->status.effect = frame->status.effect;
        call->failure = ERR_PLUGIN_FAILED;
    }
    flow_stop(&call->flow);
    wake(call);
    return NULL;
}
