/* SPDX-License-Identifier: Apache-2.0 */
/* Component metadata: what is read, and what is refused. */
#include "plugins/mqtt/settings.h"

#include "test.h"

static char why[SETTINGS_WHY_BYTES];

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* Name, value, name, value, …, NULL. */
static bool
parse(struct settings *ret, const char *const *texts)
{
    struct remora_pair pairs[16];
    size_t count = 0;
    for (; texts[0] != NULL; texts += 2)
        pairs[count++] = (struct remora_pair){ slice(texts[0]), slice(texts[1]) };
    why[0] = '\0';
    return settings_parse(&(struct remora_config){ .metadata = pairs, .metadata_count = count },
                          ret, why);
}

#define PARSE(ret, ...) parse(ret, (const char *const[]){ __VA_ARGS__, NULL })

static void
refused(const char *name, const char *value, const char *message)
{
    struct settings settings;
    CHECK(!PARSE(&settings, "consumerID", "shop", "url", "tcp://h", name, value));
    CHECK(strstr(why, message) != NULL);
    CHECK(strstr(why, "secret") == NULL);
}

TEST(defaults_are_the_references)
{
    struct settings settings;
    REQUIRE(PARSE(&settings, "url", "tcp://localhost", "consumerID", "shop"));
    CHECK_EQ_STR(settings.host, "localhost");
    CHECK_EQ_STR(settings.port, "1883");
    CHECK_EQ_STR(settings.client_id, "shop");
    CHECK_EQ_INT(settings.qos, 1);
    CHECK(!settings.is_retained && !settings.clean_session && !settings.is_secure);
    CHECK(settings.username == NULL && settings.password == NULL && settings.ca_cert == NULL);
    settings_fini(&settings);
}

TEST(every_field_is_read)
{
    struct settings settings;
    REQUIRE(PARSE(&settings, "URL", "SSL://ann:p%40s%3as@[fe80::1]:8884/x?y", "consumerid", "c1",
                  "qos", "2", "retain", "y", "cleanSession", "True", "caCert", "-----BEGIN CA",
                  "clientCert", "-----BEGIN C", "clientKey", "-----BEGIN K"));
    CHECK_EQ_STR(settings.host, "fe80::1");
    CHECK_EQ_STR(settings.port, "8884");
    CHECK_EQ_STR(settings.username, "ann");
    CHECK_EQ_STR(settings.password, "p@s:s");
    CHECK_EQ_INT(settings.qos, 2);
    CHECK(settings.is_retained && settings.clean_session && settings.is_secure);
    CHECK_EQ_STR(settings.client_key, "-----BEGIN K");
    settings_fini(&settings);
}

TEST(every_scheme_has_its_port)
{
    static const char *const plain[] = { "tcp", "mqtt" };
    static const char *const secure[] = { "ssl", "tls", "mqtts", "tcps" };
    char url[64];
    struct settings settings;
    for (size_t i = 0; i < 6; i++) {
        bool is_plain = i < 2;
        snprintf(url, sizeof url, "%s://h", is_plain ? plain[i] : secure[i - 2]);
        REQUIRE(PARSE(&settings, "url", url, "consumerID", "c"));
        CHECK_EQ_INT(settings.is_secure, !is_plain);
        CHECK_EQ_STR(settings.port, is_plain ? "1883" : "8883");
        settings_fini(&settings);
    }
}

TEST(a_name_without_password_and_a_password_with_at_signs)
{
    struct settings settings;
    REQUIRE(PARSE(&settings, "url", "tcp://ann@h:1", "consumerID", "c"));
    CHECK_EQ_STR(settings.username, "ann");
    CHECK(settings.password == NULL);
    settings_fini(&settings);
    REQUIRE(PARSE(&settings, "url", "tcp://ann:a@b:c@h:1", "consumerID", "c"));
    CHECK_EQ_STR(settings.password, "a@b:c");
    CHECK_EQ_STR(settings.host, "h");
    settings_fini(&settings);
}

