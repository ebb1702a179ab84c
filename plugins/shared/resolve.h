/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host names to addresses without blocking the loop: getaddrinfo() waits for servers, so it runs on
 * a thread of its own, one a look-up, and the answer comes back on the loop. Numeric addresses are
 * answered at once, without a thread.
 */
#ifndef SHARED_RESOLVE_H
#define SHARED_RESOLVE_H

#include <netdb.h>
#include <stdbool.h>

struct ev_loop;
struct resolve;

/* `addresses` is the callee's (freeaddrinfo()), or NULL: then `why` says why not. */
typedef void resolve_done(struct addrinfo *addresses, const char *why, void *arg);

/* True if `host` is an address already. */
bool resolve_numeric(const char *host, const char *port, struct addrinfo **ret_addresses);
/* Calls `done` once, on the loop, unless cancelled. NULL when no thread could be started. */
struct resolve *resolve_start(struct ev_loop *loop, const char *host, const char *port,
                              resolve_done *done, void *arg);
/* `done` will not be called. The look-up itself cannot be stopped and ends by itself. NULL is fine.
 */
void resolve_cancel(struct resolve *resolve);

#endif
