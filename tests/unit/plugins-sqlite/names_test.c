/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resolvers end to end, with their threads, behind a stand-in for the SDK.
 */
#include "fake_sdk.h"

#include "plugins/sqlite/names.h"
#include "plugins/sqlite/store.h"
#include "plugins/sqlite/timestamp.h"

enum { METADATA_MAX = 8 };

struct sidecar {
    struct remora_pair metadata[METADATA_MAX];
    size_t metadata_count;
    const char *app_id, *host;
    uint16_t port;
    void *self;
};

static char path[300];

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static void
add_metadata(struct sidecar *sidecar, const char *name, const char *value)
{
    sidecar->metadata[sidecar->metadata_count++] = (struct remora_pair){ slice(name),
                                                                         slice(value) };
}

static struct sidecar
sidecar_at(const char *app_id, const char *host, uint16_t port)
{
    struct sidecar sidecar = { .app_id = app_id, .host = host, .port = port };
    add_metadata(&sidecar, "connectionString", path);
    return sidecar;
}

static remora_call
init(struct sidecar *sidecar)
{
    struct remora_config config = { .name = slice("sqlite"),
                                    .type = slice("nameresolution.sqlite"),
                                    .version = slice("v1"),
                                    .metadata = sidecar->metadata,
                                    .metadata_count = sidecar->metadata_count,
                                    .instance = { .app_id = slice(sidecar->app_id),
                                                  .namespace_ = slice("prod"),
                                                  .host_address = slice(sidecar->host),
                                                  .internal_port = sidecar->port } };
    remora_call call = { .replies = 0 };
    names_init(&call, &config);
    database_flush_all();
    wait_reply(&call);
    sidecar->self = call.self;
    return call;
}

static remora_call
start(struct sidecar *sidecar)
{
    remora_call call = { .replies = 0 };
    names_start(&call, sidecar->self);
    wait_reply(&call);
    return call;
}

static void
open_sidecar(struct sidecar *sidecar)
{
    remora_call call = init(sidecar);
    if (sidecar->self == NULL)
        fprintf(stderr, "%s\n", call.message);
    REQUIRE(sidecar->self != NULL);
    call = start(sidecar);
    CHECK_EQ_INT(call.code, REMORA_OK);
}

static void
settle(void)
{
    for (int i = 0; i < 5; i++)
        pump(20);
}

static void
close_sidecar(struct sidecar *sidecar)
{
    remora_call call = { .replies = 0 };
    names_quiesce(&call, sidecar->self);
    wait_reply(&call);
    names_close(sidecar->self);
    settle();
}

/* The addresses with spaces between, or the error. */
static const char *
resolve(struct sidecar *sidecar, const char *app_id)
{
    static char text[1000];
    struct remora_name_query query = { .id = slice(app_id), .port = 1 };
    remora_call call = { .replies = 0 };
    names_ops.resolve(&call, sidecar->self, &query);
    database_flush_all();
    wait_reply(&call);
    *text = '\0';
    for (size_t i = 0; i < call.count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i > 0 ? " " : "",
                 call.items[i].key);
    if (call.code != REMORA_OK)
        snprintf(text, sizeof(text), "%d %s", (int)call.code, call.message);
    call_reset(&call);
    return text;
}

#define NOBODY "5 no host found with the given ID"

static sqlite3 *
open_file(void)
{
    sqlite3 *db;
    REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
    return db;
}

static int64_t
number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;
    REQUIRE(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK);
    int64_t value = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;
    sqlite3_finalize(statement);
    return value;
}

static void
run(sqlite3 *db, const char *sql)
{
    char *error = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fprintf(stderr, "%s: %s\n", sql, error);
    CHECK(error == NULL);
    sqlite3_free(error);
}

static void
wait_for(sqlite3 *db, const char *sql, int64_t value)
{
    for (int i = 0; i < 1000 && number(db, sql) != value; i++)
        pump(10);
    CHECK_EQ_INT(number(db, sql), value);
}

