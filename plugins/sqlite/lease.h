/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks as rows: who holds a resource, and until when. The wall clock has no part in it. A lease
 * ends by the machine's monotonic clock, which all its processes share and nobody can set; a row
 * says whose clock it counts by. One of another clock (the machine was started anew, or the file is
 * also used from elsewhere) lasts for the whole of its lease again, from when it is first met here:
 * never shorter than was promised.
 */
#ifndef SQLITE_PLUGIN_LEASE_H
#define SQLITE_PLUGIN_LEASE_H

#include "connection.h"

enum { LEASE_CLOCK_LEN = 80 };

/* The clock of this process: its name is the boot's and the time namespace's. */
struct lease_clock {
    char name[LEASE_CLOCK_LEN + 1];
};

/* Milliseconds a test adds to the clock. Zero in life. */
extern int64_t lease_shift_ms;

/* False if the clock cannot be told from others: errno says why. */
bool lease_clock_init(struct lease_clock *clock);

/* Both run in a transaction that has the file to itself. */

/* *ret_is_held: by `owner`, from now on; false: by somebody already. */
struct failure *lease_take(struct connection *connection, const char *table,
                           const struct lease_clock *clock, struct remora_slice resource,
                           struct remora_slice owner, int64_t lease_ms, bool *ret_is_held);
struct failure *
lease_end(struct connection *connection, const char *table, const struct lease_clock *clock,
          struct remora_slice resource, struct remora_slice owner, enum remora_unlock *ret_status);

#endif
