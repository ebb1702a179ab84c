/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory whose size we choose ourselves: being out of it ends the process, which the sidecar starts
 * again. Sizes that come from a row or a request use malloc() and answer with an error.
 */
#ifndef SQLITE_PLUGIN_ALLOCATE_H
#define SQLITE_PLUGIN_ALLOCATE_H

#include <stdlib.h>

static inline void *
allocate(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (memory == NULL)
        abort();
    return memory;
}

#endif
