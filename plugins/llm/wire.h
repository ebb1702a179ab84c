/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a family of providers is spoken to. A wire turns a conversation into a request, and the JSON
 * of a good answer into ours; it neither sends nor judges failures (exchange.h, refusal.h).
 */
#ifndef LLM_PLUGIN_WIRE_H
#define LLM_PLUGIN_WIRE_H

#include <curl/curl.h>

#include "answer.h"
#include "settings.h"

enum { WIRE_ERROR_BYTES = 256 };

struct wire {
    /* The body, to be freed; NULL, with words, if the provider cannot be asked that. */
    cJSON *(*ask)(const struct settings *settings, const struct remora_conversation *conversation,
                  const char *model, char error[WIRE_ERROR_BYTES]);
    /* Where to; malloc'ed. */
    char *(*url)(const struct settings *settings, const char *model);
    /* Headers that say who asks, put to the list. */
    struct curl_slist *(*sign)(const struct settings *settings, struct curl_slist *headers,
                               const char *url, const char *body);
    /* False: it makes no sense. */
    bool (*read)(const cJSON *tree, struct answer *answer);
};

extern const struct wire wire_openai, wire_anthropic, wire_googleai, wire_bedrock;

/* --- for wires ---------------------------------------------------------------------------------*/

/* `name` with its colon. */
struct curl_slist *wire_add_header(struct curl_slist *headers, const char *name, const char *value);

/* Of the request, else of the component; 0: neither says. */
int64_t
wire_max_tokens(const struct settings *settings, const struct remora_conversation *conversation);
void wire_add_temperature(cJSON *to, const struct settings *settings,
                          const struct remora_conversation *conversation);
/* An object, or NULL for an empty text. False, with words: it is something else. */
bool wire_read_json(struct remora_slice text, const char *what, cJSON **ret_tree,
                    char error[WIRE_ERROR_BYTES]);
/* `name` and `strict` beside the schema of an answer are about it; NULL where they are not given.
 */
struct wire_format {
    cJSON *schema, *name, *strict;
};

/* The response format; all NULL if there is none. False, with words: it is no schema. */
bool wire_read_format(const struct remora_conversation *conversation, struct wire_format *ret,
                      char error[WIRE_ERROR_BYTES]);
/* The request's parameters where `to` has nothing of the name; none makes the provider stream.
 * False, with words: they are none, or too many, or so is the metadata. */
bool wire_add_parameters(cJSON *to, const struct remora_conversation *conversation,
                         char error[WIRE_ERROR_BYTES]);
/* The list to put into what `role` says: the one of the last message if it is of that role, since
 * several providers want roles to take turns, else one of a new message. `list` is its name. */
cJSON *wire_open_message(cJSON *messages, const char *role, const char *list);
cJSON *wire_last(const cJSON *list); /* NULL if there is none */
/* How a wire of blocks says texts, calls of tools and their results, for wire_add_turn(). */
struct wire_blocks {
    void (*add_texts)(cJSON *content, const struct remora_turn *turn);
    /* False: `error` says what of a call makes no sense. */
    bool (*add_tool_uses)(cJSON *content, const struct remora_turn *turn, char *error);
    void (*add_tool_result)(cJSON *content, const struct remora_turn *turn);
};
/* A turn where such a wire has it: what the system says apart, results of tools as the user's. */
bool wire_add_turn(const struct wire_blocks *blocks, cJSON *system, cJSON *messages,
                   const struct remora_turn *turn, char *error);
/* Several providers refuse an empty text, and with it messages that hold nothing else. */
bool wire_is_empty(const struct remora_turn *turn);
/* Which tool answers in this turn, if only the call is named; may be empty. */
struct remora_slice wire_tool_name(const struct remora_conversation *conversation, size_t turn);

#endif
