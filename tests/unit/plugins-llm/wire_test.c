/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of providers that are hostile: each good one, cut at every byte, with every byte changed,
 * and with every value of another type, is read or refused, never more.
 */
#include "plugins/llm/wire.h"

#include "plugins/llm/json.h"
#include "test.h"

static const struct sample {
    const char *name;
    const struct wire *wire;
    const char *text;
} samples[] = {
    { "openai", &wire_openai,
      "{\"model\":\"m\",\"choices\":[{\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
      "{\"type\":\"text\",\"text\":\"b\"}],\"refusal\":\"r\",\"tool_calls\":[{\"id\":\"i\","
      "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"stop\"}],"
      "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3,"
      "\"prompt_tokens_details\":{\"cached_tokens\":1}}}" },
    { "anthropic", &wire_anthropic,
      "{\"model\":\"m\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
      "\"text\":\"b\"},{\"type\":\"tool_use\",\"id\":\"i\",\"name\":\"f\",\"input\":{}}],"
      "\"stop_reason\":\"tool_use\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2,"
      "\"cache_read_input_tokens\":1}}" },
    { "googleai", &wire_googleai,
      "{\"modelVersion\":\"m\",\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"},{\"text\":"
      "\"b\"},{\"functionCall\":{\"id\":\"i\",\"name\":\"f\",\"args\":{}}}]},\"finishReason\":"
      "\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":1,\"candidatesTokenCount\":2,"
      "\"totalTokenCount\":3,\"cachedContentTokenCount\":1}}" },
    { "bedrock", &wire_bedrock,
      "{\"output\":{\"message\":{\"content\":[{\"text\":\"a\"},{\"text\":\"b\"},{\"toolUse\":"
      "{\"toolUseId\":\"i\",\"name\":\"f\",\"input\":{}}}]}},\"stopReason\":\"tool_use\",\"usage\":"
      "{\"inputTokens\":1,\"outputTokens\":2,\"totalTokens\":3,\"cacheReadInputTokens\":1}}" },
};

enum { SAMPLES = sizeof samples / sizeof samples[0] };

/* Looks at every byte of it: a sanitizer sees what is out of bounds or gone. */
static size_t
weigh(const struct answer *answer)
{
    size_t sum = answer->reply.model.len;
    for (size_t i = 0; i < answer->reply.choice_count; i++) {
        const struct remora_choice *choice = &answer->reply.choices[i];
        sum += strnlen(choice->content.data, choice->content.len) + choice->finish_reason.len;
        CHECK(choice->finish_reason.len > 0);
        for (size_t j = 0; j < choice->tool_call_count; j++) {
            const struct remora_tool_call *call = &choice->tool_calls[j];
            CHECK(call->name.len > 0 && call->id.len > 0);
            sum += strnlen(call->arguments.data, call->arguments.len);
        }
    }
    return sum;
}

static bool
read_text(const struct wire *wire, const char *text, size_t len)
{
    struct answer answer = { .blocks = NULL };
    char *exact = malloc(len > 0 ? len : 1); /* nothing behind it */
    if (exact == NULL)
        abort();
    memcpy(exact, text, len);
    cJSON *tree = json_parse(exact, len);
    bool is_good = tree != NULL && wire->read(tree, &answer);
    if (is_good)
        CHECK(answer.reply.choice_count > 0 && weigh(&answer) > 0);
    answer_fini(&answer);
    cJSON_Delete(tree);
    free(exact);
    return is_good;
}

TEST(a_good_answer_is_read_whole)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        struct answer answer = { .blocks = NULL };
        cJSON *tree = json_parse(samples[i].text, strlen(samples[i].text));
        REQUIRE(tree != NULL && samples[i].wire->read(tree, &answer));
        const struct remora_choice *choice = answer.reply.choices;
        CHECK_EQ_INT(answer.reply.choice_count, 1);
        CHECK(choice->content.len >= 2 && choice->content.data[0] == 'a');
        CHECK_SLICE_IS(choice->finish_reason, "tool_calls");
        CHECK_EQ_INT(choice->tool_call_count, 1);
        CHECK_SLICE_IS(choice->tool_calls->id, "i");
        CHECK_SLICE_IS(choice->tool_calls->name, "f");
        CHECK_SLICE_IS(choice->tool_calls->arguments, "{}");
        CHECK_EQ_INT(answer.usage.total, 3);
        CHECK_EQ_INT(answer.usage.cached, 1);
        answer_fini(&answer);
        cJSON_Delete(tree);
    }
}

