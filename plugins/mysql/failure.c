/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns the server's error numbers into what a caller can act on: a status code, whether the write
 * may have happened, and the text in the form that the reference component shows.
 */
#include "failure.h"

#include <mariadb/errmsg.h>
#include <mariadb/mysqld_error.h>
#include <stdarg.h>
#include <stdio.h>

#include "../shared/memory.h"

/* Of MySQL 8 only; MariaDB's header does not have them. */
enum {
    MYSQL_INVALID_JSON_TEXT = 3140,
    MYSQL_INVALID_JSON_CHARSET = 3144,
    MYSQL_JSON_TOO_DEEP = 3157,
    MYSQL_CHECK_VIOLATED = 3819,
};

struct failure *
failure_new(enum remora_code code, enum remora_effect effect, const char *format, ...)
{
    struct failure *failure = memory_new(sizeof(*failure));
    failure->base = (struct remora_failure){ .code = code,
                                             .effect = effect,
                                             .message = failure->message };
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(failure->message, sizeof(failure->message), format, arguments);
    va_end(arguments);
    return failure;
}

struct failure *
failure_etag_mismatch(void)
{
    struct failure *failure = failure_new(REMORA_ABORTED, REMORA_EFFECT_FAILED,
                                          "possible etag mismatch. error from state store");
    failure->base.reason = REMORA_REASON_ETAG_MISMATCH;
    return failure;
}

struct meaning {
    unsigned number;
    enum remora_code code;
    enum failure_kind kind;
    enum remora_effect effect;
};

/* What is not here is internal, and has had no effect. */
static const struct meaning meanings[] = {
    { ER_LOCK_DEADLOCK, REMORA_UNAVAILABLE, FAILURE_CONFLICT, REMORA_EFFECT_NOT_SENT },
    { ER_LOCK_WAIT_TIMEOUT, REMORA_UNAVAILABLE, FAILURE_CONFLICT, REMORA_EFFECT_NOT_SENT },
    { ER_CHECKREAD, REMORA_UNAVAILABLE, FAILURE_CONFLICT, REMORA_EFFECT_NOT_SENT },
    { ER_CON_COUNT_ERROR, REMORA_UNAVAILABLE, FAILURE_LOST, REMORA_EFFECT_NOT_SENT },
    { ER_TOO_MANY_USER_CONNECTIONS, REMORA_UNAVAILABLE, FAILURE_LOST, REMORA_EFFECT_NOT_SENT },
    { ER_SERVER_SHUTDOWN, REMORA_UNAVAILABLE, FAILURE_LOST, REMORA_EFFECT_UNKNOWN },
    { ER_CONNECTION_KILLED, REMORA_UNAVAILABLE, FAILURE_LOST, REMORA_EFFECT_UNKNOWN },
    { ER_QUERY_INTERRUPTED, REMORA_UNAVAILABLE, FAILURE_LOST, REMORA_EFFECT_UNKNOWN },
    { ER_STATEMENT_TIMEOUT, REMORA_DEADLINE_EXCEEDED, FAILURE_PLAIN, REMORA_EFFECT_FAILED },
    { ER_ACCESS_DENIED_ERROR, REMORA_PERMISSION_DENIED, FAILURE_PLAIN, REMORA_EFFECT_FAILED },
    { ER_DBACCESS_DENIED_ERROR, REMORA_PERMISSION_DENIED, FAILURE_PLAIN, REMORA_EFFECT_FAILED },
    { ER_TABLEACCESS_DENIED_ERROR, REMORA_PERMISSION_DENIED, FAILURE_PLAIN, REMORA_EFFECT_FAILED },
    { ER_BAD_DB_ERROR, REMORA_FAILED_PRECONDITION, FAILURE_PLAIN, REMORA_EFFECT_FAILED },
    { ER_NO_SUCH_TABLE, REMORA_FAILED_PRECONDITION, FAILURE_PLAIN, REMORA_EFFECT_FAILED },
    { ER_BAD_FIELD_ERROR, REMORA_FAILED_PRECONDITION, FAILURE_PLAIN, REMORA_EFFECT_FAILED },
    /* A replica: after a failover the same name may lead to another server. */
    { ER_OPTION_PREVENTS_STATEMENT, REMORA_UNAVAILABLE, FAILURE_LOST, REMORA_EFFECT_NOT_SENT },
    { ER_DATA_TOO_LONG, REMORA_INVALID_ARGUMENT, FAILURE_PLAIN, REMORA_EFFECT_FAILED },
    { ER_TRUNCATED_WRONG_VALUE, REMORA_INVALID_ARGUMENT, FAILURE_PLAIN, REMORA_EFFECT_FAILED },
    { ER_DATETIME_FUNCTION_OVERFLOW, REMORA_INVALID_ARGUMENT, FAILURE_PLAIN, REMORA_EFFECT_FAILED },
    { ER_NET_PACKET_TOO_LARGE, REMORA_INVALID_ARGUMENT, FAILURE_LOST, REMORA_EFFECT_FAILED },
    { ER_RECORD_FILE_FULL, REMORA_RESOURCE_EXHAUSTED, FAILURE_PLAIN, REMORA_EFFECT_FAILED },
    { ER_DISK_FULL, REMORA_RESOURCE_EXHAUSTED, FAILURE_PLAIN, REMORA_EFFECT_FAILED },
    { ER_TRUNCATED_WRONG_VALUE_FOR_FIELD, REMORA_INVALID_ARGUMENT, FAILURE_NOT_TAKEN,
      REMORA_EFFECT_FAILED },
    { ER_CONSTRAINT_FAILED, REMORA_INVALID_ARGUMENT, FAILURE_NOT_TAKEN, REMORA_EFFECT_FAILED },
    { MYSQL_INVALID_JSON_TEXT, REMORA_INVALID_ARGUMENT, FAILURE_NOT_TAKEN, REMORA_EFFECT_FAILED },
    { MYSQL_INVALID_JSON_CHARSET, REMORA_INVALID_ARGUMENT, FAILURE_NOT_TAKEN,
      REMORA_EFFECT_FAILED },
    { MYSQL_JSON_TOO_DEEP, REMORA_INVALID_ARGUMENT, FAILURE_NOT_TAKEN, REMORA_EFFECT_FAILED },
    { MYSQL_CHECK_VIOLATED, REMORA_INVALID_ARGUMENT, FAILURE_NOT_TAKEN, REMORA_EFFECT_FAILED },
};

struct failure *
failure_from_server(MYSQL *db)
{
    unsigned number = mysql_errno(db);
    struct meaning meaning = { number, REMORA_INTERNAL, FAILURE_PLAIN, REMORA_EFFECT_FAILED };
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (meanings[i].number == number)
            meaning = meanings[i];
    bool is_ours = number >= CR_MIN_ERROR && number <= CR_MAX_ERROR; /* the library's own */
    if (is_ours)
        meaning = (struct meaning){ number, REMORA_UNAVAILABLE, FAILURE_LOST,
                                    REMORA_EFFECT_UNKNOWN };
    struct failure *failure = is_ours
                                  ? failure_new(meaning.code, meaning.effect, "%s (%u)",
                                                mysql_error(db), number)
                                  : failure_new(meaning.code, meaning.effect, "Error %u (%s): %s",
                                                number, mysql_sqlstate(db), mysql_error(db));
    failure->kind = meaning.kind;
    return failure;
}

struct failure *
failure_copy(const struct failure *failure)
{
    struct failure *copy = memory_new(sizeof(*copy));
    *copy = *failure;
    copy->base.message = copy->message;
    return copy;
}

void
failure_free(struct failure *failure)
{
    free(failure);
}
