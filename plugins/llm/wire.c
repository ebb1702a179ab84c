/* SPDX-License-Identifier: Apache-2.0 */
/* What the wires have in common; see wire.h. */
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "json.h"

enum { MEMBERS_MAX = 256 }; /* each is looked for among the others */

struct curl_slist *
wire_add_header(struct curl_slist *headers, const char *name, const char *value)
{
    char *line = memory_printf("%s%s", name, value);
    struct curl_slist *longer = curl_slist_append(headers, line);
    memory_wipe(line);
    if (longer == NULL)
        abort();
    return longer;
}

int64_t
wire_max_tokens(const struct settings *settings, const struct remora_conversation *conversation)
{
    int64_t asked = conversation->has_max_tokens ? conversation->max_tokens : 0;
    return asked <= 0 ? settings->max_tokens : asked < INT32_MAX ? asked : INT32_MAX;
}

void
wire_add_temperature(cJSON *to, const struct settings *settings,
                     const struct remora_conversation *conversation)
{
    if (conversation->has_temperature)
        json_add(to, "temperature", cJSON_CreateNumber(conversation->temperature));
    else if (settings->has_temperature)
        json_add(to, "temperature", cJSON_CreateNumber(settings->temperature));
}

bool
wire_read_json(struct remora_slice text, const char *what, cJSON **ret_tree,
               char error[WIRE_ERROR_BYTES])
{
    *ret_tree = NULL;
    if (text.len == 0)
        return true;
    *ret_tree = json_parse(text.data, text.len);
    if (*ret_tree == NULL)
        (void)snprintf(error, WIRE_ERROR_BYTES, "%s must be a JSON object of at most %d levels",
                       what, JSON_DEPTH_MAX);
    return *ret_tree != NULL;
}

bool
wire_read_format(const struct remora_conversation *conversation, struct wire_format *ret,
                 char error[WIRE_ERROR_BYTES])
{
    cJSON *schema;
    *ret = (struct wire_format){ .schema = NULL };
    if (!wire_read_json(conversation->response_format, "the response format", &schema, error))
        return false;
    ret->schema = schema;
    if (cJSON_IsString(json_get(schema, "name")))
        ret->name = cJSON_DetachItemFromObjectCaseSensitive(schema, "name");
    if (cJSON_IsBool(json_get(schema, "strict")))
        ret->strict = cJSON_DetachItemFromObjectCaseSensitive(schema, "strict");
    return true;
}

bool
wire_add_parameters(cJSON *to, const struct remora_conversation *conversation,
                    char error[WIRE_ERROR_BYTES])
{
    static const char *const ours[] = { "stream", "stream_options", NULL };
    cJSON *more;
    if (!wire_read_json(conversation->parameters, "parameters", &more, error))
        return false;
    if (cJSON_GetArraySize(more) > MEMBERS_MAX || conversation->metadata_count > MEMBERS_MAX) {
        (void)snprintf(error, WIRE_ERROR_BYTES, "there are more than %d parameters or metadata",
                       (int)MEMBERS_MAX);
        cJSON_Delete(more);
        return false;
    }
    if (more != NULL)
        json_merge(to, more, ours);
    return true;
}

cJSON *
wire_last(const cJSON *list)
{
    return list == NULL || list->child == NULL ? NULL : list->child->prev;
}

cJSON *
wire_open_message(cJSON *messages, const char *role, const char *list)
{
    cJSON *last = wire_last(messages);
    const char *of = json_get_text(last, "role");
    if (of != NULL && strcmp(of, role) == 0)
        return cJSON_GetObjectItemCaseSensitive(last, list);
    cJSON *message = json_append(messages, json_object_of("role", json_slice(role)));
    return json_add(message, list, cJSON_CreateArray());
}

bool
wire_is_empty(const struct remora_turn *turn)
{
    for (size_t i = 0; i < turn->content_count; i++)
        if (turn->content[i].len > 0)
            return false;
    return turn->tool_call_count == 0 && turn->role != REMORA_ROLE_TOOL;
}

bool
wire_add_turn(const struct wire_blocks *blocks, cJSON *system, cJSON *messages,
              const struct remora_turn *turn, char *error)
{
    if (wire_is_empty(turn))
        return true;
    if (turn->role == REMORA_ROLE_SYSTEM || turn->role == REMORA_ROLE_DEVELOPER) {
        blocks->add_texts(system, turn);
    } else if (turn->role == REMORA_ROLE_TOOL) {
        blocks->add_tool_result(wire_open_message(messages, "user", "content"), turn);
    } else if (turn->role == REMORA_ROLE_ASSISTANT) {
        cJSON *content = wire_open_message(messages, "assistant", "content");
        blocks->add_texts(content, turn);
        return blocks->add_tool_uses(content, turn, error);
    } else {
        blocks->add_texts(wire_open_message(messages, "user", "content"), turn);
    }
    return true;
}

struct remora_slice
wire_tool_name(const struct remora_conversation *conversation, size_t turn)
{
    const struct remora_turn *answering = &conversation->turns[turn];
    if (answering->name.len > 0 || answering->tool_id.len == 0)
        return answering->name;
    for (size_t i = turn; i-- > 0;)
        for (size_t j = 0; j < conversation->turns[i].tool_call_count; j++) {
            const struct remora_tool_call *call = &conversation->turns[i].tool_calls[j];
            if (call->id.len == answering->tool_id.len &&
                memcmp(call->id.data, answering->tool_id.data, call->id.len) == 0)
                return call->name;
        }
    return answering->name;
}
