/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A component's life. Opening a database and making its tables may wait for other processes, so
 * that runs on the database's writer thread; everything here runs on the plugin's.
 */
#include "store.h"

#include <stdlib.h>

#include "allocate.h"
#include "schema.h"
#include "timestamp.h"

static const uint32_t capabilities = REMORA_CAP_ETAG | REMORA_CAP_TRANSACTIONAL |
                                     REMORA_CAP_QUERY_API | REMORA_CAP_TTL | REMORA_CAP_KEYS_LIKE;

struct opening {
    struct job job; /* first */
    remora_call *call;
    struct store *store;
    struct connection file;    /* says which file the writer has open, nothing else */
    struct connection *reader; /* for the plugin's thread; NULL: none wanted */
};

void
store_free_if_done(struct store *store)
{
    if (!store->is_closed || store->is_cleaning)
        return;
    database_release(store->database);
    store_config_fini(&store->config);
    free(store);
}

void
store_close(void *self)
{
    struct store *store = self;
    cleanup_stop(store);
    store->is_closed = true;
    store_free_if_done(store);
}

void
store_start(remora_call *call, void *self)
{
    cleanup_start(self);
    remora_reply_ok(call);
}

/* On the writer's thread. */
static void
run_opening(struct job *job, struct connection *connection)
{
    struct opening *opening = (struct opening *)job;
    const struct store_config *config = &opening->store->config;
    connection_expect_file(&opening->file, connection);
    job->failure = connection_check_file(connection);
    if (job->failure == NULL)
        job->failure = schema_ensure(connection, config->table, config->metadata_table);
    if (job->failure != NULL || !connection->is_wal || opening->reader == NULL)
        return;
    job->failure = connection_open(opening->reader);
}

static void
finish_opening(struct job *job)
{
    struct opening *opening = (struct opening *)job;
    struct store *store = opening->store;
    if (opening->reader != NULL && opening->reader->db == NULL) {
        free(opening->reader);
        opening->reader = NULL;
    }
    if (opening->file.inode != 0 || opening->reader != NULL)
        database_opened(store->database, &opening->file, opening->reader);
    if (job->failure != NULL) {
        remora_reply_failure(opening->call, &job->failure->base);
        failure_free(job->failure);
        store_close(store);
    } else {
        remora_reply_init(opening->call, store, capabilities, 0);
    }
    free(opening);
}

void
store_init(remora_call *call, const struct remora_config *config)
{
    char error[FAILURE_BYTES_MAX];
    struct store *store = allocate(sizeof(*store));
    if (!store_config_init(&store->config, config, error)) {
        free(store);
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
        return;
    }
    if (*store->config.warning != '\0')
        remora_log(REMORA_WARN, "component %.*s: %s", (int)config->name.len, config->name.data,
                   store->config.warning);
    store->database = database_take(&store->config.database);

    struct opening *opening = allocate(sizeof(*opening));
    opening->call = call;
    opening->store = store;
    if (store->database->reader == NULL) {
        opening->reader = allocate(sizeof(*opening->reader));
        *opening->reader = (struct connection){ .config = &store->database->config,
                                                .role = ROLE_READER };
    }
    opening->job = (struct job){ .run = run_opening,
                                 .finish = finish_opening,
                                 .deadline_ms = UINT64_MAX };
    struct failure *failure = worker_submit(&store->database->writer, &opening->job);
    if (failure == NULL)
        return;
    opening->job.failure = failure;
    finish_opening(&opening->job);
}
