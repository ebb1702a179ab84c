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

/* One message, all the way. Suspends. SUCCESS and DROP: the broker is done with it. */
enum verdict deliver_message(struct request *rq, struct subscription *subscription,
                             const struct pubsub_message *message);

/* What an application says of an event: the status of its answer and its body. */
enum verdict deliver_verdict_of_http(struct request *rq, struct slice topic, int status,
                                     struct slice body, struct slice event_id);

#endif
