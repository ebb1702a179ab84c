/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a link share: link.c (the connection), link_flow.c (payload under credits),
 * link_call.c (our calls), link_host.c (the plugin's calls). Nobody else includes it.
 */
#ifndef BUS_LINK_INTERNAL_H
#define BUS_LINK_INTERNAL_H

#include "bus/link.h"

/* --- link.c ------------------------------------------------------------------------------------*/

/* Queues one frame; sets its epoch. False: dead, or the peer does not read. */
bool link_send(struct link *link, struct frame *frame, const struct slice *parts,
               size_t part_count) WARN_UNUSED;
/* For a frame the plugin must get, without payload: ends the link if it cannot be queued. */
void link_send_or_close(struct link *link, struct frame *frame);
/* A call was opened: the plugin owes a sign of life. */
void link_watch(struct link *link);

/* --- link_flow.c -------------------------------------------------------------------------------*/

/* A payload as a row of slices, consumed from the front. */
struct payload {
    struct slice message;
    const struct slice *parts; /* borrowed */
    size_t part_count;
    size_t at; /* 0: message, i: parts[i - 1] */
    size_t at_offset;
    uint64_t left;
};

struct payload payload_of(struct slice message, const struct slice *parts, size_t part_count);

/* Takes link credit for the first frame of a payload; suspends. */
err_t flow_enter(struct task *t, struct link *link, const struct payload *payload,
                 size_t *ret_bytes) WARN_UNUSED;
/* Sends `frame` with up to `bytes` of the payload, whose link credit the caller holds. False: not
 * queued, the credit is given back. */
bool flow_send(struct link *link, struct flow *flow, struct frame *frame, struct payload *payload,
               size_t bytes) WARN_UNUSED;
/* Sends what is left in data frames; suspends. OK also if the other side wants no more. */
err_t flow_send_rest(struct task *t, struct link *link, uint64_t id, struct flow *flow,
                     struct payload *payload) WARN_UNUSED;
void flow_wake(struct flow *flow);
void flow_stop(struct flow *flow);

/* Counts what arrived. False: more than there was credit for. */
static inline bool
intake_count(struct intake *intake, size_t bytes)
{
    intake->window_bytes -= (int64_t)bytes;
    return intake->window_bytes >= 0;
}

/* Room for `bytes` again. Sends the credit once a quarter of `whole` is due; call 0: the link's. */
void intake_give(struct link *link, uint64_t call, struct intake *intake, uint64_t bytes,
                 uint64_t whole);

/* --- link_call.c -------------------------------------------------------------------------------*/

/* Frames of our calls. NULL, or why the link must end. */
const char *link_on_reply(struct link *link, const struct frame *frame);
const char *link_on_reply_data(struct link *link, const struct frame *frame);
const char *link_on_reply_end(struct link *link, const struct frame *frame);
/* The sending side of a call, NULL if it is over. */
struct flow *link_call_flow(struct link *link, uint64_t id);
void link_fail_calls(struct link *link);

/* --- link_host.c -------------------------------------------------------------------------------*/

/* Frames of the plugin's calls. NULL, or why the link must end. */
const char *link_on_request(struct link *link, const struct frame *frame);
const char *link_on_request_data(struct link *link, const struct frame *frame);
void link_on_cancel(struct link *link, uint64_t id);
struct flow *link_host_flow(struct link *link, uint64_t id);
void link_fail_host_calls(struct link *link);

#endif
