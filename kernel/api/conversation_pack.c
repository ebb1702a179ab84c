/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the conversation API as questions to plugins; see conversation_pack.h. */
#include "api/conversation_pack.h"

#include "api/operation.h"
#include "api/protojson.h"
#include "base/limits.h"

typedef Remora__Plugin__V1__Converse converse_t;
typedef Remora__Plugin__V1__ConversationMessage message_t;
typedef Remora__Plugin__V1__ConversationRole role_t;
typedef Dapr__Proto__Runtime__V1__ConversationMessageContent content_t;
typedef Dapr__Proto__Runtime__V1__ConversationRequest alpha1_t;
typedef Dapr__Proto__Runtime__V1__ConversationRequestAlpha2 alpha2_t;

#define ROLE(name) REMORA__PLUGIN__V1__CONVERSATION_ROLE__CONVERSATION_ROLE_##name
#define CHOICE_RULE                                                                                \
    "ust be 'auto', 'none', 'required', or a specific tool name matching the tools available to "  \
    "be used"

static err_t
fail_params(struct request *rq, struct slice name, const char *words)
{
    return fail(rq, ERR_CONVERSATION_INVALID_PARMS, CONVERSING "invalid params: %s",
                SLICE_ARG(name), words);
}

/* --- what both forms share ---------------------------------------------------------------------*/

static void
scrub_later(struct scrub_list *scrub, char **text)
{
    scrub->texts[scrub->count++] = text;
    scrub->bytes += strlen(*text);
}

static message_t *
add_message(struct request *rq, converse_t *question, role_t role)
{
    message_t *message = ARENA_NEW(rq->arena, message_t);
    remora__plugin__v1__conversation_message__init(message);
    message->role = role;
    question->messages[question->n_messages++] = message;
    return message;
}

/* Of the maps of both forms, whose entries differ in name only. */
struct parameter {
    const char *key;
    const Google__Protobuf__Any *value; /* NULL: only a client of its own sends that */
};

#define LIST_PARAMETERS(arena, in, ret_list)                                                       \
    do {                                                                                           \
        struct parameter *list_of = ARENA_ARRAY((arena), struct parameter,                         \
                                                (in)->n_parameters + 1);                           \
        for (size_t list_i = 0; list_i < (in)->n_parameters; list_i++)                             \
            list_of[list_i] = (struct parameter){ (in)->parameters[list_i]->key,                   \
                                                  (in)->parameters[list_i]->value };               \
        *(ret_list) = list_of;                                                                     \
    } while (0)

/* What is meant for the provider, as one JSON object. Of a type that is not known here nothing can
 * be said to it. */
static err_t
pack_parameters(struct request *rq, struct slice name, const struct parameter *list, size_t count,
                converse_t *question)
{
    struct arena_bytes all = { 0 };
    struct buf one;
    if (count == 0)
        return OK;
    buf_init(&one, LIMIT_conversation_json_bytes_max);
    for (size_t i = 0; i < count; i++) {
        buf_clear(&one);
        bool is_good = buf_append_byte(&one, all.len == 0 ? '{' : ',') &&
                       json_write_string(&one, slice_str(list[i].key), false) &&
                       buf_append_byte(&one, ':') && list[i].value != NULL &&
                       protojson_write_content(&one, rq->arena, list[i].value);
        if (is_good)
            arena_append(rq->arena, &all, buf_slice(&one));
    }
    buf_fini(&one);
    if (all.len > LIMIT_message_bytes_max)
        return fail_params(rq, name, "parameters are too long");
    if (all.len > 0)
        arena_append(rq->arena, &all, SLICE("}"));
    question->parameters = pb_bytes(arena_bytes_slice(&all));
    return OK;
}

static bool
pack_struct(struct request *rq, const Google__Protobuf__Struct *from, ProtobufCBinaryData *ret)
{
    struct buf out;
    buf_init(&out, LIMIT_conversation_json_bytes_max);
    bool is_good = protojson_write(&out, rq->arena, &from->base);
    if (is_good)
        *ret = pb_bytes(arena_dup(rq->arena, buf_slice(&out)));
    buf_fini(&out);
    return is_good;
}

