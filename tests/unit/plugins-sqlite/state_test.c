/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Components end to end, with their threads, behind a stand-in for the SDK.
 */
#include "fake_sdk.h"

#include <sys/stat.h>

#include "plugins/sqlite/store.h"
#include "plugins/sqlite/timestamp.h"

enum { METADATA_MAX = 8 };

struct component {
    struct remora_pair metadata[METADATA_MAX];
    size_t metadata_count;
    struct store *store;
};

static char path[300];

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static void
fresh_path(void)
{
    snprintf(path, sizeof(path), "%s/state.db", test_dir());
}

static void
add_metadata(struct component *component, const char *name, const char *value)
{
    component->metadata[component->metadata_count++] = (struct remora_pair){ slice(name),
                                                                             slice(value) };
}

/* Returns the call of the init, to look at its error. */
static remora_call
init(struct component *component)
{
    struct remora_config config = { .name = slice("store"),
                                    .type = slice("state.sqlite"),
                                    .version = slice("v1"),
                                    .metadata = component->metadata,
                                    .metadata_count = component->metadata_count };
    remora_call call = { .replies = 0 };
    store_init(&call, &config);
    database_flush_all();
    wait_reply(&call);
    component->store = call.self;
    return call;
}

static void
open_component(struct component *component, const char *connection_string)
{
    *component = (struct component){ .store = NULL };
    add_metadata(component, "connectionString", connection_string);
    remora_call call = init(component);
    if (component->store == NULL)
        fprintf(stderr, "%s\n", call.message);
    REQUIRE(component->store != NULL);
}

static void
close_component(struct component *component)
{
    store_close(component->store);
    component->store = NULL;
    for (int i = 0; i < 5; i++)
        pump(20);
}

static void
start_set(remora_call *call, struct component *component, const struct remora_state_set *set)
{
    *call = (remora_call){ .replies = 0 };
    state_ops.set(call, component->store, set);
}

static remora_call
save(struct component *component, const char *key, const char *value)
{
    struct remora_state_set set = { .key = slice(key), .value = slice(value), .json = true };
    remora_call call;
    start_set(&call, component, &set);
    database_flush_all();
    wait_reply(&call);
    return call;
}

static remora_call
load(struct component *component, const char *key)
{
    struct remora_state_get get = { .key = slice(key) };
    remora_call call = { .replies = 0 };
    state_ops.get(&call, component->store, &get);
    database_flush_all();
    wait_reply(&call);
    return call;
}

static void
check_value(struct component *component, const char *key, const char *value)
{
    remora_call call = load(component, key);
    if (!CHECK_EQ_INT(call.code, REMORA_OK) || !CHECK_EQ_INT(call.count, 1))
        return;
    CHECK(call.items[0].found == (value != NULL));
    if (value != NULL)
        CHECK_EQ_STR(call.items[0].value, value);
    call_reset(&call);
}

TEST(a_component_saves_reads_and_deletes)
{
    struct component component;
    fresh_path();
    open_component(&component, path);
    remora_call call = save(&component, "k", "{\"a\":1}");
    CHECK_EQ_INT(call.code, REMORA_OK);
    check_value(&component, "k", "{\"a\":1}");
    check_value(&component, "none", NULL);

    struct remora_state_delete del = { .key = slice("k"), .has_etag = true, .etag = slice("no") };
    state_ops.del((call = (remora_call){ .replies = 0 }, &call), component.store, &del);
    database_flush_all();
    wait_reply(&call);
    CHECK_EQ_INT(call.code, REMORA_ABORTED);
    CHECK_EQ_STR(call.reason, REMORA_REASON_ETAG_MISMATCH);
    CHECK_EQ_STR(call.message, "possible etag mismatch. error from state store");
    del.has_etag = false;
    state_ops.del((call = (remora_call){ .replies = 0 }, &call), component.store, &del);
    database_flush_all();
    wait_reply(&call);
    CHECK_EQ_INT(call.code, REMORA_OK);
    check_value(&component, "k", NULL);
    close_component(&component);
}

