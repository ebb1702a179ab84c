/* SPDX-License-Identifier: Apache-2.0 */
/* Conversation: a question decoded and handed to the type's function, its answer encoded. */
#include "sdk.h"

#include <assert.h>

#include "base/pb.h"

typedef Remora__Plugin__V1__ConversationToolCall *const *tool_calls_in;

static const struct remora_tool_call *
unpack_tool_calls(struct arena *arena, tool_calls_in from, size_t count)
{
    struct remora_tool_call *calls = ARENA_ARRAY(arena, struct remora_tool_call, count);
    for (size_t i = 0; i < count; i++)
        calls[i] = (struct remora_tool_call){ .id = to_remora(slice_str(from[i]->id)),
                                              .name = to_remora(slice_str(from[i]->name)),
                                              .arguments = to_remora(
                                                  slice_str(from[i]->arguments)) };
    return calls;
}

static void
unpack_turn(struct arena *arena, const Remora__Plugin__V1__ConversationMessage *from,
            struct remora_turn *ret_turn)
{
    struct remora_slice *content = ARENA_ARRAY(arena, struct remora_slice, from->n_content);
    for (size_t i = 0; i < from->n_content; i++)
        content[i] = to_remora(slice_str(from->content[i]));
    *ret_turn = (struct remora_turn){
        .role = (enum remora_role)from->role,
        .name = to_remora(slice_str(from->name)),
        .content = content,
        .content_count = from->n_content,
        .tool_calls = unpack_tool_calls(arena, from->tool_calls, from->n_tool_calls),
        .tool_call_count = from->n_tool_calls,
        .tool_id = to_remora(slice_str(from->tool_id)),
    };
}

static bool
has_known_roles(const Remora__Plugin__V1__Converse *in)
{
    for (size_t i = 0; i < in->n_messages; i++) {
        const int role = (int)in->messages[i]->role;
        if (role < REMORA_ROLE_DEVELOPER || role > REMORA_ROLE_TOOL)
            return false;
    }
    return true;
}

static const struct remora_tool *
unpack_tools(struct arena *arena, const Remora__Plugin__V1__Converse *in)
{
    struct remora_tool *tools = ARENA_ARRAY(arena, struct remora_tool, in->n_tools);
    for (size_t i = 0; i < in->n_tools; i++)
        tools[i] = (struct remora_tool){
            .name = to_remora(slice_str(in->tools[i]->name)),
            .description = to_remora(slice_str(in->tools[i]->description)),
            .parameters = to_remora(pb_slice(in->tools[i]->parameters)),
        };
    return tools;
}

void
conversation_run(struct remora_call *call)
{
    const struct remora_conversation_ops *ops = call->component->type->conversation;
    if (ops == NULL || ops->converse == NULL) {
        call_refuse_unsupported(call);
        return;
    }
    const Remora__Plugin__V1__Converse *in = call_unpack(call,
                                                         &remora__plugin__v1__converse__descriptor);
    if (in == NULL || !has_known_roles(in)) {
        call_refuse_malformed(call, "Converse");
        return;
    }
    struct remora_turn *turns = ARENA_ARRAY(&call->arena, struct remora_turn, in->n_messages);
    for (size_t i = 0; i < in->n_messages; i++)
        unpack_turn(&call->arena, in->messages[i], &turns[i]);
    struct remora_conversation *conversation = ARENA_NEW(&call->arena, struct remora_conversation);
    *conversation = (struct remora_conversation){
        .turns = turns,
        .turn_count = in->n_messages,
        .tools = unpack_tools(&call->arena, in),
        .tool_count = in->n_tools,
        .tool_choice = to_remora(slice_str(in->tool_choice)),
        .response_format = to_remora(pb_slice(in->response_format)),
        .parameters = to_remora(pb_slice(in->parameters)),
        .metadata = unpack_pairs(&call->arena, in->metadata, in->n_metadata),
        .metadata_count = in->n_metadata,
        .context_id = to_remora(slice_str(in->context_id)),
        .has_temperature = in->_temperature_case ==
                           REMORA__PLUGIN__V1__CONVERSE___TEMPERATURE_TEMPERATURE,
        .has_max_tokens = in->_max_tokens_case ==
                          REMORA__PLUGIN__V1__CONVERSE___MAX_TOKENS_MAX_TOKENS,
        .has_prompt_cache_retention =
            in->_prompt_cache_retention_ms_case ==
            REMORA__PLUGIN__V1__CONVERSE___PROMPT_CACHE_RETENTION_MS_PROMPT_CACHE_RETENTION_MS,
        .temperature = in->temperature,
        .max_tokens = in->max_tokens,
        .prompt_cache_retention_ms = in->prompt_cache_retention_ms,
    };
    ops->converse(call, call->component->self, conversation);
}

