/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a connection comes about: TCP or TLS, the handshake, who we say we are. Blocks.
 */
#ifndef RABBITMQ_PLUGIN_DIAL_H
#define RABBITMQ_PLUGIN_DIAL_H

#include <amqp.h>

#include "settings.h"

/* A connection without channels. NULL: `why` says why not, without anything secret. */
amqp_connection_state_t dial(const struct settings *settings, char why[WHY_BYTES]);
/* What the library or the server said; `what` is what was tried. Empty: nothing is wrong. */
void reply_in_words(const char *what, amqp_rpc_reply_t reply, char why[WHY_BYTES]);
/* "Exception (404) Reason: …", as the reference's client says it. */
void exception_in_words(unsigned code, amqp_bytes_t text, char why[WHY_BYTES]);

#endif
