/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of a pool; see pool.h. */
#ifndef POSTGRESQL_LINK_H
#define POSTGRESQL_LINK_H

#include <ev.h>

#include "dial.h"
#include "pool.h"

struct link {
    struct link *next;
    struct pool *pool;
    struct dial *dial; /* until there is a connection */
    PGconn *db;
    ev_io readable, writable;
    struct job *first, **tail; /* under way, in their order */
    size_t depth;
    uint64_t progress_ms; /* when it last began or ended something */
    bool is_prepared[POOL_STATEMENTS_MAX];
    bool prepares;            /* false once a statement was gone: somebody is in between */
    bool is_exclusive;        /* its job has it to itself */
    bool is_reserved;         /* nothing new is given to it: a job waits that wants it to itself */
    bool is_lost;             /* soon */
    bool was_cancelled;       /* the server was asked to end what it does */
    size_t idle_nulls;        /* results that were none, in a row */
    char why[DIAL_WHY_BYTES]; /* it is lost */
};

struct link *link_new(struct pool *pool);
/* Closes. Its jobs are the caller's again. */
void link_free(struct link *link);
static inline bool
link_is_ready(const struct link *link)
{
    return link->db != NULL && !link->is_lost;
}
/* Gives it a job that it has room for. */
void link_send(struct link *link, struct job *job);
/* Asks the server to end what it does, without waiting. */
void link_cancel(struct link *link);

/* Of the pool, for its links. */
const struct pool_options *pool_options_of(const struct pool *pool);
void pool_link_ready(struct pool *pool, struct link *link);
/* Fails its jobs and frees it. */
void pool_link_lost(struct pool *pool, struct link *link, const char *why);
/* The first job of the link is done. */
void pool_job_done(struct pool *pool, struct link *link);
/* The same, but it goes again, on whatever connection. */
void pool_job_again(struct pool *pool, struct link *link);

#endif
