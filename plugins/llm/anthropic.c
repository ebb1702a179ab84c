/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Anthropic's messages API: what the system says stands apart, the answers of tools are said by the
 * user, and users and assistants take turns, so that what follows from one of them is one message.
 */
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "json.h"
#include "wire.h"

enum { DEFAULT_MAX_TOKENS = 4096, SHORT_RETENTION_MS = 5 * 60 * 1000 };

/* --- the request -------------------------------------------------------------------------------*/

static cJSON *
text_block(struct remora_slice text)
{
    cJSON *block = json_object_of("type", json_slice("text"));
    json_add(block, "text", json_text(text));
    return block;
}

/* An empty text is refused. */
static void
add_texts(cJSON *content, const struct remora_turn *turn)
{
    for (size_t i = 0; i < turn->content_count; i++)
        if (turn->content[i].len > 0)
            json_append(content, text_block(turn->content[i]));
}

static bool
add_tool_uses(cJSON *content, const struct remora_turn *turn, char *error)
{
    for (size_t i = 0; i < turn->tool_call_count; i++) {
        const struct remora_tool_call *call = &turn->tool_calls[i];
        cJSON *input;
        if (!wire_read_json(call->arguments, "the arguments of a tool call", &input, error))
            return false;
        cJSON *block = json_append(content, json_object_of("type", json_slice("tool_use")));
        json_add(block, "id", json_text(call->id));
        json_add(block, "name", json_text(call->name));
        json_add(block, "input", input != NULL ? input : cJSON_CreateObject());
    }
    return true;
}

static void
add_tool_result(cJSON *content, const struct remora_turn *turn)
{
    cJSON *block = json_append(content, json_object_of("type", json_slice("tool_result")));
    json_add(block, "tool_use_id", json_text(turn->tool_id));
    add_texts(json_add(block, "content", cJSON_CreateArray()), turn);
}

static const struct wire_blocks blocks = { add_texts, add_tool_uses, add_tool_result };

/* What stands up to the end of the last one of these is kept for later requests. */
static void
add_cache_point(const cJSON *list, int64_t retention_ms)
{
    cJSON *last = wire_last(list);
    if (last == NULL)
        return;
    cJSON *control = json_add(last, "cache_control",
                              json_object_of("type", json_slice("ephemeral")));
    if (retention_ms > SHORT_RETENTION_MS)
        json_add(control, "ttl", json_text(json_slice("1h")));
}

static bool
add_turns(cJSON *body, const struct remora_conversation *conversation, char *error)
{
    cJSON *system = cJSON_CreateArray();
    cJSON *messages = json_add(body, "messages", cJSON_CreateArray());
    bool ok = true;
    for (size_t i = 0; i < conversation->turn_count && ok; i++)
        ok = wire_add_turn(&blocks, system, messages, &conversation->turns[i], error);
    if (conversation->has_prompt_cache_retention && conversation->prompt_cache_retention_ms > 0) {
        const cJSON *last = wire_last(messages);
        add_cache_point(system, conversation->prompt_cache_retention_ms);
        add_cache_point(json_get_array(last, "content"), conversation->prompt_cache_retention_ms);
    }
    if (system->child != NULL)
        json_add(body, "system", system);
    else
        cJSON_Delete(system);
    return ok;
}

static void
add_tool_choice(cJSON *body, struct remora_slice choice)
{
    if (choice.len == 0 || remora_slice_eq(choice, "auto")) {
        return; /* so it is */
    }
    if (remora_slice_eq(choice, "none") || remora_slice_eq(choice, "required")) {
        const char *type = remora_slice_eq(choice, "none") ? "none" : "any";
        json_add(body, "tool_choice", json_object_of("type", json_slice(type)));
        return;
    }
    cJSON *chosen = json_add(body, "tool_choice", json_object_of("type", json_slice("tool")));
    json_add(chosen, "name", json_text(choice));
}

static bool
add_tools(cJSON *body, const struct remora_conversation *conversation, char *error)
{
    if (conversation->tool_count == 0)
        return true;
    cJSON *tools = json_add(body, "tools", cJSON_CreateArray());
    for (size_t i = 0; i < conversation->tool_count; i++) {
        const struct remora_tool *from = &conversation->tools[i];
        cJSON *schema;
        if (!wire_read_json(from->parameters, "the parameters of a tool", &schema, error))
            return false;
        cJSON *tool = json_append(tools, json_object_of("name", from->name));
        if (from->description.len > 0)
            json_add(tool, "description", json_text(from->description));
        if (schema == NULL)
            schema = cJSON_CreateObject();
        if (json_get(schema, "type") == NULL)
            json_add(schema, "type", json_text(json_slice("object")));
        json_add(tool, "input_schema", schema);
    }
    add_tool_choice(body, conversation->tool_choice);
    return true;
}

