/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Query strings, read as the reference runtime reads them: pairs separated by '&', '+' is a blank,
 * escapes decoded once; a pair with a bad escape or a ';' is left out, the others count. Pure;
 * results point into the input where it can serve, else into the arena.
 *
 *     struct slice rest = x->query, name, value;
 *     while (query_next(&rest, arena, &name, &value))
 */
#ifndef HTTP_QUERY_H
#define HTTP_QUERY_H

#include "base/arena.h"
#include "base/slice.h"

/* Takes the next well-formed pair off `rest`; false at its end. "a" is the same as "a=". */
bool query_next(struct slice *rest, struct arena *arena, struct slice *ret_name,
                struct slice *ret_value);
/* Value of the first pair of that name; false if there is none. */
bool query_get(struct slice query, struct arena *arena, struct slice name, struct slice *ret_value);

#endif
