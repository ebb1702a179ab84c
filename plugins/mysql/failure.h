/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a request failed, in a form that travels from a thread with a connection to the reply. A
 * failure is owned by whoever holds the pointer; NULL means success.
 */
#ifndef MYSQL_PLUGIN_FAILURE_H
#define MYSQL_PLUGIN_FAILURE_H

#include <mariadb/mysql.h>
#include <remora_plugin.h>

enum { FAILURE_BYTES_MAX = 400 };

/* What the plugin itself may do about it. */
enum failure_kind {
    FAILURE_PLAIN,     /* nothing; the statement has had no effect */
    FAILURE_CONFLICT,  /* a deadlock or lock: the transaction can be done again */
    FAILURE_LOST,      /* the connection is no longer of use */
    FAILURE_NOT_TAKEN, /* a JSON document that the server refuses, but not its bytes as base64 */
};

struct failure {
    struct remora_failure base; /* message points to `message` */
    enum failure_kind kind;
    char message[FAILURE_BYTES_MAX];
};

struct failure *failure_new(enum remora_code code, enum remora_effect effect, const char *format,
                            ...) __attribute__((format(printf, 3, 4)));

/* Of the last call on the connection. */
struct failure *failure_from_server(MYSQL *db);

struct failure *failure_etag_mismatch(void);

struct failure *failure_copy(const struct failure *failure);
void failure_free(struct failure *failure); /* NULL is fine */

static inline bool
failure_is(const struct failure *failure, enum failure_kind kind)
{
    return failure != NULL && failure->kind == kind;
}

#endif
