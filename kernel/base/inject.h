/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failures on demand. INJECT=name:rate[,name:rate] in the environment (rate 0 to 1, or a count of
 * calls to fail "#3") switches points of inject.def on; without it inject() is one load and a
 * branch. Set up once before threads start; the counters are per process and approximate.
 */
#ifndef BASE_INJECT_H
#define BASE_INJECT_H

#include <stdbool.h>

enum inject_point {
#define INJECT(name, what) INJECT_##name,
#include "base/inject.def"
#undef INJECT
    INJECT_COUNT
};

/* Reads the text (NULL: nothing is injected); false if a name or rate is malformed. */
bool inject_setup(const char *text);

extern bool inject_is_on;
bool inject_draw(enum inject_point point);

/* Should this point fail now? */
static inline bool
inject(enum inject_point point)
{
    return __builtin_expect(inject_is_on, 0) && inject_draw(point);
}

#endif
