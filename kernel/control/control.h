/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections to Dapr's control plane beside Sentry: its scheduler and its placement service,
 * where there are addresses of them. Both live on one worker; any thread may ask how they are.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "async/worker.h"
#include "base/arena.h"
#include "base/slice.h"

struct control;
struct tls_context;

/* Borrowed as long as the control is. */
struct control_config {
    struct worker *worker;
    struct slice app_id;
    struct slice namespace_;
    struct slice host_name; /* where other sidecars reach this one: "10.0.0.5:50002" */
    const struct slice *schedulers;
    size_t scheduler_count;
    const struct slice *placements;
    size_t placement_count;
    struct slice scheduler_id; /* SPIFFE ids, that services prove where there is TLS */
    struct slice placement_id;
    uint64_t round_ms; /* of placement, from lock to unlock */
    /* Worker: for the next connection; NULL: plain text. Borrowed until it is made. */
    struct tls_context *(*tls)(void *arg);
    /* Worker, once: hosts of the scheduler are known and placement is connected, as far as there
     * are any. */
    void (*on_ready)(void *arg);
    /* Worker, after control_stop(): nothing is left to come. */
    void (*on_stopped)(void *arg);
    void *arg;
};

/* How things stand; texts in the arena. */
struct control_status {
    bool has_scheduler;      /* there are addresses */
    struct slice *connected; /* addresses */
    size_t connected_count;
    bool has_placement;
    bool is_placed;
};

struct control *control_new(const struct control_config *config);
void control_free(struct control *control);
/* Worker. */
void control_start(struct control *control);
void control_stop(struct control *control);
/* Any thread; NULL has neither service. */
struct control_status control_status(struct control *control, struct arena *arena);
/* Any thread: on_ready() has been called, or nothing is configured. */
bool control_is_ready(struct control *control);

#endif
