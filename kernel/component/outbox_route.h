/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the messages of a state store's outbox go: the component's `outboxPublishPubsub`,
 * `outboxPublishTopic`, `outboxPubsub` and `outboxDiscardWhenMissingState` (STATE-61 to STATE-64).
 * Any thread.
 */
#ifndef COMPONENT_OUTBOX_ROUTE_H
#define COMPONENT_OUTBOX_ROUTE_H

#include <stdbool.h>

#include "base/arena.h"
#include "config/component.h"

struct outbox_route {
    struct slice pubsub; /* what subscribers get goes to this broker; empty: there is no outbox */
    struct slice topic;
    struct slice inner_pubsub; /* what waits for its transaction is kept at this one, */
    struct slice inner_topic;  /* under a name that sidecars of the application share */
    bool discards;             /* what finds no transaction is dropped, not tried again and again */
};

/* In the arena. One of the first two names alone is no outbox, and a warning. */
struct outbox_route outbox_route_read(struct arena *arena, const struct component_spec *spec,
                                      struct slice app_id, struct slice namespace_);

#endif
