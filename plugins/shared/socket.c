/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in and out of a socket; see socket.h. */
#include "socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

const char *
socket_error_words(int code, char words[64])
{
    const char *text = strerrordesc_np(code);
    snprintf(words, 64, "%s", text == NULL ? "unknown error" : text);
    if (words[0] >= 'A' && words[0] <= 'Z' && words[1] >= 'a' && words[1] <= 'z')
        words[0] = (char)(words[0] - 'A' + 'a');
    return words;
}

void
socket_await_writable(const struct socket_io *io)
{
    if (ev_is_active(io->writable))
        return;
    ev_io_set(io->writable, io->fd, EV_WRITE);
    ev_io_start(io->loop, io->writable);
}

static enum socket_result
tls_outcome(const struct socket_io *io, enum tls_result result, char lost[SOCKET_WHY_BYTES])
{
    switch (result) {
    case TLS_DONE:
        return SOCKET_DONE;
    case TLS_WANT_WRITE:
        socket_await_writable(io);
        return SOCKET_AGAIN;
    case TLS_WANT_READ:
        return SOCKET_AGAIN;
    case TLS_CLOSED:
        snprintf(lost, SOCKET_WHY_BYTES, "EOF");
        return SOCKET_LOST;
    case TLS_FAILED:
    default:
        snprintf(lost, SOCKET_WHY_BYTES, "%s", tls_error(io->tls));
        return SOCKET_LOST;
    }
}

static enum socket_result
errno_outcome(char lost[SOCKET_WHY_BYTES])
{
    char words[64];
    if (errno == EAGAIN || errno == EINTR)
        return SOCKET_AGAIN;
    snprintf(lost, SOCKET_WHY_BYTES, "%s", socket_error_words(errno, words));
    return SOCKET_LOST;
}

enum socket_result
socket_handshake(const struct socket_io *io, char lost[SOCKET_WHY_BYTES])
{
    return tls_outcome(io, tls_handshake(io->tls), lost);
}

enum socket_result
socket_read(const struct socket_io *io, void *data, size_t len, size_t *ret_len,
            char lost[SOCKET_WHY_BYTES])
{
    if (io->tls != NULL)
        return tls_outcome(io, tls_read(io->tls, data, len, ret_len), lost);
    ssize_t got = recv(io->fd, data, len, 0);
    if (got < 0)
        return errno_outcome(lost);
    *ret_len = (size_t)got;
    if (got == 0)
        snprintf(lost, SOCKET_WHY_BYTES, "EOF");
    return got == 0 ? SOCKET_LOST : SOCKET_DONE;
}

enum socket_result
socket_write(const struct socket_io *io, const void *data, size_t len, size_t *ret_len,
             char lost[SOCKET_WHY_BYTES])
{
    if (io->tls != NULL)
        return tls_outcome(io, tls_write(io->tls, data, len, ret_len), lost);
    ssize_t put = send(io->fd, data, len, MSG_NOSIGNAL);
    if (put < 0)
        return errno_outcome(lost);
    *ret_len = (size_t)put;
    return SOCKET_DONE;
}
