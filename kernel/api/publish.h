/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing: messages on their way to a broker. Functions suspend. */
#ifndef API_PUBLISH_H
#define API_PUBLISH_H

#include "api/request.h"

struct publish_message {
    struct slice pubsub;
    struct slice topic;
    struct slice content_type; /* of the bytes as the broker gets them */
    struct slice data;
    const struct pair *metadata;
    size_t metadata_count;
};

/* As a client asks for it. */
struct publish_request {
    struct slice pubsub;
    struct slice topic;
    struct slice content_type; /* of the data; empty: text/plain */
    struct slice data;
    const struct pair *metadata;
    size_t metadata_count;
};

/* Wraps the data, unless it is to go raw, and publishes it. On failure rq->error says what a client
 * is told. */
err_t publish_event(struct request *rq, const struct publish_request *publish) WARN_UNUSED;

/* Hands bytes to the broker as they are: no envelope, no scopes, no counting. ERR_PLUGIN_FAILED and
 * the like, with words in the task's diag. */
err_t publish_bytes(struct request *rq, const struct publish_message *message) WARN_UNUSED;

#endif
