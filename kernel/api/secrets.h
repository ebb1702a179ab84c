/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets, for every surface: one of a store or all of them, as far as the scopes of the
 * Configuration let the application see them. All functions suspend; results live in the request's
 * arena.
 */
#ifndef API_SECRETS_H
#define API_SECRETS_H

#include "api/request.h"
#include "component/secret.h"

/* The store of that name, held until the request ends, or the error for it recorded. */
err_t
secret_store_find(struct request *rq, struct slice name, struct component **ret_store) WARN_UNUSED;

err_t secret_get(struct request *rq, struct component *store, struct slice name,
                 const struct pair *metadata, size_t metadata_count,
                 struct secret *ret_secret) WARN_UNUSED;

/* Those that may be seen, in byte order of their names. */
err_t
secret_get_all(struct request *rq, struct component *store, const struct pair *metadata,
               size_t metadata_count, struct secret **ret_secrets, size_t *ret_count) WARN_UNUSED;

#endif
