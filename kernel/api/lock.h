/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Distributed locks, for every surface: a resource of a store is held by one owner until it is
 * unlocked or its lease ends. Resources are the application's own, as far as the store's prefix
 * says. Both functions suspend.
 */
#ifndef API_LOCK_H
#define API_LOCK_H

#include "api/request.h"

struct lock_request {
    struct slice store, resource, owner;
    int32_t expiry_seconds; /* of a lock */
};

/* As the public API numbers them; what failed is an error, never a status. */
enum lock_status {
    LOCK_UNLOCKED = 0,
    LOCK_DOES_NOT_EXIST = 1,
    LOCK_BELONGS_TO_OTHERS = 2,
};

/* *ret_is_held: by this owner, from now on. False: by somebody already, be it the same owner. */
err_t lock_try(struct request *rq, const struct lock_request *lock, bool *ret_is_held) WARN_UNUSED;
err_t lock_release(struct request *rq, const struct lock_request *lock,
                   enum lock_status *ret_status) WARN_UNUSED;

#endif
