/* SPDX-License-Identifier: Apache-2.0 */
/* Objects by number; see numbered.h. */
#include "api/numbered.h"

#include <stdatomic.h>

static struct slice
key_of(const uint64_t *number)
{
    return slice_of(number, sizeof *number);
}

void
numbered_add(struct numbered *table, void *object, uint64_t *ret_number)
{
    (void)pthread_mutex_lock(&table->lock);
    *ret_number = ++table->last;
    (void)map_put(&table->by_number, key_of(ret_number), object); /* there was none */
    (void)pthread_mutex_unlock(&table->lock);
}

void *
numbered_find(struct numbered *table, uint64_t number)
{
    (void)pthread_mutex_lock(&table->lock);
    atomic_uint *object = map_get(&table->by_number, key_of(&number));
    if (object != NULL)
        (void)atomic_fetch_add_explicit(object, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&table->lock);
    return object;
}

bool
numbered_remove(struct numbered *table, uint64_t number)
{
    (void)pthread_mutex_lock(&table->lock);
    bool was_known = map_remove(&table->by_number, key_of(&number)) != NULL;
    if (table->by_number.count == 0) { /* nothing is left behind at the end of the process */
        map_fini(&table->by_number);
        map_init(&table->by_number);
    }
    (void)pthread_mutex_unlock(&table->lock);
    return was_known;
}
