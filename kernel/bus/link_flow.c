/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload under credits, the same for both directions of calls: a first frame with as much as fits,
 * then data frames as credit allows, one a turn of the loop, so that calls take turns and a small
 * one never stands behind the whole of a large one.
 */
#include <assert.h>

#include "bus/link.h"
#include "bus/link_internal.h"
#include "telemetry/metrics.h"

enum {
    CHUNK_BYTES = 32 * 1024,
    PARTS_PER_FRAME = 64,
};
_Static_assert(CHUNK_BYTES <= (int)FRAME_PAYLOAD_MAX, "a chunk fits in any frame");
_Static_assert(CHUNK_BYTES <= (int)LIMIT_call_credit_bytes,
               "a first frame needs no credit of its call");

struct payload
payload_of(struct slice message, const struct slice *parts, size_t part_count)
{
    struct payload payload = {
        .message = message, .parts = parts, .part_count = part_count, .left = message.len
    };
    for (size_t i = 0; i < part_count; i++)
        payload.left += parts[i].len;
    return payload;
}

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

/* Only those that wait are counted: their number and how long says whether credit is short. */
static err_t
take_credit(struct task *t, struct link *link, int64_t bytes)
{
    if (gate_try(&link->credit, bytes))
        return OK;
    uint64_t started_ns = task_worker(t)->now_ns;
    err_t err = gate_enter(t, &link->credit, bytes); /* suspends */
    metrics_record(metrics_single(METRICS_credit_wait), task_worker(t)->now_ns - started_ns);
    return err;
}

err_t
flow_enter(struct task *t, struct link *link, const struct payload *payload, size_t *ret_bytes)
{
    size_t bytes = payload->left < CHUNK_BYTES ? (size_t)payload->left : CHUNK_BYTES;
    err_t err = bytes == 0 ? OK : take_credit(t, link, (int64_t)bytes); /* suspends */
    if (err == OK)
        *ret_bytes = bytes;
    return err;
}

bool
flow_send(struct link *link, struct flow *flow, struct frame *frame, struct payload *payload,
          size_t bytes)
{
    struct slice parts[PARTS_PER_FRAME];
    size_t count = payload_take(payload, bytes, parts);
    size_t taken = parts_bytes(parts, count);
    bool sent = link_send(link, frame, parts, count);
    if (!sent)
        taken = 0;
    if (taken < bytes) /* not sent, or very many small parts: the rest is for the next frame */
        gate_leave(&link->credit, (int64_t)(bytes - taken));
    flow->credit_bytes -= (int64_t)taken;
    return sent;
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
    if (flow->has_stopped)
        return OK;
    /* With credit always at hand nothing above would notice. */
    if (task_is_cancelled(t))
        return ERR_CANCELLED;
    return task_time_left_ms(t) == 0 ? ERR_DEADLINE : OK;
}

static err_t
send_chunk(struct task *t, struct link *link, uint64_t id, struct flow *flow,
           struct payload *payload)
{
    uint64_t bytes = payload->left < CHUNK_BYTES ? payload->left : CHUNK_BYTES;
    if (bytes > (uint64_t)flow->credit_bytes)
        bytes = (uint64_t)flow->credit_bytes;
    err_t err = take_credit(t, link, (int64_t)bytes); /* suspends */
    if (err != OK)
        return err;
    if (flow->has_stopped) {
        gate_leave(&link->credit, (int64_t)bytes);
        return OK;
    }
    struct frame frame = { .kind = FRAME_DATA, .call = id };
    return flow_send(link, flow, &frame, payload, (size_t)bytes) ? OK : ERR_OVERLOADED;
}

err_t
flow_send_rest(struct task *t, struct link *link, uint64_t id, struct flow *flow,
               struct payload *payload)
{
    while (payload->left > 0) {
        err_t err = wait_for_call_credit(t, flow);
        if (err != OK || flow->has_stopped)
            return err;
        if ((err = send_chunk(t, link, id, flow, payload)) != OK || flow->has_stopped)
            return err;
        if (payload->left > 0)
            task_yield(t);
    }
    return OK;
}

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

void
intake_give(struct link *link, uint64_t call, struct intake *intake, uint64_t bytes, uint64_t whole)
{
    intake->owed_bytes += bytes;
    if (intake->owed_bytes < whole / 4 || !link_is_ready(link))
        return;
    struct frame frame = { .kind = FRAME_CREDIT, .call = call, .credit_bytes = intake->owed_bytes };
    intake->window_bytes += (int64_t)intake->owed_bytes;
    intake->owed_bytes = 0;
    link_send_or_close(link, &frame);
}
