/* SPDX-License-Identifier: Apache-2.0 */
/* A store on a cluster of three servers: what the API cannot be asked for, and ends at any moment.
 * What it can be is in tests/integration/redis_cluster_test.py. */
#include "redis_server.h"
#include "store_calls.h"

enum { SERVERS = 3 };

static struct redis_server servers[SERVERS];
static char seeds[128];

static void
start_server(struct redis_server *server, unsigned index)
{
    char bus[8], words[64];
    snprintf(bus, sizeof bus, "%u", free_port());
    redis_server_prepare(server);
    redis_server_start_more(server,
                            (const char *[]){ "--cluster-enabled", "yes", "--cluster-port", bus,
                                              "--cluster-node-timeout", "5000", NULL });
    snprintf(words, sizeof words, "cluster set-config-epoch %u", index + 1);
    CHECK_EQ_STR(redis_cli(server, words), "OK");
    snprintf(words, sizeof words, "cluster addslotsrange %u %u", SLOTS * index / SERVERS,
             SLOTS * (index + 1) / SERVERS - 1);
    CHECK_EQ_STR(redis_cli(server, words), "OK");
    snprintf(words, sizeof words, "cluster meet 127.0.0.1 %u %s", server->port, bus);
    for (unsigned i = 0; i < index; i++)
        CHECK_EQ_STR(redis_cli(&servers[i], words), "OK");
}

static void
wait_until_whole(const struct redis_server *server)
{
    for (unsigned i = 0; i < 2000; i++) {
        const char *info = redis_cli(server, "cluster info");
        if (strstr(info, "cluster_state:ok") != NULL &&
            strstr(info, "cluster_slots_ok:16384") != NULL &&
            strstr(info, "cluster_size:3") != NULL)
            return;
        short_pause();
    }
    REQUIRE(!"the cluster is whole");
}

static bool
prepare(void)
{
    if (servers[0].pid != 0)
        return true;
    if (!redis_server_is_installed())
        return false;
    for (unsigned i = 0; i < SERVERS; i++)
        start_server(&servers[i], i);
    for (unsigned i = 0; i < SERVERS; i++)
        wait_until_whole(&servers[i]);
    snprintf(seeds, sizeof seeds, "127.0.0.1:1, 127.0.0.1:%u", servers[1].port);
    return true;
}

#define NEED_CLUSTER()                                                                             \
    if (!prepare())                                                                                \
    SKIP("redis-server not installed")

static const struct field as_cluster[] = { { "redisType", "cluster" }, { NULL, NULL } };

