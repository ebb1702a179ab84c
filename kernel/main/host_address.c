/* SPDX-License-Identifier: Apache-2.0 */
/* Where other machines reach this one; see host_address.h. */
#include "main/host_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static struct slice
text_of(struct arena *arena, const union address *address)
{
    char text[INET6_ADDRSTRLEN] = "";
    if (address->any.sa_family == AF_INET)
        (void)inet_ntop(AF_INET, &address->v4.sin_addr, text, sizeof text); /* fits */
    else
        (void)inet_ntop(AF_INET6, &address->v6.sin6_addr, text, sizeof text);
    return arena_dup(arena, slice_str(text));
}

/* --- towards the world -------------------------------------------------------------------------*/

/* False: there is no way there. */
static bool
source_towards(const union address *target, socklen_t len, union address *ret_source)
{
    socklen_t source_len = sizeof *ret_source;
    int fd = socket(target->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool ok = connect(fd, &target->any, len) == 0 &&
              getsockname(fd, &ret_source->any, &source_len) == 0;
    (void)close(fd); /* nothing was sent */
    return ok;
}

/* Addresses that are routed by default everywhere; nobody hears of it. */
static bool
find_route(union address *ret_source)
{
    union address v4 = { .v4 = { .sin_family = AF_INET, .sin_port = htons(80) } };
    union address v6 = { .v6 = { .sin6_family = AF_INET6, .sin6_port = htons(80) } };
    (void)inet_pton(AF_INET, "8.8.8.8", &v4.v4.sin_addr); /* they are well-formed */
    (void)inet_pton(AF_INET6, "2001:4860:4860::8888", &v6.v6.sin6_addr);
    return source_towards(&v4, sizeof v4.v4, ret_source) ||
           source_towards(&v6, sizeof v6.v6, ret_source);
}

/* --- interfaces --------------------------------------------------------------------------------*/

/* The more the better; 0: of no use. */
static int
rank(const struct ifaddrs *interface)
{
    const union address *address = (const union address *)(const void *)interface->ifa_addr;
    if (address == NULL || (interface->ifa_flags & IFF_UP) == 0 ||
        (interface->ifa_flags & IFF_LOOPBACK) != 0)
        return 0;
    if (address->any.sa_family == AF_INET) {
        uint32_t number = ntohl(address->v4.sin_addr.s_addr);
        return (number >> 16) == 0xA9FE ? 2 : 5; /* 169.254/16 is a makeshift */
    }
    if (address->any.sa_family != AF_INET6)
        return 0;
    if (IN6_IS_ADDR_LINKLOCAL(&address->v6.sin6_addr))
        return 1;
    return (address->v6.sin6_addr.s6_addr[0] & 0xFE) == 0xFC ? 3 : 4; /* private, global */
}

static bool
find_interface(union address *ret_address)
{
    struct ifaddrs *all;
    int best = 0;
    if (getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        if (rank(i) <= best)
            continue; /* of equals the first */
        best = rank(i);
        if (i->ifa_addr->sa_family == AF_INET)
            ret_address->v4 = *(const struct sockaddr_in *)(const void *)i->ifa_addr;
        else
            ret_address->v6 = *(const struct sockaddr_in6 *)(const void *)i->ifa_addr;
    }
    freeifaddrs(all);
    return best > 0;
}

err_t
host_address_find(struct arena *arena, struct slice wanted, struct slice *ret_address,
                  struct diag *diag)
{
    union address found = { .any = { .sa_family = AF_UNSPEC } };
    if (wanted.len > 0) {
        *ret_address = wanted;
        return OK;
    }
    if (!find_route(&found) && !find_interface(&found))
        return DIAG_FAIL(diag, ERR_CONFIG,
                         "failed to determine host address: could not determine host IP address; "
                         "DAPR_HOST_IP can name it");
    *ret_address = text_of(arena, &found);
    return OK;
}