TEST(an_answer_that_is_cut_anywhere_is_refused)
{
    for (size_t i = 0; i < SAMPLES; i++)
        for (size_t len = 0; len < strlen(samples[i].text); len++)
            CHECK(!read_text(samples[i].wire, samples[i].text, len));
}

TEST(an_answer_with_any_byte_changed_is_read_or_refused)
{
    static const char bytes[] = { '\0', '"', '\\', '{', '[', '}', ']', ',', '0', '-', '\xff', 'u' };
    for (size_t i = 0; i < SAMPLES; i++) {
        char *text = strdup(samples[i].text);
        REQUIRE(text != NULL);
        size_t len = strlen(text);
        for (size_t at = 0; at < len; at++)
            for (size_t b = 0; b < sizeof bytes; b++) {
                char kept = text[at];
                text[at] = bytes[b];
                (void)read_text(samples[i].wire, text, len);
                text[at] = kept;
            }
        free(text);
    }
}

/* Each value in turn. */
static void
replace_each(const struct wire *wire, const cJSON *root, cJSON *parent)
{
    static const char *const others[] = { "null", "5",     "-1",     "1e999", "true",
                                          "\"\"", "\"x\"", "[]",     "{}",    "[null]",
                                          "[[]]", "[{}]",  "[\"x\"]" };
    for (cJSON *item = parent->child; item != NULL; item = item->next) {
        replace_each(wire, root, item);
        for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
            cJSON *other = cJSON_Parse(others[i]), kept = *item;
            REQUIRE(other != NULL);
            item->type = other->type | (kept.type & cJSON_StringIsConst);
            item->child = other->child;
            item->valuestring = other->valuestring;
            item->valuedouble = other->valuedouble;
            char *text = cJSON_PrintUnformatted(root);
            *item = kept;
            REQUIRE(text != NULL);
            (void)read_text(wire, text, strlen(text));
            cJSON_free(text);
            cJSON_Delete(other);
        }
    }
}

TEST(an_answer_with_values_of_other_types_is_read_or_refused)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        cJSON *tree = cJSON_Parse(samples[i].text);
        REQUIRE(tree != NULL);
        replace_each(samples[i].wire, tree, tree);
        cJSON_Delete(tree);
    }
}

TEST(answers_without_bounds_are_refused)
{
    const size_t len = 4 * 1024 * 1024;
    char *text = malloc(len);
    REQUIRE(text != NULL);
    memset(text, '[', len);
    CHECK(json_parse(text, len) == NULL);
    memcpy(text, "{\"choices\":[", 12);
    for (size_t at = 12; at + 3 < len; at += 3)
        memcpy(text + at, "{},", 3);
    memcpy(text + len - 4, "{}]}", 4);
    CHECK(json_parse(text, len) == NULL);
    free(text);
    static char many[ANSWER_CHOICES_MAX * 40 + 100] = "{\"choices\":[";
    char *at = many + strlen(many);
    for (int i = 0; i <= ANSWER_CHOICES_MAX; i++)
        at += snprintf(at, 40, "%s{\"message\":{\"content\":\"x\"}}", i > 0 ? "," : "");
    memcpy(at, "]}", 3);
    cJSON *tree = json_parse(many, strlen(many));
    struct answer answer = { .blocks = NULL };
    CHECK(tree != NULL && !wire_openai.read(tree, &answer));
    answer_fini(&answer);
    cJSON_Delete(tree);
}

