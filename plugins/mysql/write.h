/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saves and deletions, one or many, alone or as a whole.
 */
#ifndef MYSQL_PLUGIN_WRITE_H
#define MYSQL_PLUGIN_WRITE_H

#include "pool.h"
#include "table.h"

enum { ETAG_LEN = 36 };

/* Exactly one of `set` and `del`. */
struct operation {
    const struct remora_state_set *set;
    const struct remora_state_delete *del;
    struct failure *failure;
    bool as_binary;          /* the server has refused it as JSON */
    char etag[ETAG_LEN + 1]; /* the new one */
};

struct write {
    struct job job; /* first */
    const struct table *table;
    struct operation *operations;
    size_t count;
    bool is_atomic; /* all or nothing; else each operation for itself */
};

/* A job's run. Afterwards the job has failed, or each operation has or has not. */
void write_run(struct job *job, struct session *session);

#endif
