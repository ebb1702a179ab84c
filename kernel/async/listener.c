/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets; see listener.h. */
#include "async/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <h2o.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

enum { BACKLOG = 4096, RETRY_MS = 50 };

static int
close_keeping_errno(int fd)
{
    int saved = errno;
    (void)close(fd); /* the first error is the one to report */
    errno = saved;
    return -1;
}

static int
bind_and_listen(int fd, const struct sockaddr *address, socklen_t len)
{
    if (bind(fd, address, len) != 0 || listen(fd, BACKLOG) != 0)
        return close_keeping_errno(fd);
    return fd;
}

static int
bind_ip(int family, const struct sockaddr *address, socklen_t len, bool share, bool dual)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    const int on = 1, off = 0;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        (share && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
        (family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, dual ? &off : &on, sizeof on) != 0))
        return close_keeping_errno(fd);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* inherited by accept(2) */
    return bind_and_listen(fd, address, len);
}

static int
bind_any(uint16_t port, bool share)
{
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    int fd = bind_ip(AF_INET6, (const struct sockaddr *)&six, sizeof six, share, true);
    if (fd >= 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
        return fd;
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
    return bind_ip(AF_INET, (const struct sockaddr *)&four, sizeof four, share, false);
}

int
listener_bind_tcp(struct slice address, uint16_t port, bool share)
{
    if (address.len == 0)
        return bind_any(port, share);
    if (slice_eq(address, SLICE("localhost"))) {
        int fd = listener_bind_tcp(SLICE("127.0.0.1"), port, share);
        if (fd >= 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
            return fd;
        address = SLICE("::1");
    }
    char text[INET6_ADDRSTRLEN + 1] = { 0 };
    if (address.len >= sizeof text) {
        errno = EINVAL;
        return -1;
    }
    memcpy(text, address.data, address.len);
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
        return bind_ip(AF_INET, (const struct sockaddr *)&four, sizeof four, share, false);
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    if (inet_pton(AF_INET6, text, &six.sin6_addr) == 1)
        return bind_ip(AF_INET6, (const struct sockaddr *)&six, sizeof six, share, false);
    errno = EINVAL;
    return -1;
}

/* Removes a socket file whose listener is gone. False if there is one. */
static bool
remove_stale(const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return true; /* bind(2) says what is wrong, if anything is */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool refused = connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
                   errno == ECONNREFUSED;
    (void)close(fd); /* was only asked */
    if (!refused) {
        errno = EADDRINUSE;
        return false;
    }
    return unlink(address->sun_path) == 0 || errno == ENOENT;
}

int
listener_bind_unix(const char *path, unsigned mode)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(path);
    if (len >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    /* On Linux a socket file gets the mode of its socket, less the umask: never more than asked
     * for, not even for a moment. */
    if (!remove_stale(&address) || fchmod(fd, mode) != 0)
        return close_keeping_errno(fd);
    fd = bind_and_listen(fd, (const struct sockaddr *)&address, sizeof address);
    if (fd >= 0 && chmod(path, mode) != 0)
        return close_keeping_errno(fd);
    return fd;
}

uint16_t
listener_port(int fd)
{
    struct sockaddr_storage address = { 0 };
    socklen_t len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return 0;
    if (address.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)&address)->sin_port);
    if (address.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&address)->sin6_port);
    return 0;
}

static void on_acceptable(h2o_socket_t *sock, const char *err);

static void
on_retry(struct timer *timer)
{
    struct listener *listener = container_of(timer, struct listener, retry);
    h2o_socket_read_start(listener->socket, on_acceptable);
}

static bool
is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* Level-triggered polling would spin on the connection that cannot be taken. */
static void
pause_accepting(struct listener *listener, int error)
{
    if (!listener->is_short)
        log_warn("remora.listener", "cannot accept connections (errno %d), trying every %d ms",
                 error, RETRY_MS);
    listener->is_short = true;
    h2o_socket_read_stop(listener->socket);
    timer_set(&listener->worker->timers, &listener->retry, clock_now_ms() + RETRY_MS);
}

static void
on_acceptable(h2o_socket_t *sock, const char *err)
{
    (void)err;
    struct listener *listener = sock->data;
    for (int i = 0; i < LIMIT_http_accepts_per_turn; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            listener->is_short = false;
            listener->on_accept(listener, fd);
            if (listener->socket == NULL)
                return; /* closed from within */
            continue;
        }
        if (errno == ECONNABORTED || errno == EINTR)
            continue;
        if (is_shortage(errno))
            pause_accepting(listener, errno);
        return;
    }
}

void
listener_open(struct listener *listener, struct worker *worker, int fd,
              listener_accept_fn *on_accept)
{
    *listener = (struct listener){ .worker = worker, .fd = fd, .on_accept = on_accept };
    timer_init(&listener->retry, on_retry);
    listener->socket = h2o_evloop_socket_create(worker->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    listener->socket->data = listener;
    h2o_socket_read_start(listener->socket, on_acceptable);
}

void
listener_take_all(struct listener *listener)
{
    for (int i = 0; i < BACKLOG && listener->socket != NULL; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            listener->on_accept(listener, fd);
        else if (errno != ECONNABORTED && errno != EINTR)
            return;
    }
}

void
listener_close(struct listener *listener)
{
    if (listener->socket == NULL)
        return;
    timer_stop(&listener->worker->timers, &listener->retry);
    h2o_socket_close(TAKE(listener->socket));
}
