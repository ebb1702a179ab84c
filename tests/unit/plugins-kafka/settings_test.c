/* SPDX-License-Identifier: Apache-2.0 */
/* Component metadata of pubsub.kafka: what is read, and what is refused. */
#include "plugins/kafka/settings.h"

#include "test.h"

static char why[SETTINGS_WHY_BYTES];

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* Name, value, name, value, …, NULL; the application is `shop`. */
static bool
parse(struct settings *ret, const char *const *texts)
{
    struct remora_pair pairs[40];
    size_t count = 0;
    for (; texts[0] != NULL; texts += 2)
        pairs[count++] = (struct remora_pair){ slice(texts[0]), slice(texts[1]) };
    why[0] = '\0';
    return settings_parse(&(struct remora_config){ .app_id = slice("shop"),
                                                   .metadata = pairs,
                                                   .metadata_count = count },
                          ret, why);
}

#define PARSE(ret, ...) parse(ret, (const char *const[]){ __VA_ARGS__, NULL })
#define NODE "brokers", "h:9092", "authType", "none"

#define PEM "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"

TEST(defaults_are_the_references)
{
    struct settings settings;
    REQUIRE(PARSE(&settings, NODE));
    CHECK_EQ_STR(settings.brokers, "h:9092");
    CHECK_EQ_STR(settings.group, "shop");
    CHECK_EQ_STR(settings.client_id, "shop");
    CHECK(settings.auth == AUTH_NONE && !settings_use_tls(&settings));
    CHECK(!settings.from_oldest && settings.is_retried && !settings.escape_headers);
    CHECK_EQ_INT(settings.retry_ms, 100);
    CHECK_EQ_INT(settings.retries_max, RETRY_FOR_EVER);
    CHECK_EQ_INT(settings.heartbeat_ms, 3000);
    CHECK_EQ_INT(settings.session_timeout_ms, 10000);
    CHECK_EQ_INT(settings.metadata_refresh_ms, 480000);
    CHECK_EQ_INT(settings.keep_alive_ms, 0);
    CHECK_EQ_INT(settings.message_bytes_max, 1000000);
    CHECK_EQ_INT(settings.fetch_min, 1);
    CHECK_EQ_INT(settings.queued_messages, 256);
    CHECK_EQ_STR(settings.compression, "none");
    CHECK(settings.registry_url == NULL && settings.keeps_schemas && !settings.is_avro_json);
    CHECK_EQ_INT(settings.latest_ms, 300000);
    settings_fini(&settings);
}

TEST(members_share_partitions_as_the_metadata_say)
{
    static const struct {
        const char *word;
        enum settings_strategy strategy;
    } rows[] = { { "", SHARE_BY_RANGE },
                 { "Range", SHARE_BY_RANGE },
                 { "roundRobin", SHARE_ROUND_ROBIN },
                 { "Sticky", SHARE_STICKY },
                 { "fair", SHARE_BY_RANGE } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct settings settings;
        REQUIRE(PARSE(&settings, NODE, "consumerGroupRebalanceStrategy", rows[i].word));
        CHECK_EQ_INT(settings.strategy, rows[i].strategy);
        settings_fini(&settings);
    }
}

TEST(a_registry_has_an_address_and_a_login)
{
    struct settings settings;
    REQUIRE(PARSE(&settings, NODE, "schemaRegistryURL", "https://r:8081/api/",
                  "schemaRegistryAPIKey", "key", "schemaRegistryAPISecret", "secret",
                  "schemaCachingEnabled", "false", "schemaLatestVersionCacheTTL", "30"));
    CHECK_EQ_STR(settings.registry_url, "https://r:8081/api");
    CHECK_EQ_STR(settings.registry_key, "key");
    CHECK_EQ_STR(settings.registry_secret, "secret");
    CHECK(!settings.keeps_schemas);
    CHECK_EQ_INT(settings.latest_ms, 30000);
    settings_fini(&settings);
    CHECK(!PARSE(&settings, NODE, "schemaRegistryURL", "file:///etc/passwd"));
    CHECK_EQ_STR(why, "kafka error: invalid value for 'schemaRegistryURL' attribute");
}

