/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a database and making its tables may wait for other processes, so that runs on the
 * database's writer thread.
 */
#include "opening.h"

#include <stdlib.h>

#include "allocate.h"

struct opening {
    struct job job; /* first */
    struct database *database;
    struct tables tables;
    struct connection file;    /* says which file the writer has open, nothing else */
    struct connection *reader; /* for the plugin's thread; NULL: none wanted */
    void (*done)(void *arg, struct failure *failure);
    void *arg;
};

/* On the writer's thread. */
static void
run_opening(struct job *job, struct connection *connection)
{
    struct opening *opening = (struct opening *)job;
    const struct tables *tables = &opening->tables;
    connection_expect_file(&opening->file, connection);
    job->failure = connection_check_file(connection);
    if (job->failure == NULL)
        job->failure = schema_ensure(connection, tables->schema, tables->table,
                                     tables->metadata_table);
    if (job->failure != NULL || !connection->is_wal || opening->reader == NULL)
        return;
    job->failure = connection_open(opening->reader);
}

static void
finish_opening(struct job *job)
{
    struct opening *opening = (struct opening *)job;
    if (opening->reader != NULL && opening->reader->db == NULL) {
        free(opening->reader);
        opening->reader = NULL;
    }
    if (opening->file.inode != 0 || opening->reader != NULL)
        database_opened(opening->database, &opening->file, opening->reader);
    opening->done(opening->arg, job->failure);
    free(opening);
}

void
database_open(struct database *database, const struct tables *tables,
              void (*done)(void *arg, struct failure *failure), void *arg)
{
    struct opening *opening = allocate(sizeof(*opening));
    *opening = (struct opening){
        .job = { .run = run_opening, .finish = finish_opening, .deadline_ms = UINT64_MAX },
        .database = database,
        .tables = *tables,
        .done = done,
        .arg = arg,
    };
    if (database->reader == NULL) {
        opening->reader = allocate(sizeof(*opening->reader));
        *opening->reader = (struct connection){ .config = &database->config, .role = ROLE_READER };
    }
    struct failure *failure = worker_submit(&database->writer, &opening->job);
    if (failure == NULL)
        return;
    opening->job.failure = failure;
    finish_opening(&opening->job);
}
