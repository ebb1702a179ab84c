/* SPDX-License-Identifier: Apache-2.0 */
/* An event on its way to a gRPC application: AppCallback/OnTopicEvent. */
#ifndef API_DELIVER_GRPC_H
#define API_DELIVER_GRPC_H

#include "api/cloudevent.h"
#include "api/subscription.h"
#include "google/protobuf/struct.pb-c.h"

/* Suspends. OK: the application said what became of it; else the call failed, with words in the
 * diag and the code that it failed with. */
err_t
deliver_grpc(struct request *rq, const struct topic_spec *spec,
             const struct pubsub_message *message, const struct cloudevent *event,
             struct slice path, enum verdict *ret_verdict, enum grpc_code *ret_code) WARN_UNUSED;

/* A TopicEventRequest, in the arena. */
struct slice deliver_grpc_pack(struct arena *arena, const struct topic_spec *spec,
                               const struct cloudevent *event, struct slice path);
/* What a TopicEventResponse says of the event of that id. */
enum verdict deliver_verdict_of_grpc(struct slice response, struct slice id);

/* What the application gets of an event's data: JSON as it is, texts and bytes decoded. */
/* An attribute that is a text, as protobuf-c wants it; empty if there is none. */
char *deliver_text_of(struct arena *arena, const struct cloudevent *event, struct slice name);
struct slice deliver_data_of(struct arena *arena, const struct cloudevent *event);
/* All attributes that have no field of their own. */
Google__Protobuf__Struct *
deliver_extensions_of(struct arena *arena, const struct cloudevent *event);

#endif
