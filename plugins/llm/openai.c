/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chat completions API of OpenAI, which most others offer too; where they differ, the dialect
 * of the provider says so (settings.h).
 */
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "json.h"
#include "wire.h"

enum { LONG_RETENTION_MS = 60 * 60 * 1000 };

/* --- the request -------------------------------------------------------------------------------*/

static const char *
role_of(enum remora_role role, unsigned dialect)
{
    switch (role) {
    case REMORA_ROLE_DEVELOPER:
        return (dialect & DIALECT_DEVELOPER) != 0 ? "developer" : "system";
    case REMORA_ROLE_SYSTEM:
        return "system";
    case REMORA_ROLE_ASSISTANT:
        return "assistant";
    case REMORA_ROLE_TOOL:
        return "tool";
    case REMORA_ROLE_USER:
    default:
        return "user";
    }
}

static cJSON *
joined(const struct remora_turn *turn)
{
    size_t len = 0, at = 0;
    for (size_t i = 0; i < turn->content_count; i++)
        len += turn->content[i].len + 1;
    char *text = memory_new(len + 1);
    for (size_t i = 0; i < turn->content_count; i++) {
        if (i > 0)
            text[at++] = '\n';
        if (turn->content[i].len > 0)
            memcpy(text + at, turn->content[i].data, turn->content[i].len);
        at += turn->content[i].len;
    }
    cJSON *item = json_text((struct remora_slice){ text, at });
    free(text);
    return item;
}

static cJSON *
content_of(const struct remora_turn *turn, unsigned dialect)
{
    if (turn->content_count == 0 && turn->tool_call_count > 0)
        return cJSON_CreateNull();
    if (turn->content_count < 2 || (dialect & DIALECT_PARTS) == 0)
        return joined(turn);
    cJSON *parts = cJSON_CreateArray();
    for (size_t i = 0; i < turn->content_count; i++) {
        cJSON *part = json_append(parts, json_object_of("type", json_slice("text")));
        json_add(part, "text", json_text(turn->content[i]));
    }
    return parts;
}

static cJSON *
tool_calls_of(const struct remora_turn *turn)
{
    cJSON *calls = cJSON_CreateArray();
    for (size_t i = 0; i < turn->tool_call_count; i++) {
        const struct remora_tool_call *from = &turn->tool_calls[i];
        cJSON *call = json_append(calls, json_object_of("id", from->id));
        json_add(call, "type", json_text(json_slice("function")));
        cJSON *function = json_add(call, "function", json_object_of("name", from->name));
        json_add(function, "arguments",
                 json_text(from->arguments.len > 0 ? from->arguments : json_slice("{}")));
    }
    return calls;
}

static cJSON *
message_of(const struct remora_turn *turn, unsigned dialect)
{
    bool is_tool = turn->role == REMORA_ROLE_TOOL;
    cJSON *message = json_object_of("role", json_slice(role_of(turn->role, dialect)));
    json_add(message, "content", content_of(turn, dialect));
    if (turn->name.len > 0 && (dialect & (is_tool ? DIALECT_TOOL_NAMES : DIALECT_NAMES)) != 0)
        json_add(message, "name", json_text(turn->name));
    if (turn->role == REMORA_ROLE_ASSISTANT && turn->tool_call_count > 0)
        json_add(message, "tool_calls", tool_calls_of(turn));
    if (is_tool)
        json_add(message, "tool_call_id", json_text(turn->tool_id));
    return message;
}

static bool
add_tools(cJSON *body, const struct remora_conversation *conversation, char *error)
{
    if (conversation->tool_count == 0)
        return true;
    cJSON *tools = json_add(body, "tools", cJSON_CreateArray());
    for (size_t i = 0; i < conversation->tool_count; i++) {
        const struct remora_tool *from = &conversation->tools[i];
        cJSON *tool = json_append(tools, json_object_of("type", json_slice("function")));
        cJSON *function = json_add(tool, "function", json_object_of("name", from->name));
        if (from->description.len > 0)
            json_add(function, "description", json_text(from->description));
        cJSON *schema;
        if (!wire_read_json(from->parameters, "the parameters of a tool", &schema, error))
            return false;
        if (schema != NULL)
            json_add(function, "parameters", schema);
    }
    struct remora_slice choice = conversation->tool_choice;
    if (choice.len == 0)
        return true;
    if (remora_slice_eq(choice, "none") || remora_slice_eq(choice, "auto") ||
        remora_slice_eq(choice, "required")) {
        json_add(body, "tool_choice", json_text(choice));
        return true;
    }
    cJSON *chosen = json_add(body, "tool_choice", json_object_of("type", json_slice("function")));
    json_add(chosen, "function", json_object_of("name", choice));
    return true;
}

