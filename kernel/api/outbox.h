/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outbox of a state store: a transaction and the messages that tell of it, as one.
 *
 *     app ── transaction ─▶ state_transact()
 *              1  an event for each item goes to the inner topic         outbox_publish()
 *              2  the transaction, with a marker for each event          outbox_settle()
 *     broker ── event of the inner topic ─▶ outbox_relay.c
 *              3  is its marker there?   4  to the topic of subscribers
 *              5  the marker goes        6  so does the event: the broker is told that it is done
 *
 * Whatever ends between two of these steps, what is stored is told of: after 2 the broker has the
 * event and gives it to whoever lives, until 6. What is not stored is not told of: without a marker
 * an event goes no further. An end between 4 and 5 tells twice, with the same id. Names of topics,
 * keys of markers and the form of events are the reference runtime's, with which the topics of an
 * application may be shared.
 */
#ifndef API_OUTBOX_H
#define API_OUTBOX_H

#include "api/cloudevent.h"
#include "api/state.h"
#include "component/component.h"

/* Ids of events are also the keys of their markers: this, and a UUID. */
#define OUTBOX_ID_PREFIX SLICE("outbox-")
bool outbox_is_id(struct slice id);

static inline bool
outbox_is_on(const struct component *store)
{
    return store->facts->outbox.topic.len > 0;
}

struct outbox_event {
    struct slice id;
    struct slice text;
    bool is_begun; /* it is noted that its transaction is under way */
};

/* Of one transaction; in the request's arena. */
struct outbox_batch {
    const struct state_operation *operations; /* with markers, without projections */
    size_t count;
    const struct outbox_route *route;
    struct outbox_event *events;
    size_t event_count;
};

/* What is to be published and what is to be stored. Does not suspend. ERR_PUBLISH_OUTBOX recorded:
 * a projection of what is not stored, or attributes that no event can have. */
err_t
outbox_plan(struct request *rq, const struct component *store,
            const struct state_operation *operations, size_t count, const struct pair *metadata,
            size_t metadata_count, struct outbox_batch *ret_batch) WARN_UNUSED;
/* To the inner topic. ERR_PUBLISH_OUTBOX recorded: nothing must be stored. Suspends. */
err_t outbox_publish(struct request *rq, struct outbox_batch *batch) WARN_UNUSED;
/* Always. `is_refused`: it has certainly not happened. */
void outbox_settle(const struct outbox_batch *batch, bool is_refused);

/* An event of the inner topic becomes what subscribers get: overrides take effect. */
bool outbox_address(struct cloudevent *event, const struct outbox_route *route) WARN_UNUSED;

#endif
