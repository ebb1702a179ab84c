/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Google's generateContent: contents of parts, said by "user" or "model"; what the system says
 * stands apart, and all answers to the calls of one message are one content.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "json.h"
#include "wire.h"

/* --- the request -------------------------------------------------------------------------------*/

static void
add_texts(cJSON *parts, const struct remora_turn *turn)
{
    for (size_t i = 0; i < turn->content_count; i++)
        json_append(parts, json_object_of("text", turn->content[i]));
}

static bool
add_calls(cJSON *parts, const struct remora_turn *turn, char *error)
{
    for (size_t i = 0; i < turn->tool_call_count; i++) {
        const struct remora_tool_call *call = &turn->tool_calls[i];
        cJSON *arguments;
        if (!wire_read_json(call->arguments, "the arguments of a tool call", &arguments, error))
            return false;
        cJSON *part = json_append(parts, cJSON_CreateObject());
        cJSON *function = json_add(part, "functionCall", json_object_of("name", call->name));
        json_add(function, "args", arguments != NULL ? arguments : cJSON_CreateObject());
    }
    return true;
}

/* What a tool has said must be an object; a text becomes the `result` of one. */
static bool
add_response(cJSON *parts, const struct remora_conversation *conversation, size_t turn, char *error)
{
    const struct remora_turn *from = &conversation->turns[turn];
    struct remora_slice name = wire_tool_name(conversation, turn);
    if (name.len == 0) {
        (void)snprintf(error, WIRE_ERROR_BYTES,
                       "the answer of a tool names neither the tool nor a call that was made");
        return false;
    }
    cJSON *response = from->content_count == 1
                          ? json_parse(from->content[0].data, from->content[0].len)
                          : NULL;
    if (response == NULL) {
        response = cJSON_CreateObject();
        cJSON *texts = cJSON_CreateArray();
        for (size_t i = 0; i < from->content_count; i++)
            json_append(texts, json_text(from->content[i]));
        cJSON *only = cJSON_GetArraySize(texts) == 1 ? cJSON_DetachItemFromArray(texts, 0) : texts;
        json_add(response, "result", only);
        if (only != texts)
            cJSON_Delete(texts);
    }
    cJSON *part = json_append(parts, cJSON_CreateObject());
    cJSON *function = json_add(part, "functionResponse", json_object_of("name", name));
    json_add(function, "response", response);
    return true;
}

static bool
add_turn(cJSON *system, cJSON *contents, const struct remora_conversation *conversation,
         size_t index, char *error)
{
    const struct remora_turn *turn = &conversation->turns[index];
    if (turn->role == REMORA_ROLE_TOOL)
        return add_response(wire_open_message(contents, "user", "parts"), conversation, index,
                            error);
    if (turn->content_count + turn->tool_call_count == 0)
        return true;
    if (turn->role == REMORA_ROLE_SYSTEM || turn->role == REMORA_ROLE_DEVELOPER) {
        add_texts(system, turn);
        return true;
    }
    bool is_model = turn->role == REMORA_ROLE_ASSISTANT;
    cJSON *parts = wire_open_message(contents, is_model ? "model" : "user", "parts");
    add_texts(parts, turn);
    return !is_model || add_calls(parts, turn, error);
}

static bool
add_turns(cJSON *body, const struct remora_conversation *conversation, char *error)
{
    cJSON *system = cJSON_CreateArray();
    cJSON *contents = json_add(body, "contents", cJSON_CreateArray());
    bool ok = true;
    for (size_t i = 0; i < conversation->turn_count && ok; i++)
        ok = add_turn(system, contents, conversation, i, error);
    if (system->child == NULL) {
        cJSON_Delete(system);
        return ok;
    }
    json_add(json_add(body, "systemInstruction", cJSON_CreateObject()), "parts", system);
    return ok;
}

static void
add_tool_choice(cJSON *body, struct remora_slice choice)
{
    const char *mode = remora_slice_eq(choice, "none")   ? "NONE"
                       : remora_slice_eq(choice, "auto") ? "AUTO"
                                                         : "ANY";
    if (choice.len == 0)
        return;
    cJSON *config = json_add(json_add(body, "toolConfig", cJSON_CreateObject()),
                             "functionCallingConfig", json_object_of("mode", json_slice(mode)));
    if (strcmp(mode, "ANY") == 0 && !remora_slice_eq(choice, "required"))
        json_append(json_add(config, "allowedFunctionNames", cJSON_CreateArray()),
                    json_text(choice));
}

static bool
add_tools(cJSON *body, const struct remora_conversation *conversation, char *error)
{
    if (conversation->tool_count == 0)
        return true;
    cJSON *tool = json_append(json_add(body, "tools", cJSON_CreateArray()), cJSON_CreateObject());
    cJSON *functions = json_add(tool, "functionDeclarations", cJSON_CreateArray());
    for (size_t i = 0; i < conversation->tool_count; i++) {
        const struct remora_tool *from = &conversation->tools[i];
        cJSON *schema;
        if (!wire_read_json(from->parameters, "the parameters of a tool", &schema, error))
            return false;
        cJSON *function = json_append(functions, json_object_of("name", from->name));
        json_add(function, "description", json_text(from->description));
        if (schema != NULL)
            json_add(function, "parametersJsonSchema", schema);
    }
    add_tool_choice(body, conversation->tool_choice);
    return true;
}

