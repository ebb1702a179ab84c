/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions of routing rules: the part of the Common Expression Language that decides whether an
 * event matches. Compiled once, evaluated for each event, bounded in steps and memory.
 */
#ifndef CEL_CEL_H
#define CEL_CEL_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

struct cel_program;

/* Lives in the arena; immutable, any thread may evaluate it. NULL with words that name the column:
 * the text is no expression. */
const struct cel_program *cel_compile(struct arena *arena, struct slice text, struct diag *diag);

/* CEL_FAILED: it could not be evaluated (a missing field, a type that does not fit, too many
 * steps), or its value is no bool. */
enum cel_result { CEL_FALSE, CEL_TRUE, CEL_FAILED };

/* `event` is the JSON text of the variable of that name. The arena is used as scratch. */
enum cel_result
cel_matches(const struct cel_program *program, struct arena *arena, struct slice event);

#endif