static void
fresh_path(void)
{
    timestamp_shift_s = 0;
    snprintf(path, sizeof(path), "%s/names.db", test_dir());
}

TEST(INV_08_sidecars_of_one_file_find_each_other)
{
    fresh_path();
    struct sidecar back = sidecar_at("back", "10.0.0.1", 50002);
    struct sidecar again = sidecar_at("back", "10.0.0.1", 50012);
    struct sidecar front = sidecar_at("front", "fd00::7", 50002);
    open_sidecar(&back);
    open_sidecar(&again);
    open_sidecar(&front);
    CHECK_EQ_STR(resolve(&front, "back"), "10.0.0.1:50002 10.0.0.1:50012");
    CHECK_EQ_STR(resolve(&back, "front"), "[fd00::7]:50002");
    CHECK_EQ_STR(resolve(&back, "Front"), NOBODY);
    CHECK_EQ_STR(resolve(&back, "fr' OR 1=1 --"), NOBODY);
    close_sidecar(&back);
    CHECK_EQ_STR(resolve(&front, "back"), "10.0.0.1:50012");
    close_sidecar(&again);
    CHECK_EQ_STR(resolve(&front, "back"), NOBODY);
    close_sidecar(&front);
    sqlite3 *db = open_file();
    CHECK_EQ_INT(number(db, "SELECT count(*) FROM hosts"), 0);
    sqlite3_close(db);
}

