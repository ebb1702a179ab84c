/* SPDX-License-Identifier: Apache-2.0 */
/* Facts of bindings; see binding_facts.h. */
#include "component/binding_facts.h"

bool
binding_has_operation(const struct binding_facts *facts, struct slice operation)
{
    struct slice rest = facts->operations, one;
    if (operation.len == 0 || slice_find_byte(operation, ' ') >= 0)
        return false;
    while (slice_split(&rest, ' ', &one))
        if (slice_eq(one, operation))
            return true;
    return false;
}

struct binding_facts
binding_facts_read(struct arena *arena, const struct component_spec *spec)
{
    const struct component_value *route = component_value(spec, SLICE("route"));
    const struct component_value *direction = component_value(spec, SLICE("direction"));
    struct binding_facts facts = { .may_read = true, .may_invoke = true };
    if (route != NULL)
        facts.route = arena_dup(arena, route->value);
    if (direction == NULL || slice_trim(direction->value).len == 0)
        return facts;
    facts.may_read = facts.may_invoke = false;
    struct slice rest = direction->value, one;
    while (slice_split(&rest, ',', &one)) {
        facts.may_read |= slice_eq_nocase(slice_trim(one), SLICE("input"));
        facts.may_invoke |= slice_eq_nocase(slice_trim(one), SLICE("output"));
    }
    facts.is_sure = facts.may_read;
    return facts;
}
