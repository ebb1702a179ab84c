/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group commit: who is told what when one of many writes, or all of them, fail.
 */
#include <signal.h>
#include <sys/resource.h>

#include "plugins/shared/monotonic.h"
#include "fixture.h"

enum { SETS_MAX = 5 };

/* A write of up to SETS_MAX saves, and room for what it points to. */
struct saves {
    struct write write;
    struct operation operations[SETS_MAX];
    struct remora_state_set sets[SETS_MAX];
};

static void
saves_init(struct saves *saves, bool is_atomic)
{
    *saves = (struct saves){ .write = { .table = "state", .is_atomic = is_atomic } };
    saves->write.operations = saves->operations;
}

static void
add(struct saves *saves, const char *key, const char *value, const char *etag)
{
    size_t i = saves->write.count++;
    saves->sets[i] = (struct remora_state_set){ .key = slice(key),
                                                .value = slice(value),
                                                .json = true,
                                                .has_etag = etag != NULL,
                                                .etag = slice(etag != NULL ? etag : "") };
    saves->operations[i].set = &saves->sets[i];
    snprintf(saves->operations[i].etag, sizeof(saves->operations[i].etag),
             "00000000-0000-4000-8000-%012zu", i);
}

static void
chain(struct saves *first, struct saves *second)
{
    first->write.job.next = &second->write.job;
}

TEST(a_group_is_one_transaction)
{
    struct fixture fixture;
    fixture_init(&fixture);
    struct saves one, two;
    saves_init(&one, true);
    saves_init(&two, false);
    add(&one, "a", "1", NULL);
    add(&two, "b", "2", NULL);
    add(&two, "c", "3", NULL);
    chain(&one, &two);
    group_commit(&fixture.connection, &one.write);
    CHECK(one.write.job.failure == NULL && two.write.job.failure == NULL);
    CHECK(two.operations[0].failure == NULL && two.operations[1].failure == NULL);
    CHECK_TEXT(&fixture, "SELECT group_concat(key || value) FROM state", "a1,b2,c3");
    CHECK(sqlite3_get_autocommit(fixture.connection.db) != 0);
    fixture_fini(&fixture);
}

TEST(a_mismatch_fails_its_own_request_only)
{
    struct fixture fixture;
    fixture_init(&fixture);
    struct saves one, two, three;
    saves_init(&one, true);
    saves_init(&two, true);
    saves_init(&three, false);
    add(&one, "a", "1", NULL);
    add(&two, "b", "1", NULL); /* the transaction takes this back */
    add(&two, "a", "2", "wrong");
    add(&three, "c", "1", NULL);
    add(&three, "a", "3", "wrong");
    add(&three, "d", "1", NULL);
    chain(&one, &two);
    chain(&two, &three);
    group_commit(&fixture.connection, &one.write);
    CHECK(one.write.job.failure == NULL);
    CHECK(two.write.job.failure == failure_etag_mismatch());
    CHECK(three.write.job.failure == NULL);
    CHECK(three.operations[0].failure == NULL);
    CHECK(three.operations[1].failure == failure_etag_mismatch());
    CHECK(three.operations[2].failure == NULL);
    CHECK_TEXT(&fixture, "SELECT group_concat(key || value) FROM state", "a1,c1,d1");
    fixture_fini(&fixture);
}

TEST(operations_of_a_transaction_run_in_order)
{
    struct fixture fixture;
    fixture_init(&fixture);
    struct saves saves;
    struct remora_state_delete del = { .key = slice("a") };
    saves_init(&saves, true);
    add(&saves, "a", "1", NULL);
    saves.operations[saves.write.count++] = (struct operation){ .del = &del };
    add(&saves, "a", "2", NULL);
    add(&saves, "b", "1", NULL);
    add(&saves, "b", "2", "00000000-0000-4000-8000-000000000003");
    group_commit(&fixture.connection, &saves.write);
    CHECK(saves.write.job.failure == NULL);
    CHECK_TEXT(&fixture, "SELECT group_concat(key || value) FROM state", "a2,b2");
    fixture_fini(&fixture);
}

