/* SPDX-License-Identifier: Apache-2.0 */
/* The API token, as every surface compares it. */
#ifndef SURFACE_TOKEN_H
#define SURFACE_TOKEN_H

#include <stdbool.h>

#include "base/slice.h"

/* In constant time for equal lengths. `given` may have no data. */
static inline bool
token_matches(struct slice wanted, struct slice given)
{
    unsigned char difference = 0;
    if (given.data == NULL || given.len != wanted.len)
        return false;
    for (size_t i = 0; i < wanted.len; i++)
        difference |= (unsigned char)(wanted.data[i] ^ given.data[i]);
    return difference == 0;
}

#endif
