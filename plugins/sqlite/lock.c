/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a lock store, and its two operations. What was asked late, or is asked by nobody any
 * more, is not begun; what has begun may come to hold without anybody knowing, until its lease
 * ends.
 */
#include "lock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/monotonic.h"
#include "allocate.h"
#include "lease.h"
#include "opening.h"

struct lock_store {
    struct store_config config;
    struct lease_clock clock;
    struct database *database;
    size_t jobs; /* at the writer; each holds this */
    bool is_closed;
};

struct locking {
    struct write write; /* first */
    struct lock_store *store;
    remora_call *call; /* its memory holds the texts */
    struct remora_slice resource, owner;
    int64_t lease_ms; /* of a lock */
    bool is_unlock;
    bool is_held;
    enum remora_unlock status;
};

static void
free_if_done(struct lock_store *store)
{
    if (!store->is_closed || store->jobs > 0)
        return;
    if (store->database != NULL)
        database_release(store->database);
    store_config_fini(&store->config);
    free(store);
}

/* --- operations --------------------------------------------------------------------------------*/

/* On the writer's thread. */
static struct failure *
apply(struct write *write, struct connection *connection)
{
    struct locking *locking = (struct locking *)write;
    const struct lock_store *store = locking->store;
    if (locking->is_unlock)
        return lease_end(connection, store->config.table, &store->clock, locking->resource,
                         locking->owner, &locking->status);
    return lease_take(connection, store->config.table, &store->clock, locking->resource,
                      locking->owner, locking->lease_ms, &locking->is_held);
}

static void
finish(struct job *job)
{
    struct locking *locking = (struct locking *)job;
    struct lock_store *store = locking->store;
    if (job->failure != NULL)
        remora_reply_failure(locking->call, &job->failure->base);
    else if (locking->is_unlock)
        remora_lock_reply_unlocked(locking->call, locking->status);
    else
        remora_lock_reply_tried(locking->call, locking->is_held);
    failure_free(job->failure);
    free(locking);
    store->jobs--;
    free_if_done(store);
}

static void
on_cancelled(remora_call *call, void *arg)
{
    (void)call;
    struct locking *locking = arg;
    atomic_store(&locking->write.job.is_cancelled, true);
}

static void
submit(remora_call *call, struct lock_store *store, const struct locking *wanted)
{
    struct locking *locking = allocate(sizeof(*locking));
    *locking = *wanted;
    locking->store = store;
    locking->call = call;
    locking->write = (struct write){
        .job = { .finish = finish,
                 .deadline_ms = monotonic_now_ms() + (uint64_t)store->config.timeout_ms,
                 .bytes = sizeof(*locking) + wanted->resource.len + wanted->owner.len },
        .table = store->config.table,
        .count = 1,
        .is_atomic = true,
        .apply = apply,
    };
    store->jobs++;
    remora_call_on_cancel(call, on_cancelled, locking);
    struct job *job = &locking->write.job;
    job->failure = worker_submit(&store->database->writer, job);
    if (job->failure != NULL)
        job->finish(job);
}

static void
try_lock(remora_call *call, void *self, struct remora_slice resource, struct remora_slice owner,
         uint32_t expiry_seconds)
{
    submit(call, self,
           &(struct locking){
               .resource = resource, .owner = owner, .lease_ms = (int64_t)expiry_seconds * 1000 });
}

static void
unlock(remora_call *call, void *self, struct remora_slice resource, struct remora_slice owner)
{
    submit(call, self,
           &(struct locking){ .resource = resource, .owner = owner, .is_unlock = true });
}

const struct remora_lock_ops lock_ops = { .try_lock = try_lock, .unlock = unlock };

/* --- life --------------------------------------------------------------------------------------*/

static const struct store_defaults defaults = {
    .table = "locks",
    .invalid_table = "invalid identifier",
    .invalid_metadata_table = "invalid identifier",
    .timeout_ms = 20000,
    .busy_timeout_ms = 2000,
};

void
lock_close(void *self)
{
    struct lock_store *store = self;
    store->is_closed = true;
    free_if_done(store);
}

struct initialising {
    remora_call *call;
    struct lock_store *store;
};

static void
on_opened(void *arg, struct failure *failure)
{
    struct initialising *initialising = arg;
    if (failure != NULL) {
        remora_reply_failure(initialising->call, &failure->base);
        failure_free(failure);
        lock_close(initialising->store);
    } else {
        remora_reply_init(initialising->call, initialising->store, 0, 0);
    }
    free(initialising);
}

void
lock_init(remora_call *call, const struct remora_config *config)
{
    char error[FAILURE_BYTES_MAX];
    struct lock_store *store = allocate(sizeof(*store));
    if (!store_config_init(&store->config, &defaults, config, error)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
        free(store);
        return;
    }
    if (!lease_clock_init(&store->clock)) {
        remora_reply_error(call, REMORA_FAILED_PRECONDITION, "no clock to measure leases by: %s",
                           strerror(errno));
        lock_close(store);
        return;
    }
    if (*store->config.warning != '\0')
        remora_log(REMORA_WARN, "component %.*s: %s", (int)config->name.len, config->name.data,
                   store->config.warning);
    store->database = database_take(&store->config.database);

    struct initialising *initialising = allocate(sizeof(*initialising));
    *initialising = (struct initialising){ .call = call, .store = store };
    database_open(store->database,
                  &(struct tables){ .schema = &schema_locks,
                                    .table = store->config.table,
                                    .metadata_table = store->config.metadata_table },
                  on_opened, initialising);
}
