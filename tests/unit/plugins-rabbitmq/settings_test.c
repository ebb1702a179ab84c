/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata of a component and of a subscription: defaults, forms and words of the reference. */
#include "plugins/rabbitmq/settings.h"

#include "plugins/rabbitmq/topology.h"
#include "test.h"

enum { PAIRS_MAX = 8 };

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static size_t
pairs_of(const char *const *words, struct remora_pair pairs[PAIRS_MAX])
{
    size_t count = 0;
    for (; words[2 * count] != NULL; count++)
        pairs[count] = (struct remora_pair){ slice(words[2 * count]), slice(words[2 * count + 1]) };
    return count;
}

/* The complaint, or "". */
static const char *
read_settings(const char *const *words, struct settings *settings)
{
    static char why[WHY_BYTES];
    struct remora_pair pairs[PAIRS_MAX];
    struct remora_config config = { .app_id = slice("shop"), .metadata = pairs };
    config.metadata_count = pairs_of(words, pairs);
    why[0] = '\0';
    (void)settings_init(settings, &config, why);
    return why;
}

#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

TEST(without_a_word_defaults_are_the_references)
{
    struct settings settings;
    CHECK_EQ_STR(read_settings((const char *const[]){ NULL }, &settings), "");
    CHECK_EQ_STR(settings.address.shown, "amqp://localhost:5672");
    CHECK_EQ_STR(settings.consumer_id, "shop");
    CHECK_EQ_STR(settings.exchange_kind, "fanout");
    CHECK(settings.durable && settings.delete_when_unused && settings.publisher_confirm);
    CHECK(!settings.auto_ack && !settings.requeue_in_failure && !settings.enable_dead_letter);
    CHECK(!settings.is_single && !settings.has_properties && !settings.sasl_external);
    CHECK_EQ_INT(settings.delivery_mode, 0);
    CHECK_EQ_INT(settings.prefetch_count, 0);
    CHECK_EQ_INT(settings.reconnect_wait_ms, 3000);
    CHECK_EQ_INT(settings.heartbeat_ms, 10000);
    CHECK_EQ_INT(settings.ttl_ms, -1);
    settings_fini(&settings);
}

TEST(fields_are_read_in_their_forms)
{
    struct settings settings;
    CHECK_EQ_STR(read_settings(WORDS("host", "amqps://u:p@mq", "deletedWhenUnused", "FALSE",
                                     "reconnectWaitSeconds", "7", "heartBeat", "1m",
                                     "concurrencyMode", "single", "ttlInSeconds", "60",
                                     "exchangeKind", "topic", "prefetchCount", "2"),
                               &settings),
                 "");
    CHECK_EQ_STR(settings.address.shown, "amqps://mq:5671");
    CHECK(!settings.delete_when_unused && settings.is_single);
    CHECK_EQ_INT(settings.reconnect_wait_ms, 7000);
    CHECK_EQ_INT(settings.heartbeat_ms, 60000);
    CHECK_EQ_INT(settings.ttl_ms, 60000);
    CHECK_EQ_INT(settings.prefetch_count, 2);
    settings_fini(&settings);
    CHECK_EQ_STR(read_settings(WORDS("exchangeDeclareMode", "Passive", "exchangeKind", "x-mine",
                                     "ttlInSeconds", "1m30s", "reconnectWait", "250ms"),
                               &settings),
                 "");
    CHECK(settings.exchange_passive && !settings.queue_passive);
    CHECK_EQ_INT(settings.ttl_ms, 90000);
    CHECK_EQ_INT(settings.reconnect_wait_ms, 250);
    settings_fini(&settings);
}

