/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting from a task; see connect.h. */
#include "async/connect.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <h2o.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "async/offload.h"
#include "async/worker.h"
#include "base/limits.h"

/* The words of the reference's dialer need both. */
enum { SHOWN_BYTES = INET6_ADDRSTRLEN + 16, KEEPALIVE_S = 15 };

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
    };
    socklen_t len;
};

/* --- words -------------------------------------------------------------------------------------*/

struct slice
connect_errno_text(struct arena *arena, int error)
{
    char text[128];
    const char *words = strerror_r(error, text, sizeof text);
    struct slice lower = arena_dup(arena, slice_str(words));
    char *first = (char *)(uintptr_t)lower.data; /* ours: the copy just made */
    if (lower.len > 0 && *first >= 'A' && *first <= 'Z')
        *first = (char)(*first - 'A' + 'a');
    return lower;
}

static const char *
show(const struct address *address, char text[SHOWN_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->any.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host); /* fits */
        (void)snprintf(text, SHOWN_BYTES, "%s:%u", host, ntohs(address->v4.sin_port));
    } else {
        (void)inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host);
        (void)snprintf(text, SHOWN_BYTES, "[%s]:%u", host, ntohs(address->v6.sin6_port));
    }
    return text;
}

static err_t
refused(struct task *t, const struct address *address, int error)
{
    char text[SHOWN_BYTES];
    struct slice why = connect_errno_text(task_arena(t), error);
    if (address->any.sa_family == AF_UNIX)
        return DIAG_FAIL(task_diag(t), ERR_PEER_UNREACHABLE, "dial unix %s: connect: " SLICE_FMT,
                         address->un.sun_path, SLICE_ARG(why));
    return DIAG_FAIL(task_diag(t), ERR_PEER_UNREACHABLE, "dial tcp %s: connect: " SLICE_FMT,
                     show(address, text), SLICE_ARG(why));
}

/* --- names -------------------------------------------------------------------------------------*/

/* A look-up outlives the task that wants it when that leaves early. One worker. */
struct lookup {
    char *host;
    char port[8];
    struct addrinfo *found;
    int error;         /* of getaddrinfo() */
    struct wait *wait; /* NULL: nobody wants to know any more */
    bool is_over;
};

static void
lookup_free(struct lookup *lookup)
{
    if (lookup->found != NULL)
        freeaddrinfo(lookup->found);
    free(lookup->host);
    free(lookup);
}

/* On a thread that may block. */
static err_t
look_up(void *arg)
{
    struct lookup *lookup = arg;
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    lookup->error = getaddrinfo(lookup->host, lookup->port, &hints, &lookup->found);
    return lookup->error == 0 ? OK : ERR_PEER_UNREACHABLE;
}

static void
lookup_main(struct task *t, void *arg)
{
    struct lookup *lookup = arg;
    err_t err = offload_run(t, look_up, lookup); /* suspends */
    lookup->is_over = true;
    if (lookup->wait != NULL)
        wait_done(lookup->wait, err);
    else
        lookup_free(lookup);
}

/* *ret_lookup is the caller's to free. */
static err_t
resolve(struct task *t, const struct connect_target *target, struct lookup **ret_lookup)
{
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (lookup == NULL || (lookup->host = slice_dup_str(target->host)) == NULL) {
        free(lookup);
        return DIAG_FAIL(task_diag(t), ERR_PEER_UNREACHABLE, "dial tcp: lookup: no such host");
    }
    (void)snprintf(lookup->port, sizeof lookup->port, "%u", target->port); /* fits */
    struct wait wait;
    wait_init(&wait, t, NULL);
    lookup->wait = &wait;
    if (task_spawn(task_worker(t), "lookup", lookup_main, lookup) == NULL) {
        lookup_free(lookup);
        return ERR_OVERLOADED;
    }
    err_t err = TASK_WAIT(t, &wait);
    lookup->wait = NULL;
    if (!lookup->is_over)
        return err == OK ? ERR_CANCELLED : err; /* it frees itself */
    if (err == OK && lookup->found != NULL) {
        *ret_lookup = lookup;
        return OK;
    }
    const char *why = lookup->error == EAI_NONAME ? "no such host" : gai_strerror(lookup->error);
    if (err == ERR_PEER_UNREACHABLE)
        err = DIAG_FAIL(task_diag(t), err, "dial tcp: lookup " SLICE_FMT ": %s",
                        SLICE_ARG(target->host), why);
    lookup_free(lookup);
    return err;
}

/* --- one address -------------------------------------------------------------------------------*/

static void
on_writable(h2o_socket_t *sock, const char *err)
{
    (void)err; /* SO_ERROR says it better */
    wait_done(sock->data, OK);
}

