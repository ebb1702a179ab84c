/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects of the process known by a number while plugins may speak of them, on any thread. A number
 * is never given twice. Objects are counted and begin with their count, an atomic_uint.
 */
#ifndef API_NUMBERED_H
#define API_NUMBERED_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"

struct numbered {
    pthread_mutex_t lock;
    struct map by_number; /* key: the number's bytes */
    uint64_t last;
};

#define NUMBERED_INIT                                                                              \
    {                                                                                              \
        .lock = PTHREAD_MUTEX_INITIALIZER                                                          \
    }

/* The caller has counted the object for the table; `ret_number` is set before anybody finds it. */
void numbered_add(struct numbered *table, void *object, uint64_t *ret_number);
/* NULL if there is none of that number; one reference. */
void *numbered_find(struct numbered *table, uint64_t number);
/* True: it was there, and the table's reference is the caller's now. */
bool numbered_remove(struct numbered *table, uint64_t number);

#endif
