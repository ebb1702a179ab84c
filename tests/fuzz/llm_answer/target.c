/* SPDX-License-Identifier: Apache-2.0 */
/* Answers and refusals of the OpenAI wire: any bytes are read within themselves or refused, and of
 * a refusal neither the key nor what was said is told. */
#include <assert.h>
#include <stdint.h>

#include "plugins/llm/answer.c"
#include "plugins/llm/json.c"
#include "plugins/llm/redact.c"
#include "plugins/llm/wire.c"
/* Both have one of the name. */
#define message_of request_message_of
#include "plugins/llm/openai.c"
#undef message_of
#include "plugins/llm/refusal.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of libcurl, which is not linked here, and of the settings: only requests need them. */
struct curl_slist *
curl_slist_append(struct curl_slist *list, const char *line)
{
    (void)line;
    return list;
}

time_t
curl_getdate(const char *text, const time_t *unused)
{
    (void)text, (void)unused;
    return -1;
}

char *
settings_escape(const char *text, bool keeps_slashes)
{
    (void)keeps_slashes;
    return memory_text(text);
}

static const char said[] = "an answer that nobody else may see";

static void
read_one(const char *text, size_t len)
{
    struct answer answer = { .blocks = NULL };
    cJSON *tree = json_parse(text, len);
    if (tree != NULL && wire_openai.read(tree, &answer)) {
        assert(answer.reply.choice_count > 0);
        for (size_t i = 0; i < answer.reply.choice_count; i++)
            assert(answer.reply.choices[i].finish_reason.len > 0 &&
                   strnlen(answer.reply.choices[i].content.data,
                           answer.reply.choices[i].content.len) ==
                       answer.reply.choices[i].content.len);
    }
    answer_fini(&answer);
    cJSON_Delete(tree);
}

static void
refuse_one(const char *text, size_t len)
{
    char words[REFUSAL_WORDS_BYTES], key[] = "sk-0123456789abcdefghij";
    static const struct provider provider = { .label = "x" };
    const struct settings settings = { .provider = &provider, .key = key };
    const struct remora_slice content = { said, sizeof said - 1 };
    const struct remora_turn turn = { .content = &content, .content_count = 1 };
    const struct remora_conversation conversation = { .turns = &turn, .turn_count = 1 };
    const struct refusal refusal = { 429, text, len, "soon" };
    struct remora_failure failure = refusal_read(&refusal, &settings, &conversation, words);
    assert(failure.code == REMORA_RESOURCE_EXHAUSTED || failure.code == REMORA_UNAUTHENTICATED);
    assert(strstr(failure.message, said) == NULL && strstr(failure.message, key) == NULL);
    assert(strpbrk(failure.message, "\r\n") == NULL);
    /* Words without any JSON around them. */
    char *message = memory_slice((struct remora_slice){ text, len });
    char out[REDACT_BYTES_MAX + 1];
    redact(message, &settings, &conversation, out);
    assert(strstr(out, said) == NULL && strstr(out, key) == NULL);
    free(message);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_one((const char *)data, size);
    refuse_one((const char *)data, size);
    return 0;
}
