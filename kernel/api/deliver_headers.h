/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes with an event to the application beside its envelope: the broker's name, the trace the
 * event belongs to, and the metadata of the message, each under its own name.
 */
#ifndef API_DELIVER_HEADERS_H
#define API_DELIVER_HEADERS_H

#include "api/cloudevent.h"
#include "api/subscription.h"
#include "api/trace.h"

enum {
    DELIVER_METADATA_MAX = 32, /* further ones are left out */
    DELIVER_HEADERS_MAX = 1 + TRACE_HEADERS_MAX + DELIVER_METADATA_MAX,
};

/* Metadata of the message, of whatever origin, that may stand in a head: names are lower case, none
 * is one that HTTP, gRPC, or the sidecar itself gives a meaning to. What does not fit is left out.
 */
size_t deliver_metadata(struct arena *arena, const struct pubsub_message *message,
                        struct http_header ret_headers[DELIVER_METADATA_MAX]);

/* An event without any trace of its own is sent without one. */
bool deliver_has_trace(const struct cloudevent *event);

/* Where HTTP asks for a route, which may lack its first slash. */
struct slice deliver_target(struct arena *arena, struct slice path);

/* Those of one event. `is_grpc`: as metadata of a call. */
size_t deliver_headers(struct request *rq, const struct topic_spec *spec,
                       const struct pubsub_message *message, const struct cloudevent *event,
                       bool is_grpc, struct http_header ret_headers[DELIVER_HEADERS_MAX]);

#endif
