/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A piece of work for a thread of a database, and the writes that such a thread gathers into one
 * transaction.
 */
#ifndef SQLITE_PLUGIN_JOB_H
#define SQLITE_PLUGIN_JOB_H

#include <stdatomic.h>

#include "connection.h"
#include "row.h"

struct worker;

struct job {
    struct job *next;
    struct worker *worker;
    /* On the worker's thread. NULL: the job is a struct write. */
    void (*run)(struct job *job, struct connection *connection);
    /* On the plugin's thread, once, after it has run or failed. Owns the job from then on. */
    void (*finish)(struct job *job);
    struct failure *failure;  /* of the whole job; NULL: none */
    uint64_t deadline_ms;     /* monotonic; not begun later than this */
    size_t bytes;             /* what it holds, for the queue's bound */
    atomic_bool is_cancelled; /* set on the plugin's thread, any time */
};

/* Exactly one of `set` and `del`. */
struct operation {
    const struct remora_state_set *set;
    const struct remora_state_delete *del;
    struct failure *failure;
    char etag[ETAG_LEN + 1]; /* the new one */
};

struct write {
    struct job job; /* first */
    const char *table;
    struct operation *operations; /* NULL with `apply` */
    size_t count;                 /* with `apply` about how many statements it is */
    bool is_atomic;               /* all or nothing; else each operation for itself */
    /* On the worker's thread, within the group's transaction: all or nothing. NULL: operations. */
    struct failure *(*apply)(struct write *write, struct connection *connection);
};

#endif
