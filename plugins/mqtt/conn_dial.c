/* SPDX-License-Identifier: Apache-2.0 */
/* How a connection comes about: look-up, connect, TLS. A time limit covers it all. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn_internal.h"

enum { DIAL_MS = 10 * 1000 };

static void dial_next(struct conn *conn);

static void
greet(struct conn *conn)
{
    conn->state = STATE_GREETING;
    packet_put_connect(conn_out(conn), &conn->settings.connect);
}

/* The next address, if dialling this one failed and there is another. */
static void
dial_failed(struct conn *conn, const char *what, int code)
{
    char words[64];
    if (conn->dial_why[0] == '\0') /* the first address' trouble is told, as the reference does */
        snprintf(conn->dial_why, sizeof conn->dial_why, "network Error : dial tcp %s: %s: %s",
                 conn->address, what, socket_error_words(code, words));
    if (conn->next_address == NULL) {
        conn_give_up(conn, false, "%s", conn->dial_why);
        return;
    }
    ev_io_stop(conn->loop, &conn->writable);
    if (conn->fd >= 0)
        (void)close(conn->fd); /* it never was connected */
    conn->fd = -1;
    dial_next(conn);
}

void
conn_secure(struct conn *conn)
{
    char lost[SOCKET_WHY_BYTES];
    ev_io_stop(conn->loop, &conn->writable);
    const struct socket_io io = conn_socket(conn);
    enum socket_result result = socket_handshake(&io, lost);
    if (result == SOCKET_LOST)
        conn_give_up(conn, false, "network Error : %s", lost);
    else if (result == SOCKET_DONE)
        greet(conn);
}

void
conn_on_connected(struct conn *conn)
{
    int code = 0;
    socklen_t len = sizeof code;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
        code = errno;
    if (code != 0) {
        dial_failed(conn, "connect", code);
        return;
    }
    ev_io_stop(conn->loop, &conn->writable);
    ev_io_set(&conn->readable, conn->fd, EV_READ);
    ev_io_start(conn->loop, &conn->readable);
    conn_forget_addresses(conn);
    if (conn->settings.tls == NULL) {
        greet(conn);
        return;
    }
    conn->state = STATE_SECURING;
    conn->tls = tls_session_new(conn->settings.tls, conn->fd, conn->settings.host);
    conn_secure(conn);
}

static void
dial_next(struct conn *conn)
{
    const struct addrinfo *address = conn->next_address;
    int on = 1;
    conn->next_address = address->ai_next;
    conn->state = STATE_CONNECTING;
    conn->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        dial_failed(conn, "socket", errno);
        return;
    }
    /* Best effort: the connection works without them. */
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(conn->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (connect(conn->fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS) {
        dial_failed(conn, "connect", errno);
        return;
    }
    ev_io_set(&conn->writable, conn->fd, EV_WRITE);
    ev_io_start(conn->loop, &conn->writable);
}

static void
on_resolved(struct addrinfo *addresses, const char *why, void *arg)
{
    struct conn *conn = arg;
    conn->resolve = NULL;
    conn_enter(conn);
    if (addresses == NULL) {
        conn_give_up(conn, false, "network Error : %s", why);
    } else {
        conn->addresses = conn->next_address = addresses;
        dial_next(conn);
    }
    conn_leave(conn);
}

void
conn_dial(struct conn *conn)
{
    const char *host = conn->settings.host, *port = conn->settings.port;
    conn->dial_why[0] = '\0';
    conn->state = STATE_RESOLVING;
    snprintf(conn->address, sizeof conn->address, strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s",
             host, port);
    conn_set_timer(conn, DIAL_MS);
    if (resolve_numeric(host, port, &conn->addresses)) {
        conn->next_address = conn->addresses;
        dial_next(conn);
        return;
    }
    conn->addresses = NULL;
    conn->resolve = resolve_start(conn->loop, host, port, on_resolved, conn);
    if (conn->resolve == NULL)
        conn_give_up(conn, false, "network Error : dial tcp: lookup %s: no thread for it", host);
}
