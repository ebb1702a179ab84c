/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata of a component, checked.
 */
#ifndef MEMCACHED_PLUGIN_SETTINGS_H
#define MEMCACHED_PLUGIN_SETTINGS_H

#include <remora_plugin.h>

enum { SETTINGS_WHY_BYTES = 256, HOSTS_MAX = 64, ADDRESS_BYTES_MAX = 300 };

struct place {
    char address[ADDRESS_BYTES_MAX]; /* as the user wrote it */
    char host[ADDRESS_BYTES_MAX];    /* without brackets; empty: `address` is a socket's path */
    char port[8];
};

struct settings {
    struct place places[HOSTS_MAX];
    size_t place_count;
    int64_t timeout_ms;
};

/* False: `why` says what is wrong. */
bool settings_read(struct settings *settings, const struct remora_config *config,
                   char why[SETTINGS_WHY_BYTES]);

#endif
