/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an application's answer to an event may ask for beside being an answer (X-BIND-02): that
 * state is saved, and that output bindings get something. Over HTTP it is a JSON object:
 *
 *     {"storeName": "s", "state": [{"key": "k", "value": 1}], "to": ["a", "b"],
 *      "concurrency": "parallel", "data": {"any": "thing"}}
 *
 * Anything else is an answer and no more. Pure.
 */
#ifndef API_BINDING_DIRECTIVE_H
#define API_BINDING_DIRECTIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/macros.h"
#include "base/slice.h"

struct state_item;

/* What is asked for; everything lives in the arena or the answer. */
struct binding_directive {
    struct slice store;
    struct slice state_json; /* a list of items; empty: none, or they are in `states` */
    const struct state_item *states;
    size_t state_count;
    const struct slice *to;
    size_t to_count;
    bool is_parallel;
    struct slice data; /* for the output bindings */
};

/* Of an HTTP application. False: it asks for nothing; whoever names more output bindings than
 * LIMIT_binding_targets_max cannot mean it. */
bool binding_directive_read(struct arena *arena, struct slice answer,
                            struct binding_directive *ret_directive) WARN_UNUSED;
/* Of a gRPC application, a packed BindingEventResponse. False: it is malformed,
 * or names too many. */
bool binding_directive_unpack(struct arena *arena, struct slice answer,
                              struct binding_directive *ret_directive) WARN_UNUSED;

static inline bool
binding_directive_is_empty(const struct binding_directive *directive)
{
    return directive->to_count == 0 && directive->state_count == 0 &&
           directive->state_json.len == 0;
}

#endif
