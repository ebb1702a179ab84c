/* SPDX-License-Identifier: Apache-2.0 */
/* Multicast sockets; see net.h. */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "dns.h"

enum { PORT = 5353, HOPS = 255, PACKETS_PER_TURN = 64, CONTROL_BYTES = 128 };

#define GROUP_V4 0xE00000FBu /* 224.0.0.251 */
#define RESCAN_S 0.2         /* interfaces come with several messages */

static const struct in6_addr group_v6 = { .s6_addr = { 0xff, 2, [15] = 0xfb } };

/* --- sockets -----------------------------------------------------------------------------------*/

static bool
set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* Whoever else listens here has set the same. */
static int
new_socket(int family)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (set(fd, SOL_SOCKET, SO_REUSEADDR, 1) && set(fd, SOL_SOCKET, SO_REUSEPORT, 1))
        return fd;
    (void)close(fd); /* never used */
    return -1;
}

static int
open_v4(void)
{
    const struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(PORT) };
    int fd = new_socket(AF_INET);
    if (fd < 0)
        return -1;
    if (set(fd, IPPROTO_IP, IP_MULTICAST_TTL, HOPS) && set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 1) &&
        set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0) && set(fd, IPPROTO_IP, IP_PKTINFO, 1) &&
        bind(fd, (const struct sockaddr *)&any, sizeof any) == 0)
        return fd;
    (void)close(fd); /* never used */
    return -1;
}

static int
open_v6(void)
{
    const struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };
    int fd = new_socket(AF_INET6);
    if (fd < 0)
        return -1;
    if (set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) && set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, HOPS) &&
        set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1) &&
        set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) &&
        bind(fd, (const struct sockaddr *)&any, sizeof any) == 0)
        return fd;
    (void)close(fd); /* never used */
    return -1;
}

/* --- interfaces --------------------------------------------------------------------------------*/

static struct net_interface *
get_interface(struct net_interface *list, size_t *count, unsigned index)
{
    for (size_t i = 0; i < *count; i++)
        if (list[i].index == index)
            return &list[i];
    if (*count == INTERFACES_MAX)
        return NULL;
    list[*count] = (struct net_interface){ .index = index };
    return &list[(*count)++];
}

/* The loopback interface only where there is no other: what is sent to the others is heard on this
 * machine too. */
static size_t
find_interfaces(struct net_interface list[INTERFACES_MAX], bool is_loopback)
{
    struct ifaddrs *all;
    size_t count = 0;
    if (getifaddrs(&all) != 0)
        return 0;
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        int family = i->ifa_addr == NULL ? AF_UNSPEC : i->ifa_addr->sa_family;
        bool is_able = is_loopback || (i->ifa_flags & IFF_MULTICAST) != 0;
        unsigned index = if_nametoindex(i->ifa_name);
        struct net_interface *interface;
        if ((i->ifa_flags & IFF_UP) == 0 || !is_able || index == 0 ||
            ((i->ifa_flags & IFF_LOOPBACK) != 0) != is_loopback ||
            (family != AF_INET && family != AF_INET6) ||
            (interface = get_interface(list, &count, index)) == NULL)
            continue;
        interface->has_v4 |= family == AF_INET;
        interface->has_v6 |= family == AF_INET6;
    }
    freeifaddrs(all);
    return count;
}

/* Joined twice is an error that does not matter; what cannot be joined cannot be heard. */
static void
join(const struct net *net, struct net_interface *interface)
{
    const struct ip_mreqn v4 = { .imr_multiaddr = { htonl(GROUP_V4) },
                                 .imr_ifindex = (int)interface->index };
    const struct ipv6_mreq v6 = { .ipv6mr_multiaddr = group_v6,
                                  .ipv6mr_interface = interface->index };
    interface->has_v4 = interface->has_v4 && net->v4 >= 0 &&
                        (setsockopt(net->v4, IPPROTO_IP, IP_ADD_MEMBERSHIP, &v4, sizeof v4) == 0 ||
                         errno == EADDRINUSE);
    interface->has_v6 = interface->has_v6 && net->v6 >= 0 &&
                        (setsockopt(net->v6, IPPROTO_IPV6, IPV6_JOIN_GROUP, &v6, sizeof v6) == 0 ||
                         errno == EADDRINUSE);
}

static void
scan(struct net *net)
{
    struct net_interface found[INTERFACES_MAX];
    size_t count = find_interfaces(found, false);
    if (count == 0)
        count = find_interfaces(found, true);
    for (size_t i = 0; i < count; i++)
        join(net, &found[i]);
    bool is_same = count == net->interface_count;
    for (size_t i = 0; i < count && is_same; i++)
        is_same = found[i].index == net->interfaces[i].index &&
                  found[i].has_v4 == net->interfaces[i].has_v4 &&
                  found[i].has_v6 == net->interfaces[i].has_v6;
    if (is_same)
        return;
    for (size_t i = 0; i < count; i++)
        net->interfaces[i] = found[i];
    net->interface_count = count;
    if (net->on_interfaces != NULL)
        net->on_interfaces(net);
}

static void
on_rescan(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    ev_timer_stop(loop, timer);
    scan(timer->data);
}

static void
on_change(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)events;
    struct net *net = watcher->data;
    char message[1024];
    while (recv(net->changes, message, sizeof message, MSG_TRUNC) > 0 || errno == ENOBUFS)
        ; /* that something has changed is all we want to know */
    if (!ev_is_active(&net->rescan)) {
        ev_timer_set(&net->rescan, RESCAN_S, 0.);
        ev_timer_start(loop, &net->rescan);
    }
}

