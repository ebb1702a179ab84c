/* SPDX-License-Identifier: Apache-2.0 */
/* Calls between workers; see remote.h. */
#include "async/remote.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "async/worker.h"

/* On the heap and counted: a cancel may still be on its way when the call has ended. */
struct remote {
    atomic_uint refs;
    struct worker *worker;
    const char *name;
    remote_fn *fn;
    void *arg;
    uint64_t time_left_ms;
    struct task *task; /* there, while fn runs; touched on that worker only */
    struct mail start;
    struct wait *wait; /* the caller's; valid until done */
};

struct cancel {
    struct mail mail;
    struct remote *remote; /* counted */
};

/* The wait that carries its remote, for the cancel hook. */
struct remote_wait {
    struct wait wait;
    struct remote *remote;
};

static void
remote_unref(struct remote *remote)
{
    if (atomic_fetch_sub_explicit(&remote->refs, 1, memory_order_acq_rel) == 1)
        free(remote);
}

static void
remote_main(struct task *t, void *arg)
{
    struct remote *remote = arg;
    if (remote->time_left_ms != UINT64_MAX)
        (void)task_deadline_push(t, remote->time_left_ms); /* for the task's whole life */
    err_t err = remote->fn(t, remote->arg);
    remote->task = NULL;
    wait_done(remote->wait, err);
    remote_unref(remote);
}

static void
on_start(struct mail *mail)
{
    struct remote *remote = container_of(mail, struct remote, start);
    remote->task = task_spawn(remote->worker, remote->name, remote_main, remote);
    if (remote->task == NULL) {
        wait_done(remote->wait, ERR_OVERLOADED);
        remote_unref(remote);
    }
}

static void
on_cancel(struct mail *mail)
{
    struct cancel *cancel = container_of(mail, struct cancel, mail);
    if (cancel->remote->task != NULL)
        task_cancel(cancel->remote->task);
    remote_unref(cancel->remote);
    free(cancel);
}

static void
ask_to_cancel(struct wait *wait)
{
    struct remote *remote = container_of(wait, struct remote_wait, wait)->remote;
    struct cancel *cancel = malloc(sizeof *cancel);
    if (cancel == NULL)
        abort();
    cancel->remote = remote;
    atomic_fetch_add_explicit(&remote->refs, 1, memory_order_relaxed);
    worker_post(remote->worker, &cancel->mail, on_cancel);
}

err_t
remote_run(struct task *t, struct worker *worker, const char *name, remote_fn *fn, void *arg)
{
    if (worker == task_worker(t))
        return fn(t, arg);
    struct remote *remote = malloc(sizeof *remote);
    if (remote == NULL)
        abort();
    struct remote_wait call = { .remote = remote };
    wait_init(&call.wait, t, ask_to_cancel);
    *remote = (struct remote){ .worker = worker,
                               .name = name,
                               .fn = fn,
                               .arg = arg,
                               .time_left_ms = task_time_left_ms(t),
                               .wait = &call.wait };
    atomic_init(&remote->refs, 2); /* the caller's and the other worker's */
    worker_post(worker, &remote->start, on_start);
    err_t err = TASK_WAIT(t, &call.wait);
    remote_unref(remote);
    return err;
}

struct arrival {
    struct mail mail;
    struct wait wait;
};

static void
on_arrival(struct mail *mail)
{
    wait_done(&container_of(mail, struct arrival, mail)->wait, OK);
}

err_t
remote_catch_up(struct task *t)
{
    struct arrival arrival;
    wait_init(&arrival.wait, t, NULL);
    worker_post(task_worker(t), &arrival.mail, on_arrival);
    return TASK_WAIT_OUT(t, &arrival.wait);
}
