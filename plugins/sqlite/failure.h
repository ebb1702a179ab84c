/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a request failed, in a form that travels from a database thread to the reply. A failure is
 * owned by whoever holds the pointer; NULL means success.
 */
#ifndef SQLITE_PLUGIN_FAILURE_H
#define SQLITE_PLUGIN_FAILURE_H

#include <remora_plugin.h>
#include <sqlite3.h>

enum { FAILURE_BYTES_MAX = 320 };

struct failure {
    struct remora_failure base; /* message points to `message` */
    char message[FAILURE_BYTES_MAX];
};

/* How far a write had come: it decides what the caller may assume about its effect. */
enum failure_stage {
    STAGE_STATEMENT, /* the transaction is rolled back, nothing happened */
    STAGE_COMMIT,    /* bytes may be on the disk */
};

struct failure *failure_new(enum remora_code code, enum remora_effect effect, const char *format,
                            ...) __attribute__((format(printf, 3, 4)));

/* From the result of an SQLite call; `what`, or NULL, says what was being done. */
struct failure *
failure_from_sqlite(sqlite3 *db, int rc, enum failure_stage stage, const char *what);

/* The one failure that is business as usual. Not allocated; failure_free() knows it. */
struct failure *failure_etag_mismatch(void);

/* A lock can stand in the way of a reader for a moment even with a WAL (recovery, the last
 * connection of another process closing): a thread that may wait for it reads again. */
bool failure_is_lock(const struct failure *failure);

struct failure *failure_copy(const struct failure *failure);
void failure_free(struct failure *failure);

#endif
