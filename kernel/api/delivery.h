/* SPDX-License-Identifier: Apache-2.0 */
/* What the delivery of one message and of many have in common. Functions suspend. */
#ifndef API_DELIVERY_H
#define API_DELIVERY_H

#include "api/cloudevent.h"
#include "api/subscription.h"
#include "resiliency/run.h"

/* One message being delivered. */
struct delivery {
    struct request *rq;
    struct subscription *subscription;
    const struct pubsub_message *message;
    struct slice envelope; /* as the application gets it */
    struct cloudevent event;
    struct slice id; /* of the event */
    struct slice path;
    struct slice packed;  /* for a stream; empty before its first attempt */
    bool was_seen;        /* somebody had the chance to handle it */
    bool is_refused;      /* nobody there wants it: dropped without a letter */
    enum verdict verdict; /* of the last attempt */
};

/* Unwraps and routes. False: there is nothing to deliver, and the verdict says what became of it.
 */
bool delivery_prepare(struct delivery *d, uint64_t started_ns, enum verdict *ret_verdict);
/* Attempts under the inbound policy of the subscription's broker. Suspends. */
err_t delivery_run(struct request *rq, const struct subscription *subscription, attempt_fn *attempt,
                   void *arg) WARN_UNUSED;
/* After the last attempt, which ended with `err`: counts it, and puts it among the dead letters. */
enum verdict delivery_settle(struct delivery *d, err_t err, uint64_t started_ns);
void delivery_count(const struct delivery *d, const char *process_status, const char *status,
                    uint64_t took_ns);
/* An application's word for what became of an event; none is success. */
enum verdict delivery_verdict_of(struct slice status, struct slice event_id);

#endif
