/* SPDX-License-Identifier: Apache-2.0 */
/* conversation.echo: a model that says what it was told and calls every tool it is given. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "remora_plugin.h"

/* --- life --------------------------------------------------------------------------------------*/

/* It remembers nothing. `model` is read by nobody: the reference's tells none either. */
static void
init(remora_call *call, const struct remora_config *config)
{
    static char self;
    (void)config;
    remora_reply_init(call, &self, 0, 0);
}

/* --- what it says ------------------------------------------------------------------------------*/

/* Pieces in memory of the call: counted first, then written. */
struct text {
    char *data; /* NULL: only counted */
    size_t len;
};

static void
put(struct text *text, struct remora_slice piece)
{
    if (text->data != NULL && piece.len > 0)
        memcpy(text->data + text->len, piece.data, piece.len);
    text->len += piece.len;
}

static void
put_str(struct text *text, const char *piece)
{
    put(text, (struct remora_slice){ piece, strlen(piece) });
}

static void
put_content(struct text *text, const struct remora_turn *turn, struct remora_slice content)
{
    if (text->len > 0)
        put_str(text, "\n");
    if (turn->role == REMORA_ROLE_TOOL) {
        put_str(text, "Tool Response for tool ID '");
        put(text, turn->tool_id);
        put_str(text, "' with name '");
        put(text, turn->name);
        put_str(text, "': ");
    }
    put(text, content);
}

static void
put_all(struct text *text, const struct remora_conversation *conversation)
{
    for (size_t i = 0; i < conversation->turn_count; i++)
        for (size_t k = 0; k < conversation->turns[i].content_count; k++)
            put_content(text, &conversation->turns[i], conversation->turns[i].content[k]);
}

static struct remora_slice
answer_text(remora_call *call, const struct remora_conversation *conversation)
{
    struct text text = { 0 };
    put_all(&text, conversation);
    text = (struct text){ .data = remora_call_alloc(call, text.len + 1) };
    put_all(&text, conversation);
    return (struct remora_slice){ text.data, text.len };
}

static uint64_t
word_count(struct remora_slice text)
{
    uint64_t words = 0;
    bool is_in_word = false;
    for (size_t i = 0; i < text.len; i++) {
        bool is_blank = text.data[i] != '\0' && strchr(" \t\r\n\v\f", text.data[i]) != NULL;
        words += !is_blank && !is_in_word ? 1 : 0;
        is_in_word = !is_blank;
    }
    return words;
}

/* --- what it calls -----------------------------------------------------------------------------*/

/* The names of what a tool takes, a comma between. */
static struct remora_slice
argument_names(remora_call *call, struct remora_slice schema)
{
    struct text text = { 0 };
    cJSON *root = cJSON_ParseWithLength(schema.data, schema.len);
    const cJSON *properties = cJSON_GetObjectItemCaseSensitive(root, "properties"), *property;
    text.data = remora_call_alloc(call, schema.len + 1); /* names are part of the schema */
    if (cJSON_IsObject(properties)) {
        cJSON_ArrayForEach(property, properties)
        {
            if (text.len > 0)
                put_str(&text, ",");
            put_str(&text, property->string);
        }
    }
    cJSON_Delete(root);
    return (struct remora_slice){ text.data, text.len };
}

static struct remora_slice
number_text(remora_call *call, size_t number)
{
    enum { DIGITS_MAX = 24 };
    char *text = remora_call_alloc(call, DIGITS_MAX);
    int len = snprintf(text, DIGITS_MAX, "%zu", number);
    return (struct remora_slice){ text, (size_t)len };
}

static const struct remora_tool_call *
tool_calls(remora_call *call, const struct remora_conversation *conversation, size_t *ret_count)
{
    size_t count = conversation->tool_count, at = 0;
    for (size_t i = 0; i < conversation->turn_count; i++)
        count += conversation->turns[i].tool_call_count;
    struct remora_tool_call *calls = remora_call_alloc(call, count * sizeof *calls + 1);
    for (size_t i = 0; i < conversation->turn_count; i++)
        for (size_t k = 0; k < conversation->turns[i].tool_call_count; k++)
            calls[at++] = conversation->turns[i].tool_calls[k];
    for (size_t i = 0; i < conversation->tool_count; i++)
        calls[at++] = (struct remora_tool_call){
            .id = number_text(call, i),
            .name = conversation->tools[i].name,
            .arguments = argument_names(call, conversation->tools[i].parameters),
        };
    *ret_count = count;
    return calls;
}

static void
converse(remora_call *call, void *self, const struct remora_conversation *conversation)
{
    (void)self;
    struct remora_choice choice = { .content = answer_text(call, conversation) };
    choice.tool_calls = tool_calls(call, conversation, &choice.tool_call_count);
    const char *reason = choice.tool_call_count > 0 ? "tool_calls" : "stop";
    choice.finish_reason = (struct remora_slice){ reason, strlen(reason) };
    uint64_t words = word_count(choice.content);
    const struct remora_usage usage = { .completion = words, .prompt = words, .total = 2 * words };
    const struct remora_answer answer = {
        .choices = &choice,
        .choice_count = 1,
        .usage = &usage,
        .context_id = conversation->context_id,
    };
    remora_conversation_reply(call, &answer);
}

static const struct remora_conversation_ops ops = { .converse = converse };

int
main(int argc, char **argv)
{
    static const struct remora_component_type types[] = {
        { .type = "conversation.echo", .versions = "v1", .init = init, .conversation = &ops },
    };
    static const struct remora_plugin plugin = {
        .name = "conversation-echo",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
    };
    return remora_plugin_main(&plugin, argc, argv);
}
