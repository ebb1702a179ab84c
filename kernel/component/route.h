/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of a component, told to every worker's table by message. Any thread may send; messages of
 * one sender arrive in order. Each function takes `ack` (or NULL): a latch that every worker holds
 * until it has acted, so that the sender can wait for all of them with latch_wait().
 */
#ifndef COMPONENT_ROUTE_H
#define COMPONENT_ROUTE_H

#include "async/latch.h"
#include "component/component.h"

/* All workers and their tables; constant while the process lives. */
struct routes {
    struct worker *const *workers;
    struct component_table *const *tables;
    unsigned count;
};

/* References are taken as needed; the caller keeps its own. See component.h for what each does. */
void routes_publish(const struct routes *routes, struct component_facts *facts, struct link *link,
                    struct latch *writes, struct latch *ack);
void routes_detach(const struct routes *routes, struct slice name, const struct link *link,
                   struct latch *ack);
void routes_hold(const struct routes *routes, struct slice name, struct latch *ack);
void routes_release(const struct routes *routes, struct slice name, struct latch *writes,
                    struct latch *ack);
void routes_remove(const struct routes *routes, struct slice name, struct latch *ack);

#endif