/* --- alpha1 ------------------------------------------------------------------------------------*/

/* Names that models have had for them; anything else is a user. */
static role_t
role_of(const char *text)
{
    static const struct {
        const char *name;
        role_t role;
    } roles[] = { { "system", ROLE(SYSTEM) },
                  { "assistant", ROLE(ASSISTANT) },
                  { "ai", ROLE(ASSISTANT) } };
    for (size_t i = 0; i < ARRAY_LEN(roles); i++)
        if (slice_eq(slice_str(text), slice_str(roles[i].name)))
            return roles[i].role;
    return ROLE(USER);
}

err_t
conversation_pack_alpha1(struct request *rq, struct slice name, const alpha1_t *in,
                         converse_t *question, struct scrub_list *scrub)
{
    const struct parameter *parameters;
    struct pair *pairs;
    *question = (converse_t)REMORA__PLUGIN__V1__CONVERSE__INIT;
    *scrub = (struct scrub_list){ .texts = ARENA_ARRAY(rq->arena, char **, in->n_inputs + 1) };
    question->messages = ARENA_ARRAY(rq->arena, message_t *, in->n_inputs + 1);
    for (size_t i = 0; i < in->n_inputs; i++) {
        message_t *message = add_message(rq, question, role_of(in->inputs[i]->role));
        message->n_content = 1;
        message->content = ARENA_ARRAY(rq->arena, char *, 1);
        message->content[0] = in->inputs[i]->content;
        if (in->inputs[i]->scrubpii)
            scrub_later(scrub, &message->content[0]);
    }
    if (in->_temperature_case != 0) {
        question->_temperature_case = REMORA__PLUGIN__V1__CONVERSE___TEMPERATURE_TEMPERATURE;
        question->temperature = in->temperature;
    }
    question->context_id = in->_context_id_case != 0 ? in->contextid : question->context_id;
    pairs = ARENA_ARRAY(rq->arena, struct pair, in->n_metadata + 1);
    for (size_t i = 0; i < in->n_metadata; i++)
        pairs[i] = (struct pair){ slice_str(in->metadata[i]->key),
                                  slice_str(in->metadata[i]->value) };
    question->metadata = operation_pack_pairs(rq->arena, pairs, in->n_metadata);
    question->n_metadata = in->n_metadata;
    LIST_PARAMETERS(rq->arena, in, &parameters);
    return pack_parameters(rq, name, parameters, in->n_parameters, question);
}

/* --- alpha2 ------------------------------------------------------------------------------------*/

static void
pack_content(struct request *rq, message_t *message, content_t *const *from, size_t count)
{
    message->n_content = count;
    message->content = ARENA_ARRAY(rq->arena, char *, count + 1);
    for (size_t i = 0; i < count; i++)
        message->content[i] = from[i]->text;
}

static err_t
pack_tool_calls(struct request *rq, struct slice name,
                const Dapr__Proto__Runtime__V1__ConversationMessageOfAssistant *from,
                message_t *message)
{
    message->tool_calls = ARENA_ARRAY(rq->arena, Remora__Plugin__V1__ConversationToolCall *,
                                      from->n_tool_calls + 1);
    message->n_tool_calls = from->n_tool_calls;
    for (size_t i = 0; i < from->n_tool_calls; i++) {
        const Dapr__Proto__Runtime__V1__ConversationToolCalls *one = from->tool_calls[i];
        if (one->tool_types_case !=
            DAPR__PROTO__RUNTIME__V1__CONVERSATION_TOOL_CALLS__TOOL_TYPES_FUNCTION)
            return fail_params(rq, name, "tool types cannot be nil");
        Remora__Plugin__V1__ConversationToolCall *call = ARENA_NEW(
            rq->arena, Remora__Plugin__V1__ConversationToolCall);
        remora__plugin__v1__conversation_tool_call__init(call);
        call->id = one->_id_case != 0 ? one->id : call->id;
        call->name = one->function->name;
        call->arguments = one->function->arguments;
        message->tool_calls[i] = call;
    }
    return OK;
}

