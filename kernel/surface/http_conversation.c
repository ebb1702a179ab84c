/* SPDX-License-Identifier: Apache-2.0 */
/* Conversation over HTTP: messages of the API as protobuf JSON, both ways. */
#include "api/conversation.h"
#include "api/protojson.h"
#include "base/limits.h"
#include "surface/http_surface.h"

struct body {
    const ProtobufCMessageDescriptor *type;
    const void *message;
};

static err_t
parse(struct request *rq, struct slice text, void *ret)
{
    struct body *body = ret;
    struct slice words;
    body->message = protojson_read(rq->arena, body->type, text, &words);
    return body->message != NULL
               ? OK
               : fail(rq, ERR_MALFORMED_REQUEST,
                      "failed deserializing HTTP body: proto: " SLICE_FMT, SLICE_ARG(words));
}

static void
answer(struct http_call *call, err_t err, const ProtobufCMessage *message)
{
    struct buf out;
    if (err != OK) {
        http_fail(call);
        return;
    }
    buf_init(&out, LIMIT_conversation_json_bytes_max);
    if (protojson_write(&out, call->rq.arena, message)) {
        http_json(call, 200, arena_dup(call->rq.arena, buf_slice(&out)));
    } else {
        (void)fail(&call->rq, ERR_CONVERSATION_INVOKE,
                   "failed conversing with component " SLICE_FMT ": the answer is too long",
                   SLICE_ARG(call->params[0]));
        http_fail(call);
    }
    buf_fini(&out);
}

void
http_converse_alpha1(struct http_call *call)
{
    struct body body = { &dapr__proto__runtime__v1__conversation_request__descriptor, NULL };
    Dapr__Proto__Runtime__V1__ConversationResponse response;
    if (!http_parse(call, parse, &body) || http_admit(call->x) != OK) /* these suspend */
        return;
    err_t err = conversation_alpha1(&call->rq, call->params[0], body.message, &response);
    answer(call, err, &response.base);
}

void
http_converse_alpha2(struct http_call *call)
{
    struct body body = { &dapr__proto__runtime__v1__conversation_request_alpha2__descriptor, NULL };
    Dapr__Proto__Runtime__V1__ConversationResponseAlpha2 response;
    if (!http_parse(call, parse, &body) || http_admit(call->x) != OK) /* these suspend */
        return;
    err_t err = conversation_alpha2(&call->rq, call->params[0], body.message, &response);
    answer(call, err, &response.base);
}
