/* SPDX-License-Identifier: Apache-2.0 */
/* What metadata of each provider becomes. */
#include "plugins/llm/settings.h"

#include "plugins/llm/wire.h"
#include "test.h"

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* Names and values one after another; NULL ends them. "" or the complaint. */
static const char *
read_settings(struct settings *settings, const char *type, const char *const *texts)
{
    static char error[SETTINGS_ERROR_BYTES];
    struct remora_pair pairs[16];
    size_t count = 0;
    for (; *texts != NULL; texts += 2)
        pairs[count++] = (struct remora_pair){ slice(texts[0]), slice(texts[1]) };
    const struct remora_config config = { .type = slice(type),
                                          .metadata = pairs,
                                          .metadata_count = count };
    *error = '\0';
    return settings_read(&config, settings, error) ? "" : error;
}

#define READ(settings, type, ...)                                                                  \
    read_settings(settings, type, (const char *const[]){ __VA_ARGS__, NULL })

static void
check_url(const char *type, const char *const *texts, const char *wanted)
{
    struct settings settings;
    CHECK_EQ_STR(read_settings(&settings, type, texts), "");
    char *url = settings.provider->wire->url(&settings, settings.model);
    CHECK_EQ_STR(url, wanted);
    free(url);
    settings_fini(&settings);
}

#define CHECK_URL(type, wanted, ...)                                                               \
    check_url(type, (const char *const[]){ __VA_ARGS__, NULL }, wanted)

TEST(each_provider_has_its_place)
{
    CHECK_URL("conversation.openai", "https://api.openai.com/v1/chat/completions", "key", "k");
    CHECK_URL("conversation.deepseek", "https://api.deepseek.com/chat/completions", "key", "k");
    CHECK_URL("conversation.mistral", "https://api.mistral.ai/v1/chat/completions", "key", "k");
    CHECK_URL("conversation.ollama", "http://localhost:11434/v1/chat/completions", "model", "m");
    CHECK_URL(
        "conversation.huggingface",
        "https://router.huggingface.co/hf-inference/models/org/m%2520odel/v1/chat/completions",
        "key", "k", "model", "org/m%20odel");
    CHECK_URL("conversation.openrouter", "https://openrouter.ai/api/v1/chat/completions", "key",
              "k");
    CHECK_URL("conversation.anthropic", "https://api.anthropic.com/v1/messages", "key", "k");
    CHECK_URL("conversation.googleai",
              "https://generativelanguage.googleapis.com/v1beta/models/g%2F..%3Fx:generateContent",
              "key", "k", "model", "models/g/..?x");
    CHECK_URL("conversation.azure.openai",
              "https://x.test/openai/deployments/d%2F/chat/completions?api-version=v%261", "key",
              "k", "endpoint", "https://x.test/", "apiVersion", "v&1", "model", "d/");
    CHECK_URL("conversation.openai",
              "http://x.test/openai/deployments/gpt-4.1-nano/chat/completions?api-version=v", "key",
              "k", "endpoint", "http://x.test", "apiVersion", "v", "apiType", "Azure");
    CHECK_URL("conversation.aws.bedrock",
              "https://bedrock-runtime.eu-west-1.amazonaws.com/model/arn%3Aaws%3Ax%2Fm/converse",
              "region", "eu-west-1", "accessKey", "a", "secretKey", "s", "model", "arn:aws:x/m");
}

TEST(what_is_missing_or_no_good_is_said_without_the_key)
{
    struct settings s;
    CHECK_EQ_STR(READ(&s, "conversation.openai", "key", ""),
                 "key is missing: the API key of the provider");
    CHECK_EQ_STR(READ(&s, "conversation.openai", "key", "sk-1\r\nX: y"),
                 "key is too long, or has a blank or a character that is not ASCII");
    CHECK_EQ_STR(READ(&s, "conversation.openai", "key", "k", "endpoint", "file:///etc/passwd"),
                 "endpoint is no http or https address");
    CHECK_EQ_STR(READ(&s, "conversation.openai", "key", "k", "endpoint", "http://u:p@x/"),
                 "endpoint has more than a host, a port and a path");
    CHECK_EQ_STR(READ(&s, "conversation.openai", "key", "k", "apiType", "azure"),
                 "endpoint and apiVersion must be provided when apiType is set to 'azure'");
    CHECK_EQ_STR(READ(&s, "conversation.openai", "key", "k", "apiType", "other"),
                 "apiType is none that conversation.openai has");
    CHECK_EQ_STR(READ(&s, "conversation.anthropic", "key", "k", "apiType", "foundry"),
                 "endpoint must be provided when apiType is set to 'foundry'");
    CHECK_EQ_STR(READ(&s, "conversation.openai", "key", "k", "temperature", "3"),
                 "temperature must be a number from 0 to 2");
    CHECK_EQ_STR(READ(&s, "conversation.openai", "key", "k", "temperature", "[1]"),
                 "temperature must be a number from 0 to 2");
    CHECK_EQ_STR(READ(&s, "conversation.openrouter", "key", "k", "siteTitle", "a\r\nX: y"),
                 "siteTitle is too long, or is not one line");
    CHECK_EQ_STR(READ(&s, "conversation.openai", "key", "k", "maxTokens", "many"),
                 "maxTokens must be a number");
    CHECK_EQ_STR(READ(&s, "conversation.aws.bedrock", "region", "x/../y", "accessKey", "a",
                      "secretKey", "s"),
                 "region is missing, or no region's name");
    CHECK(strstr(READ(&s, "conversation.aws.bedrock", "region", "eu-1", "accessKey", "a"),
                 "accessKey and secretKey are needed") != NULL);
}

TEST(numbers_that_mean_nothing_are_no_limits)
{
    struct settings s;
    CHECK_EQ_STR(READ(&s, "conversation.openai", "key", "k", "maxTokens", "-1", "temperature", "0"),
                 "");
    CHECK_EQ_INT(s.max_tokens, 0);
    CHECK(s.has_temperature && s.temperature <= 0);
    settings_fini(&s);
    CHECK(s.key == NULL && s.model == NULL);
}
