/* SPDX-License-Identifier: Apache-2.0 */
/* Key prefixes of state stores; see key_prefix.h. */
#include "component/key_prefix.h"

struct slice
key_prefix(struct arena *arena, struct slice strategy, struct slice app_id, struct slice namespace_,
           struct slice component_name)
{
    struct slice text = strategy;
    if (slice_eq_nocase(strategy, SLICE("none")))
        return SLICE_EMPTY;
    if (slice_eq_nocase(strategy, SLICE("name")))
        text = component_name;
    else if (slice_eq_nocase(strategy, SLICE("namespace")) && namespace_.len > 0)
        text = arena_printf(arena, SLICE_FMT "." SLICE_FMT, SLICE_ARG(namespace_),
                            SLICE_ARG(app_id));
    else if (strategy.len == 0 || slice_eq_nocase(strategy, SLICE("appid")) ||
             slice_eq_nocase(strategy, SLICE("namespace")))
        text = app_id;
    if (text.len == 0)
        return SLICE_EMPTY;
    return arena_printf(arena, SLICE_FMT "||", SLICE_ARG(text));
}
