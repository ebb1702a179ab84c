/* SPDX-License-Identifier: Apache-2.0 */
/* What an application answers to an event of an input binding, as JSON and as a message: any bytes
 * ask for well-formed things or for nothing. */
#include <assert.h>
#include <stdint.h>

#include "api/binding_directive.h"
#include "app/app_binding.h"
#include "base/json.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct binding_directive *directive)
{
    assert(directive->to_count <= LIMIT_binding_targets_max);
    for (size_t i = 0; i < directive->to_count; i++)
        assert(directive->to[i].data != NULL);
    assert(directive->data.data != NULL && directive->store.data != NULL);
    assert(directive->state_json.len == 0 || json_is_valid(directive->state_json));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice answer = slice_of(data, size);
    struct binding_directive directive;
    struct arena arena;
    arena_init(&arena);
    if (binding_directive_read(&arena, answer, &directive)) {
        check(&directive);
        assert(!binding_directive_is_empty(&directive));
        assert(json_is_valid(answer) && json_is_valid(directive.data));
        assert(directive.state_json.len == 0 || directive.store.len > 0);
    }
    if (binding_directive_unpack(&arena, answer, &directive))
        check(&directive);
    (void)app_binding_is_listed(answer, SLICE("a"));
    arena_fini(&arena);
    return 0;
}
