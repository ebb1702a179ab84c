/* SPDX-License-Identifier: Apache-2.0 */
/* Rules and events: whatever they are, compiling and evaluating end. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "cel/cel.h"
#include "cel/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A line is the rule, the rest the event. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct diag diag;
    struct slice all = slice_of(data, size);
    ptrdiff_t line = slice_find_byte(all, '\n');
    struct slice rule = line < 0 ? all : slice_first(all, (size_t)line);
    struct slice event = line < 0 ? SLICE("{\"data\":{\"a\":[1,2]}}")
                                  : slice_from(all, (size_t)line + 1);
    const char *error = NULL;
    bool is_done;
    arena_init(&arena);
    diag_init(&diag, &arena);
    const struct cel_program *program = cel_compile(&arena, rule, &diag);
    assert(program != NULL || slice_has_prefix(diag.message, SLICE("column ")));
    if (program != NULL)
        (void)cel_matches(program, &arena, event);
    const struct cel_regex *regex = cel_regex_compile(&arena, rule, &error);
    assert(regex != NULL || error != NULL);
    if (regex != NULL)
        (void)cel_regex_finds(regex, &arena, event, &is_done);
    arena_fini(&arena);
    return 0;
}
