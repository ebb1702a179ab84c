/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing many messages of one topic in one request: each succeeds or fails for itself. */
#ifndef API_PUBLISH_BULK_H
#define API_PUBLISH_BULK_H

#include "api/publish.h"

struct bulk_entry {
    struct slice id; /* unique in the request */
    struct slice content_type;
    struct slice data;
    const struct pair *metadata;
    size_t metadata_count;
};

/* One that was not published. */
struct bulk_failure {
    struct slice id;
    struct slice reason; /* for people */
};

struct publish_bulk {
    struct publish_request request; /* pubsub, topic and metadata of all */
    const struct bulk_entry *entries;
    size_t entry_count;
    /* Of publish_bulk_begin(). */
    struct component *broker;
    bool is_raw;
};

/* Finds out where the messages are to go, before they are read. What does not hold is recorded in
 * rq->error. Suspends. */
err_t publish_bulk_begin(struct request *rq, struct publish_bulk *bulk) WARN_UNUSED;

/* Publishes. An error, recorded in rq->error, means that nothing was; otherwise those that were not
 * are listed, in order. Suspends. */
err_t publish_bulk(struct request *rq, const struct publish_bulk *bulk,
                   struct bulk_failure **ret_failures, size_t *ret_count) WARN_UNUSED;

/* Records that the messages are too many, or that one has too much metadata. */
err_t publish_bulk_fail_size(struct request *rq, const struct publish_bulk *bulk);

/* Records ERR_PUBSUB_EVENTS_SER with its own reason; `cause` (may be empty) is told in the details.
 */
err_t publish_bulk_fail(struct request *rq, const struct publish_bulk *bulk, const char *reason,
                        struct slice words, struct slice cause);

#endif
