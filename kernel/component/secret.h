/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets on their way from a secret store: the contract's messages, written and read by hand so
 * that a value may hold any byte. Pure. What is read points into the answer's bytes; lists of pairs
 * are in the arena.
 */
#ifndef COMPONENT_SECRET_H
#define COMPONENT_SECRET_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/slice.h"

struct secret_pair {
    struct slice name;
    struct slice value;
};

struct secret {
    struct slice name;
    struct secret_pair *pairs;
    size_t pair_count;
};

/* A packed SecretGet, or SecretBulkGet if `name` is NULL. */
struct slice secret_pack_request(struct arena *arena, const struct slice *name,
                                 const struct secret_pair *metadata, size_t count);
/* A SecretGetReply; false if it is malformed or too large. Without the name. */
bool secret_read_one(struct arena *arena, struct slice message, bool *ret_found,
                     struct secret *ret_secret) WARN_UNUSED;
/* A SecretBulkGetReply, in its order. */
bool secret_read_all(struct arena *arena, struct slice message, struct secret **ret_secrets,
                     size_t *ret_count) WARN_UNUSED;

#endif
