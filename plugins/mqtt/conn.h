/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to an MQTT server, kept up: dialled, secured, introduced, pinged, and made anew
 * with growing pauses when it is lost. Carries packets; what they mean is the owner's.
 *
 *   RESOLVING → CONNECTING → SECURING (TLS only) → GREETING → READY
 *        any of them, on trouble → BACKOFF → RESOLVING
 *
 * Everything runs on the loop's thread. Events come from the loop, never from within a call, and
 * may call any function here, conn_free() included.
 */
#ifndef MQTT_CONN_H
#define MQTT_CONN_H

#include "../shared/tls.h"
#include "packet.h"

struct ev_loop;
struct conn;

enum {
    CONN_WHY_BYTES = 400,
    CONN_KEEPALIVE_S = 30,
    CONN_PAUSE_MIN_MS = 50,
    CONN_PAUSE_MAX_MS = 5000,
};

/* All strings are borrowed for the life of the connection. */
struct conn_settings {
    const char *host, *port;
    struct packet_connect connect; /* the keepalive is ours */
    struct tls_context *tls;       /* NULL: plain */
};

struct conn_events {
    /* The server has accepted us, and knows the session of the last connection or does not. */
    void (*ready)(void *owner, bool session_present);
    /* What it sent; slices are valid during the event. */
    void (*packet)(void *owner, const struct packet *packet);
    /* Everything that was put has left. */
    void (*flushed)(void *owner);
    /* An attempt failed or the connection was lost. `refused`: the server answered and does not
     * want us, so that trying again soon is pointless (it is done anyway). */
    void (*down)(void *owner, const char *why, bool refused);
};

/* Starts connecting. `owner` is what the events get. */
struct conn *conn_new(struct ev_loop *loop, const struct conn_settings *settings,
                      const struct conn_events *events, void *owner);
/* Says goodbye, as far as the socket takes what is left, and closes. NULL is fine. */
void conn_free(struct conn *conn);

/* These take NULL for a connection that is not wanted. */
bool conn_is_ready(const struct conn *conn);
/* Nothing waits to leave, or nothing can. */
bool conn_is_flushed(const struct conn *conn);
size_t conn_unsent_bytes(const struct conn *conn);
/* Gives the connection up, soon, and makes a new one. */
void conn_restart(struct conn *conn, const char *why);
/* Why there is no connection; empty while there has not been any trouble. */
const char *conn_why(const struct conn *conn);

/* Where packets are put, of a connection that is ready; they leave in one write a loop turn. */
struct bytes *conn_out(struct conn *conn);

#endif
