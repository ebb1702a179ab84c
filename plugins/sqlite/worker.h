/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread with a connection of its own and a bounded queue. Saves of one turn of the plugin's loop
 * reach it together; whatever gathered while it was syncing becomes its next transaction. That is
 * all there is to group commit: no timer, no delay.
 *
 * Every function runs on the plugin's thread.
 */
#ifndef SQLITE_PLUGIN_WORKER_H
#define SQLITE_PLUGIN_WORKER_H

#include <pthread.h>

#include "job.h"

struct worker {
    struct connection connection; /* the thread's */
    atomic_bool is_stopping;      /* set once by worker_stop(), read by the thread */

    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *queue, **queue_tail; /* under lock */
    bool is_waiting;                 /* under lock: the thread sleeps */

    /* Plugin thread only. */
    pthread_t thread;
    bool is_started;
    struct job *staged, **staged_tail;
    size_t jobs, bytes; /* submitted and not finished */
    void (*on_stopped)(struct worker *worker);
    struct database *database;
};

void worker_init(struct worker *worker, const struct database_config *config,
                 enum connection_role role, struct database *database);
void worker_fini(struct worker *worker);

/* Takes the job, to be handed over by the next worker_flush(). Returns why not if the queue is
 * full; the job is then still the caller's. */
struct failure *worker_submit(struct worker *worker, struct job *job);

/* Hands over what was submitted; starts the thread at the first time. */
void worker_flush(struct worker *worker);

/* No job is open. The thread closes its connection, which may take a checkpoint; on_stopped follows
 * on the plugin's thread, at once if there is no thread. */
void worker_stop(struct worker *worker);

/* Waits until the thread has ended. */
void worker_join(struct worker *worker);

#endif
