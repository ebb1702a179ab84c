/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports for sidecars to come. A port is reserved by a socket that is bound to it and does not
 * listen: nobody else is given it, but a program that sets SO_REUSEADDR, as every server does, can
 * bind and listen beside. Well-known ports are also claimed by name among the programs that use
 * this, so that two of them never choose the same one.
 */
#ifndef REMORA_PORTS_H
#define REMORA_PORTS_H

#include <stdbool.h>
#include <stdint.h>

struct reservation {
    uint16_t port; /* 0: nothing is reserved */
    int fd;
    int claim_fd; /* -1 for a port that was chosen by the system */
};

/* `preferred` if it is free, else any. False: errno says why. */
bool port_reserve(uint16_t preferred, struct reservation *ret_reservation);
/* Its server listens, or never will. Twice is once. */
void port_release(struct reservation *reservation);

/* True if no interface but the loopback is up and has an address. */
bool machine_is_alone(void);

#endif
