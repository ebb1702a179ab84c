/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state store on a real server: what it writes, what it reads, how it refuses. The SDK is a
 * stand-in (fake_sdk.h).
 */
#include "redis_server.h"
#include "store_calls.h"

static struct redis_server server;

/* --- helpers -----------------------------------------------------------------------------------*/

/* An initialised store, or the failed call. Fields end with a NULL name. */
static remora_call *
try_init(const struct field *fields)
{
    char host[64];
    snprintf(host, sizeof host, "127.0.0.1:%u", server.port);
    return init_at(host, fields);
}

static struct store *
open_store(const struct field *fields)
{
    char host[64];
    snprintf(host, sizeof host, "127.0.0.1:%u", server.port);
    return open_at(host, fields);
}

static void
set_fails(struct store *store, struct remora_state_set wanted, const char *reason,
          const char *message)
{
    remora_call *call = set(store, wanted);
    CHECK_EQ_STR(call->failure.message, message);
    CHECK_EQ_STR(call->failure.reason, reason);
    CHECK_EQ_INT(call->failure.effect, REMORA_EFFECT_FAILED);
    fake_free(call);
}

static remora_call *
del_key(struct store *store, const char *key, const char *etag)
{
    remora_call *call = fake_call();
    state_delete(call, store,
                 &(struct remora_state_delete){ .key = fake_slice(key),
                                                .has_etag = etag != NULL,
                                                .etag = fake_slice(etag == NULL ? "" : etag) });
    return fake_wait(call);
}

static remora_call *
transact(struct store *store, const struct remora_state_operation *ops, size_t count)
{
    remora_call *call = fake_call();
    state_transact(call, store, ops, count, NULL, 0);
    return fake_wait(call);
}

#define NEED_SERVER()                                                                              \
    do {                                                                                           \
        if (server.pid == 0) {                                                                     \
            if (!redis_server_is_installed())                                                      \
                SKIP("redis-server not installed");                                                \
            redis_server_start(&server);                                                           \
        }                                                                                          \
        redis_cli(&server, "flushall");                                                            \
    } while (0)

/* --- tests -------------------------------------------------------------------------------------*/

TEST(the_sha_of_each_script_is_the_servers)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    char line[256];
    const struct script *scripts[] = { &script_set, &script_del, &script_transact,
                                       &script_documents, &script_read };
    for (size_t i = 0; i < 5; i++) {
        snprintf(line, sizeof line, "script exists %s", scripts[i]->sha);
        CHECK_EQ_STR(redis_cli(&server, line), "1");
    }
    store_close(store);
}

TEST(init_reports_what_a_redis_store_can)
{
    NEED_SERVER();
    remora_call *call = try_init(NULL);
    CHECK_EQ_INT(call->capabilities, REMORA_CAP_ETAG | REMORA_CAP_TRANSACTIONAL | REMORA_CAP_TTL |
                                         REMORA_CAP_KEYS_LIKE);
    store_close(call->self);
    fake_free(call);
}

TEST(a_value_is_a_hash_of_data_and_version)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    set_ok(store, item("app||k", "\"v\""));
    CHECK_EQ_STR(redis_cli(&server, "hgetall 'app||k'"), "data\n\"v\"\nversion\n1");
    get_is(store, "app||k", "\"v\"", "1");
    set_ok(store, item("app||k", ""));
    get_is(store, "app||k", "", "2");
    get_is(store, "missing", NULL, NULL);
    store_close(store);
}

TEST(a_value_may_hold_any_byte)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    char value[256];
    for (unsigned i = 0; i < 256; i++)
        value[i] = (char)i;
    struct remora_state_set wanted = item("k\r\n$-1", "");
    wanted.value = (struct remora_slice){ value, 256 };
    set_ok(store, wanted);
    remora_call *call = get(store, "k\r\n$-1");
    CHECK_EQ_MEM(call->values[0].value, call->values[0].len, value, sizeof value);
    fake_free(call);
    store_close(store);
}

