/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on their way to a broker; see publish.h. */
#include "api/publish.h"

#include "api/operation.h"
#include "remora/plugin/v1/plugin.pb-c.h"

typedef Remora__Plugin__V1__PubsubPublish publish_t;

static Remora__Plugin__V1__Pair **
pack_pairs(struct arena *arena, const struct pair *pairs, size_t count)
{
    Remora__Plugin__V1__Pair **packed = ARENA_ARRAY(arena, Remora__Plugin__V1__Pair *, count + 1);
    for (size_t i = 0; i < count; i++) {
        packed[i] = ARENA_NEW(arena, Remora__Plugin__V1__Pair);
        remora__plugin__v1__pair__init(packed[i]);
        packed[i]->name = pb_string(arena, pairs[i].name);
        packed[i]->value = pb_string(arena, pairs[i].value);
    }
    return packed;
}

err_t
publish_bytes(struct request *rq, const struct publish_message *message)
{
    publish_t out = REMORA__PLUGIN__V1__PUBSUB_PUBLISH__INIT;
    struct component_call call = { 0 };
    struct component *broker = operation_component(rq, COMPONENT_PUBSUB, message->pubsub);
    if (broker == NULL)
        return DIAG_FAIL(task_diag(rq->task), ERR_PLUGIN_AWAY, "pubsub " SLICE_FMT " is not found",
                         SLICE_ARG(message->pubsub));
    out.topic = pb_string(rq->arena, message->topic);
    out.content_type = pb_string(rq->arena, message->content_type);
    out.metadata = pack_pairs(rq->arena, message->metadata, message->metadata_count);
    out.n_metadata = message->metadata_count;
    const struct operation operation = {
        .method = REMORA__PLUGIN__V1__METHOD__METHOD_PUBSUB_PUBLISH,
        .is_write = true,
        .message = pb_pack(rq->arena, &out.base),
        .parts = &message->data,
        .part_count = 1
    };
    err_t err = operation_run(rq, broker, &operation, &call); /* suspends */
    if (operation_has_failed(err, &call))
        err = DIAG_FAIL(task_diag(rq->task), err == OK ? ERR_PLUGIN_FAILED : err, SLICE_FMT,
                        SLICE_ARG(operation_reason(rq, err, &call)));
    component_call_finish(rq->task, &call);
    return err;
}