TEST(an_id_that_is_too_long_is_refused)
{
    fresh_path();
    struct sidecar front = sidecar_at("front", "10.0.0.1", 50002);
    open_sidecar(&front);
    char id[APP_ID_BYTES_MAX + 2];
    memset(id, 'x', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    CHECK_EQ_STR(resolve(&front, id), "3 the application's id is too long");
    close_sidecar(&front);
}

TEST(tables_and_rows_are_those_of_the_reference)
{
    fresh_path();
    struct sidecar one = sidecar_at("one", "10.0.0.1", 50002);
    open_sidecar(&one);
    sqlite3 *db = open_file();
    CHECK_EQ_INT(number(db, "SELECT value FROM metadata WHERE key = 'nr-migrations'"), 1);
    CHECK_EQ_INT(number(db, "SELECT count(*) FROM hosts WHERE address = '10.0.0.1:50002'"
                            " AND app_id = 'one' AND namespace = ''"
                            " AND length(registration_id) = 36"
                            " AND typeof(last_update) = 'integer'"
                            " AND abs(unixepoch() - last_update) < 60"),
                 1);
    CHECK_EQ_INT(number(db, "SELECT count(*) FROM pragma_table_info('hosts')"), 5);
    CHECK_EQ_INT(number(db, "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name IN"
                            " ('hosts_address_idx', 'hosts_last_update_idx')"),
                 2);
    CHECK_EQ_INT(number(db, "SELECT \"unique\" FROM pragma_index_list('hosts')"
                            " WHERE name = 'hosts_address_idx'"),
                 1);
    sqlite3_close(db);
    close_sidecar(&one);
}

TEST(a_file_of_the_reference_is_read_and_gone_on_with)
{
    const char *shared = getenv("REMORA_SHARED");
    char golden[400], command[1200];
    snprintf(golden, sizeof(golden), "%s/golden/nameresolution/nameresolution.db",
             shared != NULL ? shared : "../shared");
    if (access(golden, R_OK) != 0)
        return;
    fresh_path();
    snprintf(command, sizeof(command), "cp '%s' '%s' && chmod 600 '%s'", golden, path, path);
    REQUIRE(system(command) == 0);
    sqlite3 *db = open_file();
    run(db,
        "INSERT OR REPLACE INTO hosts VALUES"
        " ('0eaba6ac-c958-4d36-a178-1444039d730e', '127.0.0.1:25309', 'nrone', '', unixepoch()),"
        " ('ee6e72f5-d910-49c5-8c72-d4204080ce67', '127.0.0.1:25321', 'nrone', '', unixepoch())");
    struct sidecar one = sidecar_at("nrtwo", "127.0.0.1", 25313);
    open_sidecar(&one);
    CHECK_EQ_STR(resolve(&one, "nrone"), "127.0.0.1:25309 127.0.0.1:25321");
    /* Its question, as the reference asks it. */
    CHECK_EQ_INT(number(db, "SELECT count(*) FROM hosts WHERE app_id = 'nrtwo'"
                            " AND unixepoch(CURRENT_TIMESTAMP) - last_update < 5"),
                 1);
    sqlite3_close(db);
    close_sidecar(&one);
}

TEST(who_is_silent_is_found_only_if_nobody_else_is_there)
{
    fresh_path();
    struct sidecar one = sidecar_at("one", "10.0.0.1", 50002);
    open_sidecar(&one);
    sqlite3 *db = open_file();
    run(db, "INSERT INTO hosts VALUES ('slow', '10.0.0.2:1', 'back', '', unixepoch() - 8),"
            " ('dead', '10.0.0.3:1', 'back', '', unixepoch() - 20)");
    CHECK_EQ_STR(resolve(&one, "back"), "10.0.0.2:1");
    run(db, "INSERT INTO hosts VALUES ('live', '10.0.0.4:1', 'back', '', unixepoch())");
    CHECK_EQ_STR(resolve(&one, "back"), "10.0.0.4:1");
    timestamp_shift_s = 16;
    CHECK_EQ_STR(resolve(&one, "back"), NOBODY);
    timestamp_shift_s = 0;
    sqlite3_close(db);
    close_sidecar(&one);
}

TEST(rows_that_make_no_sense_are_passed_over)
{
    fresh_path();
    struct sidecar one = sidecar_at("one", "10.0.0.1", 50002);
    open_sidecar(&one);
    sqlite3 *db = open_file();
    run(db, "INSERT INTO hosts VALUES ('a', '', 'back', '', unixepoch()),"
            " ('b', printf('%.*c', 4000, 'x'), 'back', '', unixepoch()),"
            " ('c', x'00ff', 'other', '', 'soon'), ('d', '10.0.0.2:1', 'back', '', unixepoch())");
    CHECK_EQ_STR(resolve(&one, "back"), "10.0.0.2:1");
    run(db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
            " INSERT INTO hosts SELECT 'r' || i, 'h' || i, 'many', '', unixepoch() FROM n");
    struct remora_name_query query = { .id = slice("many") };
    remora_call call = { .replies = 0 };
    names_ops.resolve(&call, one.self, &query);
    wait_reply(&call);
    CHECK_EQ_INT(call.count, HOSTS_MAX);
    call_reset(&call);
    sqlite3_close(db);
    close_sidecar(&one);
}

TEST(a_row_is_renewed_and_written_anew_when_it_has_vanished)
{
    fresh_path();
    struct sidecar one = sidecar_at("one", "10.0.0.1", 50002);
    add_metadata(&one, "updateInterval", "2s");
    open_sidecar(&one);
    sqlite3 *db = open_file();
    run(db, "UPDATE hosts SET last_update = 7");
    wait_for(db, "SELECT last_update > 7 FROM hosts WHERE app_id = 'one'", 1);
    run(db, "DELETE FROM hosts");
    wait_for(db, "SELECT count(*) FROM hosts WHERE app_id = 'one'", 1);
    sqlite3_close(db);
    close_sidecar(&one);
}

TEST(a_file_that_is_deleted_is_made_anew)
{
    fresh_path();
    struct sidecar one = sidecar_at("one", "10.0.0.1", 50002);
    struct sidecar two = sidecar_at("two", "10.0.0.1", 50003);
    add_metadata(&one, "updateInterval", "2s");
    add_metadata(&two, "updateInterval", "2s");
    open_sidecar(&one);
    open_sidecar(&two);
    char side[320];
    CHECK_EQ_INT(unlink(path), 0);
    for (size_t i = 0; i < 2; i++) {
        snprintf(side, sizeof(side), "%s%s", path, i == 0 ? "-wal" : "-shm");
        unlink(side);
    }
    for (int i = 0; i < 1000 && strcmp(resolve(&two, "one"), "10.0.0.1:50002") != 0; i++)
        pump(10);
    CHECK_EQ_STR(resolve(&two, "one"), "10.0.0.1:50002");
    for (int i = 0; i < 1000 && strcmp(resolve(&one, "two"), "10.0.0.1:50003") != 0; i++)
        pump(10);
    CHECK_EQ_STR(resolve(&one, "two"), "10.0.0.1:50003");
    close_sidecar(&one);
    CHECK_EQ_STR(resolve(&two, "one"), NOBODY);
    close_sidecar(&two);
}

TEST(an_address_goes_to_its_latest_sidecar_and_comes_back_when_that_is_gone)
{
    fresh_path();
    struct sidecar one = sidecar_at("one", "10.0.0.1", 50002);
    add_metadata(&one, "updateInterval", "2s");
    struct sidecar two = sidecar_at("two", "10.0.0.1", 50002);
    open_sidecar(&one);
    open_sidecar(&two);
    CHECK_EQ_STR(resolve(&two, "one"), NOBODY);
    CHECK_EQ_STR(resolve(&one, "two"), "10.0.0.1:50002");
    unsigned lines = log_lines;
    for (int i = 0; i < 1500 && log_lines == lines; i++)
        pump(10); /* the first notices, and leaves it alone */
    CHECK_EQ_INT(log_lines, lines + 1);
    CHECK_EQ_STR(resolve(&one, "two"), "10.0.0.1:50002");
    sqlite3 *db = open_file();
    run(db, "UPDATE hosts SET last_update = unixepoch() - 7, registration_id = 'killed'");
    wait_for(db, "SELECT count(*) FROM hosts WHERE app_id = 'one'", 1);
    sqlite3_close(db);
    close_sidecar(&two);
    CHECK_EQ_STR(resolve(&one, "one"), "10.0.0.1:50002");
    close_sidecar(&one);
}

TEST(the_next_generation_takes_the_row_over)
{
    fresh_path();
    struct sidecar last = sidecar_at("one", "10.0.0.1", 50002);
    struct sidecar next = sidecar_at("one", "10.0.0.1", 50002);
    open_sidecar(&last);
    open_sidecar(&next);
    close_sidecar(&last);
    CHECK_EQ_STR(resolve(&next, "one"), "10.0.0.1:50002");
    close_sidecar(&next);
}

TEST(rows_left_behind_are_removed_at_the_interval)
{
    fresh_path();
    struct sidecar one = sidecar_at("one", "10.0.0.1", 50002);
    add_metadata(&one, "cleanupInterval", "100ms");
    open_sidecar(&one);
    sqlite3 *db = open_file();
    run(db, "INSERT INTO hosts VALUES ('dead', '10.0.0.3:1', 'back', '', unixepoch() - 20)");
    wait_for(db, "SELECT count(*) FROM hosts WHERE app_id = 'back'", 0);
    CHECK_EQ_INT(number(db, "SELECT count(*) FROM hosts WHERE app_id = 'one'"), 1);
    CHECK_EQ_INT(number(db, "SELECT count(*) FROM metadata WHERE key = 'nr-last-cleanup'"), 1);
    sqlite3_close(db);
    close_sidecar(&one);
}

TEST(a_file_that_others_have_locked_fails_the_start_and_not_the_process)
{
    fresh_path();
    struct sidecar one = sidecar_at("one", "10.0.0.1", 50002);
    add_metadata(&one, "busyTimeout", "50ms");
    (void)init(&one);
    REQUIRE(one.self != NULL);
    sqlite3 *db = open_file();
    run(db, "BEGIN IMMEDIATE");
    remora_call call = start(&one);
    CHECK_EQ_INT(call.code, REMORA_UNAVAILABLE);
    CHECK_EQ_STR(call.message, "failed to register host: database is locked (5) (SQLITE_BUSY)");
    run(db, "COMMIT");
    call = start(&one);
    CHECK_EQ_INT(call.code, REMORA_OK);
    sqlite3_close(db);
    close_sidecar(&one);
}

TEST(state_and_names_share_a_file)
{
    fresh_path();
    struct sidecar one = sidecar_at("one", "10.0.0.1", 50002);
    open_sidecar(&one);
    struct remora_pair metadata[] = { { slice("connectionString"), slice(path) } };
    struct remora_config config = { .name = slice("store"),
                                    .type = slice("state.sqlite"),
                                    .version = slice("v1"),
                                    .metadata = metadata,
                                    .metadata_count = 1 };
    remora_call call = { .replies = 0 };
    store_init(&call, &config);
    database_flush_all();
    wait_reply(&call);
    CHECK_EQ_STR(call.message, "");
    REQUIRE(call.self != NULL);
    store_close(call.self);
    settle();
    CHECK_EQ_STR(resolve(&one, "one"), "10.0.0.1:50002");
    close_sidecar(&one);
}

TEST(in_memory_works_for_one_and_says_so)
{
    snprintf(path, sizeof(path), ":memory:");
    unsigned lines = log_lines;
    struct sidecar one = sidecar_at("one", "10.0.0.1", 50002);
    open_sidecar(&one);
    CHECK_EQ_INT(log_lines, lines + 1);
    CHECK_EQ_STR(resolve(&one, "one"), "10.0.0.1:50002");
    CHECK_EQ_STR(resolve(&one, "two"), NOBODY);
    close_sidecar(&one);
}

TEST(what_is_configured_wrongly_is_refused_in_the_words_of_the_reference)
{
    static const struct {
        const char *app_id, *host;
        uint16_t port;
        const char *name, *value, *words;
    } cases[] = {
        { "", "10.0.0.1", 1, "x", "", "name is missing" },
        { "a", "", 1, "x", "", "address is missing" },
        { "a", "10.0.0.1", 0, "x", "", "port is missing or invalid" },
        { "a", "10.0.0.1", 1, "connectionString", "", "missing connection string" },
        { "a", "10.0.0.1", 1, "tableName", "a b", "invalid identifier for table name: a b" },
        { "a", "10.0.0.1", 1, "metadataTableName", "a;b",
          "invalid identifier for metadata table name: a;b" },
        { "a", "10.0.0.1", 1, "updateInterval", "2500ms",
          "update interval must not contain fractions of seconds" },
        { "a", "10.0.0.1", 1, "updateInterval", "1s",
          "update interval must be at least 1s greater than timeout" },
        { "a", "10.0.0.1", 1, "timeout", "5s",
          "update interval must be at least 1s greater than timeout" },
        { "a", "10.0.0.1", 1, "updateInterval", "9000h",
          "update interval must not be greater than 24h" },
        { "a", "10.0.0.1", 1, "updateInterval", "soon",
          "invalid value for 'updateInterval': not a duration" },
        { "a", "10.0.0.1", 1, "timeout", "10ms",
          "invalid value for 'timeout': must be greater than 1s" },
    };
    fresh_path();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sidecar one = sidecar_at(cases[i].app_id, cases[i].host, cases[i].port);
        add_metadata(&one, cases[i].name, cases[i].value);
        remora_call call = init(&one);
        CHECK_EQ_INT(call.code, REMORA_INVALID_ARGUMENT);
        CHECK_EQ_STR(call.message, cases[i].words);
    }
}
