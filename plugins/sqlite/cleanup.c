/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removes expired rows at the component's cleanupInterval. Rows are searched on the thread for long
 * reads and deleted in small transactions by the writer, so that saves wait for neither.
 */
#include <stdlib.h>

#include "allocate.h"
#include "scan.h"
#include "store.h"
#include "timestamp.h"

struct cleanup {
    struct job job; /* first */
    struct store *store;
    bool is_due;
    int64_t rowid; /* searched up to here */
    size_t count;
    int64_t rowids[CLEANUP_BATCH_ROWS];
};

static void submit(struct cleanup *cleanup, struct worker *worker,
                   void (*run)(struct job *job, struct connection *connection));

static void
run_begin(struct job *job, struct connection *connection)
{
    struct cleanup *cleanup = (struct cleanup *)job;
    const struct store_config *config = &cleanup->store->config;
    job->failure = scan_begin_cleanup(connection, config->metadata_table, "last-cleanup",
                                      config->cleanup_interval_ms, &cleanup->is_due);
}

static void
run_search(struct job *job, struct connection *connection)
{
    struct cleanup *cleanup = (struct cleanup *)job;
    connection_limit(connection, UINT64_MAX, NULL); /* ends with the worker only */
    job->failure = scan_expired(connection, cleanup->store->config.table, &cleanup->rowid,
                                cleanup->rowids, &cleanup->count);
    connection_limit(connection, 0, NULL);
}

static void
run_delete(struct job *job, struct connection *connection)
{
    struct cleanup *cleanup = (struct cleanup *)job;
    job->failure = scan_delete_expired(connection, cleanup->store->config.table, cleanup->rowids,
                                       cleanup->count);
}

static void
end(struct cleanup *cleanup)
{
    struct store *store = cleanup->store;
    if (cleanup->job.failure != NULL)
        remora_log(REMORA_WARN, "failed to remove expired state, trying again later: %s",
                   cleanup->job.failure->base.message);
    failure_free(cleanup->job.failure);
    free(cleanup);
    store->is_cleaning = false;
    store_free_if_done(store);
}

static void
finish_step(struct job *job)
{
    struct cleanup *cleanup = (struct cleanup *)job;
    struct store *store = cleanup->store;
    bool has_searched = job->run == run_search;
    if (job->failure != NULL || store->is_closed || !cleanup->is_due ||
        (has_searched && cleanup->count == 0))
        end(cleanup);
    else if (has_searched)
        submit(cleanup, &store->database->writer, run_delete);
    else
        submit(cleanup, database_reads(store->database), run_search);
}

static void
submit(struct cleanup *cleanup, struct worker *worker,
       void (*run)(struct job *job, struct connection *connection))
{
    cleanup->job = (struct job){
        .run = run, .finish = finish_step, .bytes = sizeof(*cleanup), .deadline_ms = UINT64_MAX
    };
    struct failure *failure = worker_submit(worker, &cleanup->job);
    if (failure == NULL) {
        worker_flush(worker); /* no turn of incoming calls comes by here */
        return;
    }
    cleanup->job.failure = failure;
    end(cleanup);
}

static void
on_cleanup_due(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct store *store = timer->data;
    if (store->is_cleaning)
        return;
    struct cleanup *cleanup = allocate(sizeof(*cleanup));
    cleanup->store = store;
    store->is_cleaning = true;
    submit(cleanup, &store->database->writer, run_begin);
}

void
cleanup_start(struct store *store)
{
    int64_t interval_ms = store->config.cleanup_interval_ms;
    if (interval_ms <= 0 || store->database->config.is_read_only || ev_is_active(&store->cleanup))
        return;
    double interval_s = (double)interval_ms / 1000;
    ev_timer_init(&store->cleanup, on_cleanup_due, interval_s, interval_s);
    store->cleanup.data = store;
    ev_timer_start(remora_loop(), &store->cleanup);
}

void
cleanup_stop(struct store *store)
{
    if (ev_is_active(&store->cleanup))
        ev_timer_stop(remora_loop(), &store->cleanup);
}
