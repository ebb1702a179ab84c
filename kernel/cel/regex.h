/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions for matches(): the syntax of RE2 without what needs memory of groups, run as
 * an automaton in time proportional to pattern times text, whatever the pattern is.
 */
#ifndef CEL_REGEX_H
#define CEL_REGEX_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/slice.h"

struct cel_regex;

/* NULL with words (a constant): it is none, or too large. */
const struct cel_regex *
cel_regex_compile(struct arena *arena, struct slice pattern, const char **ret_error);

/* Whether it matches somewhere in the text. False in *ret_is_done: it would take too long. */
bool cel_regex_finds(const struct cel_regex *regex, struct arena *scratch, struct slice text,
                     bool *ret_is_done);

#endif
