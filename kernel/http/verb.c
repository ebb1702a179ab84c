/* SPDX-License-Identifier: Apache-2.0 */
/* Methods and their numbers; see verb.h. */
#include "http/verb.h"

static const char *const names[] = { "",       "GET",     "HEAD",    "POST",  "PUT",
                                     "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH" };
enum { VERB_POST = 3 };

unsigned
verb_number(struct slice verb)
{
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (slice_eq(verb, slice_str(names[i])))
            return i;
    return VERB_POST;
}

struct slice
verb_name(uint64_t number)
{
    return number < ARRAY_LEN(names) ? slice_str(names[number]) : SLICE_EMPTY;
}
