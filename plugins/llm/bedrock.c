/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Converse of Amazon Bedrock: one API for the models of several makers, signed with the keys of an
 * AWS account. Users and assistants take turns; the answers of tools are said by the user.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../shared/aws_credentials.h"
#include "../shared/memory.h"
#include "../shared/sigv4.h"
#include "json.h"
#include "wire.h"

enum { SHORT_RETENTION_MS = 5 * 60 * 1000 };

/* --- the request -------------------------------------------------------------------------------*/

/* An empty text is refused. */
static void
add_texts(cJSON *content, const struct remora_turn *turn)
{
    for (size_t i = 0; i < turn->content_count; i++)
        if (turn->content[i].len > 0)
            json_append(content, json_object_of("text", turn->content[i]));
}

static bool
add_tool_uses(cJSON *content, const struct remora_turn *turn, char *error)
{
    for (size_t i = 0; i < turn->tool_call_count; i++) {
        const struct remora_tool_call *call = &turn->tool_calls[i];
        cJSON *input;
        if (!wire_read_json(call->arguments, "the arguments of a tool call", &input, error))
            return false;
        cJSON *block = json_append(content, cJSON_CreateObject());
        cJSON *use = json_add(block, "toolUse", json_object_of("toolUseId", call->id));
        json_add(use, "name", json_text(call->name));
        json_add(use, "input", input != NULL ? input : cJSON_CreateObject());
    }
    return true;
}

static void
add_tool_result(cJSON *content, const struct remora_turn *turn)
{
    cJSON *block = json_append(content, cJSON_CreateObject());
    cJSON *result = json_add(block, "toolResult", json_object_of("toolUseId", turn->tool_id));
    add_texts(json_add(result, "content", cJSON_CreateArray()), turn);
}

static const struct wire_blocks blocks = { add_texts, add_tool_uses, add_tool_result };

/* What stands before it is kept for later requests. */
static void
add_cache_point(cJSON *list, int64_t retention_ms)
{
    if (list == NULL || list->child == NULL)
        return;
    cJSON *block = json_append(list, cJSON_CreateObject());
    cJSON *point = json_add(block, "cachePoint", json_object_of("type", json_slice("default")));
    if (retention_ms > SHORT_RETENTION_MS)
        json_add(point, "ttl", json_text(json_slice("1h")));
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
        cJSON *last = wire_last(messages);
        add_cache_point(system, conversation->prompt_cache_retention_ms);
        add_cache_point(cJSON_GetObjectItemCaseSensitive(last, "content"),
                        conversation->prompt_cache_retention_ms);
    }
    if (system->child != NULL)
        json_add(body, "system", system);
    else
        cJSON_Delete(system);
    return ok;
}

static bool
has_tool_turns(const struct remora_conversation *conversation)
{
    for (size_t i = 0; i < conversation->turn_count; i++)
        if (conversation->turns[i].tool_call_count > 0 ||
            conversation->turns[i].role == REMORA_ROLE_TOOL)
            return true;
    return false;
}

static void
add_tool_choice(cJSON *config, struct remora_slice choice)
{
    if (choice.len == 0 || remora_slice_eq(choice, "none"))
        return;
    cJSON *chosen = json_add(config, "toolChoice", cJSON_CreateObject());
    if (remora_slice_eq(choice, "auto"))
        json_add(chosen, "auto", cJSON_CreateObject());
    else if (remora_slice_eq(choice, "required"))
        json_add(chosen, "any", cJSON_CreateObject());
    else
        json_add(chosen, "tool", json_object_of("name", choice));
}

/* There is no choice "none": the tools are left out then, unless what was said before needs them.
 */
static bool
add_tools(cJSON *body, const struct remora_conversation *conversation, char *error)
{
    bool is_none = remora_slice_eq(conversation->tool_choice, "none");
    if (conversation->tool_count == 0 || (is_none && !has_tool_turns(conversation)))
        return true;
    cJSON *config = json_add(body, "toolConfig", cJSON_CreateObject());
    cJSON *tools = json_add(config, "tools", cJSON_CreateArray());
    for (size_t i = 0; i < conversation->tool_count; i++) {
        const struct remora_tool *from = &conversation->tools[i];
        cJSON *schema;
        if (!wire_read_json(from->parameters, "the parameters of a tool", &schema, error))
            return false;
        if (schema == NULL)
            schema = json_object_of("type", json_slice("object"));
        cJSON *tool = json_append(tools, cJSON_CreateObject());
        cJSON *specified = json_add(tool, "toolSpec", json_object_of("name", from->name));
        if (from->description.len > 0)
            json_add(specified, "description", json_text(from->description));
        json_add(json_add(specified, "inputSchema", cJSON_CreateObject()), "json", schema);
    }
    add_tool_choice(config, conversation->tool_choice);
    return true;
}

static bool
add_response_format(cJSON *body, const struct remora_conversation *conversation, char *error)
{
    struct wire_format asked;
    if (!wire_read_format(conversation, &asked, error))
        return false;
    cJSON_Delete(asked.strict);
    if (asked.schema == NULL)
        return true;
    char *text = json_print(asked.schema);
    cJSON *format = json_add(json_add(body, "outputConfig", cJSON_CreateObject()), "textFormat",
                             json_object_of("type", json_slice("json_schema")));
    cJSON *described = json_add(json_add(format, "structure", cJSON_CreateObject()), "jsonSchema",
                                json_object_of("schema", json_slice(text)));
    if (asked.name != NULL)
        json_add(described, "name", asked.name);
    cJSON_Delete(asked.schema);
    free(text);
    return true;
}