TEST(what_makes_no_sense_is_refused_in_the_references_words_and_without_secrets)
{
    static const struct {
        const char *name, *value, *why;
    } cases[] = {
        { "connectionString", "amqp://a:hidden@mq:x",
          "rabbitmq pub/sub error: invalid connection string, err: invalid port after host" },
        { "protocol", "hidden",
          "rabbitmq pub/sub error: AMQP scheme must be either 'amqp://' or 'amqps://'" },
        { "deliveryMode", "3",
          "rabbitmq pub/sub error: invalid RabbitMQ delivery mode, accepted values are between 0 "
          "and 2" },
        { "deliveryMode", "-1",
          "rabbitmq pub/sub error: invalid RabbitMQ delivery mode, accepted values are between 0 "
          "and 2" },
        { "exchangeKind", "invalid",
          "rabbitmq pub/sub error: invalid RabbitMQ exchange kind \"invalid\"; the component can "
          "declare fanout, topic, direct, headers and x-consistent-hash. To use an exchange of any "
          "other kind, create it out-of-band and set exchangeDeclareMode to \"passive\"" },
        { "exchangeDeclareMode", "maybe",
          "rabbitmq pub/sub error: invalid RabbitMQ exchange declare mode \"maybe\", accepted "
          "values are \"declare\" and \"passive\"" },
        { "ttlInSeconds", "0",
          "rabbitmq pub/sub error: parse RabbitMQ ttl metadata with error: ttl value must be "
          "higher than zero: actual is '0'" },
        { "ttlInSeconds", "20b",
          "rabbitmq pub/sub error: parse RabbitMQ ttl metadata with error: ttl value must be a "
          "valid integer: actual is '20b'" },
        { "concurrency", "a", "rabbitmq pub/sub error: invalid concurrency a" },
        { "caCert", "hidden", "rabbitmq pub/sub error: invalid TLS configuration: invalid caCert" },
        { "clientKey", "-----BEGIN hidden",
          "rabbitmq pub/sub error: invalid TLS configuration: invalid clientKey" },
        { "saslExternal", "true",
          "saslExternal can only be set to true, when all these properties are set: caCert, "
          "clientCert, clientKey" },
        { "durable", "perhaps", "rabbitmq pub/sub error: 'durable' is not a boolean: \"perhaps\"" },
        { "prefetchCount", "-1",
          "rabbitmq pub/sub error: 'prefetchCount' is not a number from 0 to 65535: \"-1\"" },
        { "heartBeat", "soon", "rabbitmq pub/sub error: 'heartBeat' is not a duration: \"soon\"" },
    };
    struct settings settings;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_EQ_STR(read_settings(WORDS(cases[i].name, cases[i].value), &settings), cases[i].why);
    CHECK_EQ_STR(read_settings(WORDS("connectionString", "amqp://a:hidden@mq", "protocol", "amqps"),
                               &settings),
                 "rabbitmq pub/sub error: protocol does not match connection string, protocol: "
                 "amqps, connection string: amqp://mq:5672");
}

/* The complaint, or "". */
static const char *
read_feed(const struct settings *settings, const char *topic, const char *const *words,
          struct feed *feed)
{
    static char why[WHY_BYTES];
    struct remora_pair pairs[PAIRS_MAX];
    struct remora_subscription wanted = { .topic = slice(topic), .window = 256, .metadata = pairs };
    wanted.metadata_count = pairs_of(words, pairs);
    why[0] = '\0';
    (void)feed_init(feed, settings, &wanted, why);
    return why;
}

TEST(a_subscription_says_what_its_queue_is)
{
    struct settings settings;
    struct feed feed;
    CHECK_EQ_STR(read_settings(WORDS("prefetchCount", "20"), &settings), "");
    CHECK_EQ_STR(read_feed(&settings, "orders", (const char *const[]){ NULL }, &feed), "");
    CHECK_EQ_STR(feed.queue, "shop-orders");
    CHECK_EQ_STR(feed.type, "classic");
    CHECK_EQ_INT(feed.prefetch, 20);
    feed_fini(&feed);
    CHECK_EQ_STR(read_feed(&settings, "orders",
                           WORDS("queueName", "mine", "queueType", "quorum", "maxPriority", "300",
                                 "maxLen", "9", "routingKey", "a,b,", "singleActiveConsumer", "1"),
                           &feed),
                 "");
    CHECK_EQ_STR(feed.queue, "mine");
    CHECK_EQ_STR(feed.type, "quorum");
    CHECK_EQ_STR(feed.routing_keys, "a,b,");
    CHECK_EQ_INT(feed.max_priority, 255);
    CHECK_EQ_INT(feed.max_len, 9);
    CHECK(feed.is_single_active);
    feed_fini(&feed);
    CHECK_EQ_STR(read_feed(&settings, "orders", WORDS("queueType", "stream"), &feed),
                 "invalid queue type stream. Valid types are classic and quorum");
    CHECK_EQ_STR(read_feed(&settings, "orders", WORDS("maxPriority", "high"), &feed),
                 "rabbitmq pub/sub error: can't parse maxPriority value on subscription metadata: "
                 "\"high\"");
    settings_fini(&settings);
}

TEST(names_of_queues_are_bounded)
{
    struct settings settings;
    struct feed feed;
    char topic[300];
    CHECK_EQ_STR(read_settings(WORDS("enableDeadLetter", "true"), &settings), "");
    memset(topic, 't', sizeof topic);
    topic[256] = '\0';
    CHECK_EQ_STR(read_feed(&settings, topic, (const char *const[]){ NULL }, &feed),
                 "rabbitmq pub/sub error: the topic's name is longer than 255 bytes");
    topic[255 - 8] = '\0'; /* dlx-shop-… is too long */
    CHECK_EQ_STR(read_feed(&settings, topic, (const char *const[]){ NULL }, &feed),
                 "rabbitmq pub/sub error: the queue's name is longer than 255 bytes");
    topic[255 - 9] = '\0';
    CHECK_EQ_STR(read_feed(&settings, topic, (const char *const[]){ NULL }, &feed), "");
    feed_fini(&feed);
    settings_fini(&settings);
}

