/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parallel work of one task: children on the same worker, all joined before the parent goes on, so
 * that what they share may live on the parent's stack. Cancelling the parent cancels them.
 */
#ifndef ASYNC_GROUP_H
#define ASYNC_GROUP_H

#include <stddef.h>

#include "async/task.h"
#include "base/list.h"

struct group {
    struct task *parent;
    struct list members;
    size_t running;
    size_t parallel_max;
    struct wait wait; /* for room, or for the last */
    size_t wake_at;   /* running count the parent waits for */
    bool is_waiting;
    err_t first_err;
};

typedef err_t group_fn(struct task *t, void *arg);

/* At most parallel_max children run at a time; 0 means no bound of its own. */
void group_init(struct group *group, struct task *parent, size_t parallel_max);
/* Starts a child, waiting for room first. Where no task is to be had, fn runs on the parent:
 * slower, never wrong. The child inherits the parent's deadline of this moment; its arena ends with
 * it. */
void group_go(struct group *group, const char *name, group_fn *fn, void *arg);
/* Joins all children; the first failure in order of completion, or OK. */
err_t group_join(struct group *group);

#endif
