/* SPDX-License-Identifier: Apache-2.0 */
/* What link.c (the connection) and link_call.c (its calls) share. Nobody else includes it. */
#ifndef BUS_LINK_INTERNAL_H
#define BUS_LINK_INTERNAL_H

#include "bus/link.h"

/* Queues one frame; sets its epoch. False: dead, or the peer does not read. */
bool link_send(struct link *link, struct frame *frame, const struct slice *parts,
               size_t part_count) WARN_UNUSED;
void link_give_call_credit(struct link *link, uint64_t call, uint64_t bytes);

/* RESPONSE, DATA and REQUEST frames. NULL, or why the link must end. */
const char *link_on_payload(struct link *link, const struct frame *frame);
const char *link_on_end(struct link *link, const struct frame *frame);
void link_on_host_cancel(struct link *link, uint64_t id);

/* The sending side of call `id`, NULL if it is over. */
struct flow *link_find_flow(struct link *link, uint64_t id);
void flow_wake(struct flow *flow);
void flow_stop(struct flow *flow);

/* The caller has something to look at. */
void link_call_wake(struct link_call *call);
/* Drops a host call whose task never started. */
void host_call_free(struct host_call *call);

#endif
