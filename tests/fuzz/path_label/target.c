/* SPDX-License-Identifier: Apache-2.0 */
/* Labels of paths: first byte the rules, then a template a line, the last line is the path. A label
 * is a template, empty, or no longer than the path and a placeholder; the same twice. */
#include "telemetry/path_label.h"

#include <assert.h>

#include "base/macros.h"

enum { TEMPLATES_MAX = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_template(const struct path_rules *rules, struct slice label)
{
    for (size_t i = 0; i < rules->template_count; i++)
        if (slice_eq(rules->templates[i], label))
            return true;
    return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice lines[TEMPLATES_MAX], path = SLICE_EMPTY;
    size_t count = 0;
    if (size == 0)
        return 0;
    struct slice rest = slice_of(data + 1, size - 1), line;
    while (slice_split(&rest, '\n', &line)) {
        if (path.len > 0 && count < TEMPLATES_MAX)
            lines[count++] = path;
        path = line;
    }
    struct arena arena;
    struct path_rules rules = { .is_low = (data[0] & 1) != 0,
                                .excludes_verbs = (data[0] & 2) != 0 };
    arena_init(&arena);
    path_rules_init(&rules, &arena, lines, count);
    struct slice label = path_label(&rules, &arena, path);
    assert(slice_eq(label, path_label(&rules, &arena, path)));
    assert(is_template(&rules, label) || label.len <= path.len + sizeof "/{instanceId}");
    assert(!rules.is_low || label.len == 0 || is_template(&rules, label));
    assert(method_label(&rules, path).len <= sizeof "OPTIONS");
    arena_fini(&arena);
    return 0;
}