TEST(keys_of_a_consistent_hash_are_weights)
{
    struct settings settings;
    struct feed feed;
    CHECK_EQ_STR(read_settings(WORDS("exchangeKind", "x-consistent-hash"), &settings), "");
    CHECK_EQ_STR(read_feed(&settings, "t", WORDS("routingKey", "10,20"), &feed), "");
    feed_fini(&feed);
    CHECK(*read_feed(&settings, "t", WORDS("routingKey", "10,orders"), &feed) != '\0');
    CHECK(*read_feed(&settings, "t", WORDS("routingKey", "0"), &feed) != '\0');
    CHECK(*read_feed(&settings, "t", (const char *const[]){ NULL }, &feed) != '\0');
    settings_fini(&settings);
}

/* The complaint, or "". */
static const char *
read_binding(const char *const *words, struct settings *settings)
{
    static char why[WHY_BYTES];
    struct remora_pair pairs[PAIRS_MAX];
    struct remora_config config = { .app_id = slice("shop"), .metadata = pairs };
    config.metadata_count = pairs_of(words, pairs);
    why[0] = '\0';
    (void)settings_init_binding(settings, &config, why);
    return why;
}

TEST(a_binding_is_a_queue_with_defaults_of_its_own)
{
    struct settings settings;
    struct feed feed;
    CHECK_EQ_STR(read_binding(WORDS("host", "amqp://mq", "queueName", "jobs"), &settings), "");
    CHECK_EQ_STR(settings.queue, "jobs");
    CHECK(!settings.durable && !settings.delete_when_unused && !settings.is_exclusive);
    CHECK(settings.requeue_in_failure && settings.publisher_confirm && settings.is_single);
    CHECK_EQ_INT(settings.delivery_mode, 2);
    CHECK_EQ_INT(settings.queue_ttl_ms, -1);
    CHECK_EQ_INT(settings.max_priority, -1);
    CHECK_EQ_INT(settings.ttl_ms, -1);
    CHECK_EQ_INT(settings.reconnect_wait_ms, 5000);
    feed_init_binding(&feed, &settings, 256);
    CHECK_EQ_STR(feed.queue, "jobs");
    CHECK_EQ_INT(feed.prefetch, 256);
    feed_fini(&feed);
    settings_fini(&settings);
    CHECK_EQ_STR(read_binding(WORDS("host", "amqps://mq", "queueName", "jobs", "durable", "true",
                                    "deleteWhenUnused", "1", "exclusive", "true", "prefetchCount",
                                    "3", "maxPriority", "1000", "ttlInSeconds", "99999999999"),
                              &settings),
                 "");
    CHECK(settings.durable && settings.delete_when_unused && settings.is_exclusive);
    CHECK_EQ_INT(settings.max_priority, 255);
    CHECK_EQ_INT(settings.queue_ttl_ms, UINT32_MAX);
    feed_init_binding(&feed, &settings, 256);
    CHECK_EQ_INT(feed.prefetch, 3);
    feed_fini(&feed);
    settings_fini(&settings);
}

TEST(a_binding_that_makes_no_sense_is_refused)
{
    static const struct {
        const char *name, *value, *why;
    } cases[] = {
        { "host", "", "rabbitmq binding error: missing host address" },
        { "host", "amqp://a:hidden@mq:x",
          "rabbitmq binding error: invalid connection string, err: invalid port after host" },
        { "queueName", "", "rabbitmq binding error: missing queue Name" },
        { "durable", "perhaps", "rabbitmq binding error: 'durable' is not a boolean: \"perhaps\"" },
        { "maxPriority", "-1", "rabbitmq binding error: can't parse maxPriority field: \"-1\"" },
        { "ttlInSeconds", "0",
          "rabbitmq binding error: failed to parse TTL: ttl value must be higher than zero: actual "
          "is '0'" },
        { "prefetchCount", "x",
          "rabbitmq binding error: 'prefetchCount' is not a number from 0 to 65535: \"x\"" },
        { "caCert", "hidden", "rabbitmq binding error: invalid TLS configuration: invalid caCert" },
        { "externalSasl", "true",
          "saslExternal can only be set to true, when all these properties are set: caCert, "
          "clientCert, clientKey" },
    };
    struct settings settings;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_EQ_STR(read_binding(WORDS("host", "amqp://mq", "queueName", "jobs", cases[i].name,
                                        cases[i].value),
                                  &settings),
                     cases[i].why);
}
