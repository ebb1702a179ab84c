/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State values of a store with encryption at rest, on their way there and back (encryption.h has
 * the form). A JSON string is encrypted as its bare text, as the reference runtime does, so that
 * either reads the other's; any other value as the exact bytes that were given. What comes back is
 * what was encrypted: a string without its quotes. Large values are worked on by another thread.
 *
 * All functions may suspend; results live in the request's arena.
 */
#ifndef API_STATE_CRYPT_H
#define API_STATE_CRYPT_H

#include "api/state.h"

static inline bool
state_is_encrypted(const struct component *store)
{
    return store->facts->encryption != NULL;
}

/* Replaces the values of some items by what is stored for them. False: the reason. */
bool state_crypt_seal(struct request *rq, const struct component *store, struct state_item **items,
                      size_t count, struct slice *ret_reason) WARN_UNUSED;

struct state_stored {
    struct slice bytes; /* what the store gave; then the value */
    struct slice error; /* why there is no value; empty without */
};

/* With the keys of the generation that answered; where it lacks one, with those of the generation
 * that is there now: a record may have been written by the next one before it was read. */
void state_crypt_open(struct request *rq, const struct component *store,
                      const struct component_call *call, struct state_stored *values, size_t count);

#endif