TEST(wrong_metadata_are_refused_in_words)
{
    static const struct {
        const char *name, *value, *error;
    } cases[] = {
        { "timeout", "1s", "missing connection string" },
        { "connectionString", "", "missing connection string" },
        { "timeout", "500ms", "invalid value for 'timeout': must be greater than 1s" },
        { "timeout", "soon", "invalid value for 'timeout': not a duration" },
        { "tableName", "a;b", "invalid identifier: a;b" },
        { "metadataTableName", "", "invalid identifier: " },
        { "tableName", "Metadata", "'tableName' and 'metadataTableName' are the same" },
        { "disableWAL", "maybe", "invalid value for 'disableWAL': not a boolean" },
        { "connectionString", "x.db?_pragma=busy_timeout(5)",
          "found forbidden option '_pragma=busy_timeout' in the connection string" },
        { "connectionString", "x.db?_pragma=journal_mode%28off%29",
          "found forbidden option '_pragma=journal_mode' in the connection string" },
        { "connectionString", "x.db?mode=rw&_pragma=a(1);drop table state",
          "invalid option '_pragma' in the connection string: a(1);drop table state" },
        { "connectionString", "x.db?_txlock=never",
          "invalid option '_txlock' in the connection string: never" },
        { "connectionString", "/nonexistent/folder/x.db",
          "failed to open database: unable to open database file (14)" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct component component = { .store = NULL };
        fresh_path();
        if (i >= 2 && strcmp(cases[i].name, "connectionString") != 0)
            add_metadata(&component, "connectionString", path);
        add_metadata(&component, cases[i].name, cases[i].value);
        remora_call call = init(&component);
        CHECK(component.store == NULL);
        CHECK_EQ_STR(call.message, cases[i].error);
    }
    pump(50);
}

TEST(connection_strings_of_every_form_open_the_same_file)
{
    struct component one, two, three;
    char uri[400];
    fresh_path();
    open_component(&one, path);
    snprintf(uri, sizeof(uri), "file:%s", path);
    open_component(&two, uri);
    snprintf(uri, sizeof(uri), "file://%s?mode=rwc&_txlock=immediate&_pragma=cache_size(-100)",
             path);
    open_component(&three, uri);
    CHECK(one.store->database == two.store->database);
    CHECK(one.store->database != three.store->database);
    CHECK_EQ_INT(save(&one, "k", "1").code, REMORA_OK);
    check_value(&two, "k", "1");
    check_value(&three, "k", "1");
    CHECK_EQ_INT(save(&three, "k", "2").code, REMORA_OK);
    check_value(&one, "k", "2");
    close_component(&one);
    CHECK_EQ_INT(save(&two, "k", "3").code, REMORA_OK);
    close_component(&two);
    check_value(&three, "k", "3");
    close_component(&three);
}

TEST(a_database_in_memory_is_shared_while_it_is_open)
{
    struct component one, two;
    open_component(&one, ":memory:");
    open_component(&two, ":memory:");
    CHECK_EQ_INT(save(&one, "k", "1").code, REMORA_OK);
    check_value(&two, "k", "1");
    close_component(&one);
    check_value(&two, "k", "1");
    close_component(&two);
    open_component(&one, "file::memory:?cache=shared");
    check_value(&one, "k", NULL);
    close_component(&one);
}

TEST(without_a_wal_everything_works_too)
{
    struct component component = { .store = NULL };
    fresh_path();
    add_metadata(&component, "CONNECTIONSTRING", path);
    add_metadata(&component, "disableWAL", "true");
    init(&component);
    REQUIRE(component.store != NULL);
    CHECK_EQ_INT(save(&component, "k", "1").code, REMORA_OK);
    check_value(&component, "k", "1");
    char wal[310];
    snprintf(wal, sizeof(wal), "%s-wal", path);
    CHECK(access(wal, F_OK) != 0);
    close_component(&component);
}

TEST(many_saves_of_one_turn_are_all_answered)
{
    enum { COUNT = 3000 };
    static remora_call calls[COUNT];
    static struct remora_state_set sets[COUNT];
    static char keys[COUNT][16];
    struct component component;
    fresh_path();
    open_component(&component, path);
    for (int i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof(keys[i]), "key-%d", i);
        sets[i] = (struct remora_state_set){ .key = slice(keys[i]),
                                             .value = slice("1"),
                                             .json = true };
        start_set(&calls[i], &component, &sets[i]);
    }
    database_flush_all();
    for (int i = 0; i < COUNT; i++) {
        wait_reply(&calls[i]);
        CHECK_EQ_INT(calls[i].code, REMORA_OK);
    }
    check_value(&component, "key-0", "1");
    check_value(&component, "key-2999", "1");
    close_component(&component);
}

