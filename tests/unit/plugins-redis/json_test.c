/* SPDX-License-Identifier: Apache-2.0 */
/* A server with the JSON module: items of contentType application/json are documents, everything
 * else stays a hash, and each can follow the other under one key. */
#include "redis_server.h"
#include "store_calls.h"

static struct redis_server server;
static struct store *store;

static const struct remora_pair json_type = { { "contentType", 11 }, { "application/json", 16 } };

static bool
prepare(void)
{
    char line[1024];
    static char module[300];
    if (store != NULL)
        return true;
    if (!redis_server_is_installed())
        return false;
    redis_server_prepare(&server);
    snprintf(module, sizeof module, "%s/json.so", server.dir);
    snprintf(line, sizeof line,
             "${CC:-cc} -shared -fPIC -std=gnu17 -I/usr/include/cjson -o %s "
             "tests/unit/plugins-redis/json_module.c -lcjson >&2",
             module);
    if (system(line) != 0)
        return false;
    redis_server_start_more(&server, (const char *[]){ "--loadmodule", module, NULL });
    snprintf(line, sizeof line, "127.0.0.1:%u", server.port);
    store = open_at(line, NULL);
    return true;
}

#define NEED_SERVER()                                                                              \
    do {                                                                                           \
        if (!prepare())                                                                            \
            SKIP("redis-server or cc not there");                                                  \
        redis_cli(&server, "flushall");                                                            \
    } while (0)

static struct remora_state_set
document(const char *key, const char *value)
{
    struct remora_state_set wanted = item(key, value);
    wanted.json = true;
    wanted.metadata = &json_type;
    wanted.metadata_count = 1;
    return wanted;
}

static void
is_at(const char *key, const char *wanted)
{
    char line[64];
    snprintf(line, sizeof line, "json.get %s", key);
    CHECK_EQ_STR(redis_cli(&server, line), wanted);
}

static void
fails(remora_call *call, const char *reason, const char *words)
{
    CHECK_EQ_STR(call->failure.reason, reason);
    failed(call, call->failure.code, REMORA_EFFECT_FAILED, words);
}

TEST(the_module_is_noticed)
{
    NEED_SERVER();
    CHECK(store->has_json);
}

TEST(a_json_item_is_a_document_with_its_version)
{
    NEED_SERVER();
    set_ok(store, document("d", "{\"a\":[1,2]}"));
    is_at("d", "{\"data\":{\"a\":[1,2]},\"version\":1}");
    set_ok(store, document("d", "\"x\""));
    is_at("d", "{\"data\":\"x\",\"version\":2}");
    set_ok(store, item("h", "{}"));
    CHECK_EQ_STR(redis_cli(&server, "type h"), "hash");
}

TEST(documents_and_hashes_are_read_with_and_without_content_type)
{
    NEED_SERVER();
    set_ok(store, document("d", "{\"a\":1}"));
    set_ok(store, item("h", "{\"b\":1}"));
    redis_cli(&server, "set plain text");
    get_is(store, "d", "{\"a\":1}", "1");
    get_is(store, "h", "{\"b\":1}", "1");
    get_is(store, "plain", "text", NULL);
    static const char *const cases[][3] = { { "d", "{\"a\":1}", "1" },
                                            { "h", "{\"b\":1}", "1" },
                                            { "plain", "text", NULL } };
    for (size_t i = 0; i < 3; i++) {
        remora_call *call = fake_call();
        state_get(call, store,
                  &(struct remora_state_get){ .key = fake_slice(cases[i][0]),
                                              .metadata = &json_type,
                                              .metadata_count = 1 });
        fake_wait(call);
        CHECK_EQ_STR(call->values[0].value, cases[i][1]);
        CHECK_EQ_INT(call->values[0].has_etag, cases[i][2] != NULL);
        fake_free(call);
    }
    struct remora_state_get missing = { .key = fake_slice("missing"),
                                        .metadata = &json_type,
                                        .metadata_count = 1 };
    remora_call *call = fake_call();
    state_get_many(call, store, &missing, 1, 0);
    CHECK(!fake_wait(call)->values[0].found);
    fake_free(call);
}