#define OF(name) DAPR__PROTO__RUNTIME__V1__CONVERSATION_MESSAGE__MESSAGE_TYPES_OF_##name
#define SPEAKER(from) ((from)->_name_case != 0 ? (from)->name : message->name)

static err_t
pack_message(struct request *rq, struct slice name,
             const Dapr__Proto__Runtime__V1__ConversationMessage *from, converse_t *question)
{
    message_t *message = add_message(rq, question, ROLE(USER));
    switch ((int)from->message_types_case) {
    case OF(DEVELOPER):
        message->role = ROLE(DEVELOPER);
        message->name = SPEAKER(from->of_developer);
        pack_content(rq, message, from->of_developer->content, from->of_developer->n_content);
        return OK;
    case OF(SYSTEM):
        message->role = ROLE(SYSTEM);
        message->name = SPEAKER(from->of_system);
        pack_content(rq, message, from->of_system->content, from->of_system->n_content);
        return OK;
    case OF(USER):
        message->name = SPEAKER(from->of_user);
        pack_content(rq, message, from->of_user->content, from->of_user->n_content);
        return OK;
    case OF(ASSISTANT):
        message->role = ROLE(ASSISTANT);
        message->name = SPEAKER(from->of_assistant);
        pack_content(rq, message, from->of_assistant->content, from->of_assistant->n_content);
        return pack_tool_calls(rq, name, from->of_assistant, message);
    case OF(TOOL):
        message->role = ROLE(TOOL);
        message->name = from->of_tool->name;
        message->tool_id = from->of_tool->_tool_id_case != 0 ? from->of_tool->tool_id
                                                             : message->tool_id;
        pack_content(rq, message, from->of_tool->content, from->of_tool->n_content);
        return OK;
    default:
        return fail_params(rq, name, "message type cannot be nil");
    }
}

static err_t
pack_messages(struct request *rq, struct slice name, const alpha2_t *in, converse_t *question,
              struct scrub_list *scrub)
{
    size_t count = 0, texts = 0;
    for (size_t i = 0; i < in->n_inputs; i++)
        count += in->inputs[i]->n_messages;
    question->messages = ARENA_ARRAY(rq->arena, message_t *, count + 1);
    /* The content of every kind of message is in a list of the same shape: count it once packed. */
    for (size_t i = 0; i < in->n_inputs; i++)
        for (size_t k = 0; k < in->inputs[i]->n_messages; k++) {
            err_t err = pack_message(rq, name, in->inputs[i]->messages[k], question);
            if (err != OK)
                return err;
            texts += question->messages[question->n_messages - 1]->n_content;
        }
    *scrub = (struct scrub_list){ .texts = ARENA_ARRAY(rq->arena, char **, texts + 1) };
    size_t at = 0;
    for (size_t i = 0; i < in->n_inputs; i++)
        for (size_t k = 0; k < in->inputs[i]->n_messages; k++, at++)
            for (size_t j = 0; in->inputs[i]->scrub_pii && j < question->messages[at]->n_content;
                 j++)
                scrub_later(scrub, &question->messages[at]->content[j]);
    return OK;
}

static bool
is_tool(const converse_t *question, const char *choice)
{
    for (size_t i = 0; i < question->n_tools; i++)
        if (strcmp(question->tools[i]->name, choice) == 0)
            return true;
    return false;
}

static err_t
check_choice(struct request *rq, struct slice name, const alpha2_t *in, converse_t *question)
{
    struct slice choice = slice_str(in->_tool_choice_case != 0 ? in->tool_choice : NULL);
    if (choice.len == 0) {
        if (in->n_tools > 0)
            question->tool_choice = pb_string(rq->arena, SLICE("auto"));
        return OK;
    }
    question->tool_choice = in->tool_choice;
    if (slice_eq(choice, SLICE("auto")) || slice_eq(choice, SLICE("none")))
        return OK;
    if (slice_eq(choice, SLICE("required")))
        return in->n_tools > 0 ? OK : fail_params(rq, name, "tool choice m" CHOICE_RULE);
    if (in->n_tools == 0 || is_tool(question, in->tool_choice))
        return OK;
    return fail_params(rq, name, "tool choice selected was not found. M" CHOICE_RULE);
}