static bool
add_response_format(cJSON *body, const struct remora_conversation *conversation, char *error)
{
    struct wire_format asked;
    if (!wire_read_format(conversation, &asked, error))
        return false;
    cJSON_Delete(asked.name);
    cJSON_Delete(asked.strict); /* it always is */
    if (asked.schema == NULL)
        return true;
    cJSON *config = json_add(body, "output_config", cJSON_CreateObject());
    cJSON *format = json_add(config, "format", json_object_of("type", json_slice("json_schema")));
    json_add(format, "schema", asked.schema);
    return true;
}

/* The one thing that Anthropic's metadata may be. */
static void
add_user(cJSON *body, const struct remora_conversation *conversation)
{
    struct remora_slice user;
    if (remora_metadata_get(conversation->metadata, conversation->metadata_count, "user_id",
                            &user) &&
        user.len > 0)
        json_add(body, "metadata", json_object_of("user_id", user));
}

static cJSON *
ask(const struct settings *settings, const struct remora_conversation *conversation,
    const char *model, char error[WIRE_ERROR_BYTES])
{
    int64_t tokens = wire_max_tokens(settings, conversation);
    cJSON *body = json_object_of("model", json_slice(model));
    if (tokens > 0)
        json_add(body, "max_tokens", cJSON_CreateNumber((double)tokens));
    wire_add_temperature(body, settings, conversation);
    add_user(body, conversation);
    bool ok = add_turns(body, conversation, error) && add_tools(body, conversation, error) &&
              add_response_format(body, conversation, error) &&
              wire_add_parameters(body, conversation, error);
    if (ok && json_get(body, "max_tokens") == NULL)
        json_add(body, "max_tokens", cJSON_CreateNumber(DEFAULT_MAX_TOKENS)); /* must be said */
    if (ok)
        return body;
    cJSON_Delete(body);
    return NULL;
}

static char *
url(const struct settings *settings, const char *model)
{
    (void)model;
    return memory_printf("%s/messages", settings->endpoint);
}

static struct curl_slist *
sign(const struct settings *settings, struct curl_slist *headers, const char *target,
     const char *body)
{
    (void)target, (void)body;
    headers = wire_add_header(headers, "anthropic-version: ", "2023-06-01");
    return wire_add_header(headers, "x-api-key: ", settings->key);
}

/* --- the answer --------------------------------------------------------------------------------*/

static bool
read_block(struct answer *answer, struct remora_choice *choice, const cJSON *block)
{
    const char *type = json_get_text(block, "type");
    if (type == NULL)
        return false;
    if (strcmp(type, "text") == 0)
        answer_add_text(answer, choice, json_get_text(block, "text"), "\n");
    if (strcmp(type, "tool_use") == 0)
        return answer_add_tool_call(answer, choice, json_get_text(block, "id"),
                                    json_get_text(block, "name"), json_get(block, "input"));
    return true; /* thoughts, and what is still to be invented */
}

static void
read_usage(struct answer *answer, const cJSON *usage)
{
    uint64_t cached = json_get_count(usage, "cache_read_input_tokens");
    if (usage == NULL)
        return;
    answer->usage = (struct remora_usage){
        .completion = json_get_count(usage, "output_tokens"),
        .prompt = json_get_count(usage, "input_tokens"),
        .total = json_get_count(usage, "input_tokens") + json_get_count(usage, "output_tokens"),
        .has_prompt_parts = cached > 0,
        .cached = cached,
    };
    answer->reply.usage = &answer->usage;
}

static bool
read_answer(const cJSON *tree, struct answer *answer)
{
    const cJSON *content = json_get_array(tree, "content"), *block;
    if (content == NULL || !answer_make_choices(answer, 1))
        return false;
    struct remora_choice *choice = answer->choices;
    choice->tool_calls = answer_make_tool_calls(answer, cJSON_GetArraySize(content));
    if (choice->tool_calls == NULL)
        return false;
    cJSON_ArrayForEach(block, content)
    {
        if (!read_block(answer, choice, block))
            return false;
    }
    answer_set_finish(answer, choice, json_get_text(tree, "stop_reason"));
    answer->reply.model = json_slice(json_get_text(tree, "model"));
    read_usage(answer, json_get_object(tree, "usage"));
    return true;
}

const struct wire wire_anthropic = { .ask = ask, .url = url, .sign = sign, .read = read_answer };
