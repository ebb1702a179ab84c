/* SPDX-License-Identifier: Apache-2.0 */
/* Where an outbox's messages go; see outbox_route.h. */
#include "component/outbox_route.h"

#include "base/log.h"

#define SCOPE "dapr.runtime.pubsub.outbox"

static struct slice
text_of(struct arena *arena, const struct component_spec *spec, struct slice name)
{
    const struct component_value *value = component_value(spec, name);
    return value == NULL ? SLICE_EMPTY : arena_dup(arena, value->value);
}

/* Without anything between its parts, as the reference runtime names it: sidecars of both kinds may
 * serve one application. */
static struct slice
inner_topic(struct arena *arena, struct slice app_id, struct slice namespace_, struct slice topic)
{
    if (namespace_.len == 0)
        namespace_ = SLICE("default");
    return arena_printf(arena, SLICE_FMT SLICE_FMT SLICE_FMT "outbox", SLICE_ARG(namespace_),
                        SLICE_ARG(app_id), SLICE_ARG(topic));
}

struct outbox_route
outbox_route_read(struct arena *arena, const struct component_spec *spec, struct slice app_id,
                  struct slice namespace_)
{
    struct outbox_route route = {
        .pubsub = text_of(arena, spec, SLICE("outboxPublishPubsub")),
        .topic = text_of(arena, spec, SLICE("outboxPublishTopic")),
        .inner_pubsub = text_of(arena, spec, SLICE("outboxPubsub")),
        .inner_topic = SLICE_EMPTY,
        .discards = slice_is_truthy(text_of(arena, spec, SLICE("outboxDiscardWhenMissingState"))),
    };
    if (route.pubsub.len == 0 || route.topic.len == 0) {
        if (route.pubsub.len > 0 || route.topic.len > 0)
            log_warn(SCOPE,
                     "component " SLICE_FMT " has no outbox: outboxPublishPubsub and "
                     "outboxPublishTopic are both needed, as plain values",
                     SLICE_ARG(spec->name));
        return (struct outbox_route){ .pubsub = SLICE_EMPTY };
    }
    if (route.inner_pubsub.len == 0)
        route.inner_pubsub = route.pubsub;
    route.inner_topic = inner_topic(arena, app_id, namespace_, route.topic);
    return route;
}
