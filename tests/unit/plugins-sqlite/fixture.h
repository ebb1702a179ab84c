/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A database in a directory of its own, opened as the plugin opens it, and short ways to read and
 * write rows of it.
 */
#ifndef SQLITE_FIXTURE_H
#define SQLITE_FIXTURE_H

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "plugins/sqlite/connection.h"
#include "plugins/sqlite/group.h"
#include "plugins/sqlite/row.h"
#include "plugins/sqlite/schema.h"
#include "test.h"
#include "plugins/sqlite/timestamp.h"

struct fixture {
    char path[300];
    char uri[400];
    char pragmas[1];
    struct database_config config;
    struct connection connection;
};

static inline struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* Opens the file at fixture->path. */
static inline void
fixture_open(struct fixture *fixture)
{
    snprintf(fixture->uri, sizeof(fixture->uri), "file:%s?", fixture->path);
    fixture->config = (struct database_config){
        .uri = fixture->uri, .pragmas = fixture->pragmas, .busy_timeout_ms = 100, .wants_wal = true
    };
    fixture->connection = (struct connection){ .config = &fixture->config, .role = ROLE_WRITER };
    struct failure *failure = connection_open(&fixture->connection);
    if (failure == NULL)
        failure = schema_ensure(&fixture->connection, &schema_state, "state", "metadata");
    if (failure != NULL)
        fprintf(stderr, "%s\n", failure->message);
    REQUIRE(failure == NULL);
}

static inline void
fixture_init(struct fixture *fixture)
{
    *fixture = (struct fixture){ .path = "" };
    snprintf(fixture->path, sizeof(fixture->path), "%s/state.db", test_dir());
    fixture_open(fixture);
}

static inline void
fixture_fini(struct fixture *fixture)
{
    connection_close(&fixture->connection);
    timestamp_shift_s = 0;
}

/* Where the data written by the reference lie; NULL if not here. */
static inline const char *
golden_path(const char *name)
{
    static char path[400];
    const char *shared = getenv("REMORA_SHARED");
    snprintf(path, sizeof(path), "%s/golden/state/%s", shared != NULL ? shared : "../shared", name);
    return access(path, R_OK) == 0 ? path : NULL;
}

static inline char *
read_file(const char *path, size_t *ret_len)
{
    FILE *file = fopen(path, "rb");
    REQUIRE(file != NULL);
    fseek(file, 0, SEEK_END);
    size_t len = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(len + 1);
    REQUIRE(text != NULL && fread(text, 1, len, file) == len);
    text[len] = '\0';
    fclose(file);
    *ret_len = len;
    return text;
}

static inline void
copy_file(const char *from, const char *to)
{
    size_t len;
    char *bytes = read_file(from, &len);
    FILE *file = fopen(to, "wb");
    REQUIRE(file != NULL && fwrite(bytes, 1, len, file) == len && fclose(file) == 0);
    free(bytes);
}

static inline struct failure *
put(struct fixture *fixture, const char *key, const char *value, const char *etag)
{
    static unsigned serial;
    char new_etag[64];
    snprintf(new_etag, sizeof(new_etag), "00000000-0000-4000-8000-%012u", ++serial);
    struct remora_state_set set = { .key = slice(key),
                                    .value = slice(value),
                                    .json = true,
                                    .has_etag = etag != NULL,
                                    .etag = slice(etag != NULL ? etag : "") };
    return row_set(&fixture->connection, "state", &set, new_etag);
}

static inline struct row *
get(struct fixture *fixture, const char *key)
{
    struct row *row = NULL;
    struct failure *failure = row_get(&fixture->connection, "state", slice(key), &row);
    CHECK(failure == NULL);
    return row;
}

/* A single text of the database, as it lies there; NULL for NULL or no row. To be freed. */
static inline char *
query_text(struct fixture *fixture, const char *sql)
{
    sqlite3_stmt *statement;
    if (!CHECK_EQ_INT(sqlite3_prepare_v2(fixture->connection.db, sql, -1, &statement, NULL), 0))
        return NULL;
    char *text = NULL;
    if (sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_text(statement, 0) != NULL)
        text = strdup((const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    return text;
}

#define CHECK_TEXT(fixture, sql, expected)                                                         \
    do {                                                                                           \
        char *text_ = query_text(fixture, sql);                                                    \
        CHECK_EQ_STR(text_, expected);                                                             \
        free(text_);                                                                               \
    } while (0)

#endif
