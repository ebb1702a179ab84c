/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which topics of a broker the sidecar's application may use: the component's `publishingScopes`,
 * `subscriptionScopes`, `allowedTopics` and `protectedTopics` (PUB-93 to PUB-100). Any thread.
 */
#ifndef COMPONENT_TOPIC_SCOPES_H
#define COMPONENT_TOPIC_SCOPES_H

#include <stdbool.h>

#include "base/arena.h"
#include "config/component.h"

/* Texts of one component as one application sees them; "" where a list does not apply. */
struct topic_scopes {
    struct slice allowed;    /* topics with commas between; empty: all */
    struct slice protected_; /* likewise; empty: none */
    struct slice publishing; /* what the application may publish to */
    struct slice subscribing;
    bool has_publishing; /* it is listed there, if only with an empty list */
    bool has_subscribing;
    bool is_unknown; /* a list is kept in a secret store, which is not asked: nothing is allowed */
};

/* Slices of the component's values, or of the arena. */
struct topic_scopes
topic_scopes_read(struct arena *arena, const struct component_spec *spec, struct slice app_id);
bool topic_scopes_may_publish(const struct topic_scopes *scopes, struct slice topic);
bool topic_scopes_may_subscribe(const struct topic_scopes *scopes, struct slice topic);

#endif