/* What every write of a failed group is told. */
static void
check_failed(struct saves *saves, enum remora_code code, enum remora_effect effect,
             const char *message)
{
    struct failure *failure = saves->write.job.failure;
    if (!CHECK(failure != NULL))
        return;
    CHECK_EQ_INT(failure->base.code, code);
    CHECK_EQ_INT(failure->base.effect, effect);
    CHECK_EQ_STR(failure->base.message, message);
    failure_free(failure);
    saves->write.job.failure = NULL;
}

TEST(a_lock_of_another_process_is_waited_for_and_then_named)
{
    struct fixture fixture;
    fixture_init(&fixture);
    sqlite3 *other;
    REQUIRE(sqlite3_open(fixture.path, &other) == SQLITE_OK);
    REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
    struct saves one, two;
    saves_init(&one, true);
    saves_init(&two, true);
    add(&one, "a", "1", NULL);
    add(&two, "b", "1", NULL);
    chain(&one, &two);
    uint64_t begin_ms = monotonic_now_ms();
    group_commit(&fixture.connection, &one.write);
    CHECK(monotonic_now_ms() - begin_ms >= 100);
    check_failed(&one, REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT,
                 "database is locked (5) (SQLITE_BUSY)");
    check_failed(&two, REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT,
                 "database is locked (5) (SQLITE_BUSY)");
    sqlite3_exec(other, "COMMIT", NULL, NULL, NULL);
    group_commit(&fixture.connection, &one.write);
    CHECK(one.write.job.failure == NULL && two.write.job.failure == NULL);
    sqlite3_close(other);
    fixture_fini(&fixture);
}

TEST(a_read_only_database_refuses_saves)
{
    struct fixture fixture;
    fixture_init(&fixture);
    connection_close(&fixture.connection);
    snprintf(fixture.uri, sizeof(fixture.uri), "file:%s?mode=ro", fixture.path);
    fixture.config.is_read_only = true;
    REQUIRE(connection_open(&fixture.connection) == NULL);
    CHECK(schema_ensure(&fixture.connection, &schema_state, "state", "metadata") == NULL);
    CHECK(get(&fixture, "a") == NULL);
    struct saves saves;
    saves_init(&saves, true);
    add(&saves, "a", "1", NULL);
    group_commit(&fixture.connection, &saves.write);
    check_failed(&saves, REMORA_FAILED_PRECONDITION, REMORA_EFFECT_FAILED,
                 "attempt to write a readonly database (8)");
    fixture_fini(&fixture);
}

/* A limit on the size of files stands in for a full disk: SQLite reports the short write. */
TEST(a_full_disk_fails_the_whole_group_and_nothing_of_it_stays)
{
    struct fixture fixture;
    fixture_init(&fixture);
    sqlite3_exec(fixture.connection.db, "PRAGMA max_page_count=8", NULL, NULL, NULL);
    static char large[60000];
    memset(large, '1', sizeof(large) - 1);
    struct saves one, two;
    saves_init(&one, true);
    saves_init(&two, false);
    add(&one, "a", "1", NULL);
    add(&two, "b", "1", NULL);
    add(&two, "large", large, NULL);
    chain(&one, &two);
    group_commit(&fixture.connection, &one.write);
    /* A statement that finds no page free takes the transaction with it. */
    check_failed(&one, REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED,
                 "database or disk is full (13)");
    check_failed(&two, REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED,
                 "database or disk is full (13)");
    CHECK_TEXT(&fixture, "SELECT count(*) FROM state", "0");
    two.write.count = 1;
    group_commit(&fixture.connection, &one.write);
    CHECK(one.write.job.failure == NULL && two.operations[0].failure == NULL);
    CHECK_TEXT(&fixture, "SELECT count(*) FROM state", "2");
    fixture_fini(&fixture);
}

