/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few connections to one server and database, each with a thread that waits for the server, and
 * the bounded queue that they take their work from. Components with the same server share a pool.
 *
 * A server that cannot be reached is tried again with pauses that grow to a second; what comes
 * meanwhile is answered at once. Every function runs on the plugin's thread.
 */
#ifndef MYSQL_PLUGIN_POOL_H
#define MYSQL_PLUGIN_POOL_H

#include "session.h"

struct pool;

struct job {
    struct job *next;
    struct pool *pool;
    /* On the thread, with an open connection. */
    void (*run)(struct job *job, struct session *session);
    /* On the plugin's thread, once, after it has run or failed. Owns the job from then on. */
    void (*finish)(struct job *job);
    struct failure *failure;  /* of the whole job; NULL: none */
    uint64_t deadline_ms;     /* monotonic; not begun later than this */
    size_t bytes;             /* what it holds, for the queue's bound */
    bool is_first;            /* the database may not exist yet: none is chosen */
    atomic_bool is_cancelled; /* set on the plugin's thread, any time */
};

/* Takes what `server` owns. */
struct pool *pool_take(struct server *server);
/* No job of the caller's is open. */
void pool_release(struct pool *pool);

/* Returns why not if the queue is full; the job is then still the caller's. */
struct failure *pool_submit(struct pool *pool, struct job *job);

/* The process is about to end: waits for the threads, not for the servers. */
void pool_stop_all(void);

#endif