TEST(a_large_value_comes_back_whole)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    size_t len = 9 << 20;
    char *value = malloc(len);
    for (size_t i = 0; i < len; i++)
        value[i] = (char)(i * 7 + i / 251);
    struct remora_state_set wanted = item("big", "");
    wanted.value = (struct remora_slice){ value, len };
    set_ok(store, wanted);
    remora_call *call = get(store, "big");
    CHECK_EQ_INT(call->values[0].len, len);
    CHECK(memcmp(call->values[0].value, value, len) == 0);
    fake_free(call);
    free(value);
    store_close(store);
}

TEST(a_stale_etag_is_refused_and_a_fresh_one_accepted)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    set_ok(store, item("k1", "1"));
    set_fails(store, item_with_etag("k1", "2", "999"), "ETAG_MISMATCH",
              "possible etag mismatch. error from state store: ERR user_script:14: failed to set "
              "key k1 script: d908b9553add63a82e03589b5c6d01a7654ef0f2, on @user_script:14.");
    get_is(store, "k1", "1", "1");
    set_ok(store, item_with_etag("k1", "2", "1"));
    get_is(store, "k1", "2", "2");
    set_ok(store, item_with_etag("k1", "3", ""));
    set_ok(store, item_with_etag("fresh", "1", "5"));
    get_is(store, "fresh", "1", "1");
    store_close(store);
}

TEST(an_etag_that_is_no_number_is_invalid)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    set_fails(store, item_with_etag("k1", "2", "banana"), "ETAG_INVALID",
              "invalid etag value: strconv.Atoi: parsing \"banana\": invalid syntax");
    set_fails(store, item_with_etag("k1", "2", "99999999999999999999"), "ETAG_INVALID",
              "invalid etag value: strconv.Atoi: parsing \"99999999999999999999\": "
              "value out of range");
    struct remora_state_set wanted = item_with_etag("k1", "2", "banana");
    wanted.concurrency = REMORA_LAST_WRITE;
    set_ok(store, wanted);
    store_close(store);
}

TEST(a_first_write_is_kept_and_later_writes_without_etag_refused)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    struct remora_state_set first = item("fw", "\"one\"");
    first.concurrency = REMORA_FIRST_WRITE;
    set_ok(store, first);
    CHECK_EQ_STR(redis_cli(&server, "hgetall fw"), "data\n\"one\"\nfirst-write\n0\nversion\n1");
    first.value = fake_slice("\"two\"");
    set_fails(store, first, "ETAG_MISMATCH",
              "failed to set key fw: ERR user_script:14: failed to set key fw script: "
              "d908b9553add63a82e03589b5c6d01a7654ef0f2, on @user_script:14.");
    get_is(store, "fw", "\"one\"", "1");
    set_ok(store, item_with_etag("fw", "\"two\"", "1"));
    get_is(store, "fw", "\"two\"", "2");
    /* On a key that no first-write save has touched it passes, as with the reference. */
    set_ok(store, item("k", "1"));
    first.key = fake_slice("k");
    set_ok(store, first);
    CHECK_EQ_STR(redis_cli(&server, "hgetall k"), "data\n\"two\"\nversion\n2\nfirst-write\n0");
    store_close(store);
}

TEST(a_delete_checks_its_etag)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    set_ok(store, item("k1", "1"));
    static const char *const wrong[] = { "5", "banana", "*", "\"1\"" };
    for (size_t i = 0; i < 4; i++) {
        remora_call *call = del_key(store, "k1", wrong[i]);
        CHECK_EQ_STR(call->failure.reason, "ETAG_MISMATCH");
        CHECK_EQ_STR(call->failure.message,
                     "possible etag mismatch. error from state store: ERR user_script:6: failed to "
                     "delete k1 script: 2446db0de2c963f100727b388f03ead01d18c265, on "
                     "@user_script:6.");
        fake_free(call);
    }
    remora_call *call = del_key(store, "k1", "1");
    CHECK(call->ok);
    fake_free(call);
    get_is(store, "k1", NULL, NULL);
    call = del_key(store, "k1", "1");
    CHECK(call->ok);
    fake_free(call);
    set_ok(store, item("k1", "1"));
    call = del_key(store, "k1", NULL);
    CHECK(call->ok);
    fake_free(call);
    get_is(store, "k1", NULL, NULL);
    store_close(store);
}