TEST(a_text_in_many_pieces_costs_what_it_holds)
{
    enum { PIECES = 60000 };
    char *text = malloc(PIECES * 32 + 100), *at = text;
    REQUIRE(text != NULL);
    at += snprintf(at, 64, "{\"content\":[");
    for (int i = 0; i < PIECES; i++)
        at += snprintf(at, 40, "%s{\"type\":\"text\",\"text\":\"ab\"}", i > 0 ? "," : "");
    memcpy(at, "]}", 3);
    cJSON *tree = json_parse(text, strlen(text));
    REQUIRE(tree != NULL);
    cJSON_AddStringToObject(tree, "stop_reason", "end_turn");
    struct answer answer = { .blocks = NULL };
    CHECK(!wire_anthropic.read(tree, &answer)); /* any of them may be a call: too many */
    answer_fini(&answer);
    cJSON_Delete(tree);
    char *whole = malloc(strlen(text) + 200);
    REQUIRE(whole != NULL);
    (void)snprintf(whole, strlen(text) + 200, "{\"choices\":[{\"message\":%s}]}", text);
    tree = json_parse(whole, strlen(whole));
    REQUIRE(tree != NULL);
    CHECK(wire_openai.read(tree, &answer));
    CHECK_EQ_INT(answer.reply.choices->content.len, 2 * PIECES);
    answer_fini(&answer);
    cJSON_Delete(tree);
    free(whole);
    free(text);
}

/* --- requests ----------------------------------------------------------------------------------*/

static const char *
asked_in_vain(const struct wire *wire, const struct remora_conversation *conversation)
{
    static char error[WIRE_ERROR_BYTES];
    const struct settings settings = { .provider = provider_find(
                                           (struct remora_slice){ "conversation.ollama", 19 }) };
    *error = '\0';
    cJSON *body = wire->ask(&settings, conversation, "m", error);
    cJSON_Delete(body);
    return body == NULL ? error : "asked";
}

TEST(json_of_the_application_that_is_none_is_refused_before_it_is_sent)
{
    static const struct remora_slice broken = { "{\"a\":", 5 };
    const struct remora_tool tool = { .name = json_slice("t"), .parameters = broken };
    for (size_t i = 0; i < SAMPLES; i++) {
        const struct wire *wire = samples[i].wire;
        const struct remora_conversation tools = { .tools = &tool, .tool_count = 1 };
        CHECK_EQ_STR(asked_in_vain(wire, &tools),
                     "the parameters of a tool must be a JSON object of at most 64 levels");
        const struct remora_conversation format = { .response_format = broken };
        CHECK_EQ_STR(asked_in_vain(wire, &format),
                     "the response format must be a JSON object of at most 64 levels");
        const struct remora_conversation parameters = { .parameters = broken };
        CHECK_EQ_STR(asked_in_vain(wire, &parameters),
                     "parameters must be a JSON object of at most 64 levels");
    }
}

TEST(parameters_without_number_are_refused)
{
    static char text[5000] = "{";
    char *at = text + 1;
    for (int i = 0; i < 300; i++)
        at += snprintf(at, 16, "%s\"p%d\":1", i > 0 ? "," : "", i);
    memcpy(at, "}", 2);
    for (size_t i = 0; i < SAMPLES; i++) {
        const struct remora_conversation conversation = { .parameters = json_slice(text) };
        CHECK_EQ_STR(asked_in_vain(samples[i].wire, &conversation),
                     "there are more than 256 parameters or metadata");
    }
}

TEST(arguments_that_are_no_object_reach_only_those_who_take_them_as_text)
{
    const struct remora_tool_call call = { .id = json_slice("i"),
                                           .name = json_slice("f"),
                                           .arguments = json_slice("zone") };
    const struct remora_turn turn = { .role = REMORA_ROLE_ASSISTANT,
                                      .tool_calls = &call,
                                      .tool_call_count = 1 };
    const struct remora_conversation conversation = { .turns = &turn, .turn_count = 1 };
    CHECK_EQ_STR(asked_in_vain(&wire_openai, &conversation), "asked");
    for (size_t i = 1; i < SAMPLES; i++)
        CHECK_EQ_STR(asked_in_vain(samples[i].wire, &conversation),
                     "the arguments of a tool call must be a JSON object of at most 64 levels");
}