TEST(a_commit_that_cannot_be_written_fails_every_request)
{
    struct fixture fixture;
    fixture_init(&fixture);
    struct rlimit before, limit;
    getrlimit(RLIMIT_FSIZE, &before);
    limit = (struct rlimit){ .rlim_cur = 65536, .rlim_max = before.rlim_max };
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    static char large[200000];
    memset(large, '1', sizeof(large) - 1);
    struct saves one, two;
    saves_init(&one, true);
    saves_init(&two, true);
    add(&one, "a", "1", NULL);
    add(&two, "large", large, NULL);
    chain(&one, &two);
    group_commit(&fixture.connection, &one.write);
    setrlimit(RLIMIT_FSIZE, &before);
    for (struct saves *saves = &one; saves != NULL; saves = saves == &one ? &two : NULL) {
        REQUIRE(saves->write.job.failure != NULL);
        failure_free(saves->write.job.failure);
        saves->write.job.failure = NULL;
    }
    CHECK_TEXT(&fixture, "SELECT count(*) FROM state", "0");
    group_commit(&fixture.connection, &one.write);
    CHECK(one.write.job.failure == NULL && two.write.job.failure == NULL);
    CHECK_TEXT(&fixture, "SELECT count(*) FROM state", "2");
    fixture_fini(&fixture);
}

TEST(a_removed_file_is_noticed_before_a_save_is_acknowledged)
{
    struct fixture fixture;
    fixture_init(&fixture);
    unlink(fixture.path);
    struct saves saves;
    saves_init(&saves, true);
    add(&saves, "a", "1", NULL);
    group_commit(&fixture.connection, &saves.write);
    check_failed(&saves, REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT,
                 "database file was removed or replaced while it was open; reload the component "
                 "to open it again");
    fixture_fini(&fixture);
}

TEST(a_file_that_is_no_database_is_refused)
{
    struct fixture fixture = { .path = "" };
    snprintf(fixture.path, sizeof(fixture.path), "%s/garbage.db", test_dir());
    FILE *file = fopen(fixture.path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is no database ", file);
    fclose(file);
    snprintf(fixture.uri, sizeof(fixture.uri), "file:%s", fixture.path);
    fixture.config = (struct database_config){ .uri = fixture.uri,
                                               .pragmas = fixture.pragmas,
                                               .wants_wal = true };
    fixture.connection = (struct connection){ .config = &fixture.config, .role = ROLE_WRITER };
    struct failure *failure = connection_open(&fixture.connection);
    REQUIRE(failure != NULL);
    CHECK_EQ_STR(failure->message, "failed to open database: file is not a database (26)");
    CHECK_EQ_INT(failure->base.code, REMORA_DATA_LOSS);
    failure_free(failure);
}

TEST(a_damaged_database_answers_with_errors)
{
    struct fixture fixture;
    fixture_init(&fixture);
    for (int i = 0; i < 500; i++) {
        char key[32];
        snprintf(key, sizeof(key), "key-%d", i);
        CHECK(put(&fixture, key, "\"some value that fills pages of the table\"", NULL) == NULL);
    }
    connection_close(&fixture.connection);
    FILE *file = fopen(fixture.path, "r+");
    REQUIRE(file != NULL);
    fseek(file, 0, SEEK_END);
    long end = ftell(file);
    for (long at = 8192; at < end; at += 16) {
        fseek(file, at, SEEK_SET);
        fputs("\xff\xfe\xfd\xfc", file);
    }
    fclose(file);
    REQUIRE(connection_open(&fixture.connection) == NULL);
    unsigned failures = 0;
    for (int i = 0; i < 500; i++) {
        char key[32];
        snprintf(key, sizeof(key), "key-%d", i);
        struct row *row = NULL;
        struct failure *failure = row_get(&fixture.connection, "state", slice(key), &row);
        failures += failure != NULL;
        failure_free(failure);
        row_free(row);
        struct saves saves;
        saves_init(&saves, true);
        add(&saves, key, "1", NULL);
        group_commit(&fixture.connection, &saves.write);
        failure_free(saves.write.job.failure);
    }
    CHECK(failures > 0);
    fixture_fini(&fixture);
}