TEST(etags_and_first_writes_guard_documents_too)
{
    NEED_SERVER();
    struct remora_state_set wanted = document("d", "1");
    set_ok(store, wanted);
    wanted.has_etag = true;
    wanted.etag = fake_slice("7");
    fails(set(store, wanted), "ETAG_MISMATCH", "possible etag mismatch");
    wanted.etag = fake_slice("1");
    set_ok(store, wanted);
    is_at("d", "{\"data\":1,\"version\":2}");
    wanted = document("f", "1");
    wanted.concurrency = REMORA_FIRST_WRITE;
    set_ok(store, wanted);
    is_at("f", "{\"data\":1,\"first-write\":0,\"version\":1}");
    fails(set(store, wanted), "ETAG_MISMATCH", "failed to set key f");
    remora_call *call = fake_call();
    struct remora_state_delete del = { .key = fake_slice("d"),
                                       .has_etag = true,
                                       .etag = fake_slice("1") };
    state_delete(call, store, &del);
    fails(fake_wait(call), "ETAG_MISMATCH", "failed to delete d");
    del.etag = fake_slice("2");
    call = fake_call();
    state_delete(call, store, &del);
    CHECK(fake_wait(call)->ok);
    fake_free(call);
    get_is(store, "d", NULL, NULL);
}

TEST(a_document_may_follow_a_hash_and_the_other_way_round)
{
    NEED_SERVER();
    set_ok(store, item("k", "1"));
    set_ok(store, document("k", "2"));
    is_at("k", "{\"data\":2,\"version\":2}");
    set_ok(store, item("k", "3"));
    CHECK_EQ_STR(redis_cli(&server, "hget k data"), "3");
    redis_cli(&server, "rpush list a");
    set_ok(store, document("list", "4"));
    is_at("list", "{\"data\":4,\"version\":1}");
}

TEST(a_ttl_of_a_document_is_set_and_cleared)
{
    NEED_SERVER();
    struct remora_state_set wanted = document("d", "1");
    wanted.has_ttl = true;
    wanted.ttl_seconds = 999999;
    set_ok(store, wanted);
    const char *left = redis_cli(&server, "ttl d"); /* some of it may have passed */
    CHECK(strlen(left) == 6 && strncmp(left, "9999", 4) == 0);
    wanted.ttl_seconds = -1;
    set_ok(store, wanted);
    CHECK_EQ_STR(redis_cli(&server, "ttl d"), "-1");
}

TEST(a_transaction_with_documents_is_all_or_nothing)
{
    NEED_SERVER();
    struct remora_state_operation ops[] = {
        { .set = document("d", "{\"a\":1}") },
        { .set = item("h", "1") },
        { .set = document("d", "{\"a\":2}") },
        { .is_delete = true, .del = { .key = fake_slice("h") } },
        { .set = item("h", "2") },
        { .set = document("bad", "{") },
    };
    remora_call *call = fake_call();
    state_transact(call, store, ops, 6, NULL, 0);
    failed(fake_wait(call), REMORA_INTERNAL, REMORA_EFFECT_FAILED, "the value is no JSON");
    CHECK_EQ_STR(redis_cli(&server, "dbsize"), "0");
    call = fake_call();
    state_transact(call, store, ops, 5, NULL, 0);
    CHECK(fake_wait(call)->ok);
    fake_free(call);
    is_at("d", "{\"data\":{\"a\":2},\"version\":2}");
    get_is(store, "h", "2", "1");
    call = fake_call();
    state_transact(call, store, &(struct remora_state_operation){ .set = item("all", "[]") }, 1,
                   &json_type, 1);
    CHECK(fake_wait(call)->ok);
    fake_free(call);
    is_at("all", "{\"data\":[],\"version\":1}");
}