static struct remora_state_set
with_ttl(struct remora_state_set wanted, int64_t ttl)
{
    wanted.has_ttl = true;
    wanted.ttl_seconds = ttl;
    return wanted;
}

static bool
expires(const char *key)
{
    char line[64];
    snprintf(line, sizeof line, "ttl %s", key);
    return redis_cli(&server, line)[0] != '-';
}

TEST(a_ttl_is_set_kept_and_cleared)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    set_ok(store, with_ttl(item("k", "1"), 100));
    CHECK(expires("k"));
    set_ok(store, item("k", "2"));
    CHECK(expires("k"));
    set_ok(store, with_ttl(item("k", "3"), -1));
    CHECK(!expires("k"));
    set_ok(store, with_ttl(item("k", "3"), 100));
    set_ok(store, with_ttl(item("k", "3"), 0));
    CHECK(!expires("k"));
    set_fails(store, with_ttl(item("k", "4"), INT64_MAX), NULL,
              "failed to set key k ttl: ERR invalid expire time in 'expire' command");
    get_is(store, "k", "3", "5");
    struct remora_pair soon = { fake_slice("ttlInSeconds"), fake_slice("soon") };
    struct remora_state_set wanted = item("k", "4");
    wanted.metadata = &soon;
    wanted.metadata_count = 1;
    set_fails(
        store, wanted, NULL,
        "failed to parse ttl from metadata: strconv.ParseInt: parsing \"soon\": invalid syntax");
    store_close(store);
}

TEST(the_components_ttl_serves_saves_that_give_none)
{
    NEED_SERVER();
    struct store *store = open_store((struct field[]){ { "ttlInSeconds", "500" }, { 0 } });
    set_ok(store, item("k", "1"));
    CHECK(expires("k"));
    set_ok(store, with_ttl(item("k", "1"), -1));
    CHECK(!expires("k"));
    store_close(store);
}

TEST(what_others_wrote_is_read)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    redis_cli(&server, "set plain hello");
    get_is(store, "plain", "hello", NULL);
    redis_cli(&server, "hset foreign a b");
    remora_call *call = get(store, "foreign");
    CHECK_EQ_STR(call->failure.message, "required hash field 'data' or 'version' was not found");
    fake_free(call);
    redis_cli(&server, "rpush list a");
    call = get(store, "list");
    CHECK_EQ_STR(call->failure.message,
                 "WRONGTYPE Operation against a key holding the wrong kind of value");
    fake_free(call);
    set_ok(store, item("list", "1"));
    get_is(store, "list", "1", "1");
    set_ok(store, item("plain", "2"));
    get_is(store, "plain", "2", "1");
    store_close(store);
}

TEST(a_version_that_is_no_number_refuses_the_save_and_changes_nothing)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    redis_cli(&server, "hset k data old version abc");
    set_fails(store, item("k", "new"), NULL,
              "failed to set key k: ERR hash value is not an integer");
    get_is(store, "k", "old", "abc");
    struct remora_state_operation ops[2] = { { .set = item("j", "1") }, { .set = item("k", "1") } };
    remora_call *call = transact(store, ops, 2);
    CHECK_EQ_STR(call->failure.message, "failed to set key k: ERR hash value is not an integer");
    fake_free(call);
    get_is(store, "j", NULL, NULL);
    redis_cli(&server, "hset e data old version ''");
    set_ok(store, item("e", "new"));
    get_is(store, "e", "new", "1");
    store_close(store);
}

