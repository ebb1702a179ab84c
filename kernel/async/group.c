/* SPDX-License-Identifier: Apache-2.0 */
/* Parallel children of one task; see group.h. */
#include "async/group.h"

#include <assert.h>
#include <stdlib.h>

#include "async/worker.h"

struct member {
    struct list link;
    struct group *group;
    struct task *task;
    uint64_t deadline_ms;
    group_fn *fn;
    void *arg;
};

void
group_init(struct group *group, struct task *parent, size_t parallel_max)
{
    *group = (struct group){ .parent = parent,
                             .parallel_max = parallel_max == 0 ? SIZE_MAX : parallel_max };
    list_init(&group->members);
}

static void
record(struct group *group, err_t err)
{
    /* A deadline reaches the children as a cancellation, but is still a deadline. */
    if (err == ERR_CANCELLED && !task_is_cancelled(group->parent) &&
        task_time_left_ms(group->parent) == 0)
        err = ERR_DEADLINE;
    if (group->first_err == OK)
        group->first_err = err;
}

static void
member_ended(struct member *member, err_t err)
{
    struct group *group = member->group;
    record(group, err);
    list_remove(&member->link);
    group->running--;
    if (group->is_waiting && group->running <= group->wake_at) {
        group->is_waiting = false;
        wait_done(&group->wait, OK);
    }
}

static void
member_main(struct task *t, void *arg)
{
    struct member *member = arg;
    task_deadline_pop(t, member->deadline_ms); /* for the child's whole life */
    member_ended(member, member->fn(t, member->arg));
    free(member);
}

static void
cancel_members(struct wait *wait)
{
    struct group *group = container_of(wait, struct group, wait);
    struct list *node;
    LIST_FOREACH (node, &group->members)
        task_cancel(LIST_ENTRY(node, struct member, link)->task);
}

/* Until at most `running_max` children run. A cancelled parent cancels them and still waits. */
static void
wait_for(struct group *group, size_t running_max)
{
    while (group->running > running_max) {
        wait_init(&group->wait, group->parent, cancel_members);
        group->wake_at = running_max;
        group->is_waiting = true;
        record(group, TASK_WAIT(group->parent, &group->wait));
    }
}

void
group_go(struct group *group, const char *name, group_fn *fn, void *arg)
{
    if (group->running >= group->parallel_max)
        wait_for(group, group->parallel_max - 1);
    struct member *member = malloc(sizeof *member);
    if (member == NULL)
        abort();
    *member = (struct member){ .group = group, .fn = fn, .arg = arg };
    member->deadline_ms = task_deadline_ms(group->parent);
    member->task = task_spawn(task_worker(group->parent), name, member_main, member);
    if (member->task == NULL) {
        free(member);
        record(group, fn(group->parent, arg)); /* suspends */
        return;
    }
    list_append(&group->members, &member->link);
    group->running++;
}

err_t
group_join(struct group *group)
{
    wait_for(group, 0);
    assert(group->running == 0);
    return group->first_err;
}
