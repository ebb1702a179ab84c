/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the sidecar of an application is: asked of the resolver (a component of kind
 * COMPONENT_NAMES, hosted like any other), kept for as long as the resolver allows, and taken in
 * turns when there are several. What is known already costs neither a call nor memory.
 *
 * One cache a worker (name_cache.h); worker thread only.
 */
#ifndef API_RESOLVE_H
#define API_RESOLVE_H

#include "api/request.h"
#include "base/err.h"
#include "base/slice.h"

/* The parts of "app.namespace"; a name without a dot has the sidecar's own namespace (empty if it
 * has none). False with the words in the task's diag ("invalid app id a.b.c", ...) for a name that
 * cannot be one. */
bool resolve_split(struct request *rq, struct slice target, struct slice *ret_app_id,
                   struct slice *ret_namespace);

/* "10.0.0.1:50002", "[fe80::1%2]:50002", "name:50002": the next instance in turn. In the request's
 * arena. Suspends unless it is known. ERR_NOT_RESOLVED with the words for the client in the
 * task's diag ("couldn't find service: N"), or as any wait ends. */
err_t resolve_app(struct request *rq, struct slice app_id, struct slice namespace_,
                  struct slice *ret_address) WARN_UNUSED;

/* That address of the application could not be reached: another is given from now on, and the
 * resolver is asked anew. */
void resolve_forget(struct request *rq, struct slice app_id, struct slice address);

#endif