static err_t
pack_tools(struct request *rq, struct slice name, const alpha2_t *in, converse_t *question)
{
    question->tools = ARENA_ARRAY(rq->arena, Remora__Plugin__V1__ConversationTool *,
                                  in->n_tools + 1);
    for (size_t i = 0; i < in->n_tools; i++) {
        const Dapr__Proto__Runtime__V1__ConversationToolsFunction *from = in->tools[i]->function;
        if (in->tools[i]->tool_types_case !=
            DAPR__PROTO__RUNTIME__V1__CONVERSATION_TOOLS__TOOL_TYPES_FUNCTION)
            continue; /* of no kind that a provider knows, as the reference has it */
        Remora__Plugin__V1__ConversationTool *tool = ARENA_NEW(
            rq->arena, Remora__Plugin__V1__ConversationTool);
        remora__plugin__v1__conversation_tool__init(tool);
        tool->name = from->name;
        tool->description = from->_description_case != 0 ? from->description : tool->description;
        if (from->parameters != NULL && !pack_struct(rq, from->parameters, &tool->parameters))
            return fail_params(rq, name, "the parameters of a tool are too long");
        question->tools[question->n_tools++] = tool;
    }
    return check_choice(rq, name, in, question);
}

/* A time that no provider has is none. */
static err_t
pack_retention(struct request *rq, struct slice name, const Google__Protobuf__Duration *retention,
               converse_t *question)
{
    enum { MS_PER_S = 1000, NS_PER_MS = 1000000 };
    if (retention == NULL)
        return OK;
    if (retention->seconds < 0 || retention->nanos < 0 ||
        retention->seconds > INT64_MAX / MS_PER_S - 1 || retention->nanos >= MS_PER_S * NS_PER_MS)
        return fail_params(rq, name, "prompt cache retention is out of range");
    question->_prompt_cache_retention_ms_case =
        REMORA__PLUGIN__V1__CONVERSE___PROMPT_CACHE_RETENTION_MS_PROMPT_CACHE_RETENTION_MS;
    question->prompt_cache_retention_ms = retention->seconds * MS_PER_S +
                                          retention->nanos / NS_PER_MS;
    return OK;
}

static err_t
pack_options(struct request *rq, struct slice name, const alpha2_t *in, converse_t *question)
{
    struct pair *pairs = ARENA_ARRAY(rq->arena, struct pair, in->n_metadata + 1);
    if (in->_temperature_case != 0) {
        question->_temperature_case = REMORA__PLUGIN__V1__CONVERSE___TEMPERATURE_TEMPERATURE;
        question->temperature = in->temperature;
    }
    if (in->_max_tokens_case != 0) {
        question->_max_tokens_case = REMORA__PLUGIN__V1__CONVERSE___MAX_TOKENS_MAX_TOKENS;
        question->max_tokens = in->max_tokens;
    }
    question->context_id = in->_context_id_case != 0 ? in->context_id : question->context_id;
    for (size_t i = 0; i < in->n_metadata; i++)
        pairs[i] = (struct pair){ slice_str(in->metadata[i]->key),
                                  slice_str(in->metadata[i]->value) };
    question->metadata = operation_pack_pairs(rq->arena, pairs, in->n_metadata);
    question->n_metadata = in->n_metadata;
    if (in->response_format != NULL &&
        !pack_struct(rq, in->response_format, &question->response_format))
        return fail_params(rq, name, "the response format is too long");
    return pack_retention(rq, name, in->prompt_cache_retention, question);
}

err_t
conversation_pack_alpha2(struct request *rq, struct slice name, const alpha2_t *in,
                         converse_t *question, struct scrub_list *scrub)
{
    const struct parameter *parameters;
    *question = (converse_t)REMORA__PLUGIN__V1__CONVERSE__INIT;
    err_t err = pack_messages(rq, name, in, question, scrub);
    if (err == OK)
        err = pack_tools(rq, name, in, question);
    if (err == OK)
        err = pack_options(rq, name, in, question);
    if (err != OK)
        return err;
    LIST_PARAMETERS(rq->arena, in, &parameters);
    return pack_parameters(rq, name, parameters, in->n_parameters, question);
}