TEST(scripts_that_the_server_has_forgotten_are_sent_again)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    redis_cli(&server, "script flush");
    set_ok(store, item("k", "1"));
    set_ok(store, item("k", "2"));
    redis_cli(&server, "script flush");
    remora_call *call = del_key(store, "k", "2");
    CHECK(call->ok);
    fake_free(call);
    redis_cli(&server, "script flush");
    struct remora_state_operation ops[1] = { { .set = item("k", "1") } };
    call = transact(store, ops, 1);
    CHECK(call->ok);
    fake_free(call);
    get_is(store, "k", "1", "1");
    store_close(store);
}

TEST(a_transaction_applies_in_order)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    set_ok(store, item("old", "1"));
    set_ok(store, item("gone", "1"));
    struct remora_state_operation ops[] = {
        { .set = item("a", "{\"a\":1}") },
        { .set = item("old", "2") },
        { .set = with_ttl(item("t", "1"), 100) },
        { .set = item("twice", "1") },
        { .set = item_with_etag("twice", "2", "1") },
        { .is_delete = true, .del = { .key = fake_slice("gone") } },
        { .is_delete = true, .del = { .key = fake_slice("never") } },
        { .set = item("again", "1") },
        { .is_delete = true, .del = { .key = fake_slice("again") } },
        { .set = item("again", "2") },
    };
    remora_call *call = transact(store, ops, sizeof ops / sizeof ops[0]);
    if (!CHECK(call->ok))
        fprintf(stderr, "  %s\n", call->failure.message);
    fake_free(call);
    get_is(store, "a", "{\"a\":1}", "1");
    get_is(store, "old", "2", "2");
    get_is(store, "twice", "2", "2");
    get_is(store, "gone", NULL, NULL);
    get_is(store, "again", "2", "1");
    CHECK(expires("t"));
    CHECK_EQ_STR(redis_cli(&server, "hgetall a"), "data\n{\"a\":1}\nversion\n1");
    call = transact(store, NULL, 0);
    CHECK(call->ok);
    fake_free(call);
    store_close(store);
}

TEST(a_stale_etag_rolls_the_whole_transaction_back)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    set_ok(store, item("t1", "1"));
    struct remora_state_operation ops[] = {
        { .set = item("t2", "1") },
        { .is_delete = true, .del = { .key = fake_slice("t1") } },
        { .set = item("t1", "9") },
        { .set = item_with_etag("t1", "2", "777") },
    };
    remora_call *call = transact(store, ops, 4);
    CHECK_EQ_STR(call->failure.reason, "ETAG_MISMATCH");
    CHECK_EQ_STR(call->failure.message,
                 "ERR user_script:14: failed to set key t1 script: "
                 "d908b9553add63a82e03589b5c6d01a7654ef0f2, on @user_script:14.");
    fake_free(call);
    get_is(store, "t2", NULL, NULL);
    get_is(store, "t1", "1", "1");
    ops[3] = (struct remora_state_operation){
        .is_delete = true,
        .del = { .key = fake_slice("t1"), .has_etag = true, .etag = fake_slice("x") }
    };
    call = transact(store, ops, 4);
    CHECK_EQ_STR(call->failure.reason, "ETAG_MISMATCH");
    fake_free(call);
    ops[3] = (struct remora_state_operation){ .set = item_with_etag("t1", "2", "x") };
    call = transact(store, ops, 4);
    CHECK_EQ_STR(call->failure.reason, "ETAG_INVALID");
    fake_free(call);
    get_is(store, "t2", NULL, NULL);
    store_close(store);
}

