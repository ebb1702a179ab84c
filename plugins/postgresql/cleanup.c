/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removes expired rows at the component's cleanupInterval, in portions, so that nobody waits for
 * long. Of several sidecars on the tables one does it each time: the metadata say when the last one
 * began.
 */
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "store.h"
#include "wire.h"

enum { PORTION_ROWS = 1000, EARLY_MS = 100 };

struct cleanup {
    struct job job; /* first */
    struct command command;
    struct store *store;
    ev_timer timer;
    const char *values[2];
    int lengths[2];
    char number[8];
    uint64_t rows;
    bool is_running;
};

static bool
on_result(struct job *job, size_t command, PGresult *result)
{
    (void)command;
    ((struct cleanup *)job)->rows = pool_rows_changed(result);
    return false;
}

static void on_portion(struct job *job, const struct trouble *trouble);

static void
submit(struct cleanup *cleanup, enum layout_statement statement, int count,
       void (*done)(struct job *, const struct trouble *))
{
    cleanup->rows = 0;
    cleanup->command = (struct command){ .statement = (int)statement,
                                         .count = count,
                                         .values = cleanup->values,
                                         .lengths = cleanup->lengths };
    cleanup->job = (struct job){ .commands = &cleanup->command,
                                 .count = 1,
                                 .bytes = REQUEST_BYTES,
                                 .is_write = true,
                                 .is_exclusive = true,
                                 .on_result = on_result,
                                 .done = done };
    pool_submit(cleanup->store->pool, &cleanup->job);
}

static void
remove_portion(struct cleanup *cleanup)
{
    wire_put_i64(cleanup->number, PORTION_ROWS);
    cleanup->values[0] = cleanup->number;
    cleanup->lengths[0] = 8;
    submit(cleanup, LAYOUT_CLEAN, 1, on_portion);
}

static void
on_portion(struct job *job, const struct trouble *trouble)
{
    struct cleanup *cleanup = (struct cleanup *)job;
    if (trouble != NULL)
        remora_log(REMORA_WARN, "failed to remove expired state, trying again later: %s",
                   trouble->why);
    if (trouble == NULL && cleanup->rows > 0)
        remove_portion(cleanup);
    else
        cleanup->is_running = false;
}

/* No row was changed: another sidecar has begun less than an interval ago. */
static void
on_begun(struct job *job, const struct trouble *trouble)
{
    struct cleanup *cleanup = (struct cleanup *)job;
    if (trouble == NULL && cleanup->rows > 0)
        remove_portion(cleanup);
    else
        on_portion(job, trouble);
}

static void
on_due(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct cleanup *cleanup = timer->data;
    const struct table_settings *tables = &cleanup->store->tables;
    if (cleanup->is_running)
        return;
    cleanup->is_running = true;
    wire_put_i64(cleanup->number, tables->cleanup_interval_ms - EARLY_MS);
    cleanup->values[0] = tables->cleanup_key;
    cleanup->lengths[0] = (int)strlen(tables->cleanup_key);
    cleanup->values[1] = cleanup->number;
    cleanup->lengths[1] = 8;
    submit(cleanup, LAYOUT_BEGIN_CLEANUP, 2, on_begun);
}

void
cleanup_start(struct store *store)
{
    if (store->tables.cleanup_interval_ms == 0)
        return;
    double interval_s = (double)store->tables.cleanup_interval_ms / 1000;
    struct cleanup *cleanup = memory_new(sizeof *cleanup);
    cleanup->store = store;
    ev_timer_init(&cleanup->timer, on_due, interval_s, interval_s);
    cleanup->timer.data = cleanup;
    ev_timer_start(remora_loop(), &cleanup->timer);
    store->cleanup = cleanup;
}

/* Before the pool goes, which forgets the job. */
void
cleanup_stop(struct store *store)
{
    struct cleanup *cleanup = store->cleanup;
    store->cleanup = NULL;
    if (cleanup == NULL)
        return;
    ev_timer_stop(remora_loop(), &cleanup->timer);
    free(cleanup);
}
