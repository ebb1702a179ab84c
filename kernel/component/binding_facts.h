/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a binding before it is used: what its document says of it (BIND-13, BIND-15) and
 * what its plugin can do. */
#ifndef COMPONENT_BINDING_FACTS_H
#define COMPONENT_BINDING_FACTS_H

#include "base/arena.h"
#include "base/slice.h"
#include "config/component.h"

struct binding_facts {
    struct slice operations; /* what it can be asked to do, one space between; of its plugin */
    struct slice route;      /* where the application takes its events; empty: under its name */
    /* Of `direction`, which says both where it says nothing. */
    bool may_read;
    bool may_invoke;
    bool is_sure; /* it says that there is input: the application need not be asked for it */
};

/* What a plugin has named may stand in a text with spaces between. */
bool binding_has_operation(const struct binding_facts *facts, struct slice operation);

struct binding_facts binding_facts_read(struct arena *arena, const struct component_spec *spec);

#endif
