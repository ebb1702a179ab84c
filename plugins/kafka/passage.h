/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection that logs in by itself: on a thread of its own it dials a server, shakes hands
 * (TLS), says the password (SCRAM, in Kafka's SaslHandshake and SaslAuthenticate), and then carries
 * bytes between the server and a socket whose other end believes to be talking to the server in
 * plain.
 */
#ifndef KAFKA_PASSAGE_H
#define KAFKA_PASSAGE_H

#include <stdbool.h>
#include <sys/socket.h>

#include "../shared/tls.h"

enum { PASSAGE_WHY_BYTES = 320, PASSAGE_HOST_BYTES = 256 };

/* What all connections of a client have in common; lives as long as any of them. */
struct passage_login {
    const char *mechanism, *username, *password;
    struct tls_context *tls; /* NULL: none */
};

struct passage {
    const struct passage_login *login;
    int near; /* the socket; closed at the end */
    char host[PASSAGE_HOST_BYTES];
    struct sockaddr_storage address;
    socklen_t address_bytes;
    /* On its thread: it could not be opened. Then, or later, it is over; `passage` is freed. */
    void (*failed)(void *arg, const char *why, bool is_refused);
    void (*over)(void *arg);
    void *arg;
};

/* Takes the passage, which is from malloc(). */
void passage_start(struct passage *passage);

#endif
