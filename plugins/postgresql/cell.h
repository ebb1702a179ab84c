/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of a result, as the server writes them, and as the reference gives them as JSON: what its
 * driver makes of a type and Go's JSON makes of that. So a uuid is a list of 16 numbers, and an
 * interval an object. Types that the driver does not know are texts.
 */
#ifndef POSTGRESQL_CELL_H
#define POSTGRESQL_CELL_H

#include <postgresql/libpq-fe.h>

#include "../shared/text.h"

/* False: JSON has nothing for it, as for NaN; `out` has something else then. */
bool cell_put(struct text *out, Oid type, const char *value);

#endif
