/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the conversation API as the question that a plugin gets; for conversation.c. Nothing
 * here suspends. */
#ifndef API_CONVERSATION_PACK_H
#define API_CONVERSATION_PACK_H

#include "api/request.h"
#include "dapr/proto/runtime/v1/ai.pb-c.h"
#include "remora/plugin/v1/plugin.pb-c.h"

/* Texts that are to be scrubbed of personal data before they leave. */
struct scrub_list {
    char ***texts;
    size_t count;
    size_t bytes; /* of all of them */
};

/* The question; what it points to is in the arena or the request's. Errors are recorded. */
err_t conversation_pack_alpha1(struct request *rq, struct slice name,
                               const Dapr__Proto__Runtime__V1__ConversationRequest *in,
                               Remora__Plugin__V1__Converse *ret_question,
                               struct scrub_list *ret_scrub) WARN_UNUSED;
err_t conversation_pack_alpha2(struct request *rq, struct slice name,
                               const Dapr__Proto__Runtime__V1__ConversationRequestAlpha2 *in,
                               Remora__Plugin__V1__Converse *ret_question,
                               struct scrub_list *ret_scrub) WARN_UNUSED;

/* How every failure of a conversation begins. */
#define CONVERSING "failed conversing with component " SLICE_FMT ": "

#endif
