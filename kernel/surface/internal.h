/* SPDX-License-Identifier: Apache-2.0 */
/* The port for other sidecars: see internal_server.c. */
#ifndef SURFACE_INTERNAL_H
#define SURFACE_INTERNAL_H

#include "api/access.h"
#include "api/invoke.h"
#include "surface/grpc_surface.h"

/* Handler for h1_server_new(); x->server_arg is the struct kernel. */
void internal_handle(struct http_exchange *x);

/* Who calls: what the other sidecar has proved counts more than what it says in these headers. */
void internal_caller(const struct http_exchange *x, const struct http_header *headers, size_t count,
                     struct invoke_caller *ret_caller);
/* Ends a call that access control does not allow. */
void internal_deny(struct rpc *rpc, const struct access_question *question);

#endif
