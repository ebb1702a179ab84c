/* SPDX-License-Identifier: Apache-2.0 */
/* Component metadata: what is read, and what is refused. */
#include "plugins/redis/settings.h"

#include "fake_sdk.h"

static char why[SETTINGS_WHY_BYTES];

/* Name, value, name, value, …, NULL. */
static bool
parse(struct settings *ret, const char *const *texts)
{
    struct remora_pair pairs[16];
    size_t count = 0;
    for (; texts[0] != NULL; texts += 2)
        pairs[count++] = (struct remora_pair){ fake_slice(texts[0]), fake_slice(texts[1]) };
    why[0] = '\0';
    return settings_parse(&(struct remora_config){ .metadata = pairs, .metadata_count = count },
                          ret, why);
}

#define PARSE(ret, ...) parse(ret, (const char *const[]){ __VA_ARGS__, NULL })

static void
refused(const char *name, const char *value, const char *message)
{
    struct settings settings;
    CHECK(!PARSE(&settings, "redisHost", "h:1", name, value));
    CHECK_EQ_STR(why, message);
}

TEST(defaults_are_the_references)
{
    struct settings settings;
    REQUIRE(PARSE(&settings, "redisHost", "localhost"));
    CHECK_EQ_STR(settings.hosts[0].host, "localhost");
    CHECK_EQ_STR(settings.hosts[0].port, "6379");
    CHECK_EQ_STR(settings.shown_host, "localhost:6379");
    CHECK_EQ_STR(settings.username, "");
    CHECK_EQ_STR(settings.password, "");
    CHECK_EQ_INT(settings.db, 0);
    CHECK_EQ_INT(settings.dial_timeout_ms, 5000);
    CHECK_EQ_INT(settings.read_timeout_ms, 3000);
    CHECK_EQ_INT(settings.write_timeout_ms, 3000);
    CHECK_EQ_INT(settings.max_retries, 3);
    CHECK_EQ_INT(settings.min_retry_interval_ms, 512);
    CHECK(!settings.enable_tls && !settings.skip_verify && !settings.has_ttl);
    settings_fini(&settings);
}

TEST(every_field_is_read)
{
    struct settings settings;
    REQUIRE(PARSE(&settings, "REDISHOST", "db:7000", "redisPassword", "secret", "redisUsername",
                  "me", "redisDB", "4", "enableTLS", "true", "insecureSkipTLSVerify", "true",
                  "dialTimeout", "2s", "readTimeout", "-1", "writeTimeout", "150", "ttlInSeconds",
                  "60", "maxRetries", "-1", "redisMinRetryInterval", "8ms", "poolSize", "20"));
    CHECK_EQ_STR(settings.hosts[0].host, "db");
    CHECK_EQ_STR(settings.hosts[0].port, "7000");
    CHECK_EQ_STR(settings.password, "secret");
    CHECK_EQ_STR(settings.username, "me");
    CHECK_EQ_INT(settings.db, 4);
    CHECK(settings.enable_tls && settings.skip_verify);
    CHECK_EQ_INT(settings.dial_timeout_ms, 2000);
    CHECK_EQ_INT(settings.read_timeout_ms, -1);
    CHECK_EQ_INT(settings.write_timeout_ms, 150);
    CHECK(settings.has_ttl);
    CHECK_EQ_INT(settings.ttl_seconds, 60);
    CHECK_EQ_INT(settings.max_retries, -1);
    CHECK_EQ_INT(settings.min_retry_interval_ms, 8);
    settings_fini(&settings);
}

TEST(addresses_come_in_several_forms)
{
    static const char *const forms[][3] = {
        { "h:1", "h", "1" },        { "10.0.0.1", "10.0.0.1", "6379" }, { "[::1]:7", "::1", "7" },
        { "[::1]", "::1", "6379" }, { "fe80::1", "fe80::1", "6379" },
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct settings settings;
        REQUIRE(PARSE(&settings, "redisHost", forms[i][0]));
        CHECK_EQ_STR(settings.hosts[0].host, forms[i][1]);
        CHECK_EQ_STR(settings.hosts[0].port, forms[i][2]);
        settings_fini(&settings);
    }
    struct settings settings;
    REQUIRE(PARSE(&settings, "redisHost", "h", "redisPort", "99"));
    CHECK_EQ_STR(settings.shown_host, "h:99");
    settings_fini(&settings);
    CHECK(!PARSE(&settings, "redisHost", "h:1", "redisPort", "2"));
    static const char *const bad[] = {
        "", "h:0", "h:65536", "h:x", ":1", "[::1", "[::1]x", "[]:1"
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!PARSE(&settings, "redisHost", bad[i]));
}

TEST(what_is_malformed_or_not_supported_is_refused)
{
    struct settings settings;
    CHECK(!PARSE(&settings, "redisPassword", "secret"));
    CHECK_EQ_STR(why, "redis store error: missing redisHost");
    refused("redisDB", "x",
            "redis client configuration error: decode failed. redisDB: "
            "strconv.ParseInt: parsing \"x\": invalid syntax");
    refused("dialTimeout", "soon",
            "redis client configuration error: decode failed. dialTimeout: "
            "time: invalid duration \"soon\"");
    refused("enableTLS", "perhaps", "redis client configuration error: enableTLS is not a boolean");
    refused("redisType", "ring", "redis store error: redisType must be node or cluster");
    refused("failover", "true", "redis store error: failover needs sentinelMasterName");
    refused("useEntraID", "true", "redis store error: useEntraID is not supported yet");
    refused("useOIDC", "true", "redis store error: useOIDC is not supported yet");
    refused("queryIndexes", "[]", "redis store error: queryIndexes is not supported yet");
    refused("redisHost", "a:1,b:1",
            "redis store error: redisHost names several hosts, which needs failover "
            "or redisType cluster");
}