/* Of the parameters, two are everybody's; the others are the model's own. */
static bool
add_parameters(cJSON *body, cJSON *inference, const struct remora_conversation *conversation,
               char *error)
{
    static const char *const names[] = { "topP", "stopSequences", NULL };
    cJSON *more = cJSON_CreateObject();
    if (!wire_add_parameters(more, conversation, error)) {
        cJSON_Delete(more);
        return false;
    }
    for (size_t i = 0; names[i] != NULL; i++) {
        cJSON *item = cJSON_DetachItemFromObjectCaseSensitive(more, names[i]);
        if (item != NULL)
            json_add(inference, names[i], item);
    }
    if (more->child != NULL)
        json_add(body, "additionalModelRequestFields", more);
    else
        cJSON_Delete(more);
    return true;
}

static cJSON *
ask(const struct settings *settings, const struct remora_conversation *conversation,
    const char *model, char error[WIRE_ERROR_BYTES])
{
    (void)model; /* it is in the path */
    int64_t tokens = wire_max_tokens(settings, conversation);
    cJSON *body = cJSON_CreateObject();
    cJSON *inference = json_add(body, "inferenceConfig", cJSON_CreateObject());
    if (tokens > 0)
        json_add(inference, "maxTokens", cJSON_CreateNumber((double)tokens));
    wire_add_temperature(inference, settings, conversation);
    if (add_turns(body, conversation, error) && add_tools(body, conversation, error) &&
        add_response_format(body, conversation, error) &&
        add_parameters(body, inference, conversation, error))
        return body;
    cJSON_Delete(body);
    return NULL;
}

static char *
url(const struct settings *settings, const char *model)
{
    char *escaped = sigv4_encode(model, strlen(model), false);
    char *made = memory_printf("%s/model/%s/converse", settings->endpoint, escaped);
    free(escaped);
    return made;
}

static struct curl_slist *
sign(const struct settings *settings, struct curl_slist *headers, const char *target,
     const char *body)
{
    const char *host = strstr(target, "://") + strlen("://"); /* the settings have seen to it */
    const char *path = strchr(host, '/');
    char *authority = memory_slice((struct remora_slice){ host, (size_t)(path - host) });
    const struct aws_keys *keys = aws_credentials_last(settings->credentials); /* there are */
    char hash[SIGV4_HASH_BYTES];
    struct sigv4_signature signature = { .authorization = NULL };
    sigv4_hash(body, strlen(body), hash);
    (void)sigv4_sign(&(struct sigv4_request){ .region = settings->region,
                                              .service = "bedrock",
                                              .access_key = keys->access_key,
                                              .secret_key = keys->secret_key,
                                              .session_token = keys->session_token,
                                              .at = time(NULL),
                                              .method = "POST",
                                              .host = authority,
                                              .path = path,
                                              .payload_hash = hash },
                     &signature); /* it has no headers, so that there are not too many */
    headers = wire_add_header(headers, "Host: ", authority);
    headers = wire_add_header(headers, "X-Amz-Date: ", signature.date);
    headers = wire_add_header(headers, "Authorization: ", signature.authorization);
    if (keys->session_token != NULL)
        headers = wire_add_header(headers, "X-Amz-Security-Token: ", keys->session_token);
    memory_wipe(signature.authorization);
    free(authority);
    return headers;
}

/* --- the answer --------------------------------------------------------------------------------*/

static bool
read_block(struct answer *answer, struct remora_choice *choice, const cJSON *block)
{
    const cJSON *use = json_get_object(block, "toolUse");
    if (!cJSON_IsObject(block))
        return false;
    if (use != NULL)
        return answer_add_tool_call(answer, choice, json_get_text(use, "toolUseId"),
                                    json_get_text(use, "name"), json_get(use, "input"));
    answer_add_text(answer, choice, json_get_text(block, "text"), "\n");
    return true; /* thoughts have no text of that name */
}

static void
read_usage(struct answer *answer, const cJSON *usage)
{
    uint64_t cached = json_get_count(usage, "cacheReadInputTokens");
    if (usage == NULL)
        return;
    answer->usage = (struct remora_usage){
        .completion = json_get_count(usage, "outputTokens"),
        .prompt = json_get_count(usage, "inputTokens"),
        .total = json_get_count(usage, "totalTokens"),
        .has_prompt_parts = cached > 0,
        .cached = cached,
    };
    answer->reply.usage = &answer->usage;
}

static bool
read_answer(const cJSON *tree, struct answer *answer)
{
    const cJSON *message = json_get_object(json_get_object(tree, "output"), "message");
    const cJSON *content = json_get_array(message, "content"), *block;
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
    answer_set_finish(answer, choice, json_get_text(tree, "stopReason"));
    read_usage(answer, json_get_object(tree, "usage"));
    return true;
}

const struct wire wire_bedrock = { .ask = ask, .url = url, .sign = sign, .read = read_answer };