TEST(the_queue_is_bounded)
{
    enum { COUNT = QUEUED_JOBS_MAX + 10 };
    static remora_call calls[COUNT];
    struct remora_state_set set = { .key = slice("k"), .value = slice("1"), .json = true };
    struct component component;
    fresh_path();
    open_component(&component, path);
    for (int i = 0; i < COUNT; i++)
        start_set(&calls[i], &component, &set);
    for (int i = QUEUED_JOBS_MAX; i < COUNT; i++) {
        CHECK_EQ_INT(calls[i].replies, 1);
        CHECK_EQ_INT(calls[i].code, REMORA_RESOURCE_EXHAUSTED);
        CHECK_EQ_INT(calls[i].effect, REMORA_EFFECT_NOT_SENT);
    }
    database_flush_all();
    for (int i = 0; i < QUEUED_JOBS_MAX; i++) {
        wait_reply(&calls[i]);
        CHECK_EQ_INT(calls[i].code, REMORA_OK);
    }
    CHECK_EQ_INT(save(&component, "k", "2").code, REMORA_OK);
    close_component(&component);
}

TEST(a_request_given_up_while_it_waits_is_not_begun)
{
    struct component component;
    fresh_path();
    open_component(&component, path);
    struct remora_state_set set = { .key = slice("k"), .value = slice("1"), .json = true };
    remora_call one, two;
    start_set(&one, &component, &set);
    set.key = slice("other");
    start_set(&two, &component, &set);
    one.on_cancel(&one, one.on_cancel_arg);
    set.key = slice("k"); /* `one` points to the same request */
    database_flush_all();
    wait_reply(&one);
    wait_reply(&two);
    CHECK_EQ_INT(one.code, REMORA_CANCELLED);
    CHECK_EQ_INT(one.effect, REMORA_EFFECT_NOT_SENT);
    CHECK_EQ_INT(two.code, REMORA_OK);
    close_component(&component);
}

TEST(items_of_a_bulk_write_fail_alone)
{
    struct component component;
    fresh_path();
    open_component(&component, path);
    struct remora_state_set sets[] = {
        { .key = slice("a"), .value = slice("1"), .json = true },
        { .key = slice("b"),
          .value = slice("1"),
          .json = true,
          .has_etag = true,
          .etag = slice("x") },
        { .key = slice("c"), .value = slice("1"), .json = true },
    };
    remora_call call = { .replies = 0 };
    state_ops.set_many(&call, component.store, sets, 3);
    database_flush_all();
    wait_reply(&call);
    REQUIRE(call.count == 3);
    CHECK(!call.items[0].failed && call.items[1].failed && !call.items[2].failed);
    CHECK_EQ_STR(call.items[1].message, "possible etag mismatch. error from state store");
    call_reset(&call);

    struct remora_state_delete dels[] = {
        { .key = slice("a") },
        { .key = slice("c"), .has_etag = true, .etag = slice("x") },
        { .key = slice("none") }
    };
    state_ops.delete_many(&call, component.store, dels, 3);
    database_flush_all();
    wait_reply(&call);
    REQUIRE(call.count == 3);
    CHECK(!call.items[0].failed && call.items[1].failed && !call.items[2].failed);
    call_reset(&call);
    check_value(&component, "a", NULL);
    check_value(&component, "c", "1");
    close_component(&component);
}