TEST(ten_thousand_operations_are_one_transaction)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    enum { COUNT = 10000 };
    struct remora_state_operation *ops = calloc(COUNT, sizeof *ops);
    char(*keys)[16] = calloc(COUNT, sizeof *keys);
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof keys[i], "k%u", i);
        ops[i].set = item(keys[i], "value");
    }
    remora_call *call = transact(store, ops, COUNT);
    if (!CHECK(call->ok))
        fprintf(stderr, "  %s\n", call->failure.message);
    fake_free(call);
    CHECK_EQ_STR(redis_cli(&server, "dbsize"), "10000");
    struct remora_state_get *gets = calloc(COUNT, sizeof *gets);
    for (unsigned i = 0; i < COUNT; i++)
        gets[i].key = fake_slice(keys[i]);
    call = fake_call();
    state_get_many(call, store, gets, COUNT, 0);
    fake_wait(call);
    CHECK_EQ_INT(call->count, COUNT);
    bool right = true;
    for (unsigned i = 0; i < COUNT; i++)
        right = right && call->values[i].found && strcmp(call->values[i].value, "value") == 0;
    CHECK(right);
    fake_free(call);
    free(gets);
    free(keys);
    free(ops);
    store_close(store);
}

TEST(many_items_are_independent)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    set_ok(store, item("k1", "1"));
    redis_cli(&server, "rpush list a");
    struct remora_state_set sets[] = { item("zz", "1"), item_with_etag("k1", "v3", "5"),
                                       item_with_etag("k2", "v", "x"), item("yy", "2") };
    remora_call *call = fake_call();
    state_set_many(call, store, sets, 4);
    fake_wait(call);
    CHECK(call->failures[0].message == NULL);
    CHECK_EQ_STR(call->failures[1].reason, "ETAG_MISMATCH");
    CHECK_EQ_STR(call->failures[2].reason, "ETAG_INVALID");
    CHECK(call->failures[3].message == NULL);
    fake_free(call);
    struct remora_state_get gets[] = { { .key = fake_slice("zz") },
                                       { .key = fake_slice("nope") },
                                       { .key = fake_slice("list") },
                                       { .key = fake_slice("zz") } };
    call = fake_call();
    state_get_many(call, store, gets, 4, 1);
    fake_wait(call);
    CHECK_EQ_STR(call->values[0].value, "1");
    CHECK(!call->values[1].found);
    CHECK(call->values[2].failure.message != NULL);
    CHECK_EQ_STR(call->values[3].etag, "1");
    fake_free(call);
    struct remora_state_delete dels[] = {
        { .key = fake_slice("zz") },
        { .key = fake_slice("k1"), .has_etag = true, .etag = fake_slice("7") },
        { .key = fake_slice("nope") }
    };
    call = fake_call();
    state_delete_many(call, store, dels, 3);
    fake_wait(call);
    CHECK(call->failures[0].message == NULL);
    CHECK_EQ_STR(call->failures[1].reason, "ETAG_MISMATCH");
    CHECK(call->failures[2].message == NULL);
    fake_free(call);
    call = fake_call();
    state_get_many(call, store, NULL, 0, 0);
    CHECK(fake_wait(call)->ok);
    fake_free(call);
    call = fake_call();
    state_set_many(call, store, NULL, 0);
    CHECK(fake_wait(call)->ok);
    fake_free(call);
    store_close(store);
}

TEST(a_database_of_ones_own_is_used)
{
    NEED_SERVER();
    struct store *store = open_store((struct field[]){ { "redisDB", "3" }, { 0 } });
    set_ok(store, item("k", "1"));
    CHECK_EQ_STR(redis_cli(&server, "-n 3 dbsize"), "1");
    CHECK_EQ_STR(redis_cli(&server, "dbsize"), "0");
    store_close(store);
    remora_call *call = try_init((struct field[]){ { "redisDB", "99" }, { 0 } });
    char wanted[128];
    snprintf(wanted, sizeof wanted,
             "redis store: error connecting to redis at 127.0.0.1:%u: ERR DB index is out of range",
             server.port);
    CHECK_EQ_STR(call->failure.message, wanted);
    fake_free(call);
}

