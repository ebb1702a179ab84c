/* SPDX-License-Identifier: Apache-2.0 */
/* Providers and metadata; see settings.h. Names and defaults are the reference components'. */
#include "settings.h"

#include <cjson/cJSON.h>
#include <stdint.h>
#include <strings.h>

#include "../shared/aws_credentials.h"
#include "../shared/memory.h"
#include "../shared/reader.h"
#include "wire.h"

enum { TEXT_BYTES_MAX = 8 * 1024, TOKENS_MAX = INT32_MAX };

static const struct provider providers[] = {
    { .type = "conversation.openai",
      .label = "openai",
      .wire = &wire_openai,
      .endpoint = "https://api.openai.com/v1",
      .model = "gpt-5-nano",
      .environment = "OPENAI_MODEL",
      .dialect = DIALECT_DEVELOPER | DIALECT_NAMES | DIALECT_PARTS | DIALECT_MODERN },
    { .type = "conversation.azure.openai",
      .label = "azure.openai",
      .wire = &wire_openai,
      .model = "gpt-4.1-nano",
      .environment = "AZURE_OPENAI_MODEL",
      .dialect = DIALECT_DEVELOPER | DIALECT_NAMES | DIALECT_PARTS | DIALECT_MODERN,
      .is_azure = true },
    { .type = "conversation.deepseek",
      .label = "deepseek",
      .wire = &wire_openai,
      .endpoint = "https://api.deepseek.com",
      .model = "deepseek-chat",
      .dialect = DIALECT_NAMES | DIALECT_NO_SCHEMA },
    { .type = "conversation.mistral",
      .label = "mistral",
      .wire = &wire_openai,
      .endpoint = "https://api.mistral.ai/v1",
      .model = "open-mistral-7b",
      .environment = "MISTRAL_MODEL",
      .dialect = DIALECT_TOOL_NAMES | DIALECT_PARTS },
    { .type = "conversation.ollama",
      .label = "ollama",
      .wire = &wire_openai,
      .endpoint = "http://localhost:11434/v1",
      .model = "llama3.2:latest",
      .environment = "OLLAMA_MODEL",
      .dialect = DIALECT_PARTS | DIALECT_KEY_OPTIONAL },
    { .type = "conversation.huggingface",
      .label = "huggingface",
      .wire = &wire_openai,
      .endpoint = "https://router.huggingface.co/hf-inference/models/{{model}}/v1",
      .model = "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",
      .environment = "HUGGINGFACE_MODEL",
      .dialect = DIALECT_PARTS },
    { .type = "conversation.openrouter",
      .label = "openrouter",
      .wire = &wire_openai,
      .endpoint = "https://openrouter.ai/api/v1",
      .model = "openai/gpt-4o-mini",
      .environment = "OPENROUTER_MODEL",
      .dialect = DIALECT_NAMES | DIALECT_PARTS | DIALECT_SITE },
    { .type = "conversation.anthropic",
      .label = "anthropic",
      .wire = &wire_anthropic,
      .endpoint = "https://api.anthropic.com/v1",
      .model = "claude-sonnet-4-6",
      .environment = "ANTHROPIC_MODEL" },
    { .type = "conversation.googleai",
      .label = "googleai",
      .wire = &wire_googleai,
      .endpoint = "https://generativelanguage.googleapis.com/v1beta",
      .model = "gemini-2.5-flash-lite",
      .environment = "GOOGLEAI_MODEL" },
    { .type = "conversation.aws.bedrock",
      .label = "aws.bedrock",
      .wire = &wire_bedrock,
      .model = "amazon.titan-text-lite-v1",
      .is_aws = true },
};

static const struct provider *
find(const char *type, size_t len)
{
    for (size_t i = 0; i < sizeof providers / sizeof providers[0]; i++)
        if (strlen(providers[i].type) == len && memcmp(providers[i].type, type, len) == 0)
            return &providers[i];
    return NULL;
}

const struct provider *
provider_find(struct remora_slice type)
{
    return find(type.data, type.len);
}

/* --- fields ------------------------------------------------------------------------------------*/