TEST(a_transaction_is_all_or_nothing)
{
    struct component component;
    fresh_path();
    open_component(&component, path);
    CHECK_EQ_INT(save(&component, "old", "1").code, REMORA_OK);
    struct remora_state_operation operations[] = {
        { .set = { .key = slice("a"), .value = slice("1"), .json = true } },
        { .is_delete = true, .del = { .key = slice("old") } },
        { .set = { .key = slice("a"),
                   .value = slice("2"),
                   .json = true,
                   .has_etag = true,
                   .etag = slice("x") } },
    };
    remora_call call = { .replies = 0 };
    state_ops.transact(&call, component.store, operations, 3, NULL, 0);
    database_flush_all();
    wait_reply(&call);
    CHECK_EQ_STR(call.reason, REMORA_REASON_ETAG_MISMATCH);
    check_value(&component, "a", NULL);
    check_value(&component, "old", "1");
    operations[2].set.has_etag = false;
    call = (remora_call){ .replies = 0 };
    state_ops.transact(&call, component.store, operations, 3, NULL, 0);
    remora_call empty = { .replies = 0 };
    state_ops.transact(&empty, component.store, operations, 0, NULL, 0);
    database_flush_all();
    wait_reply(&call);
    wait_reply(&empty);
    CHECK_EQ_INT(call.code, REMORA_OK);
    CHECK_EQ_INT(empty.code, REMORA_OK);
    check_value(&component, "a", "2");
    check_value(&component, "old", NULL);
    close_component(&component);
}

/* Few and many keys take different ways, large and small values too. */
TEST(bulk_reads_keep_order_and_large_values)
{
    enum { COUNT = 200 };
    static struct remora_state_get gets[COUNT];
    static char keys[COUNT][16];
    static char large[100001];
    struct component component;
    fresh_path();
    open_component(&component, path);
    memset(large, 'x', sizeof(large) - 1);
    for (int i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof(keys[i]), "key-%d", i);
        gets[i] = (struct remora_state_get){ .key = slice(keys[i]) };
        if (i % 3 != 0)
            CHECK_EQ_INT(save(&component, keys[i], i % 50 == 1 ? large : keys[i]).code, REMORA_OK);
    }
    for (size_t count = 4; count <= COUNT; count += COUNT - 4) {
        remora_call call = { .replies = 0 };
        state_ops.get_many(&call, component.store, gets, count, 0);
        database_flush_all();
        wait_reply(&call);
        REQUIRE(call.count == count);
        for (size_t i = 0; i < count; i++) {
            CHECK(call.items[i].found == (i % 3 != 0));
            if (i % 3 != 0)
                CHECK_EQ_STR(call.items[i].value, i % 50 == 1 ? large : keys[i]);
        }
        call_reset(&call);
    }
    close_component(&component);
}

TEST(queries_and_key_listings_answer)
{
    struct component component;
    fresh_path();
    open_component(&component, path);
    CHECK_EQ_INT(save(&component, "p||1", "{\"n\":1}").code, REMORA_OK);
    CHECK_EQ_INT(save(&component, "p||2", "{\"n\":2}").code, REMORA_OK);
    CHECK_EQ_INT(save(&component, "q||3", "{\"n\":2}").code, REMORA_OK);
    remora_call call = { .replies = 0 };
    state_ops.query(&call, component.store,
                    slice("{\"filter\":{\"GT\":{\"n\":1}},\"page\":{\"limit\":5}}"), slice("p||"),
                    NULL, 0);
    database_flush_all();
    wait_reply(&call);
    REQUIRE(call.count == 1);
    CHECK_EQ_STR(call.items[0].key, "p||2");
    CHECK_EQ_STR(call.items[0].value, "{\"n\":2}");
    CHECK_EQ_STR(call.token, "1");
    CHECK_EQ_INT(strlen(call.items[0].etag), 36);
    call_reset(&call);
    state_ops.query(&call, component.store, slice("nonsense"), slice("p||"), NULL, 0);
    database_flush_all();
    wait_reply(&call);
    CHECK_EQ_INT(call.code, REMORA_INVALID_ARGUMENT);
    call_reset(&call);
    state_ops.keys_like(&call, component.store, slice("p||%"), 1, slice(""));
    database_flush_all();
    wait_reply(&call);
    REQUIRE(call.count == 1);
    CHECK_EQ_STR(call.items[0].key, "p||1");
    CHECK_EQ_STR(call.token, "p||1");
    call_reset(&call);
    close_component(&component);
}

TEST(a_removed_file_is_an_error_until_the_component_is_opened_again)
{
    struct component component, again;
    fresh_path();
    open_component(&component, path);
    CHECK_EQ_INT(save(&component, "k", "1").code, REMORA_OK);
    unlink(path);
    CHECK_EQ_INT(save(&component, "k", "2").code, REMORA_UNAVAILABLE);
    CHECK_EQ_INT(load(&component, "k").code, REMORA_UNAVAILABLE);
    open_component(&again, path);
    CHECK_EQ_INT(save(&again, "k", "3").code, REMORA_OK);
    check_value(&again, "k", "3");
    close_component(&component);
    close_component(&again);
}