TEST(what_makes_no_sense_is_refused_without_its_secrets)
{
    struct settings settings;
    CHECK(!PARSE(&settings, "consumerID", "c"));
    CHECK_EQ_STR(why, "missing url");
    CHECK(!PARSE(&settings, "url", "tcp://h"));
    CHECK_EQ_STR(why, "missing consumerID");
    refused("url", "h:1883", "invalid url");
    refused("url", "://h", "invalid url");
    refused("url", "tcp://", "invalid url");
    refused("url", "tcp://u:secret@", "invalid url");
    refused("url", "tcp://u:secret%4@h", "invalid url");
    refused("url", "tcp://u:secret%00@h", "invalid url");
    refused("url", "tcp://u:secret@h:0", "invalid url");
    refused("url", "tcp://u:secret@h:65536", "invalid url");
    refused("url", "tcp://u:secret@h:", "invalid url");
    refused("url", "tcp://u:secret@[::1", "invalid url");
    refused("url", "tcp://u:secret@[::1]x", "invalid url");
    refused("url", "http://u:secret@h", "invalid url");
    refused("url", "wss://u:secret@h", "WebSockets are not supported");
    refused("qos", "8", "invalid qos 8");
    refused("qos", "3", "invalid qos 3");
    refused("qos", "-1", "cannot parse 'qos'");
    refused("qos", "one", "strconv.ParseUint: parsing \"one\": invalid syntax");
    refused("caCert", "x", "invalid TLS configuration: invalid caCert");
    refused("clientCert", "x", "invalid TLS configuration: invalid clientCert");
    refused("clientKey", "secret", "invalid TLS configuration: invalid clientKey");
}

TEST(booleans_of_messages_are_gos)
{
    bool value = false;
    CHECK(settings_parse_bool(slice("T"), &value) && value);
    CHECK(settings_parse_bool(slice("FALSE"), &value) && !value);
    CHECK(!settings_parse_bool(slice("yes"), &value));
    CHECK(!settings_parse_bool(slice("tRUE"), &value));
}

/* The complaint, or "". */
static const char *
binding_why(const char *name, const char *value, enum settings_side side, struct settings *ret)
{
    const struct remora_pair pairs[] = { { slice("url"), slice("tcp://u:hidden@h") },
                                         { slice("topic"), slice("a/b") },
                                         { slice("consumerID"), slice("me") },
                                         { slice(name), slice(value) } };
    const struct remora_config config = { .metadata = pairs,
                                          .metadata_count = sizeof pairs / sizeof pairs[0] };
    why[0] = '\0';
    (void)settings_parse_binding(&config, side, ret, why);
    return why;
}

TEST(a_binding_has_two_sessions_and_what_makes_no_sense_is_refused)
{
    static const struct {
        const char *name, *value, *why;
    } cases[] = {
        { "topic", "", "missing topic" },
        { "consumerID", "", "missing consumerID" },
        { "url", "", "missing url" },
        { "backOffMaxRetries", "many", "invalid backOffMaxRetries: it has to be a whole number" },
        { "caCert", "hidden", "invalid TLS configuration: invalid caCert" },
    };
    struct settings settings;
    CHECK_EQ_STR(binding_why("retain", "true", SETTINGS_PRODUCER, &settings), "");
    CHECK_EQ_STR(settings.client_id, "me-producer");
    CHECK_EQ_STR(settings.topic, "a/b");
    CHECK(settings.is_retained && !settings.clean_session);
    CHECK_EQ_INT(settings.retries_max, -1);
    settings_fini(&settings);
    CHECK_EQ_STR(binding_why("backOffMaxRetries", "3", SETTINGS_CONSUMER, &settings), "");
    CHECK_EQ_STR(settings.client_id, "me-consumer");
    CHECK_EQ_INT(settings.qos, 1);
    CHECK_EQ_INT(settings.retries_max, 3);
    settings_fini(&settings);
    CHECK_EQ_STR(binding_why("qos", "7", SETTINGS_CONSUMER, &settings), "");
    CHECK_EQ_INT(settings.qos, 1);
    settings_fini(&settings);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_EQ_STR(binding_why(cases[i].name, cases[i].value, SETTINGS_PRODUCER, &settings),
                     cases[i].why);
    CHECK(*binding_why("topic", "a/#/b", SETTINGS_PRODUCER, &settings) != '\0');
}
