/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The multicast groups of DNS, 224.0.0.251 and ff02::fb on port 5353, on every interface that can
 * do it, as interfaces come and go. Others on this machine use the port too.
 */
#ifndef NET_H
#define NET_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { INTERFACES_MAX = 32 };

struct net_interface {
    unsigned index;
    bool has_v4;
    bool has_v6;
};

/* Where a packet came from. */
struct net_source {
    unsigned interface;
    struct sockaddr_storage address;
    socklen_t address_len;
    bool is_legacy; /* from another port than 5353: a plain resolver */
};

struct net {
    struct ev_loop *loop;
    int v4; /* -1: not to be had */
    int v6;
    int changes; /* rtnetlink; -1 without */
    ev_io v4_reader, v6_reader, changes_reader;
    ev_timer rescan;
    struct net_interface interfaces[INTERFACES_MAX];
    size_t interface_count;
    void (*on_packet)(struct net *net, const void *data, size_t len,
                      const struct net_source *source);
    void (*on_interfaces)(struct net *net); /* there are others than before */
};

/* Joins the groups and begins to read. False with errno if neither family can be had. */
bool net_open(struct net *net, struct ev_loop *loop);
void net_close(struct net *net);

/* To both groups on all interfaces. What cannot be sent is lost, as packets may be. */
void net_send(struct net *net, const void *data, size_t len);
/* To the group on the interface a packet came from, in its family. */
void net_answer(struct net *net, const struct net_source *to, const void *data, size_t len);
/* To who sent it alone. */
void net_reply(struct net *net, const struct net_source *to, const void *data, size_t len);

#endif
