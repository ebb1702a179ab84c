/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Under which address other machines reach this one: DAPR_HOST_IP, else the source address the
 * system would use towards the world (a UDP socket is connected, nothing is sent), else that of the
 * best interface that is up.
 */
#ifndef MAIN_HOST_ADDRESS_H
#define MAIN_HOST_ADDRESS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

/* `wanted` is the value of DAPR_HOST_IP; empty: it is found out. An address without brackets, in
 * the arena. ERR_CONFIG with the words for the fatal log line. */
err_t host_address_find(struct arena *arena, struct slice wanted, struct slice *ret_address,
                        struct diag *diag) WARN_UNUSED;

#endif