/* Of the parameters, a few are the request's; the others tune the generation. */
static bool
add_parameters(cJSON *body, cJSON *generation, const struct remora_conversation *conversation,
               char *error)
{
    static const char *const names[] = { "safetySettings", "cachedContent", NULL };
    if (!wire_add_parameters(generation, conversation, error))
        return false;
    for (size_t i = 0; names[i] != NULL; i++) {
        cJSON *item = cJSON_DetachItemFromObjectCaseSensitive(generation, names[i]);
        if (item != NULL)
            json_add(body, names[i], item);
    }
    return true;
}

static bool
add_generation(cJSON *body, const struct settings *settings,
               const struct remora_conversation *conversation, char *error)
{
    int64_t tokens = wire_max_tokens(settings, conversation);
    struct wire_format asked;
    cJSON *generation = json_add(body, "generationConfig", cJSON_CreateObject());
    wire_add_temperature(generation, settings, conversation);
    if (tokens > 0)
        json_add(generation, "maxOutputTokens", cJSON_CreateNumber((double)tokens));
    if (!wire_read_format(conversation, &asked, error))
        return false;
    cJSON_Delete(asked.name);
    cJSON_Delete(asked.strict);
    if (asked.schema != NULL) {
        json_add(generation, "responseMimeType", json_text(json_slice("application/json")));
        json_add(generation, "responseJsonSchema", asked.schema);
    }
    return add_parameters(body, generation, conversation, error);
}

static cJSON *
ask(const struct settings *settings, const struct remora_conversation *conversation,
    const char *model, char error[WIRE_ERROR_BYTES])
{
    (void)model; /* it is in the path */
    cJSON *body = cJSON_CreateObject();
    if (add_turns(body, conversation, error) && add_tools(body, conversation, error) &&
        add_generation(body, settings, conversation, error))
        return body;
    cJSON_Delete(body);
    return NULL;
}

static char *
url(const struct settings *settings, const char *model)
{
    bool is_path = strncmp(model, "models/", strlen("models/")) == 0;
    char *escaped = settings_escape(is_path ? model + strlen("models/") : model, false);
    char *made = memory_printf("%s/models/%s:generateContent", settings->endpoint, escaped);
    free(escaped);
    return made;
}

static struct curl_slist *
sign(const struct settings *settings, struct curl_slist *headers, const char *target,
     const char *body)
{
    (void)target, (void)body;
    return wire_add_header(headers, "x-goog-api-key: ", settings->key);
}

/* --- the answer --------------------------------------------------------------------------------*/

static bool
read_part(struct answer *answer, struct remora_choice *choice, const cJSON *part)
{
    const cJSON *call = json_get_object(part, "functionCall");
    if (!cJSON_IsObject(part))
        return false;
    if (call != NULL)
        return answer_add_tool_call(answer, choice, json_get_text(call, "id"),
                                    json_get_text(call, "name"), json_get(call, "args"));
    if (!cJSON_IsTrue(json_get(part, "thought")))
        answer_add_text(answer, choice, json_get_text(part, "text"), "");
    return true;
}

/* One that was cut off has no parts, or no content at all. */
static bool
read_candidate(struct answer *answer, struct remora_choice *choice, const cJSON *candidate)
{
    const cJSON *parts = json_get_array(json_get_object(candidate, "content"), "parts"), *part;
    const char *reason = json_get_text(candidate, "finishReason");
    if (!cJSON_IsObject(candidate) || (parts == NULL && reason == NULL))
        return false;
    choice->tool_calls = answer_make_tool_calls(answer, cJSON_GetArraySize(parts));
    if (choice->tool_calls == NULL)
        return false;
    cJSON_ArrayForEach(part, parts)
    {
        if (!read_part(answer, choice, part))
            return false;
    }
    answer_set_finish(answer, choice, reason);
    return true;
}

static void
read_usage(struct answer *answer, const cJSON *usage)
{
    uint64_t thoughts = json_get_count(usage, "thoughtsTokenCount");
    uint64_t cached = json_get_count(usage, "cachedContentTokenCount");
    if (usage == NULL)
        return;
    answer->usage = (struct remora_usage){
        .completion = json_get_count(usage, "candidatesTokenCount") + thoughts,
        .prompt = json_get_count(usage, "promptTokenCount"),
        .total = json_get_count(usage, "totalTokenCount"),
        .has_completion_parts = thoughts > 0,
        .has_prompt_parts = cached > 0,
        .reasoning = thoughts,
        .cached = cached,
    };
    answer->reply.usage = &answer->usage;
}

static bool
read_candidates(const cJSON *tree, struct answer *answer)
{
    const cJSON *candidates = json_get_array(tree, "candidates"), *candidate;
    int count = cJSON_GetArraySize(candidates);
    bool is_blocked = count == 0 &&
                      json_get_text(json_get_object(tree, "promptFeedback"), "blockReason") != NULL;
    if (!answer_make_choices(answer, is_blocked ? 1 : count))
        return false;
    struct remora_choice *choice = answer->choices;
    if (is_blocked)
        answer_set_finish(answer, choice, "content_filter");
    cJSON_ArrayForEach(candidate, candidates)
    {
        if (!read_candidate(answer, choice++, candidate))
            return false;
    }
    return true;
}

static bool
read_answer(const cJSON *tree, struct answer *answer)
{
    if (!read_candidates(tree, answer))
        return false;
    answer->reply.model = json_slice(json_get_text(tree, "modelVersion"));
    read_usage(answer, json_get_object(tree, "usageMetadata"));
    return true;
}

const struct wire wire_googleai = { .ask = ask, .url = url, .sign = sign, .read = read_answer };
