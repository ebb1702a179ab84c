/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns SQLite's result codes into what a caller can act on: a status code, whether the write may
 * have happened, and the text the reference component would show (message, number and, for a lock,
 * the name of the code).
 */
#include "failure.h"

#include <stdarg.h>
#include <stdio.h>

#include "allocate.h"

static struct failure etag_mismatch = {
    .base = { .code = REMORA_ABORTED,
              .effect = REMORA_EFFECT_FAILED,
              .reason = REMORA_REASON_ETAG_MISMATCH,
              .message = "possible etag mismatch. error from state store" },
};

struct failure *
failure_etag_mismatch(void)
{
    return &etag_mismatch;
}

struct failure *
failure_new(enum remora_code code, enum remora_effect effect, const char *format, ...)
{
    struct failure *failure = allocate(sizeof(*failure));
    failure->base = (struct remora_failure){ .code = code,
                                             .effect = effect,
                                             .message = failure->message };
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure->message, sizeof(failure->message), format, arguments);
    va_end(arguments);
    return failure;
}

struct meaning {
    int rc; /* primary result code */
    enum remora_code code;
    enum remora_effect effect;
};

static const struct meaning meanings[] = {
    { SQLITE_BUSY, REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT },
    { SQLITE_LOCKED, REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT },
    { SQLITE_INTERRUPT, REMORA_DEADLINE_EXCEEDED, REMORA_EFFECT_FAILED },
    { SQLITE_FULL, REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED },
    { SQLITE_NOMEM, REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED },
    { SQLITE_TOOBIG, REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED },
    { SQLITE_READONLY, REMORA_FAILED_PRECONDITION, REMORA_EFFECT_FAILED },
    { SQLITE_CANTOPEN, REMORA_FAILED_PRECONDITION, REMORA_EFFECT_FAILED },
    { SQLITE_CONSTRAINT, REMORA_FAILED_PRECONDITION, REMORA_EFFECT_FAILED },
    { SQLITE_PERM, REMORA_PERMISSION_DENIED, REMORA_EFFECT_FAILED },
    { SQLITE_AUTH, REMORA_PERMISSION_DENIED, REMORA_EFFECT_FAILED },
    { SQLITE_CORRUPT, REMORA_DATA_LOSS, REMORA_EFFECT_FAILED },
    { SQLITE_NOTADB, REMORA_DATA_LOSS, REMORA_EFFECT_FAILED },
};

struct failure *
failure_from_sqlite(sqlite3 *db, int rc, enum failure_stage stage, const char *what)
{
    int primary = rc & 0xff;
    struct meaning meaning = { primary, REMORA_INTERNAL, REMORA_EFFECT_FAILED };
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (meanings[i].rc == primary)
            meaning = meanings[i];
    /* A commit that failed while syncing may still be found by the next recovery. Lack of space or
     * of a lock is noticed before the commit record is written. */
    if (stage == STAGE_COMMIT && primary != SQLITE_BUSY && primary != SQLITE_FULL)
        meaning.effect = REMORA_EFFECT_UNKNOWN;

    /* errmsg belongs to the latest call on this connection, which the caller vouches for; a
     * connection that could not be opened has none. */
    const char *text = db != NULL && (sqlite3_errcode(db) & 0xff) == primary ? sqlite3_errmsg(db)
                                                                             : sqlite3_errstr(rc);
    const char *name = primary == SQLITE_BUSY ? " (SQLITE_BUSY)" : "";
    return failure_new(meaning.code, meaning.effect, "%s%s%s (%d)%s", what != NULL ? what : "",
                       what != NULL ? ": " : "", text, rc, name);
}

bool
failure_is_lock(const struct failure *failure)
{
    return failure != NULL && failure->base.effect == REMORA_EFFECT_NOT_SENT;
}

struct failure *
failure_copy(const struct failure *failure)
{
    if (failure == &etag_mismatch)
        return &etag_mismatch;
    struct failure *copy = allocate(sizeof(*copy));
    *copy = *failure;
    copy->base.message = copy->message;
    return copy;
}

void
failure_free(struct failure *failure)
{
    if (failure != &etag_mismatch)
        free(failure);
}