TEST(the_seeds_of_a_cluster_are_read)
{
    struct settings settings;
    REQUIRE(PARSE(&settings, "redisHost", "a:1, b", "redisType", "cluster", "redisDB", "3"));
    CHECK(settings.is_cluster);
    CHECK_EQ_INT(settings.host_count, 2);
    CHECK_EQ_STR(settings.shown_host, "a:1,b:6379");
    CHECK_EQ_INT(settings.db, 0); /* a cluster has no other */
    settings_fini(&settings);
    REQUIRE(PARSE(&settings, "redisHost", "a:1", "redisType", "node", "redisDB", "3"));
    CHECK(!settings.is_cluster);
    CHECK_EQ_INT(settings.db, 3);
    settings_fini(&settings);
    REQUIRE(PARSE(&settings, "redisHost", "a:1", "redisType", "cluster", "failover", "true",
                  "sentinelMasterName", "m"));
    CHECK(settings.failover && !settings.is_cluster);
    settings_fini(&settings);
}

TEST(sentinels_are_read)
{
    struct settings settings;
    REQUIRE(PARSE(&settings, "redisHost", "a:1, b:2,[::1]", "failover", "true",
                  "sentinelMasterName", "mymaster", "sentinelPassword", "s"));
    CHECK_EQ_INT(settings.host_count, 3);
    CHECK_EQ_STR(settings.hosts[1].host, "b");
    CHECK_EQ_STR(settings.hosts[2].port, "6379");
    CHECK_EQ_STR(settings.shown_host, "a:1,b:2,[::1]:6379");
    CHECK_EQ_STR(settings.master_name, "mymaster");
    CHECK_EQ_STR(settings.sentinel_username, "");
    CHECK_EQ_STR(settings.sentinel_password, "s");
    settings_fini(&settings);
    CHECK(!PARSE(&settings, "redisHost", "a,,b", "failover", "true", "sentinelMasterName", "m"));
    CHECK(!PARSE(&settings, "redisHost", "a,", "failover", "true", "sentinelMasterName", "m"));
}

/* --- pub/sub -----------------------------------------------------------------------------------*/

static bool
parse_broker(struct broker_settings *ret, const char *name, const char *value)
{
    const struct remora_pair pair = { fake_slice(name), fake_slice(value) };
    why[0] = '\0';
    return broker_settings_parse(&(struct remora_config){ .app_id = fake_slice("shop"),
                                                          .metadata = &pair,
                                                          .metadata_count = 1 },
                                 ret, why);
}

TEST(a_broker_has_the_references_defaults)
{
    struct broker_settings settings;
    REQUIRE(parse_broker(&settings, "consumerID", ""));
    CHECK_EQ_STR(settings.consumer, "shop");
    CHECK_EQ_INT(settings.redeliver_interval_ms, 60000);
    CHECK_EQ_INT(settings.processing_timeout_ms, 15000);
    CHECK_EQ_INT(settings.queue_depth, 100);
    CHECK_EQ_INT(settings.concurrency, 10);
    CHECK_EQ_INT(settings.max_len, 0);
    CHECK_EQ_INT(settings.stream_ttl_ms, 0);
    broker_settings_fini(&settings);
}

TEST(intervals_of_a_broker_can_be_switched_off)
{
    static const char *const off[] = { "0", "-1", "-5s" };
    struct broker_settings settings;
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        REQUIRE(parse_broker(&settings, "redeliverInterval", off[i]));
        CHECK_EQ_INT(settings.redeliver_interval_ms, 0);
        broker_settings_fini(&settings);
    }
    REQUIRE(parse_broker(&settings, "processingTimeout", "1500"));
    CHECK_EQ_INT(settings.processing_timeout_ms, 1500);
    broker_settings_fini(&settings);
    REQUIRE(parse_broker(&settings, "streamTTL", "3600s"));
    CHECK_EQ_INT(settings.stream_ttl_ms, 3600000);
    broker_settings_fini(&settings);
}

TEST(counts_of_a_broker_have_bounds)
{
    struct broker_settings settings;
    REQUIRE(parse_broker(&settings, "queueDepth", "0"));
    CHECK_EQ_INT(settings.queue_depth, 1);
    broker_settings_fini(&settings);
    REQUIRE(parse_broker(&settings, "concurrency", "999999999"));
    CHECK_EQ_INT(settings.concurrency, 10000);
    broker_settings_fini(&settings);
    CHECK(!parse_broker(&settings, "concurrency", "-1"));
    CHECK_EQ_STR(why, "redis client configuration error: concurrency is negative");
    CHECK(!parse_broker(&settings, "maxLenApprox", "many"));
    CHECK(strstr(why, "maxLenApprox") != NULL);
}