static int
open_changes(void)
{
    const struct sockaddr_nl groups = {
        .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR
    };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&groups, sizeof groups) == 0)
        return fd;
    (void)close(fd); /* never used */
    return -1;
}

/* --- receiving ---------------------------------------------------------------------------------*/

/* Whether a packet was sent to the group, and on which interface it came. Others may have come from
 * far away, and nobody who speaks multicast DNS sends them to us. */
static bool
is_for_group(const struct msghdr *message, unsigned *ret_interface)
{
    for (const struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL;
         c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)message, (struct cmsghdr *)(uintptr_t)c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            *ret_interface = (unsigned)info.ipi_ifindex;
            return ntohl(info.ipi_addr.s_addr) == GROUP_V4;
        }
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            *ret_interface = info.ipi6_ifindex;
            return memcmp(&info.ipi6_addr, &group_v6, sizeof group_v6) == 0;
        }
    }
    return false;
}

static uint16_t
port_of(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
    return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
}

static void
on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    static uint8_t packet[DNS_PACKET_BYTES]; /* the plugin has one thread */
    struct net *net = watcher->data;
    for (int i = 0; i < PACKETS_PER_TURN && ev_is_active(watcher); i++) {
        union {
            char bytes[CONTROL_BYTES];
            struct cmsghdr aligned;
        } control;
        struct net_source source = { .interface = 0 };
        struct iovec part = { packet, sizeof packet };
        struct msghdr message = { .msg_name = &source.address,
                                  .msg_namelen = sizeof source.address,
                                  .msg_iov = &part,
                                  .msg_iovlen = 1,
                                  .msg_control = control.bytes,
                                  .msg_controllen = sizeof control.bytes };
        ssize_t len = recvmsg(watcher->fd, &message, 0);
        if (len < 0)
            return; /* no more, or an error that is over now that it was read */
        source.address_len = message.msg_namelen;
        source.is_legacy = port_of(&source.address) != PORT;
        if ((message.msg_flags & MSG_TRUNC) == 0 && is_for_group(&message, &source.interface))
            net->on_packet(net, packet, (size_t)len, &source);
    }
}

/* --- sending -----------------------------------------------------------------------------------*/

static void
send_v4(const struct net *net, unsigned interface, const void *data, size_t len)
{
    const struct ip_mreqn out = { .imr_ifindex = (int)interface };
    const struct sockaddr_in group = { .sin_family = AF_INET,
                                       .sin_port = htons(PORT),
                                       .sin_addr = { htonl(GROUP_V4) } };
    if (setsockopt(net->v4, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof out) == 0)
        (void)sendto(net->v4, data, len, 0, (const struct sockaddr *)&group, sizeof group);
}

static void
send_v6(const struct net *net, unsigned interface, const void *data, size_t len)
{
    const struct sockaddr_in6 group = { .sin6_family = AF_INET6,
                                        .sin6_port = htons(PORT),
                                        .sin6_addr = group_v6,
                                        .sin6_scope_id = interface };
    (void)sendto(net->v6, data, len, 0, (const struct sockaddr *)&group, sizeof group);
}

void
net_send(struct net *net, const void *data, size_t len)
{
    for (size_t i = 0; i < net->interface_count; i++) {
        if (net->interfaces[i].has_v4)
            send_v4(net, net->interfaces[i].index, data, len);
        if (net->interfaces[i].has_v6)
            send_v6(net, net->interfaces[i].index, data, len);
    }
}

void
net_answer(struct net *net, const struct net_source *to, const void *data, size_t len)
{
    if (to->address.ss_family == AF_INET)
        send_v4(net, to->interface, data, len);
    else
        send_v6(net, to->interface, data, len);
}

void
net_reply(struct net *net, const struct net_source *to, const void *data, size_t len)
{
    int fd = to->address.ss_family == AF_INET ? net->v4 : net->v6;
    (void)sendto(fd, data, len, 0, (const struct sockaddr *)&to->address, to->address_len);
}

/* --- life --------------------------------------------------------------------------------------*/

static void
watch(struct net *net, ev_io *watcher, int fd, void (*fn)(struct ev_loop *, ev_io *, int))
{
    ev_io_init(watcher, fn, fd, EV_READ);
    watcher->data = net;
    if (fd >= 0)
        ev_io_start(net->loop, watcher);
}

bool
net_open(struct net *net, struct ev_loop *loop)
{
    net->loop = loop;
    net->v4 = open_v4();
    int error = errno;
    net->v6 = open_v6();
    if (net->v4 < 0 && net->v6 < 0) {
        errno = error;
        return false;
    }
    net->changes = open_changes(); /* before the first look, so that nothing is missed */
    ev_timer_init(&net->rescan, on_rescan, RESCAN_S, 0.);
    net->rescan.data = net;
    watch(net, &net->v4_reader, net->v4, on_readable);
    watch(net, &net->v6_reader, net->v6, on_readable);
    watch(net, &net->changes_reader, net->changes, on_change);
    scan(net);
    return true;
}

void
net_close(struct net *net)
{
    const int fds[] = { net->v4, net->v6, net->changes };
    ev_io *const readers[] = { &net->v4_reader, &net->v6_reader, &net->changes_reader };
    ev_timer_stop(net->loop, &net->rescan);
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (fds[i] < 0)
            continue;
        ev_io_stop(net->loop, readers[i]);
        (void)close(fds[i]); /* nothing is queued there */
    }
}
