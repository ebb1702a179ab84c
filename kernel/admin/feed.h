/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens in the kernel, told to whoever listens: each event gets a number and a time, the
 * last ones are kept for those who come later. Main thread only.
 */
#ifndef ADMIN_FEED_H
#define ADMIN_FEED_H

#include "admin/sp_server.h"
#include "base/arena.h"
#include "base/limits.h"
#include "remora/admin/v1/admin.pb-c.h"

/* A packed event. */
struct feed_item {
    char *bytes; /* owned */
    size_t len;
};

struct feed {
    struct sp_server *server; /* borrowed; may be NULL */
    uint64_t sequence;        /* of the newest */
    /* A ring: number n is at n - 1 modulo its size. */
    struct feed_item kept[LIMIT_admin_events_kept];
};

void feed_init(struct feed *feed, struct sp_server *server);
void feed_fini(struct feed *feed);

/* Numbers, dates, sends and keeps it. */
void feed_publish(struct feed *feed, Remora__Admin__V1__Event *event);

/* Those that are kept, oldest first, in the arena. */
Remora__Admin__V1__Event **
feed_recent(const struct feed *feed, struct arena *arena, size_t *ret_count);

#endif