/* Suspends until the descriptor can be written to, which it keeps on success only. */
static err_t
wait_until_writable(struct task *t, int fd)
{
    struct wait wait;
    struct pollfd ready = { .fd = fd, .events = POLLOUT };
    if (poll(&ready, 1, 0) == 1)
        return OK; /* as ever on the same machine */
    wait_init(&wait, t, NULL);
    h2o_socket_t *sock = h2o_evloop_socket_create(task_worker(t)->loop, fd,
                                                  H2O_SOCKET_FLAG_DONT_READ);
    sock->data = &wait;
    h2o_socket_notify_write(sock, on_writable);
    err_t err = TASK_WAIT(t, &wait);
    if (err != OK) {
        sock->_cb.write = NULL; /* h2o asserts that none is pending when it closes */
        h2o_socket_close(sock);
        return err;
    }
    h2o_socket_export_t exported = { 0 };
    int failed = h2o_socket_export(sock, &exported);
    assert(failed == 0); /* it fails for sockets with TLS only */
    h2o_buffer_dispose(&exported.input);
    assert(exported.fd == fd);
    return OK;
}

static void
set_options(int fd, sa_family_t family)
{
    const int on = 1, seconds = KEEPALIVE_S;
    if (family == AF_UNIX)
        return;
    /* Each only makes the connection better; without them it works. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
}

static err_t
connect_address(struct task *t, const struct address *address, int *ret_fd)
{
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return refused(t, address, errno);
    set_options(fd, address->any.sa_family);
    int error = connect(fd, &address->any, address->len) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        err_t err = wait_until_writable(t, fd); /* suspends; on failure it has closed */
        if (err != OK)
            return err;
        socklen_t len = sizeof error;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
            error = errno;
    }
    if (error != 0) {
        (void)close(fd); /* was no connection */
        return refused(t, address, error);
    }
    *ret_fd = fd;
    return OK;
}

/* --- all addresses -----------------------------------------------------------------------------*/

static bool
parse_literal(const struct connect_target *target, struct address *ret_address)
{
    char text[INET6_ADDRSTRLEN];
    struct address address = { 0 };
    if (target->host.len >= sizeof text)
        return false;
    memcpy(text, target->host.data, target->host.len);
    text[target->host.len] = '\0';
    if (inet_pton(AF_INET, text, &address.v4.sin_addr) == 1) {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons(target->port);
        address.len = sizeof address.v4;
    } else if (inet_pton(AF_INET6, text, &address.v6.sin6_addr) == 1) {
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = htons(target->port);
        address.len = sizeof address.v6;
    } else {
        return false;
    }
    *ret_address = address;
    return true;
}

static err_t
connect_unix(struct task *t, struct slice path, int *ret_fd)
{
    struct address address = { .un.sun_family = AF_UNIX, .len = sizeof address.un };
    if (path.len >= sizeof address.un.sun_path)
        return DIAG_FAIL(task_diag(t), ERR_PEER_UNREACHABLE,
                         "dial unix: the path of the socket is too long");
    memcpy(address.un.sun_path, path.data, path.len);
    return connect_address(t, &address, ret_fd);
}

/* An address that nobody answers for must not use up the time of the next one. */
static err_t
try_address(struct task *t, const struct address *address, bool has_next, int *ret_fd)
{
    uint64_t outer = task_deadline_push(t, has_next ? LIMIT_connect_next_ms : UINT64_MAX);
    err_t err = connect_address(t, address, ret_fd); /* suspends */
    task_deadline_pop(t, outer);
    if (err == ERR_DEADLINE && has_next && task_time_left_ms(t) > 0)
        return refused(t, address, ETIMEDOUT);
    return err;
}

err_t
connect_to(struct task *t, const struct connect_target *target, int *ret_fd)
{
    struct address address = { .len = 0 };
    struct lookup *lookup = NULL;
    if (target->unix_path.len > 0)
        return connect_unix(t, target->unix_path, ret_fd);
    if (parse_literal(target, &address))
        return connect_address(t, &address, ret_fd);
    err_t err = resolve(t, target, &lookup); /* suspends */
    if (err != OK || lookup == NULL)
        return err;
    err = ERR_PEER_UNREACHABLE;
    for (const struct addrinfo *a = lookup->found; a != NULL && err == ERR_PEER_UNREACHABLE;
         a = a->ai_next) {
        if (a->ai_addrlen > sizeof address.un)
            continue;
        memcpy(&address.un, a->ai_addr, a->ai_addrlen);
        address.len = a->ai_addrlen;
        err = try_address(t, &address, a->ai_next != NULL, ret_fd); /* suspends */
    }
    lookup_free(lookup);
    return err;
}
