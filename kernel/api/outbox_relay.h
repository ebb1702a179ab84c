/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events of transactions, from the inner topics of outboxes to their subscribers; see outbox.h for
 * the steps. Each state store with an outbox has a subscription of the kernel's own, whether there
 * is an application or not.
 */
#ifndef API_OUTBOX_RELAY_H
#define API_OUTBOX_RELAY_H

struct kernel_worker;

/* Worker 0, whenever components have come, changed or gone: the outboxes that they have now. */
void outbox_relay_follow(struct kernel_worker *first);

#endif
