/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a connection comes about: look-up, connect, TLS, greeting. The dial timeout covers it all.
 */
#include "conn_internal.h"

#include "../shared/resolve.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void dial_next(struct conn *conn);

/* --- greeting ----------------------------------------------------------------------------------*/

static void
become_ready(struct conn *conn)
{
    ev_timer_stop(conn->loop, &conn->timer);
    conn_set_state(conn, STATE_READY);
    conn->ready_at_ms = conn->now_ms;
    if (conn->backoff_ms == 0)
        conn->backoff_ms = CONN_BACKOFF_MIN_MS;
    uint64_t generation = conn->generation;
    conn->events->ready(conn->owner);
    if (conn->freed || conn->generation != generation)
        return;
    conn_admit_waiting(conn);
}

/* The reply to one of the greeting's commands. A server's error text never quotes a password. */
static void
on_greeted(const struct conn_result *result, void *arg)
{
    struct conn *conn = arg;
    if (result->value == NULL)
        return; /* the connection broke, which is reported as such */
    if (result->value->type == RESP_ERROR) {
        struct remora_slice text = result->value->text;
        bool passing = resp_is_error(result->value, "LOADING") ||
                       resp_is_error(result->value, "MASTERDOWN") ||
                       resp_is_error(result->value, "BUSY");
        conn_give_up(conn, !passing, "%.*s", (int)(text.len > 250 ? 250 : text.len), text.data);
        return;
    }
    assert(conn->greetings > 0);
    if (--conn->greetings == 0)
        become_ready(conn);
}

static void
greet_with(struct conn *conn, const struct remora_slice *words, size_t count)
{
    size_t before = conn->out.len;
    resp_put_command(&conn->out, words, count);
    conn_push_request(conn, conn->out.len - before, on_greeted, conn);
    conn->greetings++;
}

static struct remora_slice
slice_of(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static void
greet(struct conn *conn)
{
    const struct conn_settings *settings = &conn->settings;
    char db[24];
    snprintf(db, sizeof db, "%lld", (long long)settings->db);
    conn_set_state(conn, STATE_GREETING);
    conn->greetings = 0;
    if (settings->username[0] != '\0')
        greet_with(conn,
                   (struct remora_slice[]){ slice_of("AUTH"), slice_of(settings->username),
                                            slice_of(settings->password) },
                   3);
    else if (settings->password[0] != '\0')
        greet_with(conn, (struct remora_slice[]){ slice_of("AUTH"), slice_of(settings->password) },
                   2);
    if (settings->db != 0)
        greet_with(conn, (struct remora_slice[]){ slice_of("SELECT"), slice_of(db) }, 2);
    greet_with(conn, (struct remora_slice[]){ slice_of("PING") }, 1);
}

/* --- dialling ----------------------------------------------------------------------------------*/
/* The next address, if dialling this one failed and there is another. */
static void
dial_failed(struct conn *conn, const char *reason)
{
    if (conn->dial_why[0] == '\0') /* the first address' trouble is told, as the reference does */
        snprintf(conn->dial_why, sizeof conn->dial_why, "dial tcp %s: %.80s", conn->address,
                 reason);
    if (conn->next_address != NULL) {
        ev_io_stop(conn->loop, &conn->writable);
        (void)close(conn->fd);
        conn->fd = -1;
        dial_next(conn);
        return;
    }
    conn_give_up(conn, false, "%s", conn->dial_why);
}

void
conn_secure(struct conn *conn)
{
    char lost[SOCKET_WHY_BYTES];
    ev_io_stop(conn->loop, &conn->writable);
    const struct socket_io io = conn_socket(conn);
    enum socket_result result = socket_handshake(&io, lost);
    if (result == SOCKET_LOST)
        conn_give_up(conn, false, "%s", lost);
    else if (result == SOCKET_DONE)
        greet(conn);
}

void
conn_on_connected(struct conn *conn)
{
    int code = 0;
    socklen_t len = sizeof code;
    char words[72] = "connect: ";
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
        code = errno;
    if (code != 0) {
        socket_error_words(code, words + strlen(words));
        dial_failed(conn, words);
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
    conn_set_state(conn, STATE_SECURING);
    conn->tls = tls_session_new(conn->settings.tls, conn->fd, conn->host);
    conn_secure(conn);
}

static void
dial_next(struct conn *conn)
{
    const struct addrinfo *address = conn->next_address;
    char words[72] = "socket: ";
    conn->next_address = address->ai_next;
    conn_set_state(conn, STATE_CONNECTING);
    conn->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        socket_error_words(errno, words + strlen(words));
        dial_failed(conn, words);
        return;
    }
    int on = 1;
    /* Best effort: the connection works without them. */
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(conn->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (connect(conn->fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS) {
        snprintf(words, sizeof words, "connect: ");
        socket_error_words(errno, words + strlen(words));
        dial_failed(conn, words);
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
        conn_give_up(conn, false, "%s", why);
    } else {
        conn->addresses = conn->next_address = addresses;
        dial_next(conn);
    }
    (void)conn_leave(conn); /* nothing follows */
}

static void
resolve(struct conn *conn)
{
    conn_set_state(conn, STATE_RESOLVING);
    if (resolve_numeric(conn->host, conn->port, &conn->addresses)) {
        conn->next_address = conn->addresses;
        dial_next(conn);
        return;
    }
    conn->addresses = NULL;
    conn->resolve = resolve_start(conn->loop, conn->host, conn->port, on_resolved, conn);
    if (conn->resolve == NULL)
        conn_give_up(conn, false, "dial tcp: lookup %s: no thread for it", conn->host);
}

static void
on_located(const char *host, const char *port, const char *why, void *arg)
{
    struct conn *conn = arg;
    conn->search = NULL;
    conn_enter(conn);
    if (host == NULL) {
        conn_give_up(conn, false, "%s", why);
    } else {
        conn_set_address(conn, host, port);
        resolve(conn);
    }
    (void)conn_leave(conn); /* nothing follows */
}

void
conn_set_address(struct conn *conn, const char *host, const char *port)
{
    snprintf(conn->host, sizeof conn->host, "%s", host);
    snprintf(conn->port, sizeof conn->port, "%s", port);
    snprintf(conn->address, sizeof conn->address,
             strchr(conn->host, ':') != NULL ? "[%s]:%s" : "%s:%s", conn->host, conn->port);
}

void
conn_dial(struct conn *conn)
{
    const struct conn_settings *settings = &conn->settings;
    conn->dial_why[0] = '\0';
    conn_set_timer(conn, (double)settings->dial_timeout_ms);
    conn_set_state(conn, STATE_LOCATING);
    if (settings->locator == NULL)
        resolve(conn);
    else
        conn->search = settings->locator->start(settings->locator_owner, on_located, conn);
}
