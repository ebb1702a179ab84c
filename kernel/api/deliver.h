/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery: the way of a message from a broker to whoever subscribed. The plugin hands it over as a
 * call of its own (METHOD_HOST_DELIVER) and settles it by the answer; in between it is unwrapped,
 * routed by the subscription's rules, given to the application under the inbound policy, and, when
 * that fails for good, put among the dead letters.
 */
#ifndef API_DELIVER_H
#define API_DELIVER_H

#include "api/subscription.h"
#include "bus/link.h"

/* Answers a plugin's METHOD_HOST_DELIVER. Suspends. */
void deliver_messages(struct request *rq, struct host_call *call);

#endif
