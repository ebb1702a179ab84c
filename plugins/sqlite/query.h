/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The query document of the state API (plugins/shared/query_document.h), compiled to one SELECT.
 * Nothing of the document becomes SQL text: names and values are parameters.
 *
 * A condition holds only where its key is present in the value; NEQ too. Values that are not JSON
 * have no keys.
 */
#ifndef SQLITE_PLUGIN_QUERY_H
#define SQLITE_PLUGIN_QUERY_H

#include "../shared/query_document.h"
#include "failure.h"
#include "bounds.h"
#include "timestamp.h"

struct parameter {
    enum { PARAMETER_TEXT, PARAMETER_INTEGER, PARAMETER_REAL } kind;
    const char *text;
    size_t len;
    char *owned; /* from sqlite3_malloc(), or NULL */
    int64_t integer;
    double real;
};

struct query {
    struct query_document document;
    char *sql; /* columns: key, value, is_binary, etag, expiration_time */
    struct parameter *parameters;
    size_t count, capacity;
    struct timestamp now;
};

/* `table` and `prefix` are borrowed while the query lives. */
struct failure *query_init(struct query *query, struct remora_slice document,
                           struct remora_slice prefix, const char *table);
int query_bind(const struct query *query, sqlite3_stmt *statement);
void query_fini(struct query *query);

/* The smallest text above every text that begins with `prefix`, from sqlite3_malloc(); NULL with
 * *ret_len 0 if there is none. */
char *prefix_successor(struct remora_slice prefix, size_t *ret_len);

#endif
