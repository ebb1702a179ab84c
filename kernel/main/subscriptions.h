/* SPDX-License-Identifier: Apache-2.0 */
/* Subscription documents on their way to whoever keeps subscriptions open. Main thread. */
#ifndef MAIN_SUBSCRIPTIONS_H
#define MAIN_SUBSCRIPTIONS_H

#include "config/resource.h"

struct runtime;

/* Reads the documents; at a reload what has changed takes effect. Warnings are added to
 * `resources`, and live in `scratch` like them. */
void subscriptions_take(struct runtime *runtime, struct arena *scratch, struct resources *resources,
                        const struct resource_filter *filter);
/* Once there is somebody to keep them open: those that have been read. */
void subscriptions_hand_over(struct runtime *runtime);

#endif
