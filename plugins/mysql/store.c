/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a component of type `state.mysql`, and the removal of what has expired.
 */
#include "store.h"

#include "../shared/memory.h"
#include "../shared/monotonic.h"

static const uint32_t capabilities = REMORA_CAP_ETAG | REMORA_CAP_TRANSACTIONAL | REMORA_CAP_TTL |
                                     REMORA_CAP_KEYS_LIKE;

static void
free_if_done(struct store *store)
{
    if (!store->is_closed || store->is_cleaning)
        return;
    pool_release(store->pool);
    settings_fini(&store->settings);
    free(store);
}

void
store_close(void *self)
{
    struct store *store = self;
    if (ev_is_active(&store->cleanup))
        ev_timer_stop(remora_loop(), &store->cleanup);
    store->is_closed = true;
    free_if_done(store);
}

/* --- init --------------------------------------------------------------------------------------*/

struct opening {
    struct job job; /* first */
    remora_call *call;
    struct store *store;
};

static void
run_opening(struct job *job, struct session *session)
{
    struct opening *opening = (struct opening *)job;
    job->failure = table_prepare(session, &opening->store->table);
}

static void
finish_opening(struct job *job)
{
    struct opening *opening = (struct opening *)job;
    struct store *store = opening->store;
    if (job->failure != NULL) {
        remora_reply_failure(opening->call, &job->failure->base);
        failure_free(job->failure);
        store_close(store);
    } else {
        if (!store->table.is_exact)
            remora_log(REMORA_WARN,
                       "table %s: its collation '%s' takes some keys for the same that are not; "
                       "saving such a key fails",
                       store->table.name, store->table.collation);
        remora_reply_init(opening->call, store, capabilities, 0);
    }
    free(opening);
}

void
store_init(remora_call *call, const struct remora_config *config)
{
    char why[FAILURE_BYTES_MAX];
    struct store *store = memory_new(sizeof(*store));
    if (!settings_init(&store->settings, config, why)) {
        free(store);
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        return;
    }
    if (store->settings.warning[0] != '\0')
        remora_log(REMORA_WARN, "component %.*s: %s", (int)config->name.len, config->name.data,
                   store->settings.warning);
    store->table = (struct table){ .name = store->settings.table,
                                   .metadata_name = store->settings.metadata_table };
    store->timeout_ms = store->settings.server.timeout_ms;
    store->pool = pool_take(&store->settings.server);

    struct opening *opening = memory_new(sizeof(*opening));
    *opening = (struct opening){ .job = { .run = run_opening,
                                          .finish = finish_opening,
                                          .bytes = sizeof(*opening),
                                          .is_first = true,
                                          .deadline_ms = monotonic_now_ms() +
                                                         (uint64_t)store->timeout_ms },
                                 .call = call,
                                 .store = store };
    struct failure *failure = pool_submit(store->pool, &opening->job);
    if (failure == NULL)
        return;
    opening->job.failure = failure;
    finish_opening(&opening->job);
}

/* --- cleanup -----------------------------------------------------------------------------------*/

struct cleaning {
    struct job job; /* first */
    struct store *store;
};

static void
run_cleaning(struct job *job, struct session *session)
{
    const struct store *store = ((struct cleaning *)job)->store;
    bool is_due = false;
    job->failure = table_begin_cleanup(session, &store->table, store->settings.cleanup_interval_ms,
                                       &is_due);
    while (job->failure == NULL && is_due && !atomic_load(&job->is_cancelled))
        job->failure = table_clean(session, &store->table, &is_due);
}

static void
finish_cleaning(struct job *job)
{
    struct cleaning *cleaning = (struct cleaning *)job;
    struct store *store = cleaning->store;
    if (job->failure != NULL)
        remora_log(REMORA_WARN, "failed to remove expired state, trying again later: %s",
                   job->failure->message);
    failure_free(job->failure);
    free(cleaning);
    store->is_cleaning = false;
    free_if_done(store);
}

static void
on_cleanup_due(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct store *store = timer->data;
    if (store->is_cleaning)
        return;
    struct cleaning *cleaning = memory_new(sizeof(*cleaning));
    *cleaning = (struct cleaning){ .job = { .run = run_cleaning,
                                            .finish = finish_cleaning,
                                            .bytes = sizeof(*cleaning),
                                            .deadline_ms = UINT64_MAX },
                                   .store = store };
    store->is_cleaning = true;
    cleaning->job.failure = pool_submit(store->pool, &cleaning->job);
    if (cleaning->job.failure != NULL)
        finish_cleaning(&cleaning->job);
}

void
store_start(remora_call *call, void *self)
{
    struct store *store = self;
    double interval_s = (double)store->settings.cleanup_interval_ms / 1000;
    if (interval_s > 0 && !ev_is_active(&store->cleanup)) {
        ev_timer_init(&store->cleanup, on_cleanup_due, interval_s, interval_s);
        store->cleanup.data = store;
        ev_timer_start(remora_loop(), &store->cleanup);
    }
    remora_reply_ok(call);
}
