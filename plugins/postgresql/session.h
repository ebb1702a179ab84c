/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to a PostgreSQL server on a thread of its own, which reads items and hears of
 * changes. Everything is read there, one after another, so that what it posts to the plugin's
 * thread is in the order in which it was read. A connection that is lost is made again with growing
 * pauses.
 */
#ifndef POSTGRESQL_SESSION_H
#define POSTGRESQL_SESSION_H

#include "conninfo.h"
#include "rows.h"

enum { SESSION_WHY_BYTES = 320, IDENTIFIER_BYTES_MAX = 63 };

struct session;

/* A piece of work. `done` follows on the plugin's thread, once, and owns it. */
struct work {
    struct work *next;
    struct session *session;
    void (*done)(struct work *work);
    enum { WORK_PROBE, WORK_READ, WORK_LISTEN } kind;
    const struct remora_slice *keys; /* borrowed until it is done; none: all */
    size_t key_count;
    char channel[IDENTIFIER_BYTES_MAX + 1];
    struct rows rows;
    bool has_failed;
    enum remora_code code;
    char why[SESSION_WHY_BYTES];
};

/* On the plugin's thread. */
struct session_events {
    /* Rows that have changed, as they are now, each key once; a deleted one as it was. */
    void (*changed)(void *owner, const struct rows *rows);
    /* The connection was away and is back: changes may have been missed. */
    void (*back)(void *owner);
};

/* Takes what `server` owns and leaves it empty; the rest is copied but for the events. The first
 * attempt to connect is made by the first work. */
struct session *session_new(struct conninfo *server, const char *table,
                            const struct session_events *events, void *owner);
/* No event comes any more, and `done` of no work; the thread ends by itself. */
void session_free(struct session *session);
void session_submit(struct session *session, struct work *work);

#endif