static bool
is_in(char *const *keys, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

/* Walks all pages; the number of different keys. Pages are no larger than asked for. */
static size_t
page_through(struct store *store, uint32_t page_size)
{
    static char *keys[1000];
    size_t count = 0;
    char *token = fake_copy("", 0);
    do {
        remora_call *call = fake_call();
        state_keys_like(call, store, fake_slice("app||%"), page_size, fake_slice(token));
        REQUIRE(fake_wait(call)->ok);
        CHECK(page_size == 0 || call->count <= page_size);
        for (size_t i = 0; i < call->count; i++)
            if (count < 1000 && !is_in(keys, count, call->keys[i]))
                keys[count++] = fake_copy(call->keys[i], strlen(call->keys[i]));
        free(token);
        token = fake_copy(call->token, strlen(call->token));
        fake_free(call);
    } while (token[0] != '\0');
    free(token);
    for (size_t i = 0; i < count; i++)
        free(keys[i]);
    return count;
}

TEST(keys_of_all_servers_are_found_page_by_page)
{
    NEED_CLUSTER();
    struct store *store = open_at(seeds, as_cluster);
    char key[32];
    for (unsigned i = 0; i < 300; i++) {
        snprintf(key, sizeof key, "app||k%u", i);
        set_ok(store, item(key, "1"));
        snprintf(key, sizeof key, "other||k%u", i);
        set_ok(store, item(key, "1"));
    }
    for (unsigned i = 0; i < SERVERS; i++)
        CHECK(strcmp(redis_cli(&servers[i], "dbsize"), "0") != 0);
    CHECK_EQ_INT(page_through(store, 0), 300);
    CHECK_EQ_INT(page_through(store, 7), 300);
    CHECK_EQ_INT(page_through(store, 150), 300);
    static const char *const bad[] = { "x", "1:", "16385:0:", "-1:0:", "1:2:9:abc" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        remora_call *call = fake_call();
        state_keys_like(call, store, fake_slice("%"), 10, fake_slice(bad[i]));
        CHECK_EQ_INT(fake_wait(call)->failure.code, REMORA_INVALID_ARGUMENT);
        fake_free(call);
    }
    store_close(store);
}

static bool
all_answered(remora_call *const *calls, size_t count)
{
    size_t answered = 0;
    for (size_t i = 0; i < count; i++)
        answered += calls[i]->replies > 0;
    return answered == count;
}

/* The calls are never answered, and nothing of them is left. */
TEST(a_store_may_be_closed_at_any_moment)
{
    NEED_CLUSTER();
    for (unsigned turn = 0; turn < 12; turn++) {
        remora_call *calls[30];
        char keys[30][16];
        struct remora_state_set sets[30];
        struct store *store = open_at(seeds, as_cluster);
        for (unsigned i = 0; i < 30; i++) {
            snprintf(keys[i], sizeof keys[i], "app||c%u", i);
            sets[i] = item(keys[i], "1");
            if (i % 2 == 0)
                sets[i].consistency = REMORA_STRONG;
            calls[i] = start_set(store, &sets[i]);
        }
        for (unsigned i = 0; i < turn && !all_answered(calls, 30); i++)
            ev_run(remora_loop(), EVRUN_ONCE);
        store_close(store);
        for (unsigned i = 0; i < 30; i++)
            fake_free(calls[i]);
    }
}

TEST(a_store_may_be_closed_while_it_looks_for_the_cluster)
{
    NEED_CLUSTER();
    for (unsigned turn = 0; turn < 12; turn++) {
        struct remora_pair pairs[] = { { fake_slice("redisHost"), fake_slice(seeds) },
                                       { fake_slice("redisType"), fake_slice("cluster") } };
        remora_call *call = fake_call();
        store_init(call, &(struct remora_config){ .metadata = pairs, .metadata_count = 2 });
        for (unsigned i = 0; i < turn && call->replies == 0; i++)
            ev_run(remora_loop(), EVRUN_ONCE);
        if (call->replies == 0)
            call->on_cancel(call, call->on_cancel_arg);
        else if (call->ok)
            store_close(call->self);
        CHECK_EQ_INT(call->replies, 1);
        fake_free(call);
    }
}

/* Nothing is sent to a server that does not answer twice, and others are not held up by it. */
TEST(a_frozen_server_times_out_alone_and_its_writes_may_have_happened)
{
    NEED_CLUSTER();
    struct store *store = open_at(seeds, (const struct field[]){ { "redisType", "cluster" },
                                                                 { "readTimeout", "500ms" },
                                                                 { "dialTimeout", "1s" },
                                                                 { NULL, NULL } });
    const char *near = NULL, *far = NULL;
    static char keys[100][16];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(keys[i], sizeof keys[i], "app||f%u", i);
        set_ok(store, item(keys[i], "1"));
        bool is_first = slots_of_key(fake_slice(keys[i])) < SLOTS / SERVERS;
        *(is_first ? &far : &near) = keys[i];
    }
    kill(servers[0].pid, SIGSTOP);
    struct remora_state_set wanted = item(far, "2");
    remora_call *frozen = start_set(store, &wanted);
    set_ok(store, item(near, "2"));
    CHECK_EQ_INT(frozen->replies, 0);
    fake_wait(frozen);
    CHECK_EQ_INT(frozen->failure.code, REMORA_UNAVAILABLE);
    CHECK_EQ_INT(frozen->failure.effect, REMORA_EFFECT_UNKNOWN);
    fake_free(frozen);
    remora_call *later = set(store, item(far, "3"));
    CHECK_EQ_INT(later->failure.code, REMORA_UNAVAILABLE);
    CHECK_EQ_INT(later->failure.effect, REMORA_EFFECT_NOT_SENT);
    fake_free(later);
    kill(servers[0].pid, SIGCONT);
    wait_until_whole(&servers[0]);
    set_ok(store, item(far, "4"));
    remora_call *found = get(store, far);
    CHECK_EQ_STR(found->values[0].value, "4");
    fake_free(found);
    store_close(store);
}
