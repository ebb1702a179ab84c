/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instances of Dapr's scheduler service: one of the given addresses is asked for all of them,
 * again and again whatever becomes of it, and to each that it names a connection is kept. That is a
 * stream of the same question, the cheapest that the service has: it breaks when the instance dies.
 *
 * No jobs are watched, for there are none here yet, and a service that has a stream of jobs would
 * send some.
 */
#ifndef CONTROL_SCHEDULER_H
#define CONTROL_SCHEDULER_H

#include "base/list.h"
#include "control/line.h"

struct control_config;

struct scheduler {
    const struct control_config *config;
    struct line watch;
    size_t next;  /* address to ask */
    bool is_told; /* of a failure that goes on */
    bool has_hosts;
    struct list hosts; /* struct scheduler_host, in the order of the answer */
    size_t line_count; /* that have not stopped */
    void (*on_change)(struct scheduler *scheduler);
    void (*on_stopped)(struct scheduler *scheduler);
};

struct scheduler_host {
    struct list link;
    struct scheduler *scheduler;
    struct line line;
    struct slice address; /* owned */
    bool is_connected;
    bool is_named; /* by the last answer */
};

/* Worker. Nothing happens without an address. */
void scheduler_start(struct scheduler *scheduler, const struct control_config *config);
/* Worker. on_stopped() follows, now or later. */
void scheduler_stop(struct scheduler *scheduler);

#endif
