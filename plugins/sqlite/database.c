/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The databases of this process. Plugin thread only.
 */
#include "database.h"

#include <string.h>
#include <sys/stat.h>

#include "allocate.h"

static struct database *open_databases;    /* in use */
static struct database *closing_databases; /* their threads are ending */

static void
on_worker_stopped(struct worker *worker)
{
    struct database *database = worker->database;
    if (--database->threads > 0)
        return;
    struct database **link = &closing_databases;
    while (*link != database)
        link = &(*link)->next;
    *link = database->next;
    worker_fini(&database->writer);
    worker_fini(&database->scanner);
    database_config_fini(&database->config);
    free(database);
}

/* A file that was replaced under a running component is not shared with a new one: the new one
 * opens what is there now. */
bool
database_is_usable(const struct database *database)
{
    struct stat st;
    return database->inode == 0 || database->config.path == NULL ||
           (stat(database->config.path, &st) == 0 && st.st_ino == database->inode &&
            st.st_dev == database->device);
}

struct database *
database_take(struct database_config *config)
{
    for (struct database *database = open_databases; database != NULL; database = database->next) {
        if (strcmp(database->config.identity, config->identity) == 0 &&
            database_is_usable(database)) {
            database->refs++;
            return database;
        }
    }
    struct database *database = allocate(sizeof(*database));
    database->config = *config;
    *config = (struct database_config){ .uri = NULL };
    database->refs = 1;
    database->threads = 2;
    worker_init(&database->writer, &database->config, ROLE_WRITER, database);
    worker_init(&database->scanner, &database->config, ROLE_SCANNER, database);
    database->writer.on_stopped = database->scanner.on_stopped = on_worker_stopped;
    database->next = open_databases;
    open_databases = database;
    return database;
}

void
database_release(struct database *database)
{
    if (--database->refs > 0)
        return;
    struct database **link = &open_databases;
    while (*link != database)
        link = &(*link)->next;
    *link = database->next;
    database->next = closing_databases;
    closing_databases = database;

    if (database->reader != NULL)
        connection_close(database->reader);
    free(database->reader);
    database->reader = NULL;
    /* The scanner first: the last connection to close does the checkpoint, off this thread. */
    struct worker *writer = &database->writer;
    worker_stop(&database->scanner);
    worker_stop(writer);
}

struct worker *
database_reads(struct database *database)
{
    return database->reader != NULL ? &database->scanner : &database->writer;
}

struct connection *
database_reader(struct database *database)
{
    if (database->reader == NULL || database->is_file_checked)
        return database->reader;
    struct failure *failure = connection_check_file(database->reader);
    database->is_file_checked = failure == NULL;
    failure_free(failure);
    return database->is_file_checked ? database->reader : NULL;
}

bool
database_has_changed(struct database *database, int64_t *version)
{
    struct connection *reader = database_reader(database);
    sqlite3_stmt *statement = NULL;
    if (reader == NULL ||
        sqlite3_prepare_v2(reader->db, "PRAGMA data_version", -1, &statement, NULL) != SQLITE_OK)
        return true;
    bool changed = true;
    if (sqlite3_step(statement) == SQLITE_ROW) {
        int64_t now = sqlite3_column_int64(statement, 0);
        changed = now != *version;
        *version = now;
    }
    sqlite3_finalize(statement);
    return changed;
}

void
database_opened(struct database *database, const struct connection *file, struct connection *reader)
{
    database->device = file->device;
    database->inode = file->inode;
    if (reader != NULL && database->reader == NULL) {
        database->reader = reader;
        /* The thread has not begun: it gets its first job after this. */
        connection_expect_file(&database->scanner.connection, file);
    } else if (reader != NULL) {
        connection_close(reader);
        free(reader);
    }
}

void
database_flush_all(void)
{
    for (struct database *database = open_databases; database != NULL; database = database->next) {
        worker_flush(&database->writer);
        worker_flush(&database->scanner);
        database->is_file_checked = false;
    }
}

/* The exit of the process frees the rest. */
static void
on_stopped_at_exit(struct worker *worker)
{
    (void)worker;
}

void
database_stop_all(void)
{
    for (struct database *database = open_databases; database != NULL; database = database->next) {
        database->scanner.on_stopped = database->writer.on_stopped = on_stopped_at_exit;
        worker_stop(&database->scanner);
        worker_stop(&database->writer);
    }
    for (struct database *database = open_databases; database != NULL; database = database->next) {
        worker_join(&database->scanner);
        worker_join(&database->writer);
        if (database->reader != NULL)
            connection_close(database->reader);
    }
    for (struct database *database = closing_databases; database != NULL;
         database = database->next) {
        worker_join(&database->scanner);
        worker_join(&database->writer);
    }
}
