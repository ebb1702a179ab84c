/* SPDX-License-Identifier: Apache-2.0 */
/* Reserving ports; see ports.h. */
#include "ports.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* -1 with errno set; 0 is a port that the system chooses among those nobody uses. */
static int
bind_port(int family, uint16_t port)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    const int on = 1, off = 0;
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    const struct sockaddr *address = family == AF_INET ? (const struct sockaddr *)&four
                                                       : (const struct sockaddr *)&six;
    socklen_t len = family == AF_INET ? sizeof four : sizeof six;
    bool is_reused = port != 0; /* a chosen port must be nobody's, not even in its last wait */
    if ((family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) ||
        (is_reused && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) ||
        bind(fd, address, len) != 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on)) {
        int saved = errno;
        (void)close(fd); /* nothing is bound */
        errno = saved;
        return -1;
    }
    return fd;
}

static int
bind_any(uint16_t port)
{
    int fd = bind_port(AF_INET6, port);
    if (fd >= 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
        return fd;
    return bind_port(AF_INET, port);
}

static uint16_t
port_of(int fd)
{
    struct sockaddr_in6 address = { 0 }; /* both families have the port in one place */
    socklen_t len = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &len) == 0 ? ntohs(address.sin6_port) : 0;
}

/* A name in the abstract namespace: it goes when its owner does. */
static int
claim(uint16_t port)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int len = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "remora.port.%u", port);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (bind(fd, (const struct sockaddr *)&address,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) == 0)
        return fd;
    (void)close(fd); /* somebody else has it */
    return -1;
}

bool
port_reserve(uint16_t preferred, struct reservation *ret_reservation)
{
    int claim_fd = preferred == 0 ? -1 : claim(preferred);
    int fd = claim_fd < 0 ? -1 : bind_any(preferred);
    if (fd < 0 && claim_fd >= 0) {
        (void)close(claim_fd); /* only a name */
        claim_fd = -1;
    }
    if (fd < 0)
        fd = bind_any(0);
    if (fd < 0)
        return false;
    *ret_reservation = (struct reservation){ .port = port_of(fd), .fd = fd, .claim_fd = claim_fd };
    return true;
}

void
port_release(struct reservation *reservation)
{
    if (reservation->port == 0)
        return;
    (void)close(reservation->fd); /* never used */
    if (reservation->claim_fd >= 0)
        (void)close(reservation->claim_fd); /* only a name */
    reservation->port = 0;
}

bool
machine_is_alone(void)
{
    struct ifaddrs *all;
    bool is_alone = true;
    if (getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *one = all; one != NULL; one = one->ifa_next) {
        bool is_up = (one->ifa_flags & IFF_UP) != 0 && (one->ifa_flags & IFF_LOOPBACK) == 0;
        bool has_address = one->ifa_addr != NULL && (one->ifa_addr->sa_family == AF_INET ||
                                                     one->ifa_addr->sa_family == AF_INET6);
        is_alone &= !(is_up && has_address);
    }
    freeifaddrs(all);
    return is_alone;
}