/* One line: it becomes part of a header or of a URL. */
static char *
take_line(struct reader *reader, const char *name, bool (*is_good)(unsigned char),
          const char *complaint)
{
    struct remora_slice value;
    if (!reader_find(reader, name, &value))
        return NULL;
    bool is_line = value.len <= TEXT_BYTES_MAX;
    for (size_t i = 0; i < value.len; i++)
        is_line = is_line && is_good((unsigned char)value.data[i]);
    if (is_line)
        return memory_slice(value);
    reader_complain(reader, "%s is too long, or %s", name, complaint);
    return NULL;
}

static bool
is_visible(unsigned char c)
{
    return c > ' ' && c < 0x7f;
}

static char *
take_text(struct reader *reader, const char *name)
{
    return take_line(reader, name, is_visible, "has a blank or a character that is not ASCII");
}

static bool
is_readable(unsigned char c)
{
    return c >= ' ' && c != 0x7f;
}

/* For people, in any language. */
static char *
take_title(struct reader *reader, const char *name)
{
    return take_line(reader, name, is_readable, "is not one line");
}

static bool
take_bool(struct reader *reader, const char *name)
{
    struct remora_slice value;
    bool is_set = false;
    if (reader_find(reader, name, &value) && !remora_parse_bool(value, &is_set))
        reader_complain(reader, "%s must be true or false", name);
    return is_set;
}

static void
take_temperature(struct reader *reader, struct settings *settings)
{
    struct remora_slice value;
    if (!reader_find(reader, "temperature", &value))
        return;
    cJSON *number = cJSON_ParseWithLength(value.data, value.len);
    settings->has_temperature = cJSON_IsNumber(number) && number->valuedouble >= 0 &&
                                number->valuedouble <= 2;
    settings->temperature = settings->has_temperature ? number->valuedouble : 0;
    if (!settings->has_temperature)
        reader_complain(reader, "temperature must be a number from 0 to 2");
    cJSON_Delete(number);
}

static void
take_max_tokens(struct reader *reader, struct settings *settings)
{
    struct remora_slice value;
    if (!reader_find(reader, "maxTokens", &value))
        return;
    if (!remora_parse_i64(value, &settings->max_tokens) || settings->max_tokens > TOKENS_MAX)
        reader_complain(reader, "maxTokens must be a number");
    else if (settings->max_tokens <= 0)
        settings->max_tokens = 0; /* as the reference: it is ignored */
}

/* Another API under the same name: "azure" of openai, "foundry" of anthropic. */
static void
take_api_type(struct reader *reader, struct settings *settings)
{
    char *type = take_text(reader, "apiType");
    const char *label = settings->provider->label;
    if (type == NULL || strcasecmp(type, label) == 0) {
        free(type);
        return;
    }
    if (strcmp(label, "openai") == 0 && strcasecmp(type, "azure") == 0)
        settings->provider = find("conversation.azure.openai", strlen("conversation.azure.openai"));
    else if (strcmp(label, "azure.openai") == 0 && strcasecmp(type, "azure") == 0)
        ; /* it is */
    else if (strcmp(label, "anthropic") == 0 && strcasecmp(type, "foundry") == 0) {
        struct remora_slice value;
        if (!reader_find(reader, "endpoint", &value))
            reader_complain(reader, "endpoint must be provided when apiType is set to 'foundry'");
    } else {
        reader_complain(reader, "apiType is none that conversation.%s has", label);
    }
    free(type);
}

static void
take_endpoint(struct reader *reader, struct settings *settings)
{
    const char *otherwise = settings->provider->endpoint;
    char *endpoint = take_text(reader, "endpoint");
    if (endpoint == NULL && otherwise != NULL)
        endpoint = memory_text(otherwise);
    settings->api_version = take_text(reader, "apiVersion");
    if (settings->provider->is_azure && (endpoint == NULL || settings->api_version == NULL))
        reader_complain(reader,
                        "endpoint and apiVersion must be provided when apiType is set to 'azure'");
    settings->endpoint = endpoint;
    if (endpoint == NULL)
        return;
    for (size_t len = strlen(endpoint); len > 0 && endpoint[len - 1] == '/'; len--)
        endpoint[len - 1] = '\0';
    if (strncasecmp(endpoint, "https://", 8) != 0 && strncasecmp(endpoint, "http://", 7) != 0)
        reader_complain(reader, "endpoint is no http or https address");
    else if (strpbrk(endpoint, "?#@\\") != NULL)
        reader_complain(reader, "endpoint has more than a host, a port and a path");
}

