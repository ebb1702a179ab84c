/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a kernel over its admin socket, with libnng. */
#ifndef REMORA_CLIENT_H
#define REMORA_CLIENT_H

#include <stdbool.h>

#include "base/arena.h"
#include "locate.h"
#include "remora/admin/v1/admin.pb-c.h"

struct client;

/* NULL: said why on stderr. */
struct client *client_open(const struct location *location);
void client_close(struct client *client);

/* The reply, in the arena. NULL: there was none, or the kernel refused; said why on stderr. */
const Remora__Admin__V1__Reply *
client_ask(struct client *client, struct arena *arena, const Remora__Admin__V1__Request *request);

/* The same, but what is wrong is left to the caller to be said. */
const Remora__Admin__V1__Reply *
client_try(struct client *client, struct arena *arena, const Remora__Admin__V1__Request *request,
           const char **ret_error);

/* The event feed. False: said why on stderr. */
bool client_subscribe(struct client *client, const struct location *location);
/* Waits for the next event. NULL: the kernel is gone, and that was said. */
const Remora__Admin__V1__Event *client_next_event(struct client *client, struct arena *arena);

#endif
