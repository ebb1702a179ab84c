/* SPDX-License-Identifier: Apache-2.0 */
/* What an application may send the sqlite plugin as text: query documents and key patterns, run
 * against a small table. The first byte picks which. Whatever it is, it is answered: a query that
 * compiles is one reading statement of our own words only, which SQLite takes and which sees no
 * other application's keys; what a client wrote is in it but as a parameter. */
#include <assert.h>
#include <ctype.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "plugins/sqlite/functions.h"
#include "plugins/sqlite/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORD_BYTES_MAX = 32 };

/* Every word a statement may hold, literals included. */
static const char vocabulary[] =
    " AND AS ASC BY CASE CROSS DESC END FROM IN IS JOIN LIMIT NOT NULL OFFSET OR ON ORDER SELECT"
    " THEN WHEN WHERE doc etag expiration_time false from_base64 id iif integer is_binary"
    " json_extract json_type json_valid key null page real rowid s state text true value ";

static bool
is_known(const char *word, size_t len)
{
    char wanted[WORD_BYTES_MAX];
    if (len > sizeof wanted - 3)
        return false;
    snprintf(wanted, sizeof wanted, " %.*s ", (int)len, word);
    return strstr(vocabulary, wanted) != NULL;
}

static void
assert_our_words(const char *sql)
{
    assert(sql != NULL);
    while (*sql != '\0') {
        size_t len = 0;
        while (isalnum((unsigned char)sql[len]) || sql[len] == '_')
            len++;
        if (isalpha((unsigned char)*sql))
            assert(is_known(sql, len));
        else
            assert(len > 0 || strchr(" (),.=<>?'", *sql) != NULL);
        sql += len > 0 ? len : 1;
    }
}

static sqlite3 *
open_table(void)
{
    static sqlite3 *db;
    if (db != NULL)
        return db;
    int rc = sqlite3_open(":memory:", &db);
    assert(rc == SQLITE_OK);
    rc = functions_register(db);
    assert(rc == SQLITE_OK);
    rc = sqlite3_exec(
        db,
        "CREATE TABLE state (key TEXT PRIMARY KEY, value, is_binary, etag, expiration_time);"
        "INSERT INTO state VALUES ('app||1', '{\"a\":1,\"b\":{\"c\":\"x\"}}', 0, 'e', NULL),"
        "('app||2', '{\"a\":null,\"b\":[true]}', 0, 'e', NULL), ('app||3', 'eyJhIjoyfQ==', 1, 'e',"
        " NULL), ('app||4', 'no json', 0, 'e', NULL), ('other||1', '{\"a\":1}', 0, 'e', NULL)",
        NULL, NULL, NULL);
    assert(rc == SQLITE_OK);
    return db;
}

static void
run_query(struct remora_slice document)
{
    sqlite3 *db = open_table();
    struct query query;
    struct failure *failure = query_init(&query, document, (struct remora_slice){ "app||", 5 },
                                         "state");
    if (failure != NULL) {
        assert(failure->base.code == REMORA_INVALID_ARGUMENT && failure->message[0] != '\0');
        failure_free(failure);
        return;
    }
    assert(query.count <= QUERY_PARAMETERS_MAX);
    assert_our_words(query.sql);
    sqlite3_stmt *statement = NULL;
    const char *rest = NULL;
    int rc = sqlite3_prepare_v2(db, query.sql, -1, &statement, &rest);
    if (rc != SQLITE_OK)
        fprintf(stderr, "%s\n", sqlite3_errmsg(db));
    assert(rc == SQLITE_OK && *rest == '\0');
    assert(sqlite3_stmt_readonly(statement));
    assert((size_t)sqlite3_bind_parameter_count(statement) == query.count);
    rc = query_bind(&query, statement);
    assert(rc == SQLITE_OK);
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
        assert(memcmp(sqlite3_column_text(statement, 0), "app||", 5) == 0);
    assert(rc == SQLITE_DONE);
    sqlite3_finalize(statement);
    query_fini(&query);
}

/* A key between wildcards that hold its own bytes is found again. */
static void
run_pattern(struct remora_slice text)
{
    size_t half = text.len / 2;
    (void)key_like(text.data, half, text.data + half, text.len - half);
    bool is_plain = memchr(text.data, '\\', text.len) == NULL;
    if (is_plain)
        assert(key_like(text.data, text.len, text.data, text.len) ||
               memchr(text.data, '_', text.len) != NULL);
    assert(key_like(text.data, text.len, "%", 1));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct remora_slice text = { (const char *)data + 1, size - 1 };
    if (data[0] == 'k')
        run_pattern(text);
    else
        run_query(text);
    return 0;
}
