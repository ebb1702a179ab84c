/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time zones, read by the C library from the system's database. The library has one zone a process,
 * which is exchanged here: for the thread that called zone_setup() and no other.
 */
#ifndef CRON_PLUGIN_ZONE_H
#define CRON_PLUGIN_ZONE_H

#include <stdbool.h>
#include <stdint.h>

/* Once, before the rest: the machine's zone is what TZ says now, or else /etc/localtime. */
void zone_setup(void);

/* How the reference calls the machine's zone: "Local", or what TZ names. */
const char *zone_local_name(void);

/* "Europe/Berlin", "UTC" or nothing for that, "Local" for the machine's. */
bool zone_exists(const char *name);

/* Seconds ahead of UTC then. `name` (text) exists, or is NULL for the machine's. */
int64_t zone_offset(const void *name, int64_t unix_s);

#endif
