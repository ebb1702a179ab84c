/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listening socket on a worker's loop. Binding is apart from listening on a loop, so that the
 * main thread can bind (and fail) at start and several workers can share or duplicate a socket.
 */
#ifndef ASYNC_LISTENER_H
#define ASYNC_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "async/worker.h"
#include "base/err.h"
#include "base/slice.h"

struct listener;

/* Worker thread, outside tasks. The descriptor is moved: non-blocking, close-on-exec. */
typedef void listener_accept_fn(struct listener *listener, int fd);

struct listener {
    struct worker *worker;
    struct st_h2o_socket_t *socket;
    int fd;
    listener_accept_fn *on_accept;
    struct timer retry; /* accepting paused: descriptors are used up */
    bool is_short;      /* and that was logged */
};

/* Listening sockets, close-on-exec and non-blocking. `address` is an IPv4 or IPv6 literal,
 * localhost, or empty for all addresses (IPv6 and IPv4 on one socket; IPv4 alone where there is no
 * IPv6). Port 0 takes any. `share` sets SO_REUSEPORT, so that each worker may bind its own. errno
 * tells why. */
int listener_bind_tcp(struct slice address, uint16_t port, bool share);
/* Replaces a socket file that nobody listens on; EADDRINUSE if somebody does. `mode` are the
 * permissions of the file. */
int listener_bind_unix(const char *path, unsigned mode);
/* Port a TCP socket is bound to, 0 if it is none. */
uint16_t listener_port(int fd);

/* Worker thread. Takes the descriptor. */
void listener_open(struct listener *listener, struct worker *worker, int fd,
                   listener_accept_fn *on_accept);
/* Accepts whoever has connected by now: to be called before it closes for good, since closing
 * resets the connections that nobody took. */
void listener_take_all(struct listener *listener);
void listener_close(struct listener *listener);

#endif
