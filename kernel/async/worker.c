/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of a worker; see worker.h. With stream.c the only user of h2o below http/. */
#include "async/worker.h"

#include <assert.h>
#include <errno.h>
#include <h2o.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum { CREW_POLL_MS = 5 }; /* only while a crew ends */

static __thread struct worker *current;

struct worker *
worker_current(void)
{
    return current;
}

/* Any thread. */
static void
wake(void *arg)
{
    const struct worker *worker = arg;
    const uint64_t one = 1;
    ssize_t written = write(worker->wake_fd, &one, sizeof one);
    (void)written; /* a full counter wakes as well */
}

static void
on_wake(h2o_socket_t *sock, const char *err)
{
    (void)err;
    uint64_t count;
    const struct worker *worker = sock->data;
    ssize_t got = read(worker->wake_fd, &count, sizeof count);
    (void)got; /* the mail is looked at in every turn anyway */
}

static void
read_clock(struct worker *worker)
{
    worker->now_ns = clock_now_ns();
    worker->now_ms = worker->now_ns / 1000000u;
}

err_t
worker_init(struct worker *worker, unsigned index)
{
    *worker = (struct worker){ .index = index, .wake_fd = -1 };
    worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->wake_fd < 0)
        return ERR_IO;
    worker->loop = h2o_evloop_create();
    worker->wake_socket = h2o_evloop_socket_create(worker->loop, worker->wake_fd,
                                                   H2O_SOCKET_FLAG_DONT_READ);
    worker->wake_socket->data = worker;
    h2o_socket_read_start(worker->wake_socket, on_wake);
    mailbox_init(&worker->mailbox, wake, worker);
    task_pool_init(&worker->tasks);
    list_init(&worker->flushers);
    read_clock(worker);
    return OK;
}

static void
run_flushers(struct worker *worker)
{
    struct list batch, *node;
    list_init(&batch);
    list_splice(&batch, &worker->flushers);
    while ((node = list_take_first(&batch)) != NULL) {
        struct flusher *flusher = LIST_ENTRY(node, struct flusher, link);
        flusher->flush(flusher);
    }
}

static bool
has_work(const struct worker *worker)
{
    return !list_is_empty(&worker->tasks.ready) || !list_is_empty(&worker->flushers) ||
           /* h2o keeps callbacks of writes that ended at once; it does not look before it polls */
           worker->loop->_pending_as_client != NULL || worker->loop->_pending_as_server != NULL;
}

static int32_t
poll_wait_ms(const struct worker *worker, uint64_t max_wait_ms)
{
    if (has_work(worker))
        return 0;
    uint64_t next_ms = timer_heap_next_ms(&worker->timers), now_ms = clock_now_ms();
    uint64_t wait_ms = next_ms <= now_ms ? 0 : next_ms - now_ms;
    if (wait_ms > max_wait_ms)
        wait_ms = max_wait_ms;
    return wait_ms > INT32_MAX ? INT32_MAX : (int32_t)wait_ms;
}

void
worker_turn(struct worker *worker, uint64_t max_wait_ms)
{
    struct worker *outer = current;
    current = worker;
    if (h2o_evloop_run(worker->loop, poll_wait_ms(worker, max_wait_ms)) != 0 && errno != EINTR)
        log_error("remora.worker", "polling failed (errno %d), trying again", errno);
    read_clock(worker);
    (void)mailbox_run(&worker->mailbox); /* whether there was mail does not matter */
    timer_heap_run(&worker->timers, worker->now_ms);
    task_run_ready(worker);
    run_flushers(worker);
    current = outer;
}

static void
set_busy(struct worker *worker, bool is_busy)
{
    if (worker->crew == NULL || worker->is_busy == is_busy)
        return;
    worker->is_busy = is_busy;
    /* Release, for the acquire in is_over(): who sees 0 has all mail that was sent before. */
    if (is_busy)
        (void)atomic_fetch_add_explicit(&worker->crew->busy, 1, memory_order_acq_rel);
    else
        (void)atomic_fetch_sub_explicit(&worker->crew->busy, 1, memory_order_acq_rel);
}

static bool
is_over(struct worker *worker)
{
    bool is_idle = worker->is_stopping && worker->tasks.count == 0;
    set_busy(worker, !is_idle);
    return is_idle && (worker->crew == NULL ||
                       atomic_load_explicit(&worker->crew->busy, memory_order_acquire) == 0);
}

void
worker_run(struct worker *worker)
{
    while (!is_over(worker))
        worker_turn(worker, worker->is_stopping && worker->crew != NULL ? CREW_POLL_MS : INT32_MAX);
}

static void *
thread_main(void *arg)
{
    worker_run(arg);
    return NULL;
}

/* Signals are the main thread's: a worker blocks them all. */
err_t
worker_start(struct worker *worker)
{
    sigset_t all, old;
    set_busy(worker, true);
    (void)sigfillset(&all); /* cannot fail */
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&worker->thread, NULL, thread_main, worker);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    worker->has_thread = failed == 0;
    if (failed != 0)
        set_busy(worker, false);
    return failed == 0 ? OK : ERR_IO;
}

struct stop_mail {
    struct mail mail;
    struct worker *worker;
};

static void
on_stop(struct mail *mail)
{
    struct stop_mail *stop = container_of(mail, struct stop_mail, mail);
    stop->worker->is_stopping = true;
    free(stop);
}

void
worker_stop(struct worker *worker)
{
    struct stop_mail *stop = malloc(sizeof *stop);
    if (stop == NULL)
        abort();
    stop->worker = worker;
    worker_post(worker, &stop->mail, on_stop);
}

void
worker_join(struct worker *worker)
{
    if (!worker->has_thread)
        return;
    (void)pthread_join(worker->thread, NULL); /* fails only for a thread that is not ours */
    worker->has_thread = false;
}

void
worker_post(struct worker *worker, struct mail *mail, mail_fn *fn)
{
    mailbox_post(&worker->mailbox, mail, fn);
}

void
worker_fini(struct worker *worker)
{
    assert(!worker->has_thread);
    current = worker;
    while (mailbox_run(&worker->mailbox))
        ; /* mail may own memory, and what ends by it sends more */
    current = NULL;
    h2o_socket_close(worker->wake_socket);
    h2o_evloop_destroy(worker->loop);
    timer_heap_fini(&worker->timers);
    task_pool_fini(&worker->tasks);
}