/* Where answers cannot be held to a schema, the model is asked to keep to it. */
static void
add_schema_in_words(cJSON *body, const cJSON *schema)
{
    char *text = json_print(schema);
    char *words = memory_printf("Answer with one JSON object that follows this JSON Schema: %s",
                                text);
    cJSON *message = json_object_of("role", json_slice("system"));
    json_add(message, "content", json_text(json_slice(words)));
    cJSON_InsertItemInArray(cJSON_GetObjectItemCaseSensitive(body, "messages"), 0, message);
    json_add(body, "response_format", json_object_of("type", json_slice("json_object")));
    free(words);
    free(text);
}

static bool
add_response_format(cJSON *body, const struct remora_conversation *conversation, unsigned dialect,
                    char *error)
{
    struct wire_format asked;
    if (!wire_read_format(conversation, &asked, error))
        return false;
    if (asked.schema == NULL)
        return true;
    if ((dialect & DIALECT_NO_SCHEMA) != 0) {
        add_schema_in_words(body, asked.schema);
        cJSON_Delete(asked.schema);
        cJSON_Delete(asked.name);
        cJSON_Delete(asked.strict);
        return true;
    }
    cJSON *format = json_add(body, "response_format",
                             json_object_of("type", json_slice("json_schema")));
    cJSON *described = json_add(format, "json_schema", cJSON_CreateObject());
    json_add(described, "name",
             asked.name != NULL ? asked.name : json_text(json_slice("response")));
    if (asked.strict != NULL)
        json_add(described, "strict", asked.strict);
    json_add(described, "schema", asked.schema);
    return true;
}

static void
add_limits(cJSON *body, const struct settings *settings,
           const struct remora_conversation *conversation)
{
    bool is_modern = (settings->provider->dialect & DIALECT_MODERN) != 0;
    int64_t tokens = wire_max_tokens(settings, conversation);
    if (tokens > 0)
        json_add(body,
                 is_modern && !settings->has_legacy_max_tokens ? "max_completion_tokens"
                                                               : "max_tokens",
                 cJSON_CreateNumber((double)tokens));
    wire_add_temperature(body, settings, conversation);
    /* Up to an hour is what there is without asking. */
    if (is_modern && conversation->has_prompt_cache_retention &&
        conversation->prompt_cache_retention_ms > LONG_RETENTION_MS)
        json_add(body, "prompt_cache_retention", json_text(json_slice("24h")));
}

/* The request's metadata is the provider's, as the reference has it, but for what is ours. */
static void
add_metadata(cJSON *body, const struct remora_conversation *conversation, unsigned dialect)
{
    static const char *const ours[] = { "model", "traceparent", "tracestate", "baggage" };
    cJSON *metadata = cJSON_CreateObject();
    for (size_t i = 0; i < conversation->metadata_count; i++) {
        const struct remora_pair *pair = &conversation->metadata[i];
        bool is_ours = false;
        for (size_t j = 0; j < sizeof ours / sizeof ours[0]; j++)
            is_ours = is_ours || remora_slice_eq(pair->name, ours[j]);
        char *name = memory_slice(pair->name);
        if (!is_ours && json_get(metadata, name) == NULL)
            json_add(metadata, name, json_text(pair->value));
        free(name);
    }
    if (metadata->child != NULL && (dialect & DIALECT_MODERN) != 0 &&
        json_get(body, "metadata") == NULL)
        json_add(body, "metadata", metadata);
    else
        cJSON_Delete(metadata);
}

static cJSON *
ask(const struct settings *settings, const struct remora_conversation *conversation,
    const char *model, char error[WIRE_ERROR_BYTES])
{
    const unsigned dialect = settings->provider->dialect;
    cJSON *body = json_object_of("model", json_slice(model));
    cJSON *messages = json_add(body, "messages", cJSON_CreateArray());
    for (size_t i = 0; i < conversation->turn_count; i++)
        json_append(messages, message_of(&conversation->turns[i], dialect));
    add_limits(body, settings, conversation);
    if (add_tools(body, conversation, error) &&
        add_response_format(body, conversation, dialect, error) &&
        wire_add_parameters(body, conversation, error)) {
        add_metadata(body, conversation, dialect);
        return body;
    }
    cJSON_Delete(body);
    return NULL;
}

static char *
url(const struct settings *settings, const char *model)
{
    const char *endpoint = settings->endpoint, *place = strstr(endpoint, "{{model}}");
    if (!settings->provider->is_azure && place == NULL)
        return memory_printf("%s/chat/completions", endpoint);
    char *escaped = settings_escape(model, !settings->provider->is_azure), *made;
    if (settings->provider->is_azure) {
        char *version = settings_escape(settings->api_version, false);
        made = memory_printf("%s/openai/deployments/%s/chat/completions?api-version=%s", endpoint,
                             escaped, version);
        free(version);
    } else {
        made = memory_printf("%.*s%s%s/chat/completions", (int)(place - endpoint), endpoint,
                             escaped, place + strlen("{{model}}"));
    }
    free(escaped);
    return made;
}

