/* SPDX-License-Identifier: Apache-2.0 */
/* A store behind Redis Sentinel: it finds the master, and follows a failover. */
#include "redis_server.h"
#include "store_calls.h"

static struct redis_server master, replica, sentinel;

static void
start_sentinel(void)
{
    char path[300], port[8];
    redis_server_prepare(&sentinel);
    snprintf(path, sizeof path, "%s/sentinel.conf", sentinel.dir);
    snprintf(port, sizeof port, "%u", sentinel.port);
    FILE *file = fopen(path, "w");
    REQUIRE(file != NULL);
    fprintf(file,
            "port %s\nsentinel monitor mymaster 127.0.0.1 %u 1\n"
            "sentinel down-after-milliseconds mymaster 3000\n"
            "sentinel failover-timeout mymaster 2000\n",
            port, master.port);
    fclose(file);
    sentinel.pid = fork();
    if (sentinel.pid == 0) {
        int log = open("/dev/null", O_WRONLY);
        dup2(log, 1);
        dup2(log, 2);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("redis-server", "redis-server", path, "--sentinel", NULL);
        _exit(127);
    }
    for (unsigned i = 0; i < 2000 && !port_answers(sentinel.port); i++)
        short_pause();
}

static void
wait_for_words(const struct redis_server *server, const char *command, const char *words)
{
    for (unsigned i = 0; i < 2000; i++) {
        if (strstr(redis_cli(server, command), words) != NULL)
            return;
        short_pause();
    }
    fprintf(stderr, "  %s\n", redis_cli(server, command));
    REQUIRE(!"the servers found each other");
}

static bool
prepare(void)
{
    char port[8];
    if (sentinel.pid != 0)
        return true;
    if (!redis_server_is_installed())
        return false;
    redis_server_prepare(&master);
    redis_server_start_more(&master, (const char *[]){ "--repl-diskless-sync-delay", "0", NULL });
    snprintf(port, sizeof port, "%u", master.port);
    redis_server_prepare(&replica);
    redis_server_start_more(&replica, (const char *[]){ "--replicaof", "127.0.0.1", port, NULL });
    start_sentinel();
    wait_for_words(&master, "info replication", "state=online");
    wait_for_words(&sentinel, "sentinel replicas mymaster", "127.0.0.1");
    return true;
}

#define NEED_SERVERS()                                                                             \
    if (!prepare())                                                                                \
    SKIP("redis-server not installed")

static const char *
hosts(void)
{
    static char text[128];
    /* The first one does not answer. */
    snprintf(text, sizeof text, "127.0.0.1:1,127.0.0.1:%u", sentinel.port);
    return text;
}

TEST(sentinels_that_know_nothing_fail_init)
{
    NEED_SERVERS();
    failed(init_at(hosts(), (struct field[]){ { "failover", "true" },
                                              { "sentinelMasterName", "other" },
                                              { "redisMaxRetries", "-1" },
                                              { 0 } }),
           REMORA_UNAVAILABLE, REMORA_EFFECT_FAILED,
           "all sentinels specified in configuration are unreachable: sentinel 127.0.0.1:");
}

TEST(a_store_follows_a_failover)
{
    NEED_SERVERS();
    struct store *store = open_at(
        hosts(),
        (struct field[]){ { "failover", "true" }, { "sentinelMasterName", "mymaster" }, { 0 } });
    set_ok(store, item("k", "1"));
    CHECK_EQ_STR(redis_cli(&master, "hget k data"), "1");
    wait_for_words(&replica, "hget k data", "1");
    redis_server_stop(&master);
    bool saved = false;
    for (unsigned i = 0; i < 100 && !saved; i++) {
        fake_run_for(0.1);
        remora_call *call = set(store, item("k", "2"));
        saved = call->ok;
        fake_free(call);
    }
    CHECK(saved);
    CHECK_EQ_STR(redis_cli(&replica, "hget k data"), "2");
    store_close(store);
}
