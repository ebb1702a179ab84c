/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins that talk with language models: the functions of such a type. Part of remora_plugin.h. */
#ifndef REMORA_CONVERSATION_H
#define REMORA_CONVERSATION_H

#include "remora_plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

enum remora_role {
    REMORA_ROLE_DEVELOPER = 1,
    REMORA_ROLE_SYSTEM = 2,
    REMORA_ROLE_USER = 3,
    REMORA_ROLE_ASSISTANT = 4,
    REMORA_ROLE_TOOL = 5,
};

struct remora_tool_call {
    struct remora_slice id; /* may be empty */
    struct remora_slice name;
    struct remora_slice arguments; /* a JSON object by rule; a model may have said anything */
};

/* What somebody has said. */
struct remora_turn {
    enum remora_role role;
    struct remora_slice name; /* of who speaks, or of the tool that answers; may be empty */
    const struct remora_slice *content; /* texts, in order */
    size_t content_count;
    const struct remora_tool_call *tool_calls; /* assistant */
    size_t tool_call_count;
    struct remora_slice tool_id; /* tool: the call it answers */
};

struct remora_tool {
    struct remora_slice name;
    struct remora_slice description;
    struct remora_slice parameters; /* JSON Schema, an object; empty if it takes none */
};

struct remora_conversation {
    const struct remora_turn *turns;
    size_t turn_count;
    const struct remora_tool *tools;
    size_t tool_count;
    struct remora_slice tool_choice;     /* none, auto, required, a tool's name, or empty */
    struct remora_slice response_format; /* JSON Schema of the answer, or empty */
    struct remora_slice parameters;      /* for this provider: a JSON object, or empty */
    const struct remora_pair *metadata;
    size_t metadata_count;
    struct remora_slice context_id; /* may be empty */
    bool has_temperature, has_max_tokens, has_prompt_cache_retention;
    double temperature;
    int64_t max_tokens;
    int64_t prompt_cache_retention_ms;
};

struct remora_choice {
    struct remora_slice finish_reason; /* stop, length, tool_calls, content_filter */
    struct remora_slice content;
    const struct remora_tool_call *tool_calls;
    size_t tool_call_count;
};

/* Tokens. The parts are 0 where the provider says nothing of one. */
struct remora_usage {
    uint64_t completion, prompt, total;
    bool has_completion_parts, has_prompt_parts;
    uint64_t accepted_prediction, completion_audio, reasoning, rejected_prediction;
    uint64_t prompt_audio, cached;
};

struct remora_answer {
    const struct remora_choice *choices;
    size_t choice_count;
    struct remora_slice model;        /* may be empty */
    const struct remora_usage *usage; /* or NULL */
    struct remora_slice context_id;   /* may be empty */
};

/* Statuses of failures as plugin.proto says under "conversation"; neither a key nor what was said
 * may be part of their text. */
struct remora_conversation_ops {
    void (*converse)(remora_call *call, void *self, const struct remora_conversation *conversation);
    /* remora_conversation_reply() */
};

void remora_conversation_reply(remora_call *call, const struct remora_answer *answer);

#ifdef __cplusplus
}
#endif

#endif
