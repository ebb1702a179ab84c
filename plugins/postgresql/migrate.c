/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables that are not there, or are those of an older reference, are brought to the newest level.
 * Of tables that have it nothing is changed, nor any right to do so needed. Several sidecars,
 * Remora's and Dapr's, may do it at once: each holds the same row while it does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "store.h"
#include "wire.h"

enum { ATTEMPTS_MAX = 20, PAUSE_MS = 50 };

struct migration {
    struct job job; /* first */
    struct command command;
    struct store *store;
    void (*done)(struct store *store, const char *why);
    ev_timer pause;
    const char *values[1];
    int lengths[1];
    char *script; /* owned */
    char level_text[32];
    int level;
    unsigned attempts;
};

static void read_level(struct migration *migration);

static void
finish(struct migration *migration, const char *why)
{
    void (*done)(struct store * store, const char *why) = migration->done;
    struct store *store = migration->store;
    ev_timer_stop(remora_loop(), &migration->pause);
    free(migration->script);
    free(migration);
    done(store, why);
}

static void
on_pause(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    read_level(timer->data);
}

/* Somebody else does the same: what is there then is looked at again. */
static bool
is_race(const struct trouble *trouble)
{
    static const char *const states[] = {
        LAYOUT_FAILED_STATE, "23505", "42P07", "42710", "40001", "40P01"
    };
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(trouble->state, states[i]) == 0)
            return true;
    return false;
}

static void
fail(struct migration *migration, const struct trouble *trouble)
{
    char why[TROUBLE_WHY_BYTES + 64];
    if (is_race(trouble) && ++migration->attempts < ATTEMPTS_MAX) {
        ev_timer_set(&migration->pause, PAUSE_MS / 1000.0, 0);
        ev_timer_start(remora_loop(), &migration->pause);
        return;
    }
    snprintf(why, sizeof why, "failed to perform migrations: %s", trouble->why);
    finish(migration, why);
}

static void
submit(struct migration *migration, bool (*on_result)(struct job *, size_t, PGresult *),
       void (*done)(struct job *, const struct trouble *))
{
    migration->job = (struct job){ .commands = &migration->command,
                                   .count = 1,
                                   .bytes = REQUEST_BYTES,
                                   .is_write = true,
                                   .is_exclusive = true,
                                   .is_plain = on_result == NULL,
                                   .is_script = on_result == NULL,
                                   .on_result = on_result,
                                   .done = done };
    pool_submit(migration->store->pool, &migration->job);
}

static void
on_stepped(struct job *job, const struct trouble *trouble)
{
    struct migration *migration = (struct migration *)job;
    if (trouble != NULL)
        fail(migration, trouble);
    else
        finish(migration, NULL);
}

static void
on_created(struct job *job, const struct trouble *trouble)
{
    struct migration *migration = (struct migration *)job;
    if (trouble != NULL) {
        fail(migration, trouble);
        return;
    }
    struct store *store = migration->store;
    free(migration->script);
    migration->script = layout_script(&store->layout, &store->tables, migration->level);
    migration->command = (struct command){ .statement = -1, .sql = migration->script };
    submit(migration, NULL, on_stepped);
}

static bool
on_level(struct job *job, size_t command, PGresult *result)
{
    (void)command;
    struct migration *migration = (struct migration *)job;
    if (PQntuples(result) > 0)
        snprintf(migration->level_text, sizeof migration->level_text, "%.*s",
                 PQgetlength(result, 0, 0), PQgetvalue(result, 0, 0));
    return false;
}

/* The table may not be there. Levels above ours are a newer reference's; it keeps what older ones
 * read. */
static void
on_level_read(struct job *job, const struct trouble *trouble)
{
    struct migration *migration = (struct migration *)job;
    const struct layout *layout = &migration->store->layout;
    const char *text = migration->level_text;
    int64_t level = -1;
    if (trouble != NULL && strcmp(trouble->state, "42P01") != 0) {
        fail(migration, trouble);
        return;
    }
    if (!remora_parse_i64((struct remora_slice){ text, strlen(text) }, &level) || level < 0) {
        finish(migration, "failed to perform migrations: invalid migration level found in "
                          "metadata table");
        return;
    }
    if (level >= layout->step_count) {
        finish(migration, NULL);
        return;
    }
    migration->level = (int)level;
    migration->command = (struct command){ .statement = -1, .sql = layout->create_metadata };
    submit(migration, NULL, on_created);
}

static void
read_level(struct migration *migration)
{
    const struct store *store = migration->store;
    migration->values[0] = store->tables.level_key;
    migration->lengths[0] = (int)strlen(store->tables.level_key);
    snprintf(migration->level_text, sizeof migration->level_text, "0");
    migration->command = (struct command){ .statement = -1,
                                           .sql = store->layout.read_level,
                                           .count = 1,
                                           .values = migration->values,
                                           .lengths = migration->lengths };
    submit(migration, on_level, on_level_read);
}

void
store_migrate(struct store *store, void (*done)(struct store *store, const char *why))
{
    struct migration *migration = memory_new(sizeof *migration);
    migration->store = store;
    migration->done = done;
    ev_timer_init(&migration->pause, on_pause, 0, 0);
    migration->pause.data = migration;
    read_level(migration);
}
