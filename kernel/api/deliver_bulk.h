/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bulk subscriptions: messages that reach the application in batches. A broker that has no batches
 * hands messages over one by one; then those that come within a time go together. Each message is
 * settled for itself.
 */
#ifndef API_DELIVER_BULK_H
#define API_DELIVER_BULK_H

#include "api/subscription.h"

/* Messages that the plugin has handed over together. Suspends. On the worker of its link. */
void deliver_bulk(struct request *rq, struct subscription *subscription,
                  const struct pubsub_message *messages, size_t count, enum verdict *verdicts);

/* --- for tests ---------------------------------------------------------------------------------*/

/* Reads {"statuses": [{entryId, status}]}; calls `take` for each that has both. False: it is none,
 * as a whole. */
typedef void bulk_status_fn(void *arg, struct slice entry_id, struct slice status);
bool bulk_statuses_read(struct arena *arena, struct slice body, bulk_status_fn *take, void *arg);

#endif
