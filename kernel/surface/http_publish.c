/* SPDX-License-Identifier: Apache-2.0 */
/* The publish API over HTTP. */
#include "api/cloudevent.h"
#include "api/publish.h"
#include "http/path.h"
#include "surface/http_publish_json.h"
#include "surface/http_surface.h"
#include "surface/observe.h"

/* v1.0/publish/{pubsub} and v1.0/publish/bulk/{pubsub} */
enum { SEGMENTS_BEFORE_TOPIC = 3, SEGMENTS_BEFORE_BULK_TOPIC = 4, BULK_STATUS = 500 };

/* All that stands behind the broker's name, slashes included, decoded. */
static struct slice
topic_of(struct http_call *call, int segments)
{
    struct slice rest = path_clean(call->rq.arena, call->x->path), segment, topic;
    for (int i = 0; i < segments; i++)
        if (!path_next(&rest, &segment))
            return SLICE_EMPTY;
    if (slice_has_prefix(rest, SLICE("/")))
        rest = slice_from(rest, 1);
    return path_decode(call->rq.arena, rest, &topic) ? topic : SLICE_EMPTY;
}

void
http_publish(struct http_call *call)
{
    struct publish_request publish = { .pubsub = call->params[0],
                                       .topic = topic_of(call, SEGMENTS_BEFORE_TOPIC),
                                       .has_metadata = true };
    struct slice type = http_header_get(call->x, SLICE("Content-Type"));
    if (publish.topic.len == 0) { /* such a path is none of this API's */
        http_no_target(call);
        return;
    }
    publish.content_type = type.data == NULL ? SLICE_EMPTY : type;
    http_query_metadata(call, &publish.metadata, &publish.metadata_count);
    if (!http_read_body(call, &publish.data)) /* suspends */
        return;
    if (publish_event(&call->rq, &publish) == OK) /* suspends */
        http_no_content(call);
    else
        http_fail(call);
}

/* --- bulk --------------------------------------------------------------------------------------*/

static err_t
parse_bulk(struct request *rq, struct slice body, void *ret)
{
    return parse_bulk_entries(rq, body, ret);
}

static void
answer_failures(struct http_call *call, const struct bulk_failure *failures, size_t count)
{
    struct request *rq = &call->rq;
    struct arena_bytes body = { 0 };
    (void)fail(rq, ERR_PUBSUB_PUBLISH_MESSAGE, "%zu messages were not published", count);
    observe_error(rq);
    arena_append(rq->arena, &body, SLICE("{\"failedEntries\":["));
    for (size_t i = 0; i < count; i++) {
        arena_append(rq->arena, &body, i == 0 ? SLICE("{\"entryId\":") : SLICE(",{\"entryId\":"));
        arena_append(rq->arena, &body, cloudevent_quote(rq->arena, failures[i].id));
        arena_append(rq->arena, &body, SLICE(",\"error\":"));
        arena_append(rq->arena, &body, cloudevent_quote(rq->arena, failures[i].reason));
        arena_append(rq->arena, &body, SLICE("}"));
    }
    arena_append(rq->arena, &body, SLICE("],\"errorCode\":\"ERR_PUBSUB_PUBLISH_MESSAGE\"}"));
    http_json(call, BULK_STATUS, arena_bytes_slice(&body));
}

void
http_publish_bulk(struct http_call *call)
{
    struct publish_bulk bulk = { .request = {
                                     .pubsub = call->params[0],
                                     .topic = topic_of(call, SEGMENTS_BEFORE_BULK_TOPIC),
                                 } };
    struct bulk_failure *failures;
    size_t count;
    http_query_metadata(call, &bulk.request.metadata, &bulk.request.metadata_count);
    if (publish_bulk_begin(&call->rq, &bulk) != OK) { /* suspends */
        http_fail(call);
        return;
    }
    if (!http_parse(call, parse_bulk, &bulk)) /* suspends */
        return;
    if (publish_bulk(&call->rq, &bulk, &failures, &count) != OK) /* suspends */
        http_fail(call);
    else if (count > 0)
        answer_failures(call, failures, count);
    else
        http_no_content(call);
}