TEST(every_field_is_read)
{
    struct settings settings;
    REQUIRE(PARSE(&settings, "BROKERS", "a:1,b:2", "authType", "Password", "saslUsername", "u",
                  "saslPassword", "p", "saslMechanism", "SHA-512", "disableTls", "true",
                  "consumerID", "id", "clientID", "me", "initialOffset", "Oldest",
                  "maxMessageBytes", "2048", "consumeRetryInterval", "250", "consumeRetryEnabled",
                  "false", "version", "0.10.2.0", "compression", "zstd", "consumerFetchMin", "7",
                  "consumerFetchDefault", "65536", "heartbeatInterval", "5", "sessionTimeout",
                  "20s", "consumerGroupRebalanceStrategy", "RoundRobin", "schemaRegistryURL",
                  "http://r", "useAvroJSON", "true"));
    CHECK(settings.strategy == SHARE_ROUND_ROBIN && settings.is_avro_json);
    CHECK_EQ_STR(settings.group, "id");
    CHECK_EQ_STR(settings.client_id, "me");
    CHECK_EQ_STR(settings.sasl_mechanism, "SCRAM-SHA-512");
    CHECK_EQ_STR(settings.sasl_password, "p");
    CHECK(settings.auth == AUTH_PASSWORD && !settings_use_tls(&settings));
    CHECK(settings.from_oldest && !settings.is_retried);
    CHECK_EQ_INT(settings.retry_ms, 250);
    CHECK_EQ_INT(settings.message_bytes_max, 2048);
    CHECK_EQ_INT(settings.fetch_min, 7);
    CHECK_EQ_INT(settings.fetch_default, 65536);
    CHECK_EQ_INT(settings.heartbeat_ms, 5000);
    CHECK_EQ_INT(settings.session_timeout_ms, 20000);
    CHECK_EQ_STR(settings.compression, "zstd");
    settings_fini(&settings);
}

TEST(the_group_is_consumerGroup_before_consumerID)
{
    struct settings settings;
    REQUIRE(PARSE(&settings, NODE, "consumerID", "id", "consumerGroup", "group"));
    CHECK_EQ_STR(settings.group, "group");
    settings_fini(&settings);
}

TEST(authRequired_is_the_older_form_of_authType)
{
    struct settings settings;
    REQUIRE(PARSE(&settings, "brokers", "h", "authRequired", "false"));
    CHECK(settings.auth == AUTH_NONE);
    settings_fini(&settings);
    REQUIRE(PARSE(&settings, "brokers", "h", "authRequired", "true", "saslUsername", "u",
                  "saslPassword", "p"));
    CHECK(settings.auth == AUTH_PASSWORD && settings_use_tls(&settings));
    CHECK_EQ_STR(settings.sasl_mechanism, "PLAIN");
    settings_fini(&settings);
    CHECK(!PARSE(&settings, "brokers", "h", "authRequired", "maybe"));
    CHECK_EQ_STR(why, "kafka error: invalid value for 'authRequired' attribute");
}

TEST(retries_grow_or_end_as_the_back_off_says)
{
    struct settings settings;
    REQUIRE(PARSE(&settings, NODE, "backOffPolicy", "exponential", "backOffInitialInterval", "1s",
                  "backOffMaxInterval", "3s", "backOffMaxRetries", "4"));
    CHECK(settings.retry_grows);
    CHECK_EQ_INT(settings.retry_ms, 1000);
    CHECK_EQ_INT(settings.retry_max_ms, 3000);
    CHECK_EQ_INT(settings.retries_max, 4);
    settings_fini(&settings);
    REQUIRE(PARSE(&settings, NODE, "backOffDuration", "2"));
    CHECK_EQ_INT(settings.retry_ms, 2000);
    settings_fini(&settings);
}

TEST(a_pattern_of_headers_is_read_as_Go_writes_it)
{
    struct settings settings;
    REQUIRE(PARSE(&settings, NODE, "excludeHeaderMetaRegex", "(?i)^secret\\d+$"));
    CHECK(regexec(&settings.excluded, "SECRET12", 0, NULL, 0) == 0);
    CHECK(regexec(&settings.excluded, "secretive", 0, NULL, 0) != 0);
    settings_fini(&settings);
}

