/* SPDX-License-Identifier: Apache-2.0 */
/* Builds answers; see answer.h. */
#include "answer.h"

#include <string.h>
#include <strings.h>

#include "../shared/memory.h"
#include "json.h"

enum { FINISH_BYTES_MAX = 64, NAME_BYTES_MAX = 1024 };

struct answer_block {
    struct answer_block *next;
    char bytes[] __attribute__((aligned(16)));
};

void
answer_fini(struct answer *answer)
{
    while (answer->blocks != NULL) {
        struct answer_block *block = answer->blocks;
        answer->blocks = block->next;
        free(block);
    }
    *answer = (struct answer){ .blocks = NULL };
}

void *
answer_alloc(struct answer *answer, size_t bytes)
{
    struct answer_block *block = memory_new(sizeof *block + bytes);
    block->next = answer->blocks;
    answer->blocks = block;
    return block->bytes;
}

bool
answer_make_choices(struct answer *answer, int count)
{
    if (count <= 0 || count > ANSWER_CHOICES_MAX)
        return false;
    answer->choices = answer_alloc(answer, (size_t)count * sizeof *answer->choices);
    answer->reply.choices = answer->choices;
    answer->reply.choice_count = (size_t)count;
    for (int i = 0; i < count; i++)
        answer->choices[i].content = answer->choices[i].finish_reason = json_slice(NULL);
    return true;
}

struct remora_tool_call *
answer_make_tool_calls(struct answer *answer, int count)
{
    if (count < 0 || count > ANSWER_TOOL_CALLS_MAX)
        return NULL;
    return answer_alloc(answer, ((size_t)count + 1) * sizeof(struct remora_tool_call));
}

static struct remora_slice
keep(struct answer *answer, const char *text)
{
    size_t len = strlen(text);
    char *copy = answer_alloc(answer, len + 1);
    memcpy(copy, text, len);
    return (struct remora_slice){ copy, len };
}

static struct remora_slice
arguments_of(struct answer *answer, const cJSON *arguments)
{
    if (cJSON_IsString(arguments))
        return json_slice(arguments->valuestring);
    if (!cJSON_IsObject(arguments))
        return json_slice("{}");
    char *text = json_print(arguments);
    struct remora_slice kept = keep(answer, text);
    free(text);
    return kept;
}

bool
answer_add_tool_call(struct answer *answer, struct remora_choice *choice, const char *id,
                     const char *name, const cJSON *arguments)
{
    /* The list was made by us, and is read by those who reply. */
    struct remora_tool_call *calls = (struct remora_tool_call *)(uintptr_t)choice->tool_calls;
    if (name == NULL || *name == '\0' || strlen(name) > NAME_BYTES_MAX)
        return false;
    if (id == NULL || *id == '\0') {
        char *made = answer_alloc(answer, 37);
        remora_uuid(made);
        id = made;
    }
    calls[choice->tool_call_count++] = (struct remora_tool_call){
        .id = json_slice(id),
        .name = json_slice(name),
        .arguments = arguments_of(answer, arguments),
    };
    return true;
}

/* Doubling, so that many pieces cost no more than what they hold. */
static void
grow_text(struct answer *answer, size_t len)
{
    if (answer->text != NULL && len <= answer->capacity)
        return;
    char *text = answer_alloc(answer, len * 2);
    if (answer->text != NULL)
        memcpy(text, answer->text, answer->open->content.len);
    answer->text = text;
    answer->capacity = len * 2;
}

void
answer_add_text(struct answer *answer, struct remora_choice *choice, const char *text,
                const char *between)
{
    struct remora_slice more = json_slice(text);
    if (more.len == 0)
        return;
    if (answer->open != choice) {
        answer->open = choice;
        answer->text = NULL;
        answer->capacity = 0;
    }
    size_t first = choice->content.len, gap = first == 0 ? 0 : strlen(between);
    grow_text(answer, first + gap + more.len);
    memcpy(answer->text + first, between, gap);
    memcpy(answer->text + first + gap, more.data, more.len);
    choice->content = (struct remora_slice){ answer->text, first + gap + more.len };
}

void
answer_set_finish(struct answer *answer, struct remora_choice *choice, const char *word)
{
    static const struct {
        const char *word, *said;
    } rows[] = {
        { "stop", "stop" },
        { "end_turn", "stop" },
        { "stop_sequence", "stop" },
        { "eos_token", "stop" },
        { "length", "length" },
        { "max_tokens", "length" },
        { "model_length", "length" },
        { "model_context_window_exceeded", "length" },
        { "tool_calls", "tool_calls" },
        { "tool_use", "tool_calls" },
        { "function_call", "tool_calls" },
        { "content_filter", "content_filter" },
        { "content_filtered", "content_filter" },
        { "guardrail_intervened", "content_filter" },
        { "refusal", "content_filter" },
        { "safety", "content_filter" },
        { "prohibited_content", "content_filter" },
        { "blocklist", "content_filter" },
        { "spii", "content_filter" },
        { "recitation", "content_filter" },
    };
    if (word == NULL || *word == '\0') {
        choice->finish_reason = json_slice("unknown");
        return;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcasecmp(rows[i].word, word) == 0) {
            bool is_calling = i == 0 && choice->tool_call_count > 0;
            choice->finish_reason = json_slice(is_calling ? "tool_calls" : rows[i].said);
            return;
        }
    size_t len = strnlen(word, FINISH_BYTES_MAX);
    char *copy = answer_alloc(answer, len + 1);
    for (size_t i = 0; i < len; i++) /* cut anywhere, it is text still */
        copy[i] = word[i] > ' ' && word[i] < 0x7f ? word[i] : '_';
    choice->finish_reason = (struct remora_slice){ copy, len };
}
