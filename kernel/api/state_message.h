/* SPDX-License-Identifier: Apache-2.0 */
/* Items of state as gRPC clients send them, and applications that answer an event with some. Pure;
 * texts are borrowed from the message, the rest lives in the arena. */
#ifndef API_STATE_MESSAGE_H
#define API_STATE_MESSAGE_H

#include "api/state.h"
#include "base/pb.h"
#include "dapr/proto/common/v1/common.pb-c.h"

/* Words of the API for the numbers of the protocol; what is unknown means nothing. */
struct slice state_concurrency_word(const Dapr__Proto__Common__V1__StateOptions *options);
struct slice state_consistency_word(const Dapr__Proto__Common__V1__StateOptions *options);

struct state_item
state_item_of(struct arena *arena, const Dapr__Proto__Common__V1__StateItem *from);
struct state_item *
state_items_of(struct arena *arena, Dapr__Proto__Common__V1__StateItem *const *from, size_t count);

#endif