TEST(what_makes_no_sense_is_refused_in_the_references_words)
{
    static const struct {
        const char *texts[9];
        const char *why;
    } rows[] = {
        { { "authType", "none" }, "kafka error: missing 'brokers' attribute" },
        { { "brokers", "h" }, "kafka error: 'authType' attribute was missing or empty" },
        { { "brokers", "h", "authType", "magic" },
          "kafka error: invalid value for 'authType' attribute" },
        { { "brokers", "h", "authType", "password" },
          "kafka error: missing SASL Username for authType 'password'" },
        { { "brokers", "h", "authType", "password", "saslUsername", "u" },
          "kafka error: missing SASL Password for authType 'password'" },
        { { "brokers", "h", "authType", "mtls", "clientCert", PEM },
          "kafka error: clientKey or clientCert is missing" },
        { { "brokers", "h", "authType", "mtls", "clientCert", "no" },
          "kafka error: invalid client certificate" },
        { { "brokers", "h", "authType", "certificate" },
          "missing CA certificate property 'caCert' for authType 'certificate'" },
        { { "brokers", "h", "authType", "certificate", "caCert", "no" },
          "kafka error: invalid ca certificate" },
        { { "brokers", "h", "authType", "awsiam" },
          "kafka error: authType 'awsiam' is not supported yet" },
        { { "brokers", "h", "authType", "oidc" },
          "kafka error: authType 'oidc' is not supported yet" },
        { { NODE, "initialOffset", "middle" }, "kafka error: invalid initialOffset: middle" },
        { { NODE, "version", "new" }, "kafka error: invalid kafka version" },
        { { NODE, "version", "1..2" }, "kafka error: invalid kafka version" },
        { { NODE, "compression", "rar" }, "kafka error: invalid compression codec 'rar'" },
        { { NODE, "maxMessageBytes", "many" },
          "kafka error: cannot parse 'maxMessageBytes' as int: \"many\"" },
        { { NODE, "consumeRetryInterval", "-1" },
          "kafka error: invalid value for 'consumeRetryInterval' attribute: \"-1\"" },
        { { NODE, "sessionTimeout", "soon" },
          "kafka error: error decoding 'sessionTimeout': time: invalid duration \"soon\"" },
        { { NODE, "excludeHeaderMetaRegex", "(" },
          "kafka error: invalid value for 'excludeHeaderMetaRegex' attribute" },
        { { NODE, "backOffPolicy", "never" },
          "kafka error: invalid value for 'backOffPolicy' attribute" },
    };
    struct settings settings;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK(!parse(&settings, rows[i].texts));
        CHECK_EQ_STR(why, rows[i].why);
    }
}

TEST(numbers_beyond_reason_are_brought_to_it)
{
    struct settings settings;
    REQUIRE(PARSE(&settings, NODE, "maxMessageBytes", "9223372036854775807", "consumerFetchDefault",
                  "-5", "channelBufferSize", "99999999999", "concurrency", "0", "sessionTimeout",
                  "-1s"));
    CHECK_EQ_INT(settings.message_bytes_max, 1000000000);
    CHECK_EQ_INT(settings.fetch_default, 1024);
    CHECK_EQ_INT(settings.queued_messages, 100000);
    CHECK_EQ_INT(settings.concurrency, 1);
    CHECK_EQ_INT(settings.session_timeout_ms, 1);
    settings_fini(&settings);
}

static bool
parse_binding(struct settings *ret, const char *topics, const char *publish_topic)
{
    const struct remora_pair pairs[] = { { slice("brokers"), slice("h:1") },
                                         { slice("authType"), slice("none") },
                                         { slice("topics"), slice(topics) },
                                         { slice("publishTopic"), slice(publish_topic) } };
    const struct remora_config config = { .app_id = slice("app"),
                                          .metadata = pairs,
                                          .metadata_count = sizeof pairs / sizeof pairs[0] };
    return settings_parse_binding(&config, ret, why);
}

TEST(topics_of_a_binding_are_each_read_once)
{
    struct settings settings;
    REQUIRE(parse_binding(&settings, "a, b,,a , c,", "d"));
    CHECK_EQ_INT(settings.topic_count, 3);
    CHECK_EQ_STR(settings.topics[0], "a");
    CHECK_EQ_STR(settings.topics[1], "b");
    CHECK_EQ_STR(settings.topics[2], "c");
    CHECK_EQ_STR(settings.publish_topic, "d");
    CHECK(settings.is_retried);
    settings_fini(&settings);
    REQUIRE(parse_binding(&settings, "", ""));
    CHECK_EQ_INT(settings.topic_count, 0);
    CHECK_EQ_STR(settings.publish_topic, "");
    settings_fini(&settings);
}

TEST(topics_of_a_binding_are_bounded)
{
    struct settings settings;
    char topics[4 * (SETTINGS_TOPICS_MAX + 1) + 1], *at = topics;
    for (int i = 0; i <= SETTINGS_TOPICS_MAX; i++)
        at += snprintf(at, 5, "t%02d,", i);
    CHECK(!parse_binding(&settings, topics, ""));
    CHECK_EQ_STR(why, "kafka error: 'topics' are more than 64");
    topics[4 * SETTINGS_TOPICS_MAX] = '\0';
    REQUIRE(parse_binding(&settings, topics, ""));
    CHECK_EQ_INT(settings.topic_count, SETTINGS_TOPICS_MAX);
    settings_fini(&settings);
}
