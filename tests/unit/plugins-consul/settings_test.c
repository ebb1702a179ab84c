/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a configuration becomes: the agent's URL, the registration, the options of a question; and
 * what is read out of the agent's answers.
 */
#include "plugins/consul/instances.h"
#include "plugins/consul/settings.h"
#include "test.h"

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* The error, or "". */
static const char *
read_settings(const char *json, struct settings *settings)
{
    static char error[ERROR_BYTES];
    struct remora_config config = { .configuration = slice(json),
                                    .instance = { .app_id = slice("shop"),
                                                  .namespace_ = slice("prod"),
                                                  .host_address = slice("fd00::7"),
                                                  .internal_port = 50002,
                                                  .http_port = 3500,
                                                  .grpc_port = 50001,
                                                  .app_port = 6001 } };
    *error = '\0';
    return settings_init(settings, &config, error) ? "" : error;
}

TEST(without_a_word_the_local_agent_is_asked)
{
    struct settings settings;
    unsetenv("CONSUL_HTTP_ADDR");
    unsetenv("CONSUL_HTTP_SSL");
    CHECK_EQ_STR(read_settings("", &settings), "");
    CHECK_EQ_STR(settings.agent.url, "http://127.0.0.1:8500");
    CHECK_EQ_STR(settings.port_key, "DAPR_PORT");
    CHECK_EQ_STR(settings.query, "&cached");
    CHECK(settings.registration == NULL && !settings.deregisters && !settings.uses_cache);
    settings_fini(&settings);
    setenv("CONSUL_HTTP_ADDR", "consul.example:1", 1);
    setenv("CONSUL_HTTP_SSL", "true", 1);
    setenv("CONSUL_HTTP_TOKEN", "from-environment", 1);
    CHECK_EQ_STR(read_settings("{}", &settings), "");
    CHECK_EQ_STR(settings.agent.url, "https://consul.example:1");
    CHECK_EQ_STR(settings.agent.token, "from-environment");
    settings_fini(&settings);
    unsetenv("CONSUL_HTTP_ADDR");
    unsetenv("CONSUL_HTTP_SSL");
    unsetenv("CONSUL_HTTP_TOKEN");
}

TEST(addresses_have_schemes_and_names_to_verify)
{
    static const struct {
        const char *json, *url, *connect_to, *unix_path;
    } cases[] = {
        { "{\"Client\": {\"ADDRESS\": \"h:1\"}}", "http://h:1", NULL, NULL },
        { "{\"client\": {\"address\": \"HTTPS://h\"}}", "https://h", NULL, NULL },
        { "{\"client\": {\"address\": \"http://h:1\", \"scheme\": \"https\"}}", "http://h:1", NULL,
          NULL },
        { "{\"client\": {\"address\": \"unix:///run/c.sock\"}}", "http://127.0.0.1", NULL,
          "/run/c.sock" },
        { "{\"client\": {\"address\": \"10.0.0.1:8501\", \"scheme\": \"https\","
          " \"tlsConfig\": {\"address\": \"c.example\"}}}",
          "https://c.example:8501", "10.0.0.1:8501", NULL },
        { "{\"client\": {\"address\": \"[::1]\", \"tlsConfig\": {\"address\": \"c.example\"}}}",
          "http://c.example", "[::1]", NULL },
    };
    struct settings settings;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_EQ_STR(read_settings(cases[i].json, &settings), "");
        CHECK_EQ_STR(settings.agent.url, cases[i].url);
        CHECK_EQ_STR(settings.agent.connect_to, cases[i].connect_to);
        CHECK_EQ_STR(settings.agent.unix_path, cases[i].unix_path);
        settings_fini(&settings);
    }
}

