/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversation with language models, for every surface, in the two forms of the public API. The
 * messages of all inputs, scrubbed of personal data where that is asked for, are one question to
 * the component's plugin; its answer, scrubbed likewise, is the one output. A component with a
 * `responseCacheTTL` answers the same question from memory meanwhile.
 *
 * A context's id is passed to the plugin, whose provider may know it, and is told again in the
 * answer: what was said before is the client's to repeat, as with the reference.
 *
 * Suspend; answers live in the request's arena. Nothing of what is said reaches a log.
 */
#ifndef API_CONVERSATION_H
#define API_CONVERSATION_H

#include "api/request.h"
#include "dapr/proto/runtime/v1/ai.pb-c.h"

err_t conversation_alpha1(struct request *rq, struct slice name,
                          const Dapr__Proto__Runtime__V1__ConversationRequest *in,
                          Dapr__Proto__Runtime__V1__ConversationResponse *ret) WARN_UNUSED;

err_t conversation_alpha2(struct request *rq, struct slice name,
                          const Dapr__Proto__Runtime__V1__ConversationRequestAlpha2 *in,
                          Dapr__Proto__Runtime__V1__ConversationResponseAlpha2 *ret) WARN_UNUSED;

#endif
