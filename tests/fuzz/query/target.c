/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite plugin's query documents: whatever arrives is refused with a reason or becomes one
 * reading statement that SQLite prepares and runs, made of our own words only: nothing a client
 * wrote is in it but as a parameter. */
#include "plugins/sqlite/base64.c"
#include "plugins/sqlite/failure.c"
#include "plugins/sqlite/functions.c"
#include "plugins/sqlite/query.c"
#include "plugins/sqlite/timestamp.c"

#include <assert.h>
#include <ctype.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORD_BYTES_MAX = 32 };

/* Every word a statement may hold, literals included. */
static const char vocabulary[] =
    " ABSENT AND AS ASC BY CASE CROSS DESC END FROM IN IS JOIN LIMIT NOT NULL OFFSET ON OR ORDER"
    " SELECT THEN WHEN WHERE doc etag expiration_time false from_base64 id iif integer is_binary"
    " json_extract json_type json_valid key null page real rowid s state text true value ";

static bool
is_known(const char *word, size_t len)
{
    char wanted[WORD_BYTES_MAX + 2];
    if (len > WORD_BYTES_MAX - 1)
        return false;
    wanted[0] = ' ';
    memcpy(wanted + 1, word, len);
    wanted[len + 1] = ' ';
    wanted[len + 2] = '\0';
    return strstr(vocabulary, wanted) != NULL;
}

static void
assert_our_words(const char *sql)
{
    while (*sql != '\0') {
        if (isalpha((unsigned char)*sql)) {
            size_t len = 0;
            while (isalnum((unsigned char)sql[len]) || sql[len] == '_')
                len++;
            assert(is_known(sql, len));
            sql += len;
        } else {
            assert(strchr(" (),.=<>?'0123456789", *sql) != NULL);
            sql++;
        }
    }
}

/* A table with one row of each kind. */
static sqlite3 *
database(void)
{
    static sqlite3 *db;
    if (db != NULL)
        return db;
    int rc = sqlite3_open(":memory:", &db);
    assert(rc == SQLITE_OK);
    rc = functions_register(db);
    assert(rc == SQLITE_OK);
    rc = sqlite3_exec(db,
                      "CREATE TABLE state (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL,"
                      " is_binary BOOLEAN NOT NULL, etag TEXT NOT NULL, expiration_time TIMESTAMP,"
                      " update_time TIMESTAMP);"
                      "INSERT INTO state VALUES"
                      " ('app||1', '{\"a\":{\"b\":1.5},\"state\":\"CA\",\"t\":true,\"n\":null}', "
                      "0, '1', NULL, 0),"
                      " ('app||2', '[1,\"two\",[3]]', 0, '2', NULL, 0),"
                      " ('app||3', 'eyJhIjoxfQ==', 1, '3', NULL, 0),"
                      " ('app||4', 'not json', 1, '4', NULL, 0),"
                      " ('bpp||1', '{\"a\":1}', 0, '5', NULL, 0)",
                      NULL, NULL, NULL);
    assert(rc == SQLITE_OK);
    return db;
}

static void
check_statement(const struct query *query)
{
    sqlite3 *db = database();
    sqlite3_stmt *statement = NULL;
    const char *rest = NULL;
    int rc = sqlite3_prepare_v2(db, query->sql, -1, &statement, &rest);
    if (rc != SQLITE_OK)
        fprintf(stderr, "%s\n%.2000s\n", sqlite3_errmsg(db), query->sql);
    assert(rc == SQLITE_OK && statement != NULL && *rest == '\0');
    assert(sqlite3_stmt_readonly(statement));
    assert((size_t)sqlite3_bind_parameter_count(statement) == query->count);
    rc = query_bind(query, statement);
    assert(rc == SQLITE_OK);
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *key = (const char *)sqlite3_column_text(statement, 0);
        assert(strncmp(key, "app||", 5) == 0); /* never another application's */
    }
    if (rc != SQLITE_DONE)
        fprintf(stderr, "%s\n", sqlite3_errmsg(db));
    assert(rc == SQLITE_DONE);
    sqlite3_finalize(statement);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct query query;
    struct remora_slice document = { (const char *)data, size };
    struct failure *failure = query_init(&query, document, (struct remora_slice){ "app||", 5 },
                                         "state");
    if (failure != NULL) {
        assert(failure->base.code == REMORA_INVALID_ARGUMENT);
        assert(failure->message[0] != '\0');
        failure_free(failure);
        return 0;
    }
    assert(query.count <= QUERY_PARAMETERS_MAX);
    assert_our_words(query.sql);
    check_statement(&query);
    query_fini(&query);
    return 0;
}
