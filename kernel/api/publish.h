/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing: messages on their way to a broker. Functions suspend. */
#ifndef API_PUBLISH_H
#define API_PUBLISH_H

#include "api/request.h"
#include "remora/plugin/v1/plugin.pb-c.h"

struct component;

struct publish_message {
    struct slice pubsub;
    struct slice topic;
    struct slice content_type; /* of the bytes as the broker gets them */
    struct slice data;
    bool has_metadata; /* if only an empty set */
    const struct pair *metadata;
    size_t metadata_count;
};

/* As a client asks for it. */
struct publish_request {
    struct slice pubsub;
    struct slice topic;
    struct slice content_type; /* of the data; empty: text/plain */
    struct slice data;
    bool has_metadata; /* if only an empty set: over HTTP always */
    const struct pair *metadata;
    size_t metadata_count;
};

/* Wraps the data, unless it is to go raw, and publishes it. On failure rq->error says what a client
 * is told. */
err_t publish_event(struct request *rq, const struct publish_request *publish) WARN_UNUSED;

/* Hands bytes to the broker as they are: no envelope, no counting. ERR_PLUGIN_FAILED and the
 * like, or ERR_PUBSUB_FORBIDDEN by the component's scopes, with words in the task's diag. */
err_t publish_bytes(struct request *rq, const struct publish_message *message) WARN_UNUSED;

/* The topic as the broker knows it (PUB-87), for a message of the contract. */
char *publish_topic(struct arena *arena, const struct component *broker, struct slice topic);
/* OK, or ERR_PUBSUB_FORBIDDEN with words in the task's diag. Does not suspend. */
err_t
publish_allowed(struct request *rq, const struct component *broker, struct slice topic) WARN_UNUSED;

/* --- steps, for many at once -------------------------------------------------------------------*/

/* Who is meant and in what form; what does not hold is recorded in rq->error. Suspends. */
err_t publish_check(struct request *rq, const struct publish_request *publish,
                    struct component **ret_broker, bool *ret_is_raw) WARN_UNUSED;
/* Records ERR_PUBSUB_FORBIDDEN as publish_allowed() has worded it. */
err_t publish_fail_forbidden(struct request *rq, const struct publish_request *publish);
/* Records ERR_PUBSUB_PUBLISH_MESSAGE. */
err_t publish_fail(struct request *rq, const struct publish_request *publish, struct slice reason);
/* The envelope of one message as its data. */
err_t publish_wrap(struct request *rq, const struct publish_request *publish,
                   const struct component *broker, struct publish_message *message) WARN_UNUSED;
/* The time to live that metadata name, if any. */
bool publish_read_ttl(const struct pair *pairs, size_t count, int64_t *ret_seconds) WARN_UNUSED;

#endif
