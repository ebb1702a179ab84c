/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A database file within this process, shared by all components that name it with the same
 * options: one writer thread, so that their saves go to the disk together; one thread for long
 * reads; and a connection for point reads on the plugin's own thread.
 *
 * Without a WAL readers and the writer lock each other out, and an in-memory database has only one
 * connection: then the writer thread does everything.
 */
#ifndef SQLITE_PLUGIN_DATABASE_H
#define SQLITE_PLUGIN_DATABASE_H

#include "worker.h"

struct database {
    struct database *next;
    struct database_config config;
    unsigned refs;
    unsigned threads; /* workers that have not stopped */
    struct worker writer, scanner;
    dev_t device; /* of the file, as opened */
    ino_t inode;
    struct connection *reader; /* NULL: reads go to the writer. Plugin thread. */
    bool is_file_checked;      /* in this turn of the loop */
};

/* Is its file still the one that was opened? */
bool database_is_usable(const struct database *database);

/* Finds or makes it; config's strings are moved. Nothing is opened yet. */
struct database *database_take(struct database_config *config);
void database_release(struct database *database);

/* The thread for reads that may take long. */
struct worker *database_reads(struct database *database);

/* The connection for reading on the plugin's thread; NULL if there is none, or if the file is gone:
 * what database_reads() is asked then says so. */
struct connection *database_reader(struct database *database);

/* True if the file has changed since *version was noted, or if that cannot be told. Costs no I/O.
 */
bool database_has_changed(struct database *database, int64_t *version);

/* The writer has opened `file`; `reader`, or NULL, is a connection to it for point reads. It is
 * closed here if there is one already. */
void database_opened(struct database *database, const struct connection *file,
                     struct connection *reader);

/* Hands over what was submitted since the last time, of all databases. */
void database_flush_all(void);

/* Ends every thread; the process is about to exit. */
void database_stop_all(void);

#endif
