/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instances of a service, out of the agent's answer about their health.
 */
#ifndef CONSUL_PLUGIN_INSTANCES_H
#define CONSUL_PLUGIN_INSTANCES_H

#include <remora_plugin.h>

#include "bounds.h"

struct instances {
    size_t count;
    size_t without_port; /* healthy, but their meta does not have the sidecar's port */
    struct remora_slice addresses[REMORA_NAME_ADDRESSES_MAX];
    char text[REMORA_NAME_ADDRESSES_MAX][ADDRESS_BYTES_MAX];
};

/* NULL if `json` is not an answer; free() it. Entries that make no sense are passed over. */
struct instances *instances_read(const char *json, size_t len, const char *port_key);

#endif