TEST(a_query_is_answered_as_without_the_json_module)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    remora_call *call = fake_call();
    state_query(call, store, fake_slice("{}"), fake_slice(""), NULL, 0);
    CHECK_EQ_STR(fake_wait(call)->failure.message,
                 "redis-json server support is required for query capability");
    fake_free(call);
    store_close(store);
}

static bool
is_like(const char *key, const char *pattern)
{
    return state_key_is_like(fake_slice(key), fake_slice(pattern));
}

TEST(like_is_sqls)
{
    CHECK(is_like("", ""));
    CHECK(is_like("", "%"));
    CHECK(!is_like("", "_"));
    CHECK(is_like("abc", "abc"));
    CHECK(!is_like("abc", "ABC"));
    CHECK(is_like("abc", "a%"));
    CHECK(is_like("abc", "%c"));
    CHECK(is_like("abc", "%b%"));
    CHECK(!is_like("abc", "%d%"));
    CHECK(is_like("abc", "a_c"));
    CHECK(!is_like("abc", "a_"));
    CHECK(is_like("a\xc3\xa9z", "a_z"));
    CHECK(is_like("a%c", "a\\%c"));
    CHECK(!is_like("abc", "a\\%c"));
    CHECK(is_like("a_c", "a\\_c"));
    CHECK(is_like("a\\", "a\\"));
    CHECK(is_like("aXbXc", "a%X%c"));
    CHECK(is_like("mississippi", "m%iss%ip%i"));
}

static size_t
page_through(struct store *store, const char *pattern, uint32_t page_size, unsigned *ret_pages)
{
    char *token = fake_copy("", 0);
    size_t total = 0;
    *ret_pages = 0;
    do {
        remora_call *call = fake_call();
        state_keys_like(call, store, fake_slice(pattern), page_size, fake_slice(token));
        fake_wait(call);
        if (!CHECK(call->ok)) {
            fake_free(call);
            break;
        }
        CHECK(page_size == 0 || call->count <= page_size);
        total += call->count;
        ++*ret_pages;
        free(token);
        token = fake_copy(call->token, strlen(call->token));
        fake_free(call);
    } while (token[0] != '\0' && *ret_pages < 1000);
    free(token);
    return total;
}

TEST(keys_are_found_page_by_page)
{
    NEED_SERVER();
    struct store *store = open_store(NULL);
    redis_cli(&server, "eval \"for i=1,2500 do redis.call('hset','app||k'..i,'data',i,'version',1) "
                       "redis.call('set','other||'..i,1) end\" 0");
    redis_cli(&server, "hset 'app[]*?' data 1 version 1");
    unsigned pages;
    CHECK_EQ_INT(page_through(store, "app||%", 0, &pages), 2500);
    CHECK_EQ_INT(pages, 1);
    CHECK_EQ_INT(page_through(store, "app||%", 100, &pages), 2500);
    CHECK(pages >= 25);
    CHECK_EQ_INT(page_through(store, "app||%", 7, &pages), 2500);
    CHECK_EQ_INT(page_through(store, "app||k__", 10, &pages), 90);
    CHECK_EQ_INT(page_through(store, "%", 1000, &pages), 5001);
    CHECK_EQ_INT(page_through(store, "app[]*_", 1000, &pages), 1);
    CHECK_EQ_INT(page_through(store, "none%", 10, &pages), 0);
    static const char *const bad[] = {
        "x", "1", "1:2", "1:9:abc", ":", "99999999999999999999999:"
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        remora_call *call = fake_call();
        state_keys_like(call, store, fake_slice("%"), 10, fake_slice(bad[i]));
        CHECK_EQ_INT(fake_wait(call)->failure.code, REMORA_INVALID_ARGUMENT);
        fake_free(call);
    }
    store_close(store);
}