TEST(INV_09_a_registration_is_the_one_of_the_reference)
{
    struct settings settings;
    char expected[1000];
    CHECK_EQ_STR(read_settings("{\"selfRegister\": true, \"tags\": [\"${APP_ID}\"]}", &settings),
                 "");
    snprintf(
        expected, sizeof expected,
        "{\"ID\":\"shop-fd00::7-3500\",\"Name\":\"shop\",\"Address\":\"fd00::7\",\"Port\":6001,"
        "\"Tags\":[\"shop\"],\"Checks\":[{\"Name\":\"Dapr Health Status\","
        "\"CheckID\":\"daprHealth:shop-fd00::7-3500\",\"Interval\":\"15s\","
        "\"HTTP\":\"http://[fd00::7]:3500/v1.0/healthz?appid=shop\"}],"
        "\"Meta\":{\"DAPR_PORT\":\"50002\",\"" GENERATION_KEY "\":\"%s\"}}",
        settings.generation);
    CHECK_EQ_STR(settings.registration, expected);
    CHECK_EQ_STR(settings.service_id, "shop-fd00::7-3500");
    settings_fini(&settings);
}

TEST(what_is_known_of_the_sidecar_is_filled_in_and_the_rest_left)
{
    struct settings settings;
    CHECK_EQ_STR(read_settings("{\"advancedRegistration\": {\"name\": \"a${APP_ID}b\", \"port\":"
                               " \"${APP_PORT}\", \"id\": \"${NAMESPACE}/${X}/${/${APP_ID\","
                               " \"address\": \"${HOST_ADDRESS}:${DAPR_PORT}:${DAPR_GRPC_PORT}\"}}",
                               &settings),
                 "");
    CHECK_EQ_STR(settings.service_name, "ashopb");
    CHECK_EQ_STR(settings.service_id, "prod/${X}/${/${APP_ID");
    CHECK(strstr(settings.registration, "\"port\":6001,") != NULL);
    CHECK(strstr(settings.registration, "\"address\":\"fd00::7:50002:50001\"") != NULL);
    settings_fini(&settings);
}

static const char *
addresses(const char *json)
{
    static char text[2000];
    struct instances *instances = instances_read(json, strlen(json), "P");
    if (instances == NULL)
        return "no answer";
    snprintf(text, sizeof text, "%zu without", instances->without_port);
    for (size_t i = 0; i < instances->count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), " %.*s",
                 (int)instances->addresses[i].len, instances->addresses[i].data);
    free(instances);
    return text;
}

#define ENTRY(address, port)                                                                       \
    "{\"Service\": {\"Address\": \"" address "\", \"Meta\": {\"P\": \"" port "\"}},"               \
    " \"Node\": {\"Address\": \"10.0.0.9\"}}"

TEST(instances_are_hosts_and_ports_and_nothing_else)
{
    CHECK_EQ_STR(addresses("[" ENTRY("10.0.0.1", "1") "," ENTRY("", "2") "," ENTRY(
                     "fd00::1", "65535") "," ENTRY("a-b.example", "4") "]"),
                 "0 without 10.0.0.1:1 10.0.0.9:2 [fd00::1]:65535 a-b.example:4");
    CHECK_EQ_STR(
        addresses("[" ENTRY("h", "0") "," ENTRY("h", "65536") "," ENTRY("h", "+1") "," ENTRY(
            "h",
            "1x") "," ENTRY("h",
                            " 1") "," ENTRY("a:b",
                                            "1") "," ENTRY("a/b",
                                                           "1") "," ENTRY("a b",
                                                                          "1") "," ENTRY("[::1]",
                                                                                         "1") "]"),
        "0 without");
    CHECK_EQ_STR(addresses("[{\"Service\": {\"Address\": \"h\"}}, {}, 5, null]"), "4 without");
    CHECK_EQ_STR(addresses("[" ENTRY("h", "1") "," ENTRY("h", "1") "]"), "0 without h:1");
    CHECK_EQ_STR(addresses("{}"), "no answer");
    CHECK_EQ_STR(addresses("[1"), "no answer");
    CHECK_EQ_STR(addresses(""), "no answer");
}

TEST(texts_are_escaped_for_urls)
{
    char *escaped = agent_escape("a/b ?#%\xff.~-_9", 13);
    CHECK_EQ_STR(escaped, "a%2Fb%20%3F%23%25%FF.~-_9");
    free(escaped);
}