static struct curl_slist *
sign(const struct settings *settings, struct curl_slist *headers, const char *target,
     const char *body)
{
    (void)target, (void)body;
    if (settings->site_url != NULL)
        headers = wire_add_header(headers, "HTTP-Referer: ", settings->site_url);
    if (settings->site_title != NULL)
        headers = wire_add_header(headers, "X-Title: ", settings->site_title);
    if (settings->key == NULL)
        return headers;
    return settings->provider->is_azure
               ? wire_add_header(headers, "api-key: ", settings->key)
               : wire_add_header(headers, "Authorization: Bearer ", settings->key);
}

/* --- the answer --------------------------------------------------------------------------------*/

/* A text, or parts of which some are text (others are thoughts). False: it is neither, nor null. */
static bool
read_content(struct answer *answer, struct remora_choice *choice, const cJSON *content)
{
    const cJSON *part;
    if (content == NULL || cJSON_IsNull(content))
        return true;
    if (cJSON_IsString(content)) {
        answer_add_text(answer, choice, content->valuestring, "");
        return true;
    }
    if (!cJSON_IsArray(content))
        return false;
    cJSON_ArrayForEach(part, content)
    {
        const char *type = json_get_text(part, "type");
        if (type != NULL && strcmp(type, "text") == 0)
            answer_add_text(answer, choice, json_get_text(part, "text"), "");
    }
    return true;
}

static bool
read_tool_calls(struct answer *answer, struct remora_choice *choice, const cJSON *calls)
{
    const cJSON *call;
    if (calls == NULL || cJSON_IsNull(calls))
        return true;
    if (!cJSON_IsArray(calls) ||
        (choice->tool_calls = answer_make_tool_calls(answer, cJSON_GetArraySize(calls))) == NULL)
        return false;
    cJSON_ArrayForEach(call, calls)
    {
        const cJSON *function = json_get_object(call, "function");
        if (!answer_add_tool_call(answer, choice, json_get_text(call, "id"),
                                  json_get_text(function, "name"), json_get(function, "arguments")))
            return false;
    }
    return true;
}

static bool
read_choice(struct answer *answer, struct remora_choice *choice, const cJSON *from)
{
    const cJSON *message = json_get_object(from, "message");
    if (message == NULL || !read_content(answer, choice, json_get(message, "content")) ||
        !read_tool_calls(answer, choice, json_get(message, "tool_calls")))
        return false;
    if (choice->content.len == 0) /* why it says nothing */
        answer_add_text(answer, choice, json_get_text(message, "refusal"), "");
    answer_set_finish(answer, choice, json_get_text(from, "finish_reason"));
    return true;
}

static void
read_usage(struct answer *answer, const cJSON *usage)
{
    const cJSON *completion = json_get_object(usage, "completion_tokens_details");
    const cJSON *prompt = json_get_object(usage, "prompt_tokens_details");
    uint64_t hits = json_get_count(usage, "prompt_cache_hit_tokens"); /* DeepSeek */
    if (usage == NULL)
        return;
    struct remora_usage *read = &answer->usage;
    *read = (struct remora_usage){
        .completion = json_get_count(usage, "completion_tokens"),
        .prompt = json_get_count(usage, "prompt_tokens"),
        .total = json_get_count(usage, "total_tokens"),
        .accepted_prediction = json_get_count(completion, "accepted_prediction_tokens"),
        .completion_audio = json_get_count(completion, "audio_tokens"),
        .reasoning = json_get_count(completion, "reasoning_tokens"),
        .rejected_prediction = json_get_count(completion, "rejected_prediction_tokens"),
        .prompt_audio = json_get_count(prompt, "audio_tokens"),
        .cached = prompt != NULL ? json_get_count(prompt, "cached_tokens") : hits,
    };
    read->has_completion_parts = (read->accepted_prediction | read->completion_audio |
                                  read->reasoning | read->rejected_prediction) != 0;
    read->has_prompt_parts = (read->prompt_audio | read->cached) != 0;
    answer->reply.usage = &answer->usage;
}

static bool
read_answer(const cJSON *tree, struct answer *answer)
{
    const cJSON *choices = json_get_array(tree, "choices"), *from;
    struct remora_choice *choice;
    if (choices == NULL || !answer_make_choices(answer, cJSON_GetArraySize(choices)))
        return false;
    choice = answer->choices;
    cJSON_ArrayForEach(from, choices)
    {
        if (!read_choice(answer, choice++, from))
            return false;
    }
    answer->reply.model = json_slice(json_get_text(tree, "model"));
    read_usage(answer, json_get_object(tree, "usage"));
    return true;
}

const struct wire wire_openai = { .ask = ask, .url = url, .sign = sign, .read = read_answer };
