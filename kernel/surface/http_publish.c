/* SPDX-License-Identifier: Apache-2.0 */
/* The publish API over HTTP. */
#include "api/publish.h"
#include "http/path.h"
#include "surface/http_surface.h"

enum { SEGMENTS_BEFORE_TOPIC = 3 }; /* v1.0/publish/{pubsub} */

/* All that stands behind the broker's name, slashes included, decoded. */
static struct slice
topic_of(struct http_call *call)
{
    struct slice rest = path_clean(call->rq.arena, call->x->path), segment, topic;
    for (int i = 0; i < SEGMENTS_BEFORE_TOPIC; i++)
        if (!path_next(&rest, &segment))
            return SLICE_EMPTY;
    if (slice_has_prefix(rest, SLICE("/")))
        rest = slice_from(rest, 1);
    return path_decode(call->rq.arena, rest, &topic) ? topic : SLICE_EMPTY;
}

void
http_publish(struct http_call *call)
{
    struct publish_request publish = { .pubsub = call->params[0], .topic = topic_of(call) };
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
