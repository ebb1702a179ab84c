/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to one server, and the work that goes over them. Connections are made as they are
 * needed; a job goes to one that is free, else, behind others, to the one with the fewest jobs, and
 * is answered exactly once. When a connection is lost its jobs fail and say whether they may have
 * had an effect; nothing is ever sent twice. Knows nothing of components or state.
 *
 * Everything runs on the loop's thread. Callbacks may submit further jobs, but not free the pool.
 */
#ifndef POSTGRESQL_POOL_H
#define POSTGRESQL_POOL_H

#include <postgresql/libpq-fe.h>
#include <remora_plugin.h>

#include "settings.h"

enum {
    POOL_STATEMENTS_MAX = 16,
    POOL_JOBS_MAX = 16384,             /* waiting, and under way */
    POOL_BYTES_MAX = 64 * 1024 * 1024, /* of what they say; one job may be larger */
    POOL_DEPTH_MAX = 64,               /* jobs of one connection */
    TROUBLE_WHY_BYTES = 600,
};

/* What went wrong. */
struct trouble {
    enum remora_code code;
    enum remora_effect effect;
    char state[6]; /* SQLSTATE; empty if the server did not say it */
    char why[TROUBLE_WHY_BYTES];
};

/* A statement with its parameters, all of them in binary form; a value that is NULL is SQL's. */
struct command {
    int statement; /* one of the pool's, which is prepared, or -1: */
    const char *sql;
    int count;
    const char *const *values;
    const int *lengths;
};

/* One round of work, a transaction. Lives with its owner, and what it points to, until `done`. */
struct job {
    const struct command *commands;
    size_t count;      /* at least 1 */
    remora_call *call; /* NULL: nobody waits for it */
    size_t bytes;      /* what it weighs */
    bool is_write;     /* it has an effect */
    /* Each command is a transaction of its own, and one that fails does not stop the others:
     * on_failed() tells of them. */
    bool is_independent;
    /* It may last: it has its connection to itself, and other jobs do not wait for it. */
    bool is_exclusive;
    bool is_row_by_row; /* on_result() for each row; exclusive ones only */
    /* The one command is no statement of ours: its parameters and results are texts. Exclusive ones
     * only. */
    bool is_plain;
    bool is_script; /* a plain one of several statements, one transaction, without parameters */
    /* A result of a command. True: it is kept (and freed with PQclear()). NULL: none is wanted. */
    bool (*on_result)(struct job *job, size_t command, PGresult *result);
    void (*on_failed)(struct job *job, size_t command, const struct trouble *trouble);
    /* NULL: all is well, and what was to be stored is. */
    void (*done)(struct job *job, const struct trouble *trouble);

    /* The pool's. */
    struct job *next;
    struct link *link;
    size_t at; /* the command whose results come */
    uint64_t since_ms, deadline_ms;
    bool skips;       /* what comes is of the statements that it had to prepare */
    bool awaits_sync; /* the command before `at` has answered, its transaction has not ended */
    bool has_failed, is_given_up, is_cancelled;
    bool is_again; /* for the second time, after its statements were not known */
    struct trouble trouble;
};

struct pool;

/* Everything is borrowed for the pool's life. Statements without parameters' types: they say them.
 * `greeting` is run on every connection that has a session of its own; or NULL. */
struct pool_options {
    const struct settings *settings;
    const char *const *statements;
    size_t statement_count;
    const char *greeting;
};

struct pool *pool_new(const struct pool_options *options);
/* Jobs that are not done are forgotten. NULL is fine. */
void pool_free(struct pool *pool);
/* One connection only, and when none can be made jobs fail at once; or as the settings say. */
void pool_probe(struct pool *pool, bool is_probing);
/* `done` follows, never from within this call. */
void pool_submit(struct pool *pool, struct job *job);
/* The rest of the results of a job is not wanted: the connection is given up, `trouble` is why. */
void pool_abandon(struct job *job, const struct trouble *trouble);

/* The rows that a result says were changed. */
uint64_t pool_rows_changed(PGresult *result);

#endif