/* The table of the reference and one of another name, on one file and one metadata table. */
TEST(a_removed_file_is_noticed_without_a_wal_too)
{
    struct component component = { .store = NULL }, again = { .store = NULL };
    fresh_path();
    add_metadata(&component, "connectionString", path);
    add_metadata(&component, "disableWAL", "1");
    init(&component);
    REQUIRE(component.store != NULL);
    CHECK_EQ_INT(save(&component, "k", "1").code, REMORA_OK);
    unlink(path);
    CHECK_EQ_INT(save(&component, "k", "2").code, REMORA_UNAVAILABLE);
    CHECK_EQ_INT(load(&component, "k").code, REMORA_UNAVAILABLE);
    add_metadata(&again, "connectionString", path);
    add_metadata(&again, "disableWAL", "1");
    init(&again);
    REQUIRE(again.store != NULL);
    check_value(&again, "k", NULL);
    close_component(&component);
    close_component(&again);
}

/* More is written than stays in a WAL between two checkpoints. */
TEST(the_wal_does_not_grow_without_end)
{
    enum { COUNT = 3000 };
    static char large[10001];
    struct component component;
    fresh_path();
    open_component(&component, path);
    memset(large, 'x', sizeof(large) - 1);
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ_INT(save(&component, i % 2 == 0 ? "a" : "b", large).code, REMORA_OK);
    char wal[310];
    struct stat st;
    snprintf(wal, sizeof(wal), "%s-wal", path);
    REQUIRE(stat(wal, &st) == 0);
    CHECK(st.st_size < 4200L * 2 * WAL_CHECKPOINT_PAGES);
    close_component(&component);
}

TEST(components_with_other_tables_share_a_file)
{
    struct component one, two = { .store = NULL };
    fresh_path();
    open_component(&one, path);
    add_metadata(&two, "url", path);
    add_metadata(&two, "tableName", "Other_1");
    init(&two);
    REQUIRE(two.store != NULL);
    CHECK(one.store->database == two.store->database);
    CHECK_EQ_INT(save(&one, "k", "1").code, REMORA_OK);
    CHECK_EQ_INT(save(&two, "k", "2").code, REMORA_OK);
    check_value(&one, "k", "1");
    check_value(&two, "k", "2");
    close_component(&one);
    close_component(&two);
}

TEST(expired_rows_are_removed_at_the_interval)
{
    struct component component = { .store = NULL };
    fresh_path();
    add_metadata(&component, "connectionString", path);
    add_metadata(&component, "cleanupInterval", "100ms");
    init(&component);
    REQUIRE(component.store != NULL);
    remora_call call = { .replies = 0 };
    store_start(&call, component.store);
    struct remora_state_set set = {
        .key = slice("k"), .value = slice("1"), .json = true, .has_ttl = true, .ttl_seconds = 60
    };
    start_set(&call, &component, &set);
    database_flush_all();
    wait_reply(&call);
    CHECK_EQ_INT(save(&component, "stays", "1").code, REMORA_OK);
    check_value(&component, "k", "1");

    sqlite3 *other;
    sqlite3_stmt *count;
    REQUIRE(sqlite3_open(path, &other) == SQLITE_OK);
    REQUIRE(sqlite3_exec(other,
                         "UPDATE state SET expiration_time = '2020-01-01 00:00:00'"
                         " WHERE key = 'k'",
                         NULL, NULL, NULL) == SQLITE_OK);
    REQUIRE(sqlite3_prepare_v2(other, "SELECT count(*) FROM state", -1, &count, NULL) == SQLITE_OK);
    int rows = 2;
    for (int i = 0; i < 500 && rows != 1; i++) {
        pump(10);
        if (sqlite3_step(count) == SQLITE_ROW)
            rows = sqlite3_column_int(count, 0);
        sqlite3_reset(count);
    }
    CHECK_EQ_INT(rows, 1);
    sqlite3_finalize(count);
    sqlite3_close(other);
    close_component(&component);
}