/* --- the answer --------------------------------------------------------------------------------*/

static Remora__Plugin__V1__ConversationToolCall **
pack_tool_calls(struct arena *arena, const struct remora_tool_call *from, size_t count)
{
    Remora__Plugin__V1__ConversationToolCall **calls = ARENA_ARRAY(
        arena, Remora__Plugin__V1__ConversationToolCall *, count);
    for (size_t i = 0; i < count; i++) {
        calls[i] = ARENA_NEW(arena, Remora__Plugin__V1__ConversationToolCall);
        remora__plugin__v1__conversation_tool_call__init(calls[i]);
        calls[i]->id = arena_str(arena, from_remora(from[i].id));
        calls[i]->name = arena_str(arena, from_remora(from[i].name));
        calls[i]->arguments = arena_str(arena, from_remora(from[i].arguments));
    }
    return calls;
}

static Remora__Plugin__V1__ConversationChoice **
pack_choices(struct arena *arena, const struct remora_answer *answer)
{
    Remora__Plugin__V1__ConversationChoice **choices = ARENA_ARRAY(
        arena, Remora__Plugin__V1__ConversationChoice *, answer->choice_count);
    for (size_t i = 0; i < answer->choice_count; i++) {
        const struct remora_choice *from = &answer->choices[i];
        choices[i] = ARENA_NEW(arena, Remora__Plugin__V1__ConversationChoice);
        remora__plugin__v1__conversation_choice__init(choices[i]);
        choices[i]->finish_reason = arena_str(arena, from_remora(from->finish_reason));
        choices[i]->content = arena_str(arena, from_remora(from->content));
        choices[i]->n_tool_calls = from->tool_call_count;
        choices[i]->tool_calls = pack_tool_calls(arena, from->tool_calls, from->tool_call_count);
    }
    return choices;
}

static void
pack_usage_parts(struct arena *arena, const struct remora_usage *from,
                 Remora__Plugin__V1__ConversationUsage *usage)
{
    if (from->has_completion_parts) {
        usage->completion_details = ARENA_NEW(arena,
                                              Remora__Plugin__V1__ConversationCompletionTokens);
        remora__plugin__v1__conversation_completion_tokens__init(usage->completion_details);
        usage->completion_details->accepted_prediction = from->accepted_prediction;
        usage->completion_details->audio = from->completion_audio;
        usage->completion_details->reasoning = from->reasoning;
        usage->completion_details->rejected_prediction = from->rejected_prediction;
    }
    if (from->has_prompt_parts) {
        usage->prompt_details = ARENA_NEW(arena, Remora__Plugin__V1__ConversationPromptTokens);
        remora__plugin__v1__conversation_prompt_tokens__init(usage->prompt_details);
        usage->prompt_details->audio = from->prompt_audio;
        usage->prompt_details->cached = from->cached;
    }
}

static Remora__Plugin__V1__ConversationUsage *
pack_usage(struct arena *arena, const struct remora_usage *from)
{
    if (from == NULL)
        return NULL;
    Remora__Plugin__V1__ConversationUsage *usage = ARENA_NEW(arena,
                                                             Remora__Plugin__V1__ConversationUsage);
    remora__plugin__v1__conversation_usage__init(usage);
    usage->completion_tokens = from->completion;
    usage->prompt_tokens = from->prompt;
    usage->total_tokens = from->total;
    pack_usage_parts(arena, from, usage);
    return usage;
}

void
remora_conversation_reply(remora_call *call, const struct remora_answer *answer)
{
    assert(call->method == METHOD(CONVERSE));
    Remora__Plugin__V1__ConverseReply reply = REMORA__PLUGIN__V1__CONVERSE_REPLY__INIT;
    reply.n_choices = answer->choice_count;
    reply.choices = pack_choices(&call->arena, answer);
    reply.model = arena_str(&call->arena, from_remora(answer->model));
    reply.usage = pack_usage(&call->arena, answer->usage);
    reply.context_id = arena_str(&call->arena, from_remora(answer->context_id));
    call_reply(call, pb_pack(&call->arena, &reply.base), NULL, 0);
}
