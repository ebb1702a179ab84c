/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes in and out of a connected non-blocking socket on the plugin's loop, with TLS or without.
 * Plugin thread only.
 */
#ifndef PLUGINS_SHARED_SOCKET_H
#define PLUGINS_SHARED_SOCKET_H

#include <ev.h>

#include "tls.h"

enum { SOCKET_WHY_BYTES = 400 };

struct socket_io {
    struct ev_loop *loop;
    int fd;
    struct tls_session *tls; /* NULL: none */
    ev_io *writable;         /* started when TLS waits for room to write */
};

/* SOCKET_LOST: words of why are in `lost`. */
enum socket_result { SOCKET_DONE, SOCKET_AGAIN, SOCKET_LOST };

enum socket_result socket_read(const struct socket_io *io, void *data, size_t len, size_t *ret_len,
                               char lost[SOCKET_WHY_BYTES]);
enum socket_result socket_write(const struct socket_io *io, const void *data, size_t len,
                                size_t *ret_len, char lost[SOCKET_WHY_BYTES]);
enum socket_result socket_handshake(const struct socket_io *io, char lost[SOCKET_WHY_BYTES]);
/* Twice is once. */
void socket_await_writable(const struct socket_io *io);

/* An errno in the words of the reference: "connection refused". */
const char *socket_error_words(int code, char words[64]);

#endif
