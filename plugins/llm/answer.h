/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a provider has said, as the sidecar wants it. Texts point into the parsed JSON, which must
 * live as long, or into memory of the answer's own.
 */
#ifndef LLM_PLUGIN_ANSWER_H
#define LLM_PLUGIN_ANSWER_H

#include <cjson/cJSON.h>
#include <remora_plugin.h>

enum { ANSWER_CHOICES_MAX = 128, ANSWER_TOOL_CALLS_MAX = 1024 };

struct answer_block;

struct answer {
    struct remora_answer reply;
    struct remora_usage usage;
    struct remora_choice *choices; /* of `reply`, still to be written to */
    struct answer_block *blocks;   /* owned */
    struct remora_choice *open;    /* whose text is being put together, in `text` */
    char *text;
    size_t capacity;
};

void answer_fini(struct answer *answer);

/* Zeroed, until answer_fini(). */
void *answer_alloc(struct answer *answer, size_t bytes);

/* False: there are none, or more than anybody asks for. */
bool answer_make_choices(struct answer *answer, int count);
/* A list for so many; NULL: too many. */
struct remora_tool_call *answer_make_tool_calls(struct answer *answer, int count);
/* One more of a list with room: arguments as JSON text, whether the provider gives a text or an
 * object; an identifier of ours if it gives none. False: it has no name. */
bool answer_add_tool_call(struct answer *answer, struct remora_choice *choice, const char *id,
                          const char *name, const cJSON *arguments);
/* `text` behind what the choice says already, with `between` before it; one choice after another.
 */
void answer_add_text(struct answer *answer, struct remora_choice *choice, const char *text,
                     const char *between);
/* The provider's word in the words of the API: stop, length, tool_calls, content_filter. Another
 * one is handed on, cut if it is long; no word is "unknown". */
void answer_set_finish(struct answer *answer, struct remora_choice *choice, const char *word);

#endif