static void
take_model(struct reader *reader, struct settings *settings)
{
    const struct provider *provider = settings->provider;
    const char *variable = provider->environment;
    const char *otherwise = variable == NULL ? NULL : getenv(variable);
    settings->model = take_text(reader, "model");
    if (settings->model == NULL)
        settings->model = memory_text(otherwise != NULL && *otherwise != '\0' ? otherwise
                                                                              : provider->model);
}

/* From the metadata, or where AWS's own programs look as well. */
static char *
take_or_environment(struct reader *reader, const char *name, const char *variable)
{
    char *text = take_text(reader, name);
    const char *otherwise = getenv(variable);
    return text != NULL || otherwise == NULL || *otherwise == '\0' ? text : memory_text(otherwise);
}

static void
take_account(struct reader *reader, struct settings *settings)
{
    static const struct aws_credentials_names names = { .access_key = { "accessKey" },
                                                        .secret_key = { "secretKey" },
                                                        .session_token = { "sessionToken" } };
    settings->region = take_or_environment(reader, "region", "AWS_REGION");
    if (settings->region == NULL)
        settings->region = take_or_environment(reader, "region", "AWS_DEFAULT_REGION");
    if (settings->region == NULL ||
        strspn(settings->region, "abcdefghijklmnopqrstuvwxyz"
                                 "0123456789-") != strlen(settings->region))
        reader_complain(reader, "region is missing, or no region's name");
    else
        settings->credentials = aws_credentials_read(reader, settings->region, &names);
    if (settings->endpoint == NULL && settings->region != NULL)
        settings->endpoint = memory_printf("https://bedrock-runtime.%s.amazonaws.com",
                                           settings->region);
}

static void
take_key(struct reader *reader, struct settings *settings)
{
    settings->key = take_text(reader, "key");
    if (settings->key == NULL && (settings->provider->dialect & DIALECT_KEY_OPTIONAL) == 0)
        reader_complain(reader, "key is missing: the API key of the provider");
}

static void
take_site(struct reader *reader, struct settings *settings)
{
    if ((settings->provider->dialect & DIALECT_SITE) == 0)
        return;
    settings->site_url = take_text(reader, "siteURL");
    settings->site_title = take_title(reader, "siteTitle");
}

bool
settings_read(const struct remora_config *config, struct settings *ret_settings,
              char ret_error[SETTINGS_ERROR_BYTES])
{
    struct settings settings = { .provider = provider_find(config->type) };
    struct reader reader = { .config = config,
                             .why = ret_error,
                             .why_bytes = SETTINGS_ERROR_BYTES };
    take_api_type(&reader, &settings);
    take_endpoint(&reader, &settings);
    take_model(&reader, &settings);
    take_site(&reader, &settings);
    take_temperature(&reader, &settings);
    take_max_tokens(&reader, &settings);
    settings.has_legacy_max_tokens = take_bool(&reader, "useLegacyMaxTokensField");
    if (settings.provider->is_aws)
        take_account(&reader, &settings);
    else
        take_key(&reader, &settings);
    if (reader.failed)
        settings_fini(&settings);
    *ret_settings = settings;
    return !reader.failed;
}

void
settings_fini(struct settings *settings)
{
    memory_wipe(settings->key);
    aws_credentials_free(settings->credentials);
    free(settings->region);
    free(settings->model);
    free(settings->endpoint);
    free(settings->api_version);
    free(settings->site_url);
    free(settings->site_title);
    *settings = (struct settings){ .provider = settings->provider };
}

char *
settings_escape(const char *text, bool keeps_slashes)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = memory_new(3 * strlen(text) + 1), *to = out;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || strchr("-_.~", c) != NULL;
        if (is_plain || (keeps_slashes && c == '/')) {
            *to++ = (char)c;
            continue;
        }
        *to++ = '%';
        *to++ = digits[c >> 4];
        *to++ = digits[c & 15];
    }
    return out;
}
